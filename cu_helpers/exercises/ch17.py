"""Chapter 17: a stricter rule, verdicts of one scale, a number traced to its records."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..claim_evidence import KEPT, ZERO
from ..claims import FAILS, HOLDS, IN_PART, OPEN, PARTLY, REPRODUCED, UNTESTED, Claim, Outcome, judge, verdict
from ..metrics import Interval, mean_interval
from .compare import match, need
from .core import Candidate, exercise

Pair = tuple[Mapping[str, Any], Mapping[str, Any]]
PAPER_SIZE = ("cifar10", "paper")


def surely(pairs: Sequence[Pair]) -> bool | None:
    """Whether zero accuracy with utility kept holds at the worse ends of both intervals; None for a run or none."""
    if len(pairs) < 2:
        return None
    left = mean_interval([max(run["metrics"]["forget"], run["metrics"]["forget_test"]) for run, _ in pairs])
    gap = mean_interval([run["metrics"]["retain_test"] - base["metrics"]["retain_test"] for run, base in pairs])
    return left.high <= ZERO and gap.low >= -KEPT


def _pairs(left: Sequence[float], unseen: Sequence[float], gaps: Sequence[float]) -> list[Pair]:
    """Runs with these accuracies on the class, training and unseen, and these gaps on other classes."""
    return [
        (
            {"metrics": {"forget": a, "forget_test": b, "retain_test": 80.0 + gap}},
            {"metrics": {"forget": 0.0, "forget_test": 0.0, "retain_test": 80.0}},
        )
        for a, b, gap in zip(left, unseen, gaps, strict=True)
    ]


@exercise("17-1", surely)
def check_surely(f: Candidate, seed: int) -> None:
    """Runs at known distances from both limits."""
    none, small = [0.0] * 3, -0.5 - seed % 5 / 10
    need(f(_pairs([0.0], [0.0], [small])) is None, "One run has no interval: return None for fewer than two.")
    need(
        f(_pairs(none, none, [small, small - 0.1, small + 0.1])) is True,
        "Nothing is left of the class and the gap is small on every seed; the claim holds with confidence there.",
    )
    need(
        not f(_pairs([0.0, 0.0, 2.4], none, [small] * 3)),
        "What is left has mean 0.8 and a wide interval. Its upper end is above ZERO, so the claim is not sure.",
    )
    need(
        not f(_pairs(none, none, [0.0, -0.5, -4.0])),
        "The gap has mean -1.5 and a wide interval. Its lower end is below -KEPT, so the claim is not sure.",
    )
    need(
        not f(_pairs(none, [5.0, 5.1, 5.2], [small] * 3)),
        "The unseen images of the class are still answered. Take the larger of both accuracies.",
    )


def at_the_papers_size(claim: Claim) -> str:
    """The verdict from CIFAR-10 at profile paper alone."""
    return verdict(judge(claim, [PAPER_SIZE]))


@exercise("17-2", at_the_papers_size)
def check_at_the_papers_size(f: Candidate, seed: int) -> None:
    """Claims whose outcome differs from scale to scale."""
    for says, elsewhere, right in (
        (HOLDS, FAILS, REPRODUCED),
        (None, HOLDS, UNTESTED),
        (OPEN, HOLDS, UNTESTED),
        (IN_PART, HOLDS, PARTLY),
    ):

        def test(dataset: str, profile: str, says: str | None = says, elsewhere: str = elsewhere) -> Outcome | None:
            at = says if (dataset, profile) == PAPER_SIZE else elsewhere
            return None if at is None else Outcome(f"{dataset}, {profile}", at, "made up")

        claim = Claim("made up", "nowhere", test)
        got = f(claim)
        need(got is not None, "Your function returns None: a `return` is missing.")
        need(isinstance(got, str), "Return the verdict, a string: `claims.verdict` makes it of the outcomes.")
        mixed = verdict(judge(claim, [PAPER_SIZE, ("digits", "laptop")]))
        if got != right and right != mixed:
            need(got != mixed, "You judge several scales. Only CIFAR-10 at profile paper was asked for.")
        need(
            got == right,
            f"A claim of which CIFAR-10 at profile paper says {says!r} is {right!r} there; you answer {got!r}.",
        )


def traced(records: Sequence[Mapping[str, Any]]) -> tuple[Interval, set[tuple[int, str]]]:
    """The interval of the retained test accuracy of these records, and the (seed, commit) of each."""
    interval = mean_interval([run["metrics"]["retain_test"] for run in records])
    return interval, {(run["seed"], run["commit"]) for run in records}


@exercise("17-3", traced)
def check_traced(f: Candidate, seed: int) -> None:
    """Three records whose sets of images differ in accuracy."""
    records: list[dict[str, Any]] = [
        {"seed": number, "commit": f"{number:012x}", "metrics": {"retain_test": 80.0 + number + seed % 7, "test": 70.0}}
        for number in range(3)
    ]
    got = f(records)
    need(isinstance(got, tuple) and len(got) == 2, "Return two things: the interval, and the set of (seed, commit).")
    interval, made_by = got
    need(isinstance(interval, Interval), "The first of the two is an interval: `mean_interval` makes it.")
    right = mean_interval([record["metrics"]["retain_test"] for record in records])
    match(
        interval.mean,
        right.mean,
        {"You read the accuracy on all test images; the retained ones were asked for.": 70.0},
        what="The interval's mean",
    )
    match(interval.half, right.half, {}, what="The interval's half-width")
    need(
        made_by != {record["commit"] for record in records},
        "These are the commits alone; name the seed of each with it, as (seed, commit).",
    )
    need(
        made_by == {(record["seed"], record["commit"]) for record in records},
        f"The records were made by {sorted((one['seed'], one['commit']) for one in records)}; you name {made_by!r}.",
    )
