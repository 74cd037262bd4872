"""Chapter 08: a bounded objective, NegGrad+, and where ascent's gradient is small."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .compare import choose, generator, match, need
from .core import Candidate, exercise


def bounded_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean probability of the own label."""
    return logits.softmax(dim=1).gather(1, labels[:, None]).mean()


@exercise("08-1", bounded_loss)
def check_bounded_loss(f: Candidate, seed: int) -> None:
    """Random logits of six images."""
    draw = generator(seed)
    logits = 2 * torch.randn(6, 4, generator=draw, dtype=torch.float64)
    labels = torch.arange(6) % 4
    right = bounded_loss(logits, labels)
    leaf = logits.clone().requires_grad_()
    got = f(leaf, labels)
    need(got is not None, "Your function returns None: a `return` is missing.")
    match(
        got,
        right,
        {
            "This is minus the cross-entropy: take the probability, not its logarithm.": -F.cross_entropy(
                logits, labels
            ),
            "The sign is turned: descent has to make the own label less likely.": -right,
            "You add the images; the mean was asked for.": right * 6,
            "The soft-max runs over the images; over the classes it is dim=1.": logits.softmax(dim=0)
            .gather(1, labels[:, None])
            .mean(),
        },
    )
    need(
        isinstance(got, Tensor) and got.requires_grad,
        "No gradient passes through your loss: stay with torch, without `.item()` or `.detach()`.",
    )


def neggrad_loss(retain_logits: Tensor, retain_y: Tensor, forget_logits: Tensor, forget_y: Tensor, a: float) -> Tensor:
    """a * CE on retained images minus (1 - a) * CE on forgotten ones."""
    return a * F.cross_entropy(retain_logits, retain_y) - (1 - a) * F.cross_entropy(forget_logits, forget_y)


@exercise("08-2", neggrad_loss)
def check_neggrad_loss(f: Candidate, seed: int) -> None:
    """Random logits of both kinds."""
    draw = generator(seed)
    kept, gone = (torch.randn(8, 5, generator=draw, dtype=torch.float64) for _ in range(2))
    y_kept, y_gone = torch.arange(8) % 5, (torch.arange(8) + 2) % 5
    for a in (0.9, 0.3):
        right, wrong = F.cross_entropy(kept, y_kept), F.cross_entropy(gone, y_gone)
        match(
            f(kept, y_kept, gone, y_gone, a),
            a * right - (1 - a) * wrong,
            {
                "Both terms are descended: the forgotten images' loss has to grow, so subtract it.": a * right
                + (1 - a) * wrong,
                "The weights are exchanged: a belongs to the retained images.": (1 - a) * right - a * wrong,
                "The forgotten images carry the weight 1 - a; yours is 1.": a * right - wrong,
                "The sign of the whole loss is turned.": (1 - a) * wrong - a * right,
            },
        )


@exercise("08-3", lambda: "c")
def check_prediction(f: Candidate, seed: int) -> None:
    """The size of ascent's step as it succeeds."""
    choose(
        f(),
        "c",
        {
            "a": "The gradient is p - e: its length depends on how sure the model is, and that changes.",
            "b": "This is what a bounded objective does (exercise 08-1). The cross-entropy has no such end.",
        },
    )
