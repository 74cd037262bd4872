"""What an attack's number may be believed for: its verdict on the original, its distance to Retrain."""

from collections.abc import Sequence
from dataclasses import dataclass

from .metrics import mean_interval

LEAST_POWER = 10.0  # points: three standard errors of a rate's difference on the digits, three seeds


@dataclass(frozen=True)
class Verdict:
    """Whether an attack works on a model that has forgotten nothing, and in words why not."""

    works: bool
    words: str


def advantage(auc: float) -> float:
    """An AUC as points over chance, from -100 to 100: what a difference of two rates is for a decision."""
    return 200 * (auc - 0.5)


def calibration_verdict(forgotten: float, held_out: float) -> Verdict:
    """Judge an attack by the original model, where forgotten and held-out images are members alike.

    forgotten, held_out: points by which the attack prefers them to unseen images: a member rate minus that of
    unseen images, or `advantage` of an AUC; means over seeds. Broken if it hardly tells members from
    non-members (held_out below `LEAST_POWER`), or if it calls the forgotten images non-members (less than
    half as far above the unseen ones as the held-out members are).
    """
    if not held_out >= LEAST_POWER:  # so that NaN, which is no power, is broken too
        return Verdict(False, f"broken: too weak (power {held_out:.1f}, at least {LEAST_POWER:g} asked)")
    if not forgotten >= held_out / 2:
        return Verdict(
            False, f"broken: calls the original's forgotten images non-members ({forgotten:.1f} of {held_out:.1f})"
        )
    return Verdict(True, f"works (power {held_out:.1f})")


def distance_verdict(gaps: Sequence[float]) -> str:
    """How a method's rate on forgotten images stands to Retrain's, from one gap for each seed, in points.

    "remembers" if the 95 % interval of the mean gap lies above zero, "over-forgets" if it lies
    below: then the images have become unlike unseen ones, which tells that they were there.
    "not told apart" if zero is inside, with the number of seeds, since few seeds have wide
    intervals; one seed has no interval and no verdict.
    """
    found = mean_interval(list(gaps))
    if found.count == 1:
        return "one run"
    if found.low > 0:
        return "remembers"
    return "over-forgets" if found.high < 0 else f"not told apart ({found.count} seeds)"
