"""Chapter 13: a coefficient of dependence, LCODEC without its noise, distances that cancel."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ..unlearning import LcodecSettings
from ..unlearning.codec import codec2
from .compare import generator, match
from .core import Candidate, exercise
from .recorder import Recorder


def coefficient(y: Sequence[float], z: Sequence[float]) -> float:
    """The coefficient T(y, z) of two lists."""
    return float(codec2(torch.tensor(y, dtype=torch.float64), torch.tensor(z, dtype=torch.float64)))


def _variant(y: Sequence[float], z: Sequence[float], itself: bool = False, strict: bool = False) -> float:
    n = len(y)
    rank = [sum(b < a if strict else b <= a for b in y) for a in y]
    above = [sum(b >= a for b in y) for a in y]
    near = [min((j for j in range(n) if itself or j != i), key=lambda j: abs(z[j] - z[i])) for i in range(n)]
    top = sum(n * min(rank[i], rank[near[i]]) - above[i] ** 2 for i in range(n))
    return top / sum(a * (n - a) for a in above)


@exercise("13-1", coefficient)
def check_coefficient(f: Candidate, seed: int) -> None:
    """The text's four points, and thirty drawn ones without ties."""
    draw = generator(seed)
    z = torch.randn(30, generator=draw, dtype=torch.float64)
    y = z.sin() + 0.2 * torch.randn(30, generator=draw, dtype=torch.float64)
    for a, b in ((y.tolist(), z.tolist()), ([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 31.0, 43.0])):
        right = _variant(a, b)
        match(
            f(a, b),
            right,
            {
                "A point is not its own neighbour: leave it out of the search.": _variant(a, b, itself=True),
                "R_i counts y_j <= y_i, the point itself included; you count those below.": _variant(a, b, strict=True),
                "y and z are exchanged: neighbours are found in z, ranks are taken in y.": _variant(b, a),
                "The factor n in front of the minimum is missing.": right
                if len(a) < 5
                else _variant(a, b) - (len(a) - 1) / len(a) * _top(a, b),
            },
            tolerance=1e-9,
        )


def _top(y: Sequence[float], z: Sequence[float]) -> float:
    """The part of the coefficient that carries the factor n."""
    n = len(y)
    rank = [sum(b <= a for b in y) for a in y]
    above = [sum(b >= a for b in y) for a in y]
    near = [min((j for j in range(n) if j != i), key=lambda j: abs(z[j] - z[i])) for i in range(n)]
    return sum(n * min(rank[i], rank[near[i]]) for i in range(n)) / sum(a * (n - a) for a in above)


def without_noise(run: Callable[[LcodecSettings], dict[str, float]], settings: LcodecSettings, damping: float) -> float:
    """Accuracy on the forgotten samples when no noise is added."""
    return run(replace(settings, add_noise=False, damping=damping))["forget"]


@exercise("13-2", without_noise)
def check_without_noise(f: Candidate, seed: int) -> None:
    """Runs that are not made."""
    base = LcodecSettings()
    for damping in (0.1, 0.003):
        answer = {"forget": 90.0 + seed % 9, "retain": 99.5, "test": 71.0, "unlearn_score": 19.0}
        run = Recorder(answer)
        got = f(run, base, damping)
        run.expect(base, add_noise=False, damping=damping)
        match(
            got,
            answer["forget"],
            {
                "This is the accuracy on retained images; the forgotten samples were asked for.": answer["retain"],
                "This is the accuracy on test images; the forgotten samples were asked for.": answer["test"],
            },
        )


def mean_distance(ours: Sequence[float], retrain: Sequence[float]) -> float:
    """Mean over runs of the distance to Retrain."""
    return sum(abs(a - b) for a, b in zip(ours, retrain, strict=True)) / len(ours)


@exercise("13-3", mean_distance)
def check_mean_distance(f: Candidate, seed: int) -> None:
    """Runs on both sides of Retrain."""
    draw = generator(seed)
    retrain = (70 + torch.randn(4, generator=draw, dtype=torch.float64)).tolist()
    ours = [value + step for value, step in zip(retrain, (6.0, -5.0, 4.0, -6.5), strict=True)]
    signed = [a - b for a, b in zip(ours, retrain, strict=True)]
    match(
        f(ours, retrain),
        mean_distance(ours, retrain),
        {
            "The bug is still there: runs above and below Retrain cancel. Take distances, then the mean.": abs(
                sum(signed) / 4
            ),
            "Signed differences cancel: take absolute values.": sum(signed) / 4,
            "You add the distances; take their mean.": sum(map(abs, signed)),
            "You take the root of the mean square, which weighs large distances more.": (
                sum(value**2 for value in signed) / 4
            )
            ** 0.5,
        },
    )
