"""Chapter 02: a distance of distributions, overlaps, neighbours, centres."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .compare import close, generator, match, need, numbers, unit_rows
from .core import Candidate, exercise


def ks_distance(a: Sequence[float], b: Sequence[float]) -> float:
    """Largest distance of two cumulative distribution curves."""
    return max(abs(_below(a, t) - _below(b, t)) for t in [*a, *b])


def _below(values: Sequence[float], t: float) -> float:
    return sum(value <= t for value in values) / len(values)


@exercise("02-1", ks_distance)
def check_ks_distance(f: Candidate, seed: int) -> None:
    """Whole numbers, so that there are ties, with the larger values on either side."""
    draw = generator(seed)
    low, high = (torch.randint(0, 6, (size,), generator=draw).tolist() for size in (9, 12))
    high = [value + 2 for value in high]
    for a, b in ((low, high), (high, low), ([1, 1, 2], [1, 1, 1, 5])):
        points = [*a, *b]
        signed = [_below(a, t) - _below(b, t) for t in points]
        got = f(a, b)
        match(
            got,
            max(abs(value) for value in signed),
            {
                "You take the largest signed difference; the curve of b may lie above. Take absolute values.": max(
                    signed
                ),
                "You take the mean distance; the largest was asked for.": sum(map(abs, signed)) / len(signed),
                "You compare the means of the two lists; compare their curves at every point.": abs(
                    sum(a) / len(a) - sum(b) / len(b)
                ),
            },
        )


def overlap(out_a: Tensor, out_b: Tensor) -> tuple[int, float]:
    """How many images two masks share, and how many chance would give."""
    chance = out_a.sum().item() * out_b.sum().item() / len(out_a)
    return int((out_a & out_b).sum()), chance


@exercise("02-2", overlap)
def check_overlap(f: Candidate, seed: int) -> None:
    """Two random masks of thirty images."""
    draw = generator(seed)
    a, b = torch.rand(30, generator=draw) < 0.4, torch.rand(30, generator=draw) < 0.6
    a[:2], b[:2], b[2] = True, torch.tensor([True, False]), False
    both = int((a & b).sum())
    chance = int(a.sum()) * int(b.sum()) / 30
    match(
        f(a, b),
        (both, chance),
        {
            "You count images that are in either mask; shared ones are in both (`&`).": (int((a | b).sum()), chance),
            "You count images on which the masks agree, also where both are False.": (int((a == b).sum()), chance),
            "Your chance is a share; multiply by the number of images.": (both, chance / 30),
            "Divide the product of the two sizes by the number of images.": (both, chance * 30),
        },
    )


def neighbour_share(z: Tensor, labels: Tensor, retained_z: Tensor, retained_labels: Tensor, k: int = 10) -> float:
    """Percent of the k nearest retained images with the image's own class."""
    return _share(z, labels, retained_z, retained_labels, k, True)


def _share(z: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor, k: int, largest: bool) -> float:
    nearest = other_labels[(z @ others.T).topk(k, dim=1, largest=largest).indices]
    return 100 * (nearest == labels[:, None]).double().mean().item()


@exercise("02-3", neighbour_share)
def check_neighbour_share(f: Candidate, seed: int) -> None:
    """Three loose classes on a sphere."""
    draw = generator(seed)
    centres = unit_rows(3, 8, draw)
    labels, others = torch.arange(12) % 3, torch.arange(60) % 3
    z, r = (
        F.normalize(centres[y] + 0.35 * torch.randn(len(y), 8, generator=draw, dtype=torch.float64), dim=1)
        for y in (labels, others)
    )
    for k in (10, 3):
        right = _share(z, labels, r, others, k, True)
        everyone = 100 * (others[None] == labels[:, None]).double().mean().item()
        match(
            f(z, labels, r, others, k),
            right,
            {
                "You return a share; percent was asked for.": right / 100,
                "You take the images that are farthest away: a large cosine means near.": _share(
                    z, labels, r, others, k, False
                ),
                "You look at all retained images; take the k nearest of each row.": everyone,
                "You use ten neighbours whatever k is.": _share(z, labels, r, others, 10, True),
            },
        )


def centres_of(z: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Unit-norm mean direction of each class."""
    return F.normalize(torch.stack([z[labels == label].mean(dim=0) for label in range(classes)]), dim=1)


@exercise("02-4", centres_of)
def check_centres(f: Candidate, seed: int) -> None:
    """Wide classes, whose means are short."""
    draw = generator(seed)
    z, labels = unit_rows(30, 6, draw), torch.arange(30) % 3
    means = torch.stack([z[labels == label].mean(dim=0) for label in range(3)])
    got = f(z, labels, 3)
    right = F.normalize(means, dim=1)
    need(
        not close(numbers(got), means, 1e-9),
        "The bug is still there: the mean of unit vectors is shorter than 1, so the dot product with it is no cosine.",
    )
    match(
        got,
        right,
        {
            "You normalise along the wrong dimension: each row is a centre, so dim=1.": F.normalize(means, dim=0),
            "You divide by the length of all centres together; each has its own.": means / means.norm(),
        },
    )
