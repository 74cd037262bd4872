"""From runs to verdicts, for any runs: how claims are judged and counted, and what the rules read from records."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW

from cu_helpers.claim_evidence import (
    COLLAPSED,
    STAYS,
    at_scale,
    average,
    collapsed,
    ends,
    left_of_class,
    left_out,
    lost_points,
    missed_rule,
    off,
    runs_told,
)
from cu_helpers.claim_rules_appendix import roughness
from cu_helpers.claims import (
    FAILS,
    HOLDS,
    IN_PART,
    NOT,
    OPEN,
    PARTLY,
    REPRODUCED,
    SMALL,
    UNTESTED,
    Claim,
    Outcome,
    counted,
    judge,
    judge_all,
    verdict,
    verdict_table,
)
from cu_helpers.figures import LABELS

Scale = tuple[str, str]
scales = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["smoke", "laptop", "paper"])), unique=True)
says = st.none() | st.sampled_from([HOLDS, IN_PART, FAILS, OPEN])
ledgers = st.lists(st.dictionaries(st.tuples(st.sampled_from("ab"), st.sampled_from(["laptop", "paper"])), says))
percents = st.integers(0, 1000).map(lambda tenth: tenth / 10)


def claim_of(name: str, said: dict[Scale, str | None]) -> Claim:
    """A claim whose rule says at each scale what `said` has; nothing is recorded elsewhere."""

    def rule(dataset: str, profile: str) -> Outcome | None:
        word = said.get((dataset, profile))
        return None if word is None else Outcome(f"{dataset} {profile}", word, f"as told of {name}")

    return Claim(name, "section 5", rule)


@given(ledgers, scales)
@settings(max_examples=FEW)
def test_a_claim_is_judged_by_itself_where_it_has_runs(said: list[dict[Scale, str | None]], at: list[Scale]) -> None:
    claims = [claim_of(f"claim {number}", one) for number, one in enumerate(said)]
    judged = judge_all(claims, at)
    assert list(judged) == claims
    for claim, one in zip(claims, said, strict=True):
        tested = [scale for scale in at if one.get(scale) is not None]
        assert list(judged[claim]) == tested
        assert [outcome.says for outcome in judge(claim, at)] == [one[scale] for scale in tested]
        assert [outcome.scale for outcome in judge(claim, at)] == [" ".join(scale) for scale in tested]


@given(ledgers, scales)
@settings(max_examples=FEW)
def test_every_claim_is_counted_once_under_its_verdict_and_says_if_it_is_small(
    said: list[dict[Scale, str | None]], at: list[Scale]
) -> None:
    claims = [claim_of(f"claim {number}", one) for number, one in enumerate(said)]
    found = counted(judge_all(claims, at))
    assert list(found) == [REPRODUCED, PARTLY, NOT, UNTESTED]
    assert sum(len(names) for names in found.values()) == len(claims)
    for claim, one in zip(claims, said, strict=True):
        under = found[verdict(judge(claim, at))]
        decided = [profile for dataset, profile in at if one.get((dataset, profile)) not in (None, OPEN)]
        small = bool(decided) and all(profile != "paper" for profile in decided)
        assert (f"{claim.name} ({SMALL})" if small else claim.name) in under
        assert (claim.name in found[UNTESTED]) == (not decided)
    assert all(sorted(names, key=lambda name: int(name.split()[1])) == names for names in found.values()), "in order"


@given(ledgers, scales)
@settings(max_examples=FEW)
def test_the_table_has_a_row_a_claim_with_its_verdict_and_each_outcome(
    said: list[dict[Scale, str | None]], at: list[Scale]
) -> None:
    judged = judge_all([claim_of(f"claim {number}", one) for number, one in enumerate(said)], at)
    rows = verdict_table(judged).split("\n")[2:]
    for row, (claim, outcomes) in zip(rows, judged.items(), strict=True):
        assert f"| {claim.name} (section 5) | **{verdict(list(outcomes.values()))}** |" in row
        assert row.count("<br>") == max(0, len(outcomes) - 1)
        assert all(f"**{one.says}** ({one.scale}): {one.evidence}" in row for one in outcomes.values())
        assert ("no such run is recorded" in row) == (not outcomes)


@given(st.lists(percents, max_size=6), st.data())
@settings(max_examples=FEW)
def test_roughness_is_the_mean_change_and_counts_steps_if_asked(values: list[float], data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.integers(1, 9), min_size=len(values), max_size=len(values)))
    curve = [{"test": value, "steps": float(sum(gaps[: at + 1]))} for at, value in enumerate(values)]
    changes = [abs(b - a) for a, b in pairwise(values)]
    assert roughness(curve) == pytest.approx(sum(changes) / len(changes) if changes else 0)
    each = [change / gap for change, gap in zip(changes, gaps[1:], strict=True)]
    assert roughness(curve, each="step") == pytest.approx(sum(each) / len(each) if each else 0)
    backwards = [{"test": 100 - row["test"], "steps": -row["steps"]} for row in reversed(curve)]
    assert roughness(backwards, each="step") == pytest.approx(roughness(curve, each="step"))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.lists(st.integers(1, 9), max_size=3))
@settings(max_examples=FEW)
def test_numbers_of_runs_are_told_from_the_fewest_to_the_most(counts: list[int], rivals: list[int]) -> None:
    told, low, high = runs_told(counts), min(counts), max(counts)
    assert told == (f"{low} to {high} runs" if low < high else "1 run" if low == 1 else f"{low} runs")
    scale = at_scale("digits", "laptop", counts[0], rivals)
    assert scale.startswith(f"digits, profile laptop, {runs_told(counts[:1])}")
    assert scale.endswith(f"; {runs_told(rivals)} of each rival" if rivals else runs_told(counts[:1]))


@given(st.lists(percents, min_size=1, max_size=5), percents)
@settings(max_examples=FEW)
def test_an_average_lies_between_and_moves_with_its_values(values: list[float], shift: float) -> None:
    found = average(values)
    assert found == pytest.approx(sum(values) / len(values))
    assert average([value + shift for value in values]) == pytest.approx(found + shift)
    with pytest.raises(ValueError, match="expected one finite number or more"):
        average([])


names = st.sampled_from(["forget", "forget_test", "retain_test", "test"])
metrics = st.fixed_dictionaries(dict.fromkeys(("forget", "forget_test", "retain_test", "test"), percents))
pairs = st.tuples(metrics, metrics).map(lambda both: tuple({"metrics": one} for one in both))


@given(pairs, st.lists(names, unique=True), st.sampled_from(["class", "samples"]))
@settings(max_examples=FEW)
def test_points_off_retrain_have_no_sign_and_lost_points_have_one(pair: Any, chosen: list[str], kind: str) -> None:
    run, base = (one["metrics"] for one in pair)
    assert off(pair, *chosen) == pytest.approx(sum(max(run[n], base[n]) - min(run[n], base[n]) for n in chosen))
    assert off(pair[::-1], *chosen) == off(pair, *chosen)
    lost = lost_points(pair, kind)
    assert lost == base[STAYS[kind]] - run[STAYS[kind]] == -lost_points(pair[::-1], kind)
    assert abs(lost) == pytest.approx(off(pair, STAYS[kind]))
    assert collapsed(pair, kind) == (run[STAYS[kind]] < base[STAYS[kind]] - COLLAPSED)
    assert left_of_class(pair[0]) in (run["forget"], run["forget_test"])
    assert left_of_class(pair[0]) >= max(run["forget"], run["forget_test"])


@given(st.lists(st.tuples(pairs, pairs), min_size=1, max_size=4))
@settings(max_examples=FEW)
def test_both_ends_are_means_over_pairs_of_forgotten_points(both: list[Any]) -> None:
    first, second = ends(both)
    assert first == pytest.approx(sum(off(pair, "forget") for pair, _ in both) / len(both))
    assert ends([pair[::-1] for pair in both]) == (second, first)


@given(
    st.sampled_from(["rule", "rounds", "seconds"]),
    st.sampled_from(["paper", "none", None]),
    st.sampled_from(sorted(LABELS)),
)
@settings(max_examples=FEW)
def test_a_rule_is_missed_only_at_the_last_round_and_by_who_has_one(ended: str, rule: str | None, other: str) -> None:
    settings_of = {} if rule is None else {"scrub": {"stopping": {"rule": rule}}}
    run = {"method": "scrub", "stopped_by": ended, "settings": settings_of}
    assert missed_rule(run) == (ended == "rounds" and rule == "paper")
    assert not missed_rule({**run, "settings": {"contrastive": {"stopping": {"rule": "paper"}}}})
    assert left_out("not timed", []) == ""
    assert left_out("not timed", [other, "scrub"]) == f"; not timed: {LABELS[other]}, {LABELS['scrub']}"
