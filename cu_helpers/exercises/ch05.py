"""Chapter 05: the cost of a round, the temperature undone, a stop rule with a bug."""

from dataclasses import fields, replace
from typing import Any

from ..unlearning import ContrastiveSettings
from .compare import match, need, numbers
from .core import Candidate, exercise


def round_cost(n: int, size: int, omega: int) -> tuple[int, int]:
    """Optimiser steps of a round, and the images that pass the encoder."""
    return -(-n // size) * omega, 2 * n * omega


@exercise("05-1", round_cost)
def check_round_cost(f: Candidate, seed: int) -> None:
    """Sizes that divide evenly and sizes that do not."""
    for n, size, omega in ((18, 12, 4), (500, 128, 4), (30 + seed % 11, 7, 3), (64, 32, 2)):
        steps, images = round_cost(n, size, omega)
        match(
            f(n, size, omega),
            (steps, images),
            {
                "The last, smaller batch is missing: round the number of batches up.": (n // size * omega, images),
                "Each forget batch meets omega retained batches: multiply the steps.": (steps // omega, images),
                "A step forwards a forget batch and a retained one: count both.": (steps, images // 2),
                "The last batch is smaller, and so is its retained partner: count images, not full batches.": (
                    steps,
                    2 * size * steps,
                ),
            },
            tolerance=1e-9,
            what=f"round_cost({n}, {size}, {omega})",
        )


def twin_of(settings: Any, temperature: float) -> Any:
    """Settings with another temperature that take the same steps, for a class."""
    return replace(settings, temperature=temperature, lambda_ul=settings.lambda_ul * temperature / settings.temperature)


@exercise("05-2", twin_of)
def check_twin_of(f: Candidate, seed: int) -> None:
    """Two base settings."""
    for base, temperature in ((ContrastiveSettings(), 7.0), (ContrastiveSettings(lambda_ul=2.0, temperature=0.5), 0.1)):
        got = f(base, temperature)
        need(isinstance(got, ContrastiveSettings), "Return settings: `replace(settings, ...)` makes a changed copy.")
        need(got.temperature == temperature, f"The temperature is {got.temperature}; it should be {temperature}.")
        kept = [one.name for one in fields(base) if one.name not in ("temperature", "lambda_ul")]
        others = [name for name in kept if getattr(got, name) != getattr(base, name)]
        need(not others, f"You changed {', '.join(others)} too; the temperature and lambda_ul are enough.")
        ratio = temperature / base.temperature
        match(
            numbers(got.lambda_ul),
            base.lambda_ul * ratio,
            {
                "lambda_ul is what it was: the gradient is now smaller or larger by the ratio of temperatures.": (
                    base.lambda_ul
                ),
                "The ratio is upside down: a larger tau makes the gradient smaller, so lambda_ul has to grow.": (
                    base.lambda_ul / ratio
                ),
                "Divide by the old temperature as well: only the ratio of the two counts.": (
                    base.lambda_ul * temperature
                ),
            },
            what="lambda_ul",
        )


def may_stop(right: int, count: int, classes: int) -> bool:
    """Eq. 8: whether the accuracy on the class is no better than a guess."""
    return right / count <= 1 / classes


@exercise("05-4", may_stop)
def check_may_stop(f: Candidate, seed: int) -> None:
    """Accuracies around a guess."""
    need(f(0, 20, 10) is not None, "Your function returns None: a `return` is missing.")
    need(
        f(1, 20, 10),
        "At 5 % of a ten-class problem the rule has to stop. The bug is still there: percent is compared with a share.",
    )
    need(not f(15, 20, 10), "At 75 % you stop: the rule stops when the accuracy is *low*.")
    need(f(2, 20, 10), "Exactly a guess is enough: Eq. 8 says at most 1/C, so use <=.")
    need(not f(3, 20, 10), "At 15 % of a ten-class problem you stop; a guess is 10 %.")
    need(f(3, 20, 5), "The level depends on the number of classes: with 5 of them a guess is 20 %.")
