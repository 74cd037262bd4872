"""Tasks for tuning, traces and records, at the smallest size."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cu_helpers.data import Dataset
from cu_helpers.experiments import (
    describe_task,
    make_task,
    original_model,
    record_original_and_retrain,
    record_unlearning,
    retrain_step_seconds,
    retrained_model,
    trace,
    tuning_task,
)
from cu_helpers.metrics import evaluate
from cu_helpers.profiles import Profile, get_profile
from cu_helpers.results import read_runs
from cu_helpers.training import TrainSettings, accuracy
from cu_helpers.unlearning import ContrastiveSettings, Stopping


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CU_RESULTS", str(tmp_path / "results"))
    settings = {"contrastive": ContrastiveSettings(batch_size=6, omega=1, max_rounds=1, stopping=Stopping(rule="none"))}
    return replace(
        get_profile("smoke"), width=4, training=TrainSettings(epochs=1, batch_size=60), class_settings=settings
    )


def test_a_tuning_task_holds_no_test_image(digits: Dataset, tiny: Profile) -> None:
    reported = {bytes(image.flatten().tolist()) for image in digits.test.images}
    for kind in ("class", "samples"):
        task = make_task(digits, tiny, kind, 0)
        tuned = tuning_task(task)
        parts = [tuned.test, *(part for part in (tuned.forget_test, tuned.retain_test) if part is not None)]
        for part in parts:
            assert not reported & {bytes(image.flatten().tolist()) for image in part.images}
        assert len(tuned.test) == len(digits.validation)
        if kind == "class":
            assert len(parts[1]) + len(parts[2]) == len(parts[0])
    with pytest.raises(ValueError, match="unknown kind of task 'classes'"):
        make_task(digits, tiny, "classes", 0)


def test_a_trace_starts_at_the_original_and_ends_at_the_result(digits: Dataset, tiny: Profile) -> None:
    task = make_task(digits, tiny, "class", 0)
    original = original_model(digits, tiny, 0)
    settings = replace(tiny.settings("contrastive", "class"), stopping=Stopping(rule="none", check_every=1))
    rows = trace("contrastive", original, task, settings, also=lambda model: {"retained": accuracy(model, task.retain)})
    assert [row["retained"] for row in rows] == [row["retain"] for row in rows]
    assert [row["steps"] for row in rows] == [0, 1, 2, 3]
    start = evaluate(original.model, task)
    assert {key: rows[0][key] for key in start} == start


def test_records_hold_what_was_measured(digits: Dataset, tiny: Profile) -> None:
    task = make_task(digits, tiny, "class", 0)
    record_original_and_retrain(tiny, task, 0, {"original": "Table 8", "retrain": "Table 1"})
    original = original_model(digits, tiny, 0)
    measured = record_unlearning(tiny, task, original, "contrastive", 0, "Table 1", "trial", curve=("forget",))
    (run,) = read_runs(method="contrastive")
    assert run["metrics"] == pytest.approx(measured)
    assert run["variant"] == "trial"
    assert run["steps"] == 3
    assert run["curve"][0]["steps"] == 0
    assert run["curve"][-1]["forget"] == pytest.approx(measured["forget"])
    assert run["retrain_step_seconds"] > 0
    (retrain,) = read_runs(method="retrain")
    assert retrain["metrics"] == pytest.approx(evaluate(retrained_model(task, tiny, 0).model, task))
    assert retrain["steps"] == -(-len(task.retain) // 60)
    assert {one["task"] for one in read_runs()} == {"class5"} == {describe_task(task)}


def test_step_time_leaves_the_global_generator_alone(digits: Dataset, tiny: Profile) -> None:
    before = torch.get_rng_state()
    assert retrain_step_seconds(tiny, make_task(digits, tiny, "samples", 0), steps=2) > 0
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_can_be_bounded_by_retrains_steps(digits: Dataset, tiny: Profile) -> None:
    """However long its settings would let it run: a budget of no step leaves one batch."""
    task = make_task(digits, tiny, "class", 0)
    endless = replace(tiny.settings("contrastive", "class"), max_rounds=1000)
    original = original_model(digits, tiny, 0)
    record_unlearning(tiny, task, original, "contrastive", 0, "Table 1", "cut", endless, retrain_steps=1e-9)
    (run,) = read_runs(method="contrastive")
    assert (run["steps"], run["stopped_by"]) == (1, "seconds")
    assert run["settings"]["contrastive"]["stopping"]["rule"] == "none"
    with pytest.raises(ValueError, match="needs a device of its own; found 3 processes"):
        record_unlearning(tiny, task, original, "contrastive", 0, "Table 1", "cut", retrain_steps=2, shared=3)


def test_beside_other_processes_no_step_is_timed(digits: Dataset, tiny: Profile) -> None:
    task = make_task(digits, tiny, "class", 0)
    record_unlearning(tiny, task, original_model(digits, tiny, 0), "contrastive", 0, "Table 1", shared=2)
    (run,) = read_runs(method="contrastive")
    assert (run["shared"], run["retrain_step_seconds"]) == (2, None)


def test_a_run_with_its_reference_is_attacked_and_audited(digits: Dataset, tiny: Profile) -> None:
    task = make_task(digits, tiny, "class", 0)
    retrained = retrained_model(task, tiny, 0).model
    original = original_model(digits, tiny, 0)
    record_unlearning(tiny, task, original, "contrastive", 0, "Table 1", retrained=retrained, verified=True)
    with pytest.raises(ValueError, match="audited against Retrain; pass the retrained model too"):
        record_unlearning(tiny, task, original, "contrastive", 0, "Table 1", verified=True)
    (run,) = read_runs(method="contrastive")
    assert run["retrain_metrics"] == pytest.approx(evaluate(retrained, task))
    assert run["attack"]
    assert run["audit"]
