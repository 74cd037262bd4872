"""The schema of a recorded run: every committed record fits it, and a changed one is refused in one sentence."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
from records import plain_run, write_run

from cu_helpers.errors import DataFileError
from cu_helpers.profiles import PROFILES
from cu_helpers.results import read_runs
from cu_helpers.schema import OPTIONAL, REQUIRED, check_run, fault

BOOK = Path(__file__).resolve().parents[2] / "book" / "results"
COMMITTED = sorted(path for name in PROFILES for path in (BOOK / name).glob("*.json"))


def test_every_committed_record_fits() -> None:
    assert COMMITTED
    for path in COMMITTED:
        check_run(json.loads(path.read_text(encoding="utf-8")), path.name)


def test_every_field_of_the_schema_is_in_some_committed_record() -> None:
    used = {name for path in COMMITTED for name in json.loads(path.read_text(encoding="utf-8"))}
    assert used == set(REQUIRED) | set(OPTIONAL), "no field that nothing writes"


@pytest.mark.parametrize("field", sorted(REQUIRED))
def test_a_missing_field_is_named(field: str) -> None:
    run = plain_run()
    del run[field]
    assert fault(run) == f"lacks the fields {field}"


@pytest.mark.parametrize("field", ["acuracy", "path", "Seed"])
def test_an_unknown_field_is_named(field: str) -> None:
    assert fault(plain_run(**{field: 1})) == f"has the unknown fields {field}"


MUTANTS: list[tuple[str, Any]] = [
    ("table", "Tabel 1"),
    ("table", None),
    ("profile", "desktop"),
    ("dataset", "mnist"),
    ("model", "a model"),
    ("method", "forget"),
    ("task", "class"),
    ("task", "samples-5"),
    ("seed", -1),
    ("seed", 1.0),
    ("seed", True),
    ("settings", {}),
    ("settings", {"optimiser": {}}),
    ("metrics", {}),
    ("metrics", {"forget": math.nan}),
    ("metrics", {"forget": "0"}),
    ("metrics", [1.0]),
    ("seconds", -0.1),
    ("seconds", math.inf),
    ("steps", 1.5),
    ("samples_seen", "1000"),
    ("stopped_by", "hand"),
    ("peak_memory_mib", None),
    ("device", ""),
    ("versions", {"python": "3.11"}),
    ("commit", ""),
    ("variant", ""),
    ("check_seconds", None),
    ("forget_share", 1.1),
    ("history", {}),
    ("history", [{}]),
    ("curve", [1]),
    ("shared", 0),
    ("retrain_step_seconds", -1.0),
    ("retrain_metrics", {}),
    ("attack", []),
    ("audit", {}),
]


@pytest.mark.parametrize(("field", "value"), MUTANTS, ids=[f"{name}-{value!r}" for name, value in MUTANTS])
def test_a_value_that_a_field_may_not_have_is_refused(field: str, value: Any) -> None:
    with pytest.raises(DataFileError) as caught:
        check_run(plain_run(**{field: value}), "a.json")
    assert str(caught.value).startswith(f"a.json has {field} ")
    assert str(caught.value).endswith("remove it and run it again")
    assert "\n" not in str(caught.value)


def test_every_field_has_a_mutant() -> None:
    assert {name for name, _ in MUTANTS} == set(REQUIRED) | set(OPTIONAL)


@pytest.mark.parametrize("value", [[], "text", None])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(DataFileError, match=r"a\.json is \w+; expected the fields of a run"):
        check_run(value, "a.json")


def test_readers_refuse_what_the_schema_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    path = write_run(tmp_path)
    (run,) = read_runs("laptop")
    kept = copy.deepcopy(run)
    run["metrics"] = {}
    assert read_runs("laptop") == [kept], "a reader's own change stays with that reader"
    write_run(tmp_path, surprise=1)
    with pytest.raises(DataFileError, match=rf"{path.name} has the unknown fields surprise; remove it"):
        read_runs("laptop")
