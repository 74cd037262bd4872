"""Records, files and printed numbers: what is written is read, what does not fit is told, for any content."""

import copy
import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import plain_run
from strategies import FEW

from cu_helpers.data import DATASETS
from cu_helpers.errors import DataFileError
from cu_helpers.files import write_text
from cu_helpers.paper import LOST, Number, number, numbers
from cu_helpers.profiles import PROFILES
from cu_helpers.results import plain, read_run, read_runs, record_path, values, write_run
from cu_helpers.schema import OPTIONAL, REQUIRED, check_run, fault
from cu_helpers.unlearning import METHODS

finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
runs = st.fixed_dictionaries(
    {
        "profile": st.sampled_from(PROFILES),
        "dataset": st.sampled_from(DATASETS),
        "model": st.sampled_from(["resnet18", "ViT-B-32", "vit_small"]),
        "method": st.sampled_from(["original", *METHODS]),
        "task": st.sampled_from(["class", "samples"]).flatmap(
            lambda kind: st.integers(0, 999).map(lambda amount: f"{kind}{amount}")
        ),
        "variant": st.none() | st.sampled_from(["tuned", "tuned, no contrast", "batch 16, rate in proportion"]),
        "seed": st.integers(0, 10**6),
        "metrics": st.dictionaries(names, finite, min_size=1, max_size=3),
        "seconds": st.floats(0, 1e9),
    }
).map(lambda fields: plain_run(**fields))


@contextmanager
def results_in_a_new_folder() -> Iterator[Path]:
    """$CU_RESULTS names an empty folder; hypothesis runs many examples in one test, tmp_path is one for all."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict("os.environ", {"CU_RESULTS": folder}):
        yield Path(folder)


@given(runs)
@settings(max_examples=FEW)
def test_a_written_run_is_read_as_it_was_and_found_by_each_of_its_fields(run: dict[str, Any]) -> None:
    with results_in_a_new_folder():
        path, before = record_path(run), copy.deepcopy(run)
        write_run(path, run)
        assert run == before
        assert read_run(path) == {**run, "path": path.name}
        for name in ("dataset", "model", "method", "task", "variant", "seed"):
            assert read_runs(run["profile"], **{name: run[name]}) == [{**run, "path": path.name}], name
        assert read_runs(seed=run["seed"] + 1) == []
        assert read_runs(method="no such") == []
        for metric, value in run["metrics"].items():
            assert values(read_runs(), metric) == [value]


@given(runs, runs)
@settings(max_examples=FEW)
def test_two_runs_share_a_file_only_if_they_are_one_cell(a: dict[str, Any], b: dict[str, Any]) -> None:
    cell = [
        tuple(run[key] for key in ("profile", "dataset", "model", "task", "method", "variant", "seed"))
        for run in (a, b)
    ]
    assert (record_path(a) == record_path(b)) == (cell[0] == cell[1])


@given(json_values)
@settings(max_examples=100)
def test_anything_at_all_is_judged_without_another_error(value: Any) -> None:
    found = fault(value)
    assert isinstance(found, str)
    with pytest.raises(DataFileError, match="remove it and run it again"):
        check_run(value, "here.json")


@pytest.mark.parametrize("field", sorted({**REQUIRED, **OPTIONAL}))
@given(json_values)
@settings(max_examples=25)
def test_any_value_of_any_field_fits_or_is_named(field: str, value: Any) -> None:
    found = fault(plain_run(**{field: value}))
    assert found is None or found.startswith(f"has {field} ")
    assert found == fault(json.loads(json.dumps(plain_run(**{field: value})))), "a file is judged as the run was"


@pytest.mark.parametrize("field", ["seconds", "metrics", "peak_memory_mib"])
def test_a_number_without_end_is_refused(field: str) -> None:
    """JSON may hold a whole number that no float can: it is no measurement."""
    value: Any = {"forget": 10**400} if field == "metrics" else 10**400
    assert str(fault(plain_run(**{field: value}))).startswith(f"has {field} ")


def test_a_step_that_takes_no_time_is_refused_as_the_words_say() -> None:
    assert fault(plain_run(retrain_step_seconds=None)) is None
    assert fault(plain_run(retrain_step_seconds=1e-9)) is None
    assert str(fault(plain_run(retrain_step_seconds=0))).endswith("expected a finite number above 0, or null")


@given(st.sampled_from(sorted(REQUIRED)), st.sampled_from(sorted(REQUIRED)))
@settings(max_examples=FEW)
def test_every_missing_field_is_named(first: str, second: str) -> None:
    run = plain_run()
    for name in {first, second}:
        del run[name]
    told = fault(run)
    assert told is not None
    assert all(name in told for name in (first, second))


@given(json_values)
@settings(max_examples=50)
def test_plain_values_stay_and_come_back_from_json(value: Any) -> None:
    made = plain(value)
    assert repr(made) == repr(value)  # NaN is not equal to itself
    assert repr(json.loads(json.dumps(made))) == repr(made)
    assert plain((value, {1: Path("a")})) == plain([value, {"1": "a"}]) or "nan" in repr(value)


@given(st.text(st.characters(codec="utf-8"), max_size=40), st.text(st.characters(codec="utf-8"), max_size=40))
@settings(max_examples=FEW)
def test_a_text_is_on_disk_byte_for_byte_and_alone(old: str, new: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep" / "text.md"
        for text in (old, new):
            write_text(path, text)
            assert path.read_bytes() == text.encode("utf-8")
        assert [one.name for one in path.parent.iterdir()] == ["text.md"]


@given(st.floats(0, 1e6).map(lambda value: round(value, 3)), st.none() | st.floats(0, 100).map(lambda x: round(x, 3)))
@settings(max_examples=50)
def test_a_printed_number_can_be_read_again(value: float, spread: float | None) -> None:
    told = str(Number(value, spread, "here"))
    parts = told.split(" ± ")
    assert float(parts[0]) == pytest.approx(value, rel=1e-9)
    assert len(parts) == (1 if spread is None else 2)
    if spread is not None:
        assert float(parts[1]) == pytest.approx(spread, rel=1e-9)
    assert str(Number(None, spread, "here")) == LOST


@given(st.sampled_from(sorted(numbers())), st.text(max_size=5), st.text(max_size=5))
@settings(max_examples=FEW)
def test_a_cell_is_what_the_table_has_or_nothing(table: str, row: str, column: str) -> None:
    assert number(table, row, column) == numbers()[table].get((row, column))
    assert number(table + "?", row, column) is None
    for (known_row, known_column), cell in numbers()[table].items():
        assert number(table, known_row, known_column) is cell
        assert cell.value is None or math.isfinite(cell.value)
