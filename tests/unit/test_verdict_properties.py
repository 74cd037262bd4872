"""Verdicts on claims and plans, for any outcomes and differences: what may change them and what may not."""

import math
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW

from cu_helpers.capstone import PREDICTIONS, VERDICTS, Plan, decide, report
from cu_helpers.claims import FAILS, HOLDS, IN_PART, NOT, OPEN, PARTLY, REPRODUCED, UNTESTED, Outcome, fewest, of_parts
from cu_helpers.claims import verdict as verdict_of
from cu_helpers.ledger import Ledger

SAYS = (HOLDS, IN_PART, FAILS, OPEN)
outcomes = st.lists(st.sampled_from(SAYS).map(lambda says: Outcome("digits", says, "why")), max_size=5)
words = st.text("abc xyz", min_size=1, max_size=10).filter(lambda text: bool(text.strip()))
plans = st.builds(
    Plan,
    claim=words,
    measure=words,
    prediction=st.sampled_from(PREDICTIONS),
    margin=st.floats(0.1, 10),
    seeds=st.lists(st.integers(0, 99), min_size=2, max_size=5, unique=True).map(tuple),
    control=words,
    against=words,
)


@given(outcomes, st.randoms())
@settings(max_examples=50)
def test_a_verdict_is_of_what_was_said_and_not_how_often_or_when(said: list[Outcome], mixer: Any) -> None:
    found, mixed = verdict_of(said), said * 2
    mixer.shuffle(mixed)
    assert verdict_of(mixed) == found
    decided = {one.says for one in said} - {OPEN}
    expected = {frozenset(): UNTESTED, frozenset({HOLDS}): REPRODUCED, frozenset({FAILS}): NOT}
    assert found == expected.get(frozenset(decided), PARTLY)


@given(st.lists(st.booleans(), min_size=1, max_size=5))
@settings(max_examples=FEW)
def test_parts_hold_together_or_in_part(parts: list[bool]) -> None:
    found = of_parts(*parts)
    assert (found == HOLDS) == all(parts)
    assert (found == FAILS) == (not any(parts))
    assert {HOLDS: FAILS, FAILS: HOLDS}.get(found, IN_PART) == of_parts(*[not part for part in parts])


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1e3), min_size=1))
@settings(max_examples=FEW)
def test_a_rank_is_one_more_than_the_smaller_ones(values: dict[str, float]) -> None:
    for name, value in values.items():
        rank = int(fewest(values, name, "s").split("rank ")[1].split(" of ")[0])
        smaller, equal = (sum(test(other) for other in values.values()) for test in (value.__gt__, value.__eq__))
        assert smaller + 1 <= rank <= smaller + equal
        assert fewest(values, name, "s").startswith(f"{value:.1f} s, rank {rank} of {len(values)}")


@given(plans, st.sampled_from(["claim", "measure", "control", "against"]), words)
@settings(max_examples=FEW)
def test_a_seal_changes_with_every_field_and_with_nothing_else(plan: Plan, field: str, text: str) -> None:
    assert Plan(**asdict(plan)).seal == plan.seal
    changed = replace(plan, **{field: text})
    assert (changed.seal == plan.seal) == (changed == plan)
    assert replace(plan, margin=math.nextafter(plan.margin, 99)).seal != plan.seal
    assert replace(plan, seeds=plan.seeds[::-1]).seal != plan.seal
    with pytest.raises(ValueError, match=f"{field} is empty"):
        replace(plan, **{field: "  "})
    with pytest.raises(ValueError, match="expected two or more, none twice"):
        replace(plan, seeds=(*plan.seeds, plan.seeds[0]))


@given(plans, st.lists(st.floats(-20, 20), min_size=5, max_size=5), st.floats(0.01, 20))
@settings(max_examples=50)
def test_larger_differences_never_refute_what_smaller_ones_support(
    plan: Plan, values: list[float], more: float
) -> None:
    plan = replace(plan, prediction="above")
    differences = dict(zip(plan.seeds, values, strict=False))
    grade = {"refuted": 0, "undecided": 1, "supported": 2}
    found = decide(plan, differences)
    raised = decide(plan, {seed: value + more for seed, value in differences.items()})
    assert grade[found.verdict] <= grade[raised.verdict]
    assert decide(plan, dict(reversed(differences.items()))) == found
    far = {seed: value + 1e4 for seed, value in differences.items()}
    assert decide(plan, far).verdict == "supported"
    assert decide(plan, {seed: -value for seed, value in far.items()}).verdict == "refuted"


@given(plans, st.lists(st.floats(-20, 20), min_size=5, max_size=5))
@settings(max_examples=50)
def test_within_knows_no_sign_and_a_wider_margin_never_refutes(plan: Plan, values: list[float]) -> None:
    plan = replace(plan, prediction="within")
    differences = dict(zip(plan.seeds, values, strict=False))
    found = decide(plan, differences)
    assert found.verdict in VERDICTS
    assert decide(plan, {seed: -value for seed, value in differences.items()}).verdict == found.verdict
    wider = decide(replace(plan, margin=2 * plan.margin), differences).verdict
    assert found.verdict != "supported" or wider == "supported"
    assert wider != "refuted" or found.verdict == "refuted"
    assert decide(plan, dict.fromkeys(plan.seeds, 0.0)).verdict == "supported"
    assert f"| verdict | **{found.verdict}** |" in report(plan, plan.seal, differences, "it came out", "much")
    with pytest.raises(ValueError, match="the plan has been changed"):
        report(replace(plan, margin=2 * plan.margin), plan.seal, differences, "it came out", "much")
    for wrong in ({**differences, 100: 1.0}, {seed: 0.0 for seed in plan.seeds[1:]}):
        with pytest.raises(ValueError, match="every planned run counts, and no other"):
            decide(plan, wrong)


@given(st.lists(st.sets(st.integers(0, 4), max_size=3), min_size=1, max_size=6))
@settings(max_examples=FEW)
def test_equal_sets_of_records_share_a_number_and_every_link_has_its_entry(cited: list[set[int]]) -> None:
    ledger = Ledger()
    runs = [{"profile": "smoke", "path": f"{i}.json", "device": "a < b", "commit": "c"} for i in range(5)]
    links = [ledger.cite("7.5", [runs[i] for i in sorted(which)]) for which in cited]
    entries = ledger.entries()
    assert len(ledger) == len(set().union(*cited))
    for which, link in zip(cited, links, strict=True):
        if not which:
            assert link == "7.5"
            continue
        assert f'id="{link.split("#")[1].split(chr(34))[0]}"' in entries
        assert [link == other for other in links] == [which == other for other in cited]
    assert "a < b" not in entries, "what a device is called is no markup"
