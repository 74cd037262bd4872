"""Batch sizes with and without the queue: the plans, the formula, and the table."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cu_helpers import batches, notebook
from cu_helpers.data import Dataset
from cu_helpers.experiments import make_task, original_model, record_original_and_retrain, record_unlearning
from cu_helpers.profiles import Profile, get_profile
from cu_helpers.results import read_runs
from cu_helpers.training import TrainSettings
from cu_helpers.unlearning import ContrastiveQueueSettings, ContrastiveSettings, Stopping

BASE = {
    "contrastive": ContrastiveSettings(learning_rate=1e-2, omega=1, max_rounds=1, stopping=Stopping()),
    "contrastive_queue": ContrastiveQueueSettings(
        learning_rate=2e-2, omega=1, max_rounds=1, queue_size=50, stopping=Stopping()
    ),
}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CU_RESULTS", str(tmp_path / "results"))
    return replace(
        get_profile("smoke"),
        width=4,
        training=TrainSettings(epochs=1, batch_size=60),
        sample_settings=dict(BASE),
    )


def test_a_batch_is_never_larger_than_what_is_forgotten() -> None:
    assert batches.batch_sizes(500) == batches.batch_sizes(128) == (16, 32, 64, 128)
    assert batches.batch_sizes(36) == (4, 9, 18, 36)
    assert batches.batch_sizes(3) == (1, 3)


def test_the_plans_differ_in_batch_and_rate_alone() -> None:
    made = batches.plans(BASE, (4, 18, 36))
    assert [(plan.method, plan.variant) for plan in made[:4]] == [
        ("contrastive", "batch 4"),
        ("contrastive_queue", "batch 4"),
        ("contrastive", "batch 4, rate in proportion"),
        ("contrastive_queue", "batch 4, rate in proportion"),
    ]
    assert [plan.variant for plan in made[-2:]] == ["batch 36", "batch 36"], "there both rules are one"
    for plan in made:
        base = BASE[plan.method]
        size = plan.settings.batch_size
        scale = size / 36 if plan.variant.endswith("rate in proportion") else 1
        assert plan.settings.learning_rate == pytest.approx(base.learning_rate * scale)
        assert plan.settings.stopping.check_every * size == 36, "a look each time that as many images have passed"
        assert replace(plan.settings, batch_size=None, learning_rate=base.learning_rate, stopping=base.stopping) == base


def test_the_share_without_a_positive_is_what_random_batches_have() -> None:
    draw = torch.Generator().manual_seed(0)
    for classes, count in ((3, 2), (10, 8), (10, 30)):
        labels = torch.randint(classes, (20_000, count), generator=draw)
        seen = 100 * (labels != 0).all(dim=1).double().mean().item()
        assert batches.share_without_positive(classes, count) == pytest.approx(seen, abs=1.5)


def test_the_table_of_recorded_runs_shows_what_live_runs_give(
    tiny: Profile, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(digits, validation=digits.validation.first(40), test=digits.test.first(400))
    monkeypatch.setattr("cu_helpers.notebook.load_dataset", lambda *_: few)
    for module in ("cu_helpers.notebook", "cu_helpers.batches", "cu_helpers.comparison"):
        monkeypatch.setattr(f"{module}.get_profile", lambda *_: tiny)
    shrunk = tiny.shrink(few)
    task = make_task(shrunk, tiny, "samples", 1)
    record_original_and_retrain(tiny, task, 1, {"original": "Table 8", "retrain": "Table 3"})
    original = original_model(shrunk, tiny, 1)
    for plan in batches.plans(BASE, (36,)):
        record_unlearning(tiny, task, original, plan.method, 1, "Table 14", plan.variant, plan.settings)
    assert len(read_runs("smoke", table="Table 14")) == 2

    stored = batches.recorded("digits", "smoke")
    assert [(group.method, group.variant) for group in stored] == [(name, "batch 36") for name in batches.BOTH]
    assert batches.fight(notebook.setup("smoke", "digits", device="cpu"), BASE, (36,), (1,)) == stored
    shown = batches.table(stored).splitlines()
    assert len(shown) == 2 + 2 + 1
    assert shown[-1].count("lost") == 2
    assert "| 0.52 |" in shown[3], "50 keys: 0.9 to the 50th"
    assert "| – |" in shown[2], "one seed has no spread"


def test_spread_is_the_largest_minus_the_smallest() -> None:
    scores = [{"test": value, "forget": 2 * value} for value in (80.0, 83.0, 81.0)]
    group = batches.Group("contrastive", "batch 4", 1e-3, 4, scores, scores, [1, 2, 3], ["rule", "rounds", "rule"])
    cells = [cell.strip() for cell in batches.table([group]).splitlines()[2].split("|")]
    assert cells[8:13] == ["3.0", "6.0", "2", "66", "2 of 3"]


def test_the_queue_is_closer_where_its_seeds_differ_less() -> None:
    def group(method: str, variant: str, tests: list[float]) -> batches.Group:
        scores = [{"test": value, "forget": 50.0} for value in tests]
        goal = [{"test": 70.0, "forget": 60.0}, {"test": 80.0, "forget": 60.0}]
        return batches.Group(method, variant, 1e-3, 4, scores, goal, [1, 1], ["rule", "rule"])

    groups = [
        group("contrastive", "batch 4", [60.0, 80.0]),
        group("contrastive_queue", "batch 4", [70.0, 75.0]),
        group("contrastive", "batch 9", [70.0, 71.0]),
        group("contrastive_queue", "batch 9", [60.0, 75.0]),
        group("contrastive", "batch 4, rate in proportion", [70.0, 71.0]),
    ]
    assert batches.spreads(groups).split("\n") == [
        "one rate for all sizes: the queue's spread of test accuracy is the smaller one at 1 of 2 sizes",
        "the rate in proportion: the queue's spread of test accuracy is the smaller one at 0 of 0 sizes",
    ]
    figure = batches.figure(groups)
    assert [len(trace.x) for trace in figure.data] == [6, 6, 4, 4]
    assert list(figure.data[2].y) == [70, 75, 60, 75]
    assert figure.layout.shapes[0].y0 == 75, "Retrain's mean"


def test_without_records_the_table_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    assert batches.recorded("digits") == []
    assert batches.table([]) == "No such run is recorded in this copy of the book."
