"""Chapter 12: a sweep of the noise, the error of an estimate, which weights are drowned."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..unlearning import FisherSettings
from .compare import choose, generator, match
from .core import Candidate, exercise
from .recorder import Recorder


def at_alpha(
    run: Callable[[FisherSettings], dict[str, float]], settings: FisherSettings, alpha: float
) -> tuple[float, float, float]:
    """Accuracies on forgotten, retained and test images at this alpha, with one random mixture."""
    found = run(replace(settings, alpha=alpha, directions=1))
    return found["forget"], found["retain"], found["test"]


@exercise("12-1", at_alpha)
def check_at_alpha(f: Candidate, seed: int) -> None:
    """Runs that are not made."""
    base = FisherSettings()
    forget, retain, test = 60.0 + seed % 7, 75.0 + seed % 5, 50.0
    for alpha in (1e-8, 1e-6):
        run = Recorder({"forget": forget, "retain": retain, "test": test, "unlearn_score": 10.0})
        got = f(run, base, alpha)
        run.expect(base, alpha=alpha, directions=1)
        match(
            got,
            (forget, retain, test),
            {
                "The order is forgotten, retained, test.": (retain, forget, test),
                "The order is forgotten, retained, test; the last two are exchanged.": (forget, test, retain),
            },
        )


def relative_error(estimates: Sequence[Tensor], exact: Tensor) -> float:
    """Mean length of the errors over the length of the exact answer."""
    errors = [float((estimate - exact).norm()) for estimate in estimates]
    return sum(errors) / len(errors) / float(exact.norm())


@exercise("12-2", relative_error)
def check_relative_error(f: Candidate, seed: int) -> None:
    """Five noisy copies of a vector."""
    draw = generator(seed)
    exact = torch.rand(3, 8, generator=draw, dtype=torch.float64)
    estimates = [exact + 0.3 * torch.randn(3, 8, generator=draw, dtype=torch.float64) for _ in range(5)]
    right = relative_error(estimates, exact)
    averaged = torch.stack(estimates).mean(dim=0)
    match(
        f(estimates, exact),
        right,
        {
            "You average the estimates first: their errors cancel. Take each estimate's error, then the mean.": (
                averaged - exact
            ).norm()
            / exact.norm(),
            "The error is not relative: divide by the length of the exact answer.": right * exact.norm(),
            "You add the errors; take their mean.": right * 5,
            "Signed errors cancel: take the length of each difference.": sum(
                float((one - exact).sum()) for one in estimates
            )
            / 5
            / exact.norm(),
        },
    )


@exercise("12-3", lambda: "b")
def check_prediction(f: Candidate, seed: int) -> None:
    """Where the noise goes."""
    choose(
        f(),
        "b",
        {
            "a": "There the answers would change most; the variance is alpha / F, small where F is large.",
            "c": "The information is measured on *retained* images; the method never looks at forgotten ones.",
            "d": "The variance is alpha / F, weight by weight (then averaged within a row), so it is not the same.",
        },
    )
