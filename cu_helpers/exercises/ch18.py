"""Chapter 18: a decision rule, and runs that must not be left out."""

from collections.abc import Mapping

from .compare import match, need
from .core import Candidate, exercise


def verdict(low: float, high: float, margin: float) -> str:
    """The verdict on a claim that a difference exceeds margin."""
    return "supported" if low > margin else "refuted" if high < margin else "undecided"


@exercise("18-1", verdict)
def check_verdict(f: Candidate, seed: int) -> None:
    """Intervals on both sides of the margin, across it, and on the margin."""
    margin = 1.0 + seed % 3
    got = f(margin + 0.5, margin + 2, margin)
    need(got is not None, "Your function returns None: a `return` is missing.")
    need(got == "supported", "An interval that lies above the margin supports the claim.")
    need(
        f(margin - 1, margin + 5, margin) == "undecided",
        "An interval that holds the margin decides nothing, even if its middle lies above: say 'undecided'.",
    )
    need(
        f(margin - 8, margin - 6, margin) == "refuted",
        "An interval that lies below the margin refutes the claim: with these runs 'undecided' would be too kind.",
    )
    need(
        f(margin / 4, margin / 2, margin) == "refuted",
        "You compare with zero: a difference that is positive but smaller than the margin is not what the claim says.",
    )


def differences_of(ours: Mapping[int, float], theirs: Mapping[int, float]) -> dict[int, float]:
    """theirs - ours for every seed."""
    return {seed: theirs[seed] - ours[seed] for seed in ours}


@exercise("18-2", differences_of)
def check_differences_of(f: Candidate, seed: int) -> None:
    """Five seeds, of which two speak against the claim."""
    ours = {n: 2.0 + 0.3 * n for n in range(5)}
    theirs = {0: 6.0 + seed % 3, 1: 1.0, 2: 5.5, 3: 2.0, 4: 7.0}
    got = f(dict(ours), dict(theirs))
    need(isinstance(got, dict), "Return a dictionary: seed -> difference.")
    missing = sorted(set(ours) - set(got))
    need(
        not missing,
        f"The bug is still there: seeds {missing} are left out because they speak against the claim.",
    )
    right = [theirs[n] - ours[n] for n in range(5)]
    match(
        [got[n] for n in range(5)],
        right,
        {
            "The sign is turned: the distance of the other method minus that of ours.": [-value for value in right],
            "You take absolute values: then every seed speaks for the claim.": [abs(value) for value in right],
            "You set what speaks against the claim to zero.": [max(value, 0.0) for value in right],
        },
    )
