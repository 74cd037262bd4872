"""Verdicts on the paper's claims: rules over recorded runs, each with its evidence and scale."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .errors import choose
from .figures import LABELS
from .markdown import table

REPRODUCED, PARTLY, NOT, UNTESTED = "reproduced", "partly", "not reproduced", "not testable here"
SMALL = "small scale only"
HOLDS, IN_PART, FAILS, OPEN = "holds", "holds in part", "does not hold", "cannot say"


@dataclass(frozen=True)
class Outcome:
    """What one scale says about a claim.

    scale: data set and profile. says: HOLDS, IN_PART, FAILS, or OPEN where the runs are recorded and
    decide nothing, such as an attack that fails on the original model.
    """

    scale: str
    says: str
    evidence: str

    def __post_init__(self) -> None:
        choose("outcome", self.says, [HOLDS, IN_PART, FAILS, OPEN])


@dataclass(frozen=True)
class Claim:
    """One claim of the paper. where: its sections and tables. test: the rule, whose docstring says what counts."""

    name: str
    where: str
    test: Callable[[str, str], Outcome | None]  # data set, profile -> outcome; None where nothing is recorded


Judged = dict[Claim, dict[tuple[str, str], Outcome]]  # claim -> (data set, profile) -> its outcome there


def of_parts(*parts: bool) -> str:
    """HOLDS if every part does, FAILS if none does, else IN_PART. Raises ValueError for no part."""
    if not parts:
        raise ValueError("a claim has one part or more; got none")
    return HOLDS if all(parts) else IN_PART if any(parts) else FAILS


def verdict(outcomes: Sequence[Outcome]) -> str:
    """The verdict over all scales: a claim is reproduced where it holds at each scale that was tested."""
    says = {outcome.says for outcome in outcomes} - {OPEN}
    if not says:
        return UNTESTED
    return REPRODUCED if says == {HOLDS} else NOT if says == {FAILS} else PARTLY


def judge(claim: Claim, scales: Sequence[tuple[str, str]]) -> list[Outcome]:
    """The claim's outcome at each (data set, profile) that has the runs for it."""
    return list(judge_all([claim], scales)[claim].values())


def judge_all(claims: Sequence[Claim], scales: Sequence[tuple[str, str]]) -> Judged:
    """Every claim, in order, with its outcome at each scale that has the runs for it."""
    judged: Judged = {}
    for claim in claims:
        tested = {scale: claim.test(*scale) for scale in scales}
        judged[claim] = {scale: outcome for scale, outcome in tested.items() if outcome is not None}
    return judged


def fewest(values: dict[str, float], name: str, unit: str) -> str:
    """How `name` ranks when small is good: "9.2 s, rank 2 of 4, the smallest is SCRUB with 3.0 s".

    Of the smallest it tells which comes next.
    """
    order = sorted(values, key=lambda method: values[method])
    rank = f"{values[name]:.1f} {unit}, rank {order.index(name) + 1} of {len(order)}"
    if len(order) == 1:
        return rank
    other = order[1] if order[0] == name else order[0]
    words = "next is" if order[0] == name else "the smallest is"
    return f"{rank}, {words} {LABELS.get(other, other)} with {values[other]:.1f} {unit}"


def verdict_table(judged: Judged) -> str:
    """A Markdown table: every claim with its verdict and, scale by scale, the outcome and its evidence."""
    rows = []
    for claim, outcomes in judged.items():
        told = [f"**{outcome.says}** ({outcome.scale}): {outcome.evidence}" for outcome in outcomes.values()]
        cells = [f"{claim.name} ({claim.where})", f"**{verdict(list(outcomes.values()))}**"]
        rows.append([*cells, "<br>".join(told) or "no such run is recorded"])
    return table(["claim, and where the paper has it", "verdict", "what our runs say"], rows)


def counted(judged: Judged) -> dict[str, list[str]]:
    """Verdict -> names of the claims that have it, in the order of the verdicts.

    A claim that was tested, but nowhere at the paper's size, says so.
    """
    found: dict[str, list[str]] = {name: [] for name in (REPRODUCED, PARTLY, NOT, UNTESTED)}
    for claim, outcomes in judged.items():
        tested = {profile for (_, profile), outcome in outcomes.items() if outcome.says != OPEN}
        small = f" ({SMALL})" if tested and "paper" not in tested else ""
        found[verdict(list(outcomes.values()))].append(claim.name + small)
    return found
