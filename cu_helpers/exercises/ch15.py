"""Chapter 15: a class unmasked, an audit that can be fooled, tests without power, halves that agree."""

import copy

import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from ..memorisation import Shadows, memorisation
from ..models import EmbeddingClassifier
from ..similarity import mmd_test
from . import fakes
from .compare import choose, generator, match, need
from .core import Candidate, exercise


def unmask(net: EmbeddingClassifier, z: Tensor, label: int) -> EmbeddingClassifier:
    """A copy whose head's row of `label` points to the mean of relu(z)."""
    net = copy.deepcopy(net)
    others = torch.arange(net.config.num_classes, device=z.device) != label
    with torch.no_grad():
        centre = F.normalize(F.relu(z).mean(dim=0), dim=0)
        net.head.weight[label] = centre * net.head.weight[others].norm(dim=1).mean()
        net.head.bias[label] = net.head.bias[others].mean()
    return net


@exercise("15-1", unmask)
def check_unmask(f: Candidate, seed: int) -> None:
    """A random model with a masked class, and three embeddings."""
    net, label = fakes.model(seed), 2
    with torch.no_grad():
        net.head.bias[label] = -10_000
        z = net.encode(fakes.batch(seed)[:3])
    before = fakes.state(net)
    got = f(net, z, label)
    need(got is not None, "Your function returns None: return the changed copy.")
    need(not fakes.changed(net, before), "The model that was passed in has changed: work on `copy.deepcopy`.")
    moved = [name for name in fakes.changed(got, before) if not name.startswith("head.")]
    need(not moved, f"You changed {', '.join(moved[:2])}; only the head may change.")
    others = torch.arange(5) != label
    need(
        torch.equal(got.head.weight[others], net.head.weight[others])
        and torch.equal(got.head.bias[others], net.head.bias[others]),
        "Rows of other classes changed too: change the row of `label` alone.",
    )
    need(got.head.bias[label] > -1000, "The bias is still the mask's -10 000: give it the mean of the others.")
    match(got.head.bias[label], net.head.bias[others].mean(), {}, what="The row's bias", tolerance=1e-4)
    row = got.head.weight[label]
    right = unmask(net, z, label).head.weight[label]
    match(
        row,
        right,
        {
            "The head reads relu(z): take the mean of that, not of z.": F.normalize(z.mean(dim=0), dim=0)
            * right.norm(),
            "The direction is right, its length is not: give it the mean length of the other rows.": F.relu(z).mean(
                dim=0
            ),
            "The row has length 1: give it the mean length of the other rows.": F.normalize(right, dim=0),
        },
        what="The row's weight",
        tolerance=1e-4,
    )


@exercise("15-2", lambda: "b")
def check_prediction(f: Candidate, seed: int) -> None:
    """What a naive relearning curve says of a mask."""
    choose(
        f(),
        "b",
        {
            "a": "The embeddings hold the class, but a bias of -10 000 needs millions of steps of 0.003.",
            "c": "The mask is in the head's bias. Ten steps move it by a few hundredths, and it stands at -10 000.",
        },
    )


def p_of(u: Tensor, v: Tensor, count: int) -> float:
    """The p-value of the test on the first `count` rows of each side."""
    rows = torch.zeros(count, dtype=torch.int64)
    return mmd_test(u[:count], rows, v[:count], rows).p


@exercise("15-3", p_of)
def check_p_of(f: Candidate, seed: int) -> None:
    """Two clouds that differ clearly."""
    draw = generator(seed)
    u = F.normalize(torch.randn(18, 8, generator=draw) + 1, dim=1)
    v = F.normalize(torch.randn(18, 8, generator=draw), dim=1)
    for count in (4, 18):
        few = mmd_test(u[:count], torch.zeros(count).long(), v[:count], torch.zeros(count).long())
        match(
            f(u, v, count),
            few.p,
            {
                "You test all images; take the first `count` of each side.": p_of(u, v, 18) if count < 18 else 2.0,
                "You return MMD squared; the p-value is `.p`.": few.squared,
                "You compare a cloud with itself.": p_of(u, u, count),
            },
        )


def agreement(member: Tensor, right: Tensor) -> float:
    """Rank correlation of the memorisation scores of the even and of the odd models."""
    return _agreement(member, right)[0]


def _agreement(member: Tensor, right: Tensor) -> tuple[float, float]:
    halves = [(member[k::2], right[k::2]) for k in (0, 1)]
    known = torch.stack([half.any(dim=0) & ~half.all(dim=0) for half, _ in halves]).all(dim=0)
    a, b = (memorisation(Shadows(half[:, known], hits[:, known])) for half, hits in halves)
    return float(stats.spearmanr(a, b).statistic), float(stats.pearsonr(a, b).statistic)


@exercise("15-4", agreement)
def check_agreement(f: Candidate, seed: int) -> None:
    """Twelve models, among whose images some are in all or in no training set of a half."""
    draw = generator(seed)
    member = torch.rand(12, 80, generator=draw) < 0.5
    member[::2, 0], member[1::2, 1] = True, False
    chance = torch.where(member, 0.95, torch.rand(80, generator=draw) ** 2)
    right = torch.rand(12, 80, generator=draw) < chance
    spearman, pearson = _agreement(member, right)
    first, second = (_agreement(member[half], right[half])[0] for half in (slice(0, 6), slice(6, 12)))
    got = f(member, right)
    need(got is not None, "Your function returns None: a `return` is missing.")
    need(
        bool(torch.isfinite(torch.tensor(float(got)))),
        "The answer is NaN: an image that is in all training sets of a half, or in none, has no score there.",
    )
    match(
        got,
        spearman,
        {
            "This is Pearson's correlation of the values; the ranks were asked for (`stats.spearmanr`).": pearson,
            "You compare the halves of one half: even models against odd ones, `[::2]` and `[1::2]`.": first,
            "You compare the last six models among themselves: `[::2]` against `[1::2]`.": second,
            "You compare a half with itself.": 1.0,
        },
    )
