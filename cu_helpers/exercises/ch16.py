"""Chapter 16: a batch's floor, zero-shot by hand, a frozen image encoder, the best wording."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .compare import generator, match, need, unit_rows
from .core import Candidate, exercise


def floor(labels: Tensor) -> float:
    """Mean over the pairs of the log of how many pairs share their class."""
    return float(labels.bincount()[labels].double().log().mean())


@exercise("16-1", floor)
def check_floor(f: Candidate, seed: int) -> None:
    """The text's case, and random labels."""
    for labels in (torch.tensor([0, 0, 0, 1, 2, 2]), torch.randint(7, (60,), generator=generator(seed))):
        counts = labels.bincount().double()
        used = counts[counts > 0]
        right = floor(labels)
        match(
            f(labels),
            right,
            {
                "You take the mean over classes; every pair counts once.": used.log().mean(),
                "You add the pairs; the loss is their mean.": right * len(labels),
                "You take the log of the mean count; the loss is a mean of logs.": counts[labels].mean().log(),
                "The logarithm is missing.": counts[labels].mean(),
            },
        )


def zero_shot(images: Tensor, texts: list[Tensor]) -> Tensor:
    """The class whose mean text, brought to unit length, is most similar to each image."""
    rows = torch.stack([of_class.mean(dim=0) for of_class in texts])
    return (images @ F.normalize(rows, dim=1).T).argmax(dim=1)


@exercise("16-2", zero_shot)
def check_zero_shot(f: Candidate, seed: int) -> None:
    """Four classes with different numbers of sentences, spread so that the means differ in length."""
    draw = generator(seed)
    images = unit_rows(200, 6, draw)
    texts = []
    for width, count in zip((0.1, 2.5, 0.4, 1.2), (4, 6, 3, 5), strict=True):
        centre = unit_rows(1, 6, draw)
        texts.append(F.normalize(centre + width * torch.randn(count, 6, generator=draw, dtype=torch.float64), dim=1))
    plain = torch.stack([one.mean(dim=0) for one in texts])
    match(
        f(images, texts),
        zero_shot(images, texts),
        {
            "Bring each mean back to unit length: else a class whose sentences differ loses.": (
                images @ plain.T
            ).argmax(dim=1),
            "You use one sentence of each class; average all of them.": (
                images @ torch.stack([one[0] for one in texts]).T
            ).argmax(dim=1),
            "You add the sentences without a mean or a unit length: a class with many of them wins.": (
                images @ torch.stack([one.sum(dim=0) for one in texts]).T
            ).argmax(dim=1),
            "You take the class that is least similar.": (images @ F.normalize(plain, dim=1).T).argmin(dim=1),
        },
        what="The class of an image",
    )


def texts_alone(net: Any) -> Any:
    """A copy whose image encoder is frozen."""
    frozen = copy.deepcopy(net)
    frozen.net.visual.requires_grad_(False)
    return frozen


class _Pair(nn.Module):
    """Looks like CLIP from outside: `net.visual` beside the text encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Module()
        self.net.visual = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        self.net.transformer = nn.Linear(5, 2)


@exercise("16-3", texts_alone)
def check_texts_alone(f: Candidate, seed: int) -> None:
    """Two small encoders."""
    net = _Pair()
    got = f(net)
    need(got is not None, "Your function returns None: return the changed copy.")
    need(
        all(weight.requires_grad for weight in net.parameters()),
        "The model that was passed in is frozen now: work on `copy.deepcopy`.",
    )
    free = {name for name, weight in got.named_parameters() if weight.requires_grad}
    need(
        any("transformer" in name for name in free),
        "The text encoder is frozen too, so nothing can be unlearned: freeze `net.visual` alone.",
    )
    need(
        not any("visual" in name for name in free),
        "Part of the image encoder can still move: freeze every weight of `net.visual`.",
    )


def best_wording(z: Tensor, texts: Tensor, label: int, candidates: Tensor) -> tuple[int, float]:
    """The candidate with which most images are given `label`, and their percent."""
    right = []
    for candidate in candidates:
        rows = texts.clone()
        rows[label] = candidate
        right.append(100 * float(((z @ rows.T).argmax(dim=1) == label).double().mean()))
    place = max(range(len(right)), key=lambda n: right[n])
    return place, right[place]


@exercise("16-4", best_wording)
def check_best_wording(f: Candidate, seed: int) -> None:
    """Images of one class, five classes' texts and four candidates, of which the third is near the images."""
    draw = generator(seed)
    centre = unit_rows(1, 6, draw)
    z = F.normalize(centre + 0.5 * torch.randn(60, 6, generator=draw, dtype=torch.float64), dim=1)
    texts, label = unit_rows(5, 6, draw), 2
    texts[0] = F.normalize(centre + 0.45 * unit_rows(1, 6, draw), dim=1)[0]
    candidates = torch.cat([unit_rows(2, 6, draw), centre, unit_rows(1, 6, draw)])
    kept = texts.clone()
    right = best_wording(z, texts, label, candidates)
    got = f(z, texts, label, candidates)
    need(torch.equal(texts, kept), "You changed the texts that were passed in: work on a clone.")
    need(isinstance(got, tuple) and len(got) == 2, "Return two things: the candidate's position, and its percent.")
    alone = 100 * float(((z @ candidates.T).argmax(dim=1) == right[0]).double().mean())
    old = 100 * float(((z @ texts.T).argmax(dim=1) == label).double().mean())
    match(
        got,
        right,
        {
            "You return a share; percent was asked for.": (right[0], right[1] / 100),
            "You let the candidates compete with each other; each competes with the other classes' texts.": (
                right[0],
                alone,
            ),
            "You measured with the old text: put the candidate into the row of `label`.": (0, old),
            "You return the text's accuracy and position in the wrong order.": right[::-1],
        },
    )
