"""What an audit's numbers are called and how they are read: one number, a difference, a ratio, the steps of a curve."""

from collections.abc import Callable
from dataclasses import dataclass

from .audits import Audit


@dataclass(frozen=True)
class Measure:
    """One number of an audit: how to read it, what a reader calls it, and its decimals.

    censored: whether the number is only known to be larger, such as the steps of a curve that was cut.
    """

    words: str
    read: Callable[[Audit], float]
    digits: int = 1
    censored: Callable[[Audit], bool] = lambda _: False


def number(words: str, key: str, digits: int = 1) -> Measure:
    """The audit's own number `key`."""
    return Measure(words, lambda found: _number(found, key), digits)


def difference(words: str, key: str, other: str, digits: int = 1) -> Measure:
    """`key` minus `other` of the same audit, such as forgotten minus unseen."""
    return Measure(words, lambda found: _number(found, key) - _number(found, other), digits)


def ratio(words: str, key: str, other: str) -> Measure:
    """`key` over `other` of the same audit, such as MMD over its limit."""
    return Measure(words, lambda found: _number(found, key) / _number(found, other), digits=2)


def steps(words: str, key: str, level: float) -> Measure:
    """The first step at which the curve `key` has reached `level` percent; its last, censored, if it never does."""

    def reached(found: Audit) -> list[int]:
        curve = found[key]
        assert isinstance(curve, list)
        return [at for at, value in enumerate(curve) if value >= level]

    def first(found: Audit) -> float:
        curve = found[key]
        assert isinstance(curve, list)
        return float((reached(found) or [len(curve) - 1])[0])

    return Measure(words, first, censored=lambda found: not reached(found))


def relearned(words: str) -> Measure:
    """Steps of a relearning whose curve ends where it succeeded; censored at its last step if it never did."""

    def last(found: Audit) -> int:
        measured = found["relearn_curve"]
        assert isinstance(measured, list)
        return len(measured) - 1

    return Measure(
        words,
        lambda found: min(_number(found, "relearn_steps"), float(last(found))),
        censored=lambda found: _number(found, "relearn_steps") > last(found),
    )


def _number(found: Audit, key: str) -> float:
    value = found[key]
    if isinstance(value, list):
        raise ValueError(f"{key} is a list of {len(value)} numbers; expected a single one, such as margin")
    return value
