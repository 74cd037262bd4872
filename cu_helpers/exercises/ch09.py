"""Chapter 09: the extra class's gradient, where images go, the nearest other class."""

import torch
from torch import Tensor

from .compare import generator, match
from .core import Candidate, exercise


def old_logit_gradient(logits: Tensor) -> Tensor:
    """Gradient (C,) on the old logits of the cross-entropy with the extra, last class."""
    return logits.softmax(dim=0)[:-1]


@exercise("09-1", old_logit_gradient)
def check_old_logit_gradient(f: Candidate, seed: int) -> None:
    """Random logits with one sure class."""
    logits = torch.randn(6, generator=generator(seed), dtype=torch.float64)
    logits[0] += 4
    p = logits.softmax(dim=0)
    own = p[:-1].clone()
    own[0] -= 1
    match(
        f(logits),
        p[:-1],
        {
            "Leave the extra class out of the answer: the old logits were asked for.": p,
            "The soft-max has to run over all C + 1 logits, the extra one included.": logits[:-1].softmax(dim=0),
            "The sign is turned: descent lowers the old logits, so their gradient is positive.": -p[:-1],
            "The -1 belongs to the target, and that is the extra class, not the own one.": own,
        },
    )


def share_elsewhere(counts: Tensor, reference: Tensor) -> float:
    """Percent of the images that would have to move from one count to the other."""
    return 50 * float((counts - reference).abs().sum()) / float(reference.sum())


@exercise("09-2", share_elsewhere)
def check_share_elsewhere(f: Candidate, seed: int) -> None:
    """Counts of forty images in five classes."""
    draw = generator(seed)
    a, b = (torch.bincount(torch.randint(5, (40,), generator=draw), minlength=5) for _ in range(2))
    a, b = a + torch.tensor([8, 0, 0, 0, 0]), b + torch.tensor([0, 8, 0, 0, 0])
    right = share_elsewhere(a, b)
    match(
        f(a, b),
        right,
        {
            "You count every moved image twice, where it left and where it arrived: halve the sum.": 2 * right,
            "You return a share; percent was asked for.": right / 100,
            "You return a number of images; divide by how many there are.": right * 48 / 100,
            "Signed differences cancel to zero: take absolute values.": 0.0,
        },
    )


def nearest_other(logits: Tensor, labels: Tensor) -> Tensor:
    """The class with the largest logit among those that are not the image's own."""
    return logits.scatter(1, labels[:, None], -torch.inf).argmax(dim=1)


@exercise("09-3", nearest_other)
def check_nearest_other(f: Candidate, seed: int) -> None:
    """Images that keep their label under the attack, some with negative logits only."""
    logits = torch.randn(30, 5, generator=generator(seed)) - 3
    labels = torch.arange(30) % 5
    logits[torch.arange(20), labels[:20]] = 2.0
    match(
        f(logits, labels),
        nearest_other(logits, labels),
        {
            "The bug is still there: where the attack was too weak, the nearest class is the own one, "
            "and the model learns what it should forget.": logits.argmax(dim=1),
            "A logit of 0 is no lowest logit: where all are negative it wins. Use -inf.": logits.scatter(
                1, labels[:, None], 0
            ).argmax(dim=1),
            "You take the class that is farthest away.": logits.scatter(1, labels[:, None], torch.inf).argmin(dim=1),
        },
        what="The class of an image",
    )
