"""Batch sizes with and without the queue: the plans, the formula, the table, and the recorder."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import record_queue
import torch

from cu_helpers import batches, notebook
from cu_helpers.data import Dataset
from cu_helpers.profiles import Profile, get_profile
from cu_helpers.results import read_runs, results_folder
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


def test_the_recorder_records_and_the_table_shows_what_a_live_run_gives(
    tiny: Profile, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(digits, validation=digits.validation.first(40), test=digits.test.first(400))
    for module in ("record_queue", "cu_helpers.notebook"):
        monkeypatch.setattr(f"{module}.load_dataset", lambda *_: few)
    for module in ("record_queue", "cu_helpers.notebook", "cu_helpers.batches", "cu_helpers.comparison"):
        monkeypatch.setattr(f"{module}.get_profile", lambda *_: tiny)
    words = ["--dataset", "digits", "--profile", "smoke", "--seeds", "1", "--batches", "36"]
    monkeypatch.setattr(sys, "argv", ["record_queue.py", *words])
    assert record_queue.main() == 0
    made = {path: path.stat().st_mtime_ns for path in (results_folder() / "smoke").glob("*.json")}
    assert len(read_runs("smoke", table="Table 14")) == 2
    assert record_queue.main() == 0
    assert {path: path.stat().st_mtime_ns for path in made} == made, "what is recorded is not made again"

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


def test_the_recorder_refuses_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["record_queue.py", "--dataset", "letters", "--seeds", "0"])
    assert record_queue.main() == 2
    assert capsys.readouterr().err.startswith("record_queue: unknown data set 'letters'; expected one of")
