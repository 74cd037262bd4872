"""What `make speed` compares and records, for any numbers: schedules, equal quality, names, and what it refuses."""

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW

from cu_helpers.errors import DataFileError
from cu_helpers.profiles import get_profile
from cu_helpers.speed.report import MEASURED, PARTS, check_record, conditions, name_of_run, runs_of, write_speed
from cu_helpers.speed.rival_table import EQUAL, as_good
from cu_helpers.speed.rivals import NEAR, SHARES, schedules_of, shortest

percents = st.integers(0, 400).map(lambda quarter: quarter / 4)
SETS = {"class": ("retain_test", "forget_test"), "samples": ("test", "forget")}


@given(st.integers(1, 500))
@settings(max_examples=FEW)
def test_schedules_ascend_to_the_profiles_epochs_at_most_half_an_epoch_from_their_shares(epochs: int) -> None:
    profile = get_profile("laptop")
    found = schedules_of(replace(profile, training=replace(profile.training, epochs=epochs)))
    assert found == sorted(set(found))
    assert found[-1] == epochs
    assert found[0] >= 1
    for share in SHARES:
        assert any(abs(one - share * epochs) <= 0.5 or one == 1 for one in found)
    assert all(any(abs(one - share * epochs) <= 0.5 or one == 1 for share in SHARES) for one in found)


@given(st.dictionaries(st.integers(1, 200), percents, min_size=1, max_size=6), st.sampled_from([0.0, 0.25, 2.0]))
@settings(max_examples=50)
def test_no_shorter_schedule_than_the_shortest_is_near_the_best(found: dict[int, float], near: float) -> None:
    epochs = shortest(found, near)
    assert found[epochs] >= max(found.values()) - near
    assert all(reached < max(found.values()) - near for other, reached in found.items() if other < epochs)
    assert shortest({other: reached + 3 for other, reached in found.items()}, near) == epochs
    assert shortest(found, near + 1) <= epochs
    assert shortest(found) == shortest(found, NEAR)


def compared(kind: str, goal: float, runs: list[tuple[str, float, float]]) -> dict[str, Any]:
    """A comparison with Retrain: runs of (method, kept, lost)."""
    kept, lost = SETS[kind]
    return {
        "retrain_metrics": {kept: 90.0, lost: goal},
        "runs": [{"method": name, "metrics": {kept: keeps, lost: loses}} for name, keeps, loses in runs],
    }


@given(st.sampled_from(sorted(SETS)), percents, st.lists(st.tuples(percents, percents), min_size=2, max_size=4))
@settings(max_examples=50)
def test_a_rival_is_as_good_within_a_point_of_the_first_of_ours_on_both_sides(
    kind: str, goal: float, numbers: list[tuple[float, float]]
) -> None:
    names = ["scrub", "contrastive", "contrastive", "ssd"][: len(numbers)]
    one = compared(kind, goal, [(name, *pair) for name, pair in zip(names, numbers, strict=True)])
    our_kept, our_lost = numbers[1]
    for run, (kept, lost) in zip(one["runs"], numbers, strict=True):
        nearer = abs(lost - goal) - abs(our_lost - goal) <= EQUAL
        assert as_good(one, run) == (nearer and our_kept - kept <= EQUAL)
    assert as_good(one, one["runs"][1]), "ours is as good as itself"
    mirrored = compared(kind, -goal, [(name, kept, -lost) for name, (kept, lost) in zip(names, numbers, strict=True)])
    for run, other in zip(one["runs"], mirrored["runs"], strict=True):
        assert as_good(one, run) == as_good(mirrored, other), "on which side of Retrain plays no part"


parts_of = st.lists(st.sampled_from(PARTS), unique=True)
datasets = st.lists(st.sampled_from(["digits", "cifar10", "svhn"]), max_size=4)


def measured_on(device: str, busy: float = 1.0) -> dict[str, Any]:
    how: dict[str, Any] = dict.fromkeys(MEASURED, 1)
    return how | {"device": device, "versions": {"torch": "2.15"}, "busy": busy, "cores": 2}


def record_of(parts: list[str], sets: list[str]) -> dict[str, Any]:
    """A record with these parts, each measured as it has to be."""
    record: dict[str, Any] = {"profile": "laptop", **{part: {} for part in parts if part != "rivals"}}
    if "rivals" in parts:
        record["rivals"] = [{"dataset": dataset} for dataset in sets]
    runs = [part for part in parts if part != "rivals"]
    runs += [f"rivals ({dataset})" for dataset in sets if "rivals" in parts]
    return record | {"measured": {run: measured_on("a processor") for run in runs}}


@given(parts_of, datasets)
@settings(max_examples=FEW)
def test_each_part_is_measured_by_itself_and_rivals_on_each_data_set(parts: list[str], sets: list[str]) -> None:
    record = record_of(parts, sets)
    assert sorted(runs_of(record)) == sorted(record["measured"])
    check_record(record, "a record")
    for run in record["measured"]:
        less = {**record, "measured": {name: how for name, how in record["measured"].items() if name != run}}
        with pytest.raises(DataFileError, match=r"missing: how .* was measured; unknown: nothing") as found:
            check_record(less, "a record")
        assert f"how {run} was measured" in str(found.value)


@given(st.sampled_from(PARTS), st.sampled_from(PARTS), st.sampled_from(["digits", "svhn"]), st.sampled_from(["x", "y"]))
@settings(max_examples=FEW)
def test_names_of_runs_are_told_apart_as_they_have_to_be(part: str, other: str, dataset: str, more: str) -> None:
    name = name_of_run(part, dataset)
    assert (name == part) == (part != "rivals")
    assert (name == name_of_run(part, dataset + more)) == (part != "rivals")
    assert (name == name_of_run(other, dataset)) == (part == other)
    assert dataset in name or part != "rivals"


@given(parts_of, st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, 2), st.text("abc", min_size=1))
@settings(max_examples=FEW)
def test_a_record_with_an_unknown_part_or_a_number_without_end_is_not_written(
    parts: list[str], bad: float, depth: int, name: str
) -> None:
    record = record_of(parts, ["digits"])
    deep: Any = {"median": bad}
    for _ in range(depth):
        deep = [{"seconds": [1.0, deep]}]
    wrong = [({**record, name: 1.0}, f"unknown: {name}"), ({**record, "profile": deep}, "numbers have to be finite")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cpu-laptop.json"
        for broken, words in wrong:
            with pytest.raises(DataFileError, match=f"cpu-laptop.json is not a record of make speed .*{words}"):
                write_speed(path, broken)
            assert not path.exists()
        write_speed(path, record)
        assert path.exists()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 9)), min_size=1, max_size=5))
@settings(max_examples=FEW)
def test_parts_measured_alike_are_told_together_with_the_load_of_all(told: list[tuple[str, float]]) -> None:
    record = {"measured": {f"part {at}": measured_on(*one) for at, one in enumerate(told)}}
    lines = conditions(record).split("\n\n")
    devices = list(dict.fromkeys(device for device, _ in told))
    for line, device in zip(lines, devices, strict=True):
        own = [(f"part {at}", busy) for at, (where, busy) in enumerate(told) if where == device]
        assert line.startswith(f"**{device}, 1**")
        assert all((name in line) == (len(devices) > 1) for name, _ in own)
        loads = [busy for _, busy in own]
        told_load = f"{min(loads):.1f} to {max(loads):.1f}" if len(own) > 1 else f"{loads[0]:.1f}"
        assert f"On average {told_load} processes wanted one of 2 cores" in line
