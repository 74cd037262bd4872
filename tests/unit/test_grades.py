"""Graded forget sets side by side: numbers that are known, paired by seed and forget set."""

import pytest

from cu_helpers import grades


def runs() -> list[dict[str, object]]:
    """Retrain at 90, 60, 30 and 85 %, two points more with each seed; the method five above it, but ten on `high`."""
    levels = dict(zip(grades.SETS, (90.0, 60.0, 30.0, 85.0), strict=True))
    made: list[dict[str, object]] = []
    for grade, level in levels.items():
        for seed in range(3):
            above = 10.0 if grade == "high" else 5.0
            for method, value in (("retrain", level + 2 * seed), ("scrub", level + 2 * seed + above)):
                made.append({"grade": grade, "method": method, "seed": seed, "metrics": {"forget": value}})
    return made


def test_gaps_are_paired_within_a_forget_set() -> None:
    gaps = grades.graded_gaps(runs(), "metrics", "forget")
    assert gaps["scrub", "low"].mean == pytest.approx(5)
    assert gaps["scrub", "high"].mean == pytest.approx(10)
    assert gaps["scrub", "high"].half == pytest.approx(0), "paired: the seeds' own spread drops out"
    values = grades.graded_values(runs(), "metrics", "forget")
    assert values["retrain", "medium"].mean == pytest.approx(62)
    assert values["retrain", "medium"].half > 4
    without = [run for run in runs() if not (run["method"] == "retrain" and run["seed"] == 2)]
    assert grades.graded_gaps(without, "metrics", "forget")["scrub", "low"].count == 2


def test_the_table_has_a_row_for_each_run() -> None:
    lines = grades.graded_table(runs(), "metrics", "forget").split("\n")
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["Retrain", "SCRUB"]
    cells = [cell.strip() for cell in lines[3].strip("|").split("|")]
    assert cells[1].startswith("97.0 ± ")
    assert cells[6] == "10.0 ± 0.0"
    assert lines[2].count("reference") == 4
