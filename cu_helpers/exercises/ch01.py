"""Chapter 01: a hidden class, seeds, the best of many, paired intervals."""

import copy
import math
from collections.abc import Sequence

import torch
from scipy import stats

from ..models import EmbeddingClassifier
from . import fakes
from .compare import generator, match, need
from .core import Candidate, exercise


def hide(model: EmbeddingClassifier, label: int) -> EmbeddingClassifier:
    """A copy that never answers with `label`, changed in its head alone."""
    hidden = copy.deepcopy(model)
    with torch.no_grad():
        hidden.head.weight[label] = 0
        hidden.head.bias[label] = -1e6
    return hidden


@exercise("01-1", hide)
def check_hide(f: Candidate, seed: int) -> None:
    """A random model, each class hidden in turn."""
    model, x = fakes.model(seed), fakes.batch(seed)
    with torch.no_grad():
        model.head.bias.sub_(20)  # all logits are negative, so that a logit of 0 would win
    before = fakes.state(model)
    for label in range(5):
        hidden = f(model, label)
        need(hidden is not None, "Your function returns None: return the changed copy.")
        need(not fakes.changed(model, before), "The model that was passed in has changed: work on `copy.deepcopy`.")
        moved = [name for name in fakes.changed(hidden, before) if not name.startswith("head.")]
        need(
            not moved, f"You changed {', '.join(moved[:2])}; the encoder must stay as it is, only the head may change."
        )
        with torch.no_grad():
            logits, got = model(x), hidden(x)
        answers = got.argmax(dim=1)
        need(
            not (answers == label).any(),
            f"Class {label} is still answered: a logit of 0 wins where all others are negative. Lower its bias.",
        )
        logits[:, label] = -torch.inf
        need(torch.equal(answers, logits.argmax(dim=1)), "Other answers changed too: touch one row of the head only.")


def seeds_needed(deviation: float, half: float) -> int:
    """The fewest seeds whose 95 % interval is no wider than ± half."""
    return _fewest(deviation, half)


def _fewest(deviation: float, half: float, tail: float = 0.975, normal: bool = False, root: bool = True) -> int:
    count = 2
    while True:
        quantile = stats.norm.ppf(tail) if normal else stats.t.ppf(tail, count - 1)
        if quantile * deviation / (math.sqrt(count) if root else count) <= half:
            return count
        count += 1


@exercise("01-2", seeds_needed)
def check_seeds_needed(f: Candidate, seed: int) -> None:
    """Spreads and widths, among them the text's."""
    draw = generator(seed)
    extra = 1 + 2 * torch.rand(1, generator=draw).item()
    for deviation, half in ((3.0, 1.0), (1.5, 1.0), (2 + extra, 0.7)):
        match(
            f(deviation, half),
            _fewest(deviation, half),
            {
                "You use the normal quantile 1.96; with few seeds Student's t is larger.": _fewest(
                    deviation, half, normal=True
                ),
                "You use the one-sided quantile; a two-sided 95 % interval needs 0.975.": _fewest(
                    deviation, half, tail=0.95
                ),
                "You divide by n; the deviation of a mean falls with the root of n.": _fewest(
                    deviation, half, root=False
                ),
                "One seed too many or a count too late: stop at the first n that is narrow enough.": _fewest(
                    deviation, half
                )
                + 1,
            },
        )


def best_of(k: int) -> float:
    """Mean of the largest of k standard normal values, by simulation."""
    return torch.randn(20_000, k, generator=generator(1)).amax(dim=1).mean().item()


@exercise("01-3", best_of)
def check_best_of(f: Candidate, seed: int) -> None:
    """Three values that are known: 0, 3 / (2 sqrt(pi)), and 1.5388."""
    need(
        f(3) is None or not 3 < float(f(3)) < 6,
        "You take the largest of all values drawn; take it row by row (dim=1), then the mean.",
    )
    for k, known in ((3, 1.5 / math.sqrt(math.pi)), (10, 1.5388), (1, 0.0)):
        match(
            f(k),
            known,
            {
                "You take the mean of each row; the table reports the best.": 0.0,
                "You take the smallest of each row; the best is the largest.": -known,
            },
            tolerance=0.03,
            what=f"best_of({k})",
        )


def paired_interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Mean and 95 % half-width of the differences a - b."""
    return _interval([x - y for x, y in zip(a, b, strict=True)])


def _interval(values: Sequence[float], tail: float = 0.975, lost: int = 1) -> tuple[float, float]:
    count = len(values)
    mean = math.fsum(values) / count
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - lost))
    return mean, float(stats.t.ppf(tail, count - 1)) * deviation / math.sqrt(count)


@exercise("01-4", paired_interval)
def check_paired_interval(f: Candidate, seed: int) -> None:
    """Five seeds that move both methods alike."""
    draw = generator(seed)
    shared = 5 * torch.randn(5, generator=draw, dtype=torch.float64)
    noise = torch.randn(5, generator=draw, dtype=torch.float64)
    a, b = (shared + noise + 1).tolist(), shared.tolist()
    difference = [x - y for x, y in zip(a, b, strict=True)]
    (mean_a, half_a), (mean_b, half_b) = _interval(a), _interval(b)
    mean, half = _interval(difference)
    match(
        f(a, b),
        (mean, half),
        {
            "The bug is still there: two half-widths are added as if the runs were not paired. "
            "Take the difference of each pair first.": (mean_a - mean_b, half_a + half_b),
            "You treat the two lists as independent: the seeds move both alike, so take differences first.": (
                mean_a - mean_b,
                math.hypot(half_a, half_b),
            ),
            "You use the one-sided quantile; a two-sided 95 % interval needs 0.975.": _interval(difference, 0.95),
            "You divide the squares by n; an estimate from n values divides by n - 1.": _interval(difference, lost=0),
            "The sign is turned: the difference is a - b.": (-mean, half),
        },
    )
