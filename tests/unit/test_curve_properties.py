"""Curves of runs and pairs of runs, for any rows: what holds at a moment, means over runs, and who is made twice."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW

from cu_helpers.repeats import releases, repeat_table, to_the_digit
from cu_helpers.sweeps import accuracy_rows, at_seconds, curve_figure, gap_figure, mean_curve, table

Row = dict[str, float]
percents = st.integers(0, 1000).map(lambda tenth: tenth / 10)
gains = st.lists(st.tuples(st.integers(1, 9), percents), min_size=1, max_size=6)


def run_of(steps: list[tuple[int, float]]) -> list[Row]:
    """A run's rows: nothing done at first, then so many seconds and ten times as many images a row."""
    rows, at = [], 0
    for number, (taken, value) in enumerate(steps):
        at += taken if number else 0
        rows.append({"seconds": float(at), "samples_seen": 10.0 * at, "forget": value})
    return rows


runs_of = gains.map(run_of)


@given(runs_of, st.floats(0, 60))
@settings(max_examples=50)
def test_at_a_moment_holds_the_last_row_that_is_not_later(rows: list[Row], seconds: float) -> None:
    found = at_seconds(rows, seconds)
    place = next(at for at, row in enumerate(rows) if row is found)
    assert found["seconds"] <= seconds
    assert all(row["seconds"] > seconds for row in rows[place + 1 :])
    for row in rows:
        assert at_seconds(rows, row["seconds"]) is row, "a row's own moment is its own"
    assert at_seconds(rows, rows[-1]["seconds"] + 1e6) is rows[-1]


@given(st.lists(runs_of, min_size=1, max_size=4), st.randoms())
@settings(max_examples=FEW)
def test_a_mean_curve_is_row_by_row_as_far_as_the_shortest_whatever_the_order(
    runs: list[list[Row]], mixer: Any
) -> None:
    images, values = mean_curve(runs, "forget")
    assert len(images) == len(values) == min(len(rows) for rows in runs)
    for at, (x, y) in enumerate(zip(images, values, strict=True)):
        assert x == pytest.approx(sum(rows[at]["samples_seen"] for rows in runs) / len(runs))
        assert y == pytest.approx(sum(rows[at]["forget"] for rows in runs) / len(runs))
    mixed = list(runs)
    mixer.shuffle(mixed)
    assert mean_curve(mixed, "forget")[1] == pytest.approx(values)
    assert mean_curve(runs * 2, "forget")[1] == pytest.approx(values)
    assert mean_curve(runs[:1], "forget")[0] == [row["samples_seen"] for row in runs[0]]


@given(st.dictionaries(st.sampled_from("abc"), st.lists(runs_of, min_size=1, max_size=2), min_size=1), percents)
@settings(max_examples=5)
def test_a_figure_of_curves_has_each_mean_and_the_level(curves: dict[str, list[list[Row]]], level: float) -> None:
    figure = curve_figure(curves, "forget", "accuracy (%)", level)
    assert [trace.name for trace in figure.data] == list(curves)
    for trace, runs in zip(figure.data, curves.values(), strict=True):
        assert (list(trace.x), list(trace.y)) == mean_curve(runs, "forget")
    assert [line.y0 for line in figure.layout.shapes] == [level]
    assert not curve_figure(curves, "forget", "accuracy (%)").layout.shapes


rows_of = st.lists(
    st.fixed_dictionaries({"gap_forget": percents, "gap_test": percents, "steps": percents, "rule": st.booleans()}),
    min_size=1,
    max_size=4,
)
swepts = st.dictionaries(st.sampled_from(["1", "2", "4"]), rows_of, min_size=1)


def first_number(cell: str) -> float:
    return float(cell.split()[0])


@given(swepts)
@settings(max_examples=FEW)
def test_a_sweeps_table_and_figure_show_the_mean_of_each_value_over_seeds(swept: dict[str, list[Row]]) -> None:
    lines = table("omega", swept).split("\n")[2:]
    for line, (name, rows) in zip(lines, swept.items(), strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == name
        for cell, key in zip(cells[1:4], ("gap_forget", "gap_test", "steps"), strict=True):
            assert first_number(cell) == pytest.approx(sum(row[key] for row in rows) / len(rows), abs=0.0501)
            assert ("one run" in cell) == (len(rows) == 1)
        assert cells[4] == f"{sum(row['rule'] for row in rows)} of {len(rows)}"
    for trace, key in zip(gap_figure(swept, "omega").data, ("gap_forget", "gap_test"), strict=True):
        assert list(trace.x) == list(swept)
        assert list(trace.y) == pytest.approx([sum(row[key] for row in rows) / len(rows) for rows in swept.values()])
        assert [half is None for half in trace.error_y.array] == [len(rows) == 1 for rows in swept.values()]
    for line, (name, rows) in zip(accuracy_rows(swept, {"steps": "s"}).split("\n")[2:], swept.items(), strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == name
        assert first_number(cells[1]) == pytest.approx(sum(row["steps"] for row in rows) / len(rows), abs=0.0501)


metrics = st.fixed_dictionaries({"forget": st.sampled_from([0.0, 50.0, 50.1]), "test": st.sampled_from([80.0, 90.0])})
pairs_of = st.lists(st.tuples(metrics, metrics, st.sampled_from(["2.14.1+cpu", "2.15.0"])), min_size=1, max_size=5)


def made_twice(pairs: list[tuple[Row, Row, str]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    found = []
    for seed, (a, b, release) in enumerate(pairs):
        same = {"task": "class5", "method": "scrub", "seed": seed, "versions": {"torch": release}}
        found.append(({**same, "metrics": a}, {**same, "metrics": b}))
    return found


@given(pairs_of)
@settings(max_examples=FEW)
def test_a_pair_is_equal_to_the_digit_only_if_every_accuracy_is(pairs: list[tuple[Row, Row, str]]) -> None:
    runs = made_twice(pairs)
    equal = [pair for pair, (a, b, _) in zip(runs, pairs, strict=True) if all(a[name] == b[name] for name in a)]
    assert to_the_digit(runs) == equal
    assert to_the_digit(equal) == equal
    assert [pair[::-1] for pair in to_the_digit([pair[::-1] for pair in runs])] == equal
    close = [({**a, "metrics": {"forget": 1.0}}, {**b, "metrics": {"forget": 1.0 + 1e-12}}) for a, b in runs]
    assert to_the_digit(close) == []
    assert releases(runs) == ", ".join(sorted({release.partition("+")[0] for *_, release in pairs}))


@given(pairs_of)
@settings(max_examples=FEW)
def test_the_table_of_repeats_has_mean_and_largest_change_without_a_sign(pairs: list[tuple[Row, Row, str]]) -> None:
    lines = repeat_table(made_twice(pairs)).split("\n")[2:]
    assert repeat_table([pair[::-1] for pair in made_twice(pairs)]).count("\n") == len(lines) + 1
    for line, name in zip(lines, ("forget", "test"), strict=True):
        changes = [abs(a[name] - b[name]) for a, b, _ in pairs]
        seeds = [abs(b[name] - d[name]) for at, (_, b, _) in enumerate(pairs) for _, d, _ in pairs[at + 1 :]]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[2] == str(len(pairs))
        assert float(cells[3]) == pytest.approx(sum(changes) / len(changes), abs=0.0501)
        assert first_number(cells[4]) == pytest.approx(max(changes), abs=0.0501)
        assert cells[5] == "–" if not seeds else float(cells[5]) == pytest.approx(sum(seeds) / len(seeds), abs=0.0501)
