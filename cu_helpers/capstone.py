"""A claim tested by a plan that is written and sealed before the runs: chapter 18."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from .errors import choose
from .metrics import Interval, mean_interval

PREDICTIONS = ("above", "within")
VERDICTS = ("supported", "refuted", "undecided")


@dataclass(frozen=True)
class Plan:
    """What counts as evidence, said beforehand. The measure is one difference for each seed.

    claim: in your own words, with its place in the paper. measure: the difference and its unit,
    with the sign chosen so that the claim says "above". prediction: "above": the claim says that
    the difference exceeds margin; "within": that it lies between -margin and margin. seeds: one
    run each, all of them reported. control: a comparison that must come out, if the measure can
    tell anything. against: what would make you give the claim up. Raises ValueError for an empty
    text, fewer than two seeds or twice the same, or a margin that does not fit the prediction.
    """

    claim: str
    measure: str
    prediction: str
    margin: float
    seeds: tuple[int, ...]
    control: str
    against: str

    def __post_init__(self) -> None:
        choose("prediction", self.prediction, PREDICTIONS)
        for name in ("claim", "measure", "control", "against"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} is empty; a plan says it before the first run")
        if len(self.seeds) < 2 or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds are {self.seeds}; expected two or more, none twice")
        least = 0.0 if self.prediction == "above" else math.nextafter(0.0, 1.0)
        if not least <= self.margin < math.inf:
            raise ValueError(f"margin is {self.margin!r}; expected 0 or more, and above 0 for 'within'")

    @property
    def seal(self) -> str:
        """Twelve hexadecimal digits that change with every letter of the plan."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Outcome:
    """What the runs say: the interval of the mean difference, and a verdict of `VERDICTS`."""

    interval: Interval
    verdict: str


def decide(plan: Plan, differences: Mapping[int, float]) -> Outcome:
    """Judge the differences, seed -> value, by the plan's rule on their 95 % interval.

    Above: supported if the whole interval exceeds the margin, refuted if all of it lies below.
    Within: supported if the whole interval lies inside ±margin, refuted if all of it lies outside.
    Else undecided. Raises ValueError unless there is one value for each planned seed and no other.
    """
    if set(differences) != set(plan.seeds):
        raise ValueError(
            f"there are differences for seeds {sorted(differences)}; the plan has {sorted(plan.seeds)}: "
            "every planned run counts, and no other"
        )
    interval = mean_interval([differences[seed] for seed in plan.seeds])
    low, high, margin = interval.low, interval.high, plan.margin
    if plan.prediction == "above":
        holds, fails = low > margin, high < margin
    else:
        holds, fails = -margin < low and high < margin, low > margin or high < -margin
    return Outcome(interval, "supported" if holds else "refuted" if fails else "undecided")


def report(plan: Plan, seal: str, differences: Mapping[int, float], control: str, limits: str) -> str:
    """The report in its form, as Markdown. seal: the plan's, as it was before the runs.

    control: how the control came out. limits: what the runs do not show. Raises ValueError if the
    plan is no longer the sealed one.
    """
    if seal != plan.seal:
        raise ValueError(f"the plan's seal is {plan.seal}, before the runs it was {seal}; the plan has been changed")
    outcome = decide(plan, differences)
    rule = f"above {plan.margin:g}" if plan.prediction == "above" else f"within ±{plan.margin:g}"
    rows = {
        "claim": plan.claim,
        "measure": plan.measure,
        "the claim says": rule,
        "against it": plan.against,
        "seal of the plan": f"`{seal}`",
        "differences by seed": ", ".join(f"{seed}: {differences[seed]:.2f}" for seed in plan.seeds),
        "mean and 95 % interval": f"{outcome.interval.mean:.2f}, from {outcome.interval.low:.2f} to "
        f"{outcome.interval.high:.2f}",
        "verdict": f"**{outcome.verdict}**",
        "control": f"{plan.control}. {control}",
        "limits": limits,
    }
    return "\n".join(["| | |", "|---|---|", *[f"| {name} | {value} |" for name, value in rows.items()]])
