"""The grid of runs and the tables' arithmetic, for any part, method, seed and list of values."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW

from cu_helpers.ablations import fitting
from cu_helpers.batches import IN_PROPORTION, batch_sizes, plans, share_without_positive
from cu_helpers.comparison import interval, rows_of, times_faster
from cu_helpers.estimate import duration
from cu_helpers.grades import graded_gaps, graded_values
from cu_helpers.grid import REFERENCES, TABLES, Cell
from cu_helpers.grid_parts import PARTS, cells
from cu_helpers.metrics import gaps, mean_interval, tug_of_war, unlearn_score
from cu_helpers.profiles import PROFILES
from cu_helpers.unlearning import METHODS, ContrastiveSettings

subsets = st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=3, unique=True)
some_methods = st.lists(st.sampled_from(sorted(METHODS)), min_size=1, max_size=4, unique=True)
some_seeds = st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True)
percents = st.dictionaries(st.sampled_from(["forget", "test", "retain"]), st.floats(0, 100), min_size=1)


@given(st.sampled_from(PROFILES), st.sampled_from(["digits", "cifar10"]), subsets, some_methods, some_seeds)
@settings(max_examples=FEW, deadline=None)
def test_a_grid_has_each_cell_once_references_first_and_nothing_unasked(
    profile: str, dataset: str, parts: list[str], methods: list[str], wanted: list[int]
) -> None:
    found = cells(profile, dataset, parts=parts, methods=methods, seeds=wanted)
    assert len({cell.record for cell in found}) == len(found)
    kinds = [cell.method in REFERENCES for cell in found]
    assert kinds == sorted(kinds, reverse=True)
    for cell in found:
        assert cell.seed in wanted
        assert cell.method in (*methods, *REFERENCES)
        assert cell.method == "original" or cell.kind in METHODS[cell.method].tasks
        assert cell.kind in TABLES
    one_by_one = {
        cell for part in parts for cell in cells(profile, dataset, parts=[part], methods=methods, seeds=wanted)
    }
    assert set(found) == one_by_one, "parts add up"
    backwards = cells(profile, dataset, parts=parts[::-1], methods=methods[::-1], seeds=wanted[::-1])
    assert set(backwards) == set(found)


@given(st.sampled_from(["kind", "method"]), st.text("abc", min_size=1, max_size=6))
@settings(max_examples=FEW)
def test_an_unknown_name_is_refused(field: str, name: str) -> None:
    fields: dict[str, Any] = {"kind": "class", "method": "scrub", field: name}
    with pytest.raises(ValueError, match=f"unknown .*'{name}'; expected one of"):
        Cell("smoke", "digits", "resnet18", amount=1, variant=None, seed=0, **fields)
    with pytest.raises(ValueError, match=f"unknown part of the grid '{name}'"):
        cells("smoke", "digits", parts=[name])


@given(st.integers(1, 2000))
@settings(max_examples=FEW)
def test_batch_sizes_fit_what_is_forgotten(count: int) -> None:
    sizes = batch_sizes(count)
    assert list(sizes) == sorted(set(sizes))
    assert 1 <= sizes[0] <= sizes[-1] <= max(count, 1)
    assert fitting(sizes, max(sizes)) == sizes


@given(st.sets(st.integers(1, 64), min_size=1, max_size=4), st.floats(1e-4, 1))
@settings(max_examples=FEW)
def test_every_size_is_tried_with_both_rules_for_the_rate(sizes: set[int], rate: float) -> None:
    made = plans({"contrastive": ContrastiveSettings(learning_rate=rate)}, sorted(sizes))
    assert len(made) == 2 * len(sizes) - 1
    assert len({plan.variant for plan in made}) == len(made)
    for plan in made:
        size = plan.settings.batch_size
        assert plan.settings.stopping.check_every == max(sizes) // size
        in_proportion = plan.variant.endswith(IN_PROPORTION)
        assert plan.settings.learning_rate == pytest.approx(rate * (size / max(sizes) if in_proportion else 1))


@given(st.integers(2, 50), st.integers(0, 100), st.integers(0, 100))
@settings(max_examples=FEW)
def test_batches_without_a_positive_are_independent_draws(classes: int, a: int, b: int) -> None:
    one, two, both = (share_without_positive(classes, count) / 100 for count in (a, b, a + b))
    assert both == pytest.approx(one * two)
    assert 0 <= both <= 1


@given(percents, percents)
@settings(max_examples=50)
def test_gaps_and_the_product_of_nearness_turn_with_the_sides(
    measured: dict[str, float], goal: dict[str, float]
) -> None:
    shared = sorted(set(measured) & set(goal))
    if not shared:
        with pytest.raises(ValueError, match="share no name"):
            gaps(measured, goal)
        return
    found = gaps(measured, goal)
    assert sorted(found) == shared
    assert gaps(goal, measured) == {name: -gap for name, gap in found.items()}
    near = tug_of_war(measured, goal, shared)
    assert 0 <= near <= 1
    assert near == pytest.approx(tug_of_war(goal, measured, shared[::-1]))
    assert tug_of_war(measured, measured, shared) == 1
    for name in set(measured) - set(goal):
        with pytest.raises(ValueError, match=f"{name} is not measured on both sides"):
            tug_of_war(measured, goal, [name])
    with pytest.raises(ValueError, match=r"^forget, test is not measured on both sides; expected"):
        tug_of_war({}, goal, ["forget", "test"])


@given(st.floats(0, 100), st.floats(0, 100))
@settings(max_examples=FEW)
def test_the_unlearn_score_is_a_distance(test: float, forget: float) -> None:
    assert unlearn_score(test, forget) == unlearn_score(forget, test) >= 0
    assert unlearn_score(test, test) == 0


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8), st.floats(-100, 100), st.randoms())
@settings(max_examples=FEW)
def test_an_interval_moves_with_its_values_and_knows_no_order(values: list[float], shift: float, mixer: Any) -> None:
    found, mixed = mean_interval(values), list(values)
    mixer.shuffle(mixed)
    assert mean_interval(mixed) == found
    moved = mean_interval([value + shift for value in values])
    assert (moved.low, moved.high) == pytest.approx((found.low + shift, found.high + shift), abs=1e-6)
    assert found.low <= found.mean <= found.high
    assert min(values) - 1e-9 <= found.mean <= max(values) + 1e-9
    assert interval([None, *values, None]) == found
    assert interval([None]) is None


@given(st.integers(1, 10_000), st.none() | st.floats(1e-4, 10), st.floats(1e-3, 1e4), st.integers(0, 100))
@settings(max_examples=FEW)
def test_a_ratio_of_times_is_there_only_if_both_were_measured(
    steps: int, step: float | None, seconds: float, images: int
) -> None:
    run = {"retrain_step_seconds": step, "seconds": seconds, "samples_seen": images}
    found = times_faster(run, {"steps": steps})
    if step is None or images == 0:
        assert found is None
    else:
        assert found == pytest.approx(steps * step / seconds)


@pytest.mark.parametrize("kind", ["class", "samples"])
def test_every_method_of_a_kind_has_a_row(kind: str) -> None:
    rows = rows_of(kind)
    assert len({row[:2] for row in rows}) == len(rows)
    assert {row[0] for row in rows} == {name for name in METHODS if kind in METHODS[name].tasks}


@given(st.floats(0, 1e7), st.floats(0, 1e7))
@settings(max_examples=50)
def test_a_longer_time_is_never_told_as_a_shorter_one(a: float, b: float) -> None:
    units = {"s": 1, "min": 60, "h": 3600}

    def read(seconds: float) -> float:
        _, amount, unit = duration(seconds).split()
        assert float(amount) * units[unit] == pytest.approx(seconds, rel=0.35, abs=0.51)
        return float(amount) * units[unit]

    assert read(min(a, b)) <= read(max(a, b))


@given(st.permutations(range(4)), st.floats(-20, 20), st.lists(st.floats(0, 100), min_size=4, max_size=4))
@settings(max_examples=FEW)
def test_graded_gaps_are_paired_by_seed_whatever_the_order_of_runs(
    rank: list[int], gap: float, goals: list[float]
) -> None:
    runs = [
        {"grade": "low", "method": method, "seed": seed, "metrics": {"test": goals[seed] + extra}}
        for method, extra in (("retrain", 0.0), ("scrub", gap))
        for seed in rank
    ]
    found = graded_gaps(runs[::-1], "metrics", "test")
    assert found["scrub", "low"].mean == pytest.approx(gap, abs=1e-9)
    assert found["scrub", "low"].half == pytest.approx(0, abs=1e-6), "the spread of the goals is in both"
    assert found["retrain", "low"].mean == 0
    assert graded_values(runs, "metrics", "test")["retrain", "low"].mean == pytest.approx(math.fsum(goals) / 4)
