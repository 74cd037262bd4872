"""Recorded runs: what is written, what is refused, and the committed records themselves."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from cu_helpers.errors import DataFileError
from cu_helpers.models import MODELS
from cu_helpers.profiles import PROFILES
from cu_helpers.results import FIELDS, commit, plain, read_run, read_runs, record, record_path, values
from cu_helpers.unlearning import ContrastiveSettings

CPU = torch.device("cpu")
BOOK = Path(__file__).resolve().parents[2] / "book" / "results"


def run(**changes: Any) -> dict[str, Any]:
    return {
        "table": "Table 1",
        "profile": "smoke",
        "dataset": "digits",
        "model": "resnet18",
        "method": "contrastive",
        "task": "class5",
        "seed": 0,
        "settings": {"contrastive": ContrastiveSettings()},
        "metrics": {"forget": 12.5},
        "seconds": 1.5,
        "steps": 10,
        "samples_seen": 100,
        "stopped_by": "rule",
        **changes,
    }


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    return tmp_path


def test_what_is_recorded_is_read_again(folder: Path) -> None:
    path = record(CPU, **run(variant="first stop", curve=[{"steps": 1}]))
    assert path == folder / "smoke" / "digits-resnet18-class5-contrastive-first_stop-seed0.json"
    (found,) = read_runs("smoke")
    assert set(FIELDS) <= found.keys()
    assert found["settings"]["contrastive"] == plain(ContrastiveSettings())
    assert found["curve"] == [{"steps": 1}]
    assert found["peak_memory_mib"] > 0
    assert values([found], "forget") == [12.5]
    record(CPU, **run(seed=1, metrics={"forget": 3.0}))
    assert [one["seed"] for one in read_runs(method="contrastive")] == [0, 1]
    assert read_runs(method="fisher") == read_runs("paper") == []
    assert len(read_runs("smoke", seed=1, dataset="digits")) == 1


def test_a_missing_field_is_named(folder: Path) -> None:
    broken = run()
    del broken["steps"]
    with pytest.raises(ValueError, match="the run that was to be recorded lacks the fields steps"):
        record(CPU, **broken)
    assert list(folder.rglob("*.json")) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_must_be_finite_and_nothing_is_left(folder: Path, bad: float) -> None:
    with pytest.raises(ValueError, match=r"recorded has metrics .* expected finite numbers"):
        record(CPU, **run(metrics={"forget": bad}))
    assert [path for path in folder.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("text", "message"), [("{", "is not a recorded run"), ("{}", "lacks the fields table")])
def test_a_damaged_record_is_named(folder: Path, text: str, message: str) -> None:
    path = record(CPU, **run())
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataFileError, match=rf"seed0\.json {message}.*remove it and run it again"):
        read_runs()


def committed() -> list[dict[str, Any]]:
    return [read_run(path) for name in PROFILES for path in sorted((BOOK / name).glob("*.json"))]


def test_committed_records_are_whole_and_traceable() -> None:
    runs = committed()
    assert runs
    for one in runs:
        assert record_path(one).name == one["path"]
        assert len(one["commit"]) == 12, f"{one['path']}: made from a changed or unknown checkout"
        assert all(math.isfinite(value) and 0 <= value <= 100 for value in one["metrics"].values())
        assert one["seconds"] > 0


@pytest.mark.parametrize(("task", "seeds"), [("class5", range(3)), ("samples500", range(5))])
def test_cifar10_has_every_method_with_every_seed(task: str, seeds: range) -> None:
    held: dict[tuple[str, str | None], set[int]] = {}
    for one in committed():
        if (one["dataset"], one["task"], one["profile"]) == ("cifar10", task, "laptop"):
            held.setdefault((one["method"], one.get("variant")), set()).add(one["seed"])
    wanted = [("contrastive", variant) for variant in ("first stop", "whole rounds", "no contrast")]
    wanted += [(name, None) for name in ("original", "retrain", "finetune", "gradient_ascent")]
    for key in wanted:
        assert held[key] == set(seeds), key


def test_a_change_to_a_run_does_not_reach_the_next_reader() -> None:
    path = record(CPU, **run())
    for read in (lambda: read_run(path), lambda: read_runs("smoke")[0]):
        read()["metrics"]["forget"] = -1.0
        assert read()["metrics"]["forget"] == 12.5


def test_retrain_never_saw_the_class() -> None:
    for one in committed():
        # A CLIP can be asked for a class that it never saw, and may guess it.
        if one["method"] == "retrain" and one["task"] == "class5" and one["model"] in MODELS:
            assert one["metrics"]["forget"] == one["metrics"]["forget_test"] == 0


def test_the_commit_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_COMMIT", "0123456789ab")
    commit.cache_clear()
    assert commit() == "0123456789ab"
    monkeypatch.delenv("CU_COMMIT")
    commit.cache_clear()
    assert commit() != "0123456789ab"
