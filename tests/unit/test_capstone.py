"""A sealed plan, its rule of decision, and the report's form."""

import math
from dataclasses import replace
from typing import Any

import pytest

from cu_helpers.capstone import Plan, decide, report

PLAN = Plan("nearer than finetuning", "distance in points", "above", 1.0, (0, 1, 2), "the original is far", "below 1")


def values(*of: float) -> dict[int, float]:
    return dict(enumerate(of))


@pytest.mark.parametrize(
    ("prediction", "margin", "differences", "verdict"),
    [
        ("above", 1.0, (5.0, 5.1, 4.9), "supported"),
        ("above", 1.0, (0.5, 0.6, 0.4), "refuted"),
        ("above", 1.0, (5.0, 0.0, 1.0), "undecided"),
        ("above", 0.0, (-5.0, -5.1, -4.9), "refuted"),
        ("within", 1.0, (0.1, -0.1, 0.0), "supported"),
        ("within", 1.0, (5.0, 5.1, 4.9), "refuted"),
        ("within", 1.0, (-5.0, -5.1, -4.9), "refuted"),
        ("within", 1.0, (3.0, -3.0, 0.0), "undecided"),
    ],
)
def test_the_interval_decides(prediction: str, margin: float, differences: tuple[float, ...], verdict: str) -> None:
    plan = replace(PLAN, prediction=prediction, margin=margin)
    outcome = decide(plan, values(*differences))
    assert outcome.verdict == verdict
    assert math.isclose(outcome.interval.mean, sum(differences) / 3, abs_tol=1e-12)


@pytest.mark.parametrize("seeds", [(0, 1), (0, 1, 2, 3), (0, 1, 3)])
def test_every_planned_run_counts_and_no_other(seeds: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="every planned run counts"):
        decide(PLAN, dict.fromkeys(seeds, 1.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prediction": "below"}, "prediction"),
        ({"claim": " "}, "claim is empty"),
        ({"against": ""}, "against is empty"),
        ({"seeds": (0,)}, "two or more"),
        ({"seeds": (0, 0)}, "none twice"),
        ({"margin": -1.0}, "margin is -1.0"),
        ({"margin": math.nan}, "margin is nan"),
        ({"prediction": "within", "margin": 0.0}, "above 0 for 'within'"),
    ],
)
def test_a_plan_that_decides_nothing_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAN, **changes)


def test_the_seal_changes_with_the_plan_and_with_nothing_else() -> None:
    assert replace(PLAN).seal == PLAN.seal
    others = [replace(PLAN, margin=1.5), replace(PLAN, seeds=(0, 1, 3)), replace(PLAN, measure="distance, in points")]
    assert len({PLAN.seal, *[other.seal for other in others]}) == 4
    assert len(PLAN.seal) == 12


def test_the_report_holds_everything_that_the_form_asks() -> None:
    text = report(PLAN, PLAN.seal, values(5.0, 5.1, 4.9), "It came out.", "One data set.")
    for words in (
        PLAN.claim,
        PLAN.measure,
        PLAN.against,
        PLAN.seal,
        "2: 4.90",
        "**supported**",
        "It came out.",
        "One data",
    ):
        assert words in text
    with pytest.raises(ValueError, match="the plan has been changed"):
        report(replace(PLAN, margin=0.5), PLAN.seal, values(5.0, 5.1, 4.9), "", "")
