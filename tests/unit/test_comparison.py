"""Tables and strips from records whose numbers are known, and the geometry's closed forms."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from records import write_run
from torch.nn import functional as F

from cu_helpers import comparison, geometry, paper, strips
from cu_helpers.data import Dataset, forget_class, forget_samples
from cu_helpers.inference import embed
from cu_helpers.models import EmbeddingClassifier
from cu_helpers.tuning import Trial
from cu_helpers.unlearning import METHODS


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    for seed, (forget, kept) in enumerate([(10.0, 70.0), (20.0, 74.0)]):
        reference = {"forget": 0.0, "forget_test": 0.0, "retain_test": 78.0 + seed}
        write_run(tmp_path, method="retrain", seed=seed, metrics=reference, seconds=400.0, steps=4000)
        metrics = {"forget": forget, "forget_test": 5.0, "retain_test": kept}
        write_run(
            tmp_path,
            method="scrub",
            variant="tuned",
            seed=seed,
            metrics=metrics,
            seconds=20.0,
            retrain_step_seconds=0.1,
        )
    # Neither another class nor a run whose seed has no Retrain may slip into a paired table.
    write_run(tmp_path, method="scrub", variant="tuned", task="class3", seed=0, metrics={"forget": 99.0}, seconds=1.0)
    write_run(tmp_path, method="scrub", variant="tuned", seed=9, metrics={"forget": 99.0}, seconds=1.0)
    return tmp_path


def cells(table: str, label: str) -> list[str]:
    (row,) = [line for line in table.split("\n") if line.startswith(f"| {label} |")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_accuracy_table_pairs_seeds_and_shows_the_papers_numbers(records: Path) -> None:
    table = comparison.accuracy_table("cifar10", "class", comparison.rows_of("class"))
    assert cells(table, "Retrain")[1:3] == ["2", "0.0 ± 0.0"]
    found = cells(table, "SCRUB")
    half = 12.706204736 * math.sqrt(50) / math.sqrt(2)  # t for one degree of freedom, two values 10 apart
    assert found[1:3] == ["2", f"15.0 ± {half:.1f}"]
    assert found[5] == f"15.0 ± {half:.1f}"
    assert found[6].startswith("-6.5 ± "), "70 - 78 and 74 - 79"
    assert found[-3:] == ["35.42", "9.3", "83.91"]
    assert len(table.split("\n")) == 4, "methods without a record have no row"
    assert comparison.accuracy_table("svhn", "class", comparison.rows_of("class")) == comparison.NONE_RECORDED


def test_the_cost_table_divides_by_the_speed_of_the_day(records: Path) -> None:
    table = comparison.cost_table("cifar10", "class", comparison.rows_of("class"))
    found = cells(table, "SCRUB")
    assert found[2] == "20.0 ± 0.0", "4,000 steps of 0.1 s over 20 s"
    assert found[3:6] == ["100", "1,000", "rounds 2"]
    assert found[6] == "150.4"
    assert cells(table, "Retrain")[6] == "1566.36"
    assert comparison._count([100.0, 300.0]) == "200 ± 1,271"
    idle = {"seconds": 1e-4, "samples_seen": 0, "retrain_step_seconds": 0.1}
    assert comparison.times_faster(idle, {"steps": 4000}) is None, "a method that looks at nothing has no speed"


def test_few_samples_are_paired_with_retrain_on_the_same_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    of_all, of_few = {"forget": 75.0, "test": 75.0}, {"forget": 80.0, "test": 75.0}
    write_run(tmp_path, method="retrain", task="samples500", seed=0, metrics=of_all, seconds=400.0)
    common = {"method": "lcodec", "variant": "tuned", "seed": 0, "metrics": {"forget": 98.0, "test": 74.0}}
    write_run(tmp_path, **common, task="samples50", seconds=9.0, retrain_metrics=of_few)
    found = cells(comparison.accuracy_table("cifar10", "samples", comparison.rows_of("samples")), "LCODEC (samples50)")
    assert found[4] == "18.0 (one run)", "98 - 80: not the 500 samples' 75"
    write_run(tmp_path, **common, task="samples50", seconds=9.0)
    assert comparison.paired_runs("cifar10", "samples", "lcodec", "tuned") == [], "without its own reference, no pair"


def test_lost_cells_are_called_lost_and_others_are_not_invented() -> None:
    assert paper.TABLE_1.value("vit_small", "contrastive", "forget") == paper.LOST
    assert paper.TABLE_2.value("vit_small", "contrastive", "seconds") == "256.12"
    assert paper.TABLE_5.value("resnet18", "contrastive", "seconds") == "158.4", "2.64 minutes"
    assert comparison._paper("class", 0, "resnet18", "fisher", "tuned", "forget") == "–", "the paper has no such row"
    assert comparison._paper("class", 0, "resnet18", "contrastive", "tuned, no contrast", "forget") == "–"
    for kind, tables in comparison.PAPER.items():
        for table in tables:
            methods = {method for _, method in table.cells}
            assert methods == {m for m in methods if kind in METHODS[m].tasks}
            assert all(len(numbers) == len(table.columns) for numbers in table.cells.values())


def test_every_method_and_trivial_baseline_has_its_row() -> None:
    for kind in ("class", "samples"):
        named = {method for method, _, _ in comparison.rows_of(kind)}
        assert named == {method for method in METHODS if kind in METHODS[method].tasks}
        labels = [label for _, _, label in comparison.rows_of(kind)]
        assert len(set(labels)) == len(labels)
        assert "Contrastive, λ_UL = 0" in labels


def test_the_strip_has_one_panel_a_method_and_one_dot_a_trial() -> None:
    fisher = [Trial({"alpha": a}, {}, score, 1.0, 1, 1) for a, score in ((1e-9, 0.2), (1e-6, 0.9))]
    scrub = [Trial({"alpha": 0.5, "learning_rate": 0.01}, {}, 0.4, 1.0, 1, 1)]
    figure = strips.strip({"fisher": fisher, "scrub": scrub})
    assert [list(trace.x) for trace in figure.data] == [[1e-9, 1e-6], [0.01]], "the main knob, not the second one"
    assert [list(trace.y) for trace in figure.data] == [[0.2, 0.9], [0.4]]
    assert "alpha 1e-06" in figure.data[0].text[1]
    assert [note.text for note in figure.layout.annotations] == ["Fisher", "SCRUB"]
    assert len(strips.strip({"fisher": fisher}).data) == 1


def test_cohesion_is_the_mean_pairwise_cosine() -> None:
    z = F.normalize(torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64), dim=1)
    pairs = [float(z[i] @ z[j]) for i in range(7) for j in range(7) if i != j]
    assert geometry.cohesion(z) == pytest.approx(sum(pairs) / len(pairs))
    assert geometry.cohesion(z[:1].expand(4, -1)) == pytest.approx(1)
    with pytest.raises(ValueError, match="needs two embeddings or more; got 1"):
        geometry.cohesion(z[:1])


def test_tangents_and_pairs_equal_loops() -> None:
    draw = torch.Generator().manual_seed(0)
    z, gradient = F.normalize(torch.randn(5, 3, generator=draw), dim=1), torch.randn(5, 3, generator=draw)
    found = geometry.tangent(gradient, z)
    assert torch.allclose((found * z).sum(dim=1), torch.zeros(5), atol=1e-6)
    assert torch.allclose(torch.linalg.cross(found, z), torch.linalg.cross(gradient, z), atol=1e-6), "the rest is kept"
    rows = 7 * z
    pairs = [float(F.cosine_similarity(rows[i], rows[j], dim=0)) for i in range(4) for j in range(i + 1, 4)]
    assert geometry.pairwise_cosines(rows, most=4).tolist() == pytest.approx(pairs, abs=1e-6)


def test_the_geometry_equals_loops(digits: Dataset, fitted: EmbeddingClassifier) -> None:
    for task in (forget_class(digits, 5), forget_samples(digits, 9)):
        found = geometry.forgotten_geometry(fitted, task)
        z, kept, unseen = (embed(fitted, images) for images in (task.forget, task.retain, task.test))

        def centre(rows: torch.Tensor) -> torch.Tensor:
            return F.normalize(rows.mean(dim=0), dim=0)

        nearest, margins = [], []
        for row, label in zip(z, task.forget.labels.tolist(), strict=True):
            others = [
                float(row @ centre(kept[task.retain.labels == other]))
                for other in range(10)
                if other != label and (task.retain.labels == other).any()
            ]
            nearest.append(max(others))
            margins.append(float(row @ centre(unseen[task.test.labels == label])) - max(others))
        assert found["nearest"] == pytest.approx(sum(nearest) / len(nearest), abs=1e-4)
        assert found["margin"] == pytest.approx(sum(margins) / len(margins), abs=1e-4)
        assert found["cohesion"] == pytest.approx(geometry.cohesion(z))
    few = digits.train.first(12)
    rows, labels = embed(fitted, few).tolist(), few.labels.tolist()
    apart = [
        sum(a * b for a, b in zip(rows[i], rows[j], strict=True))
        for i in range(12)
        for j in range(12)
        if labels[i] != labels[j]
    ]
    assert geometry.between_classes(fitted, few) == pytest.approx(sum(apart) / len(apart), abs=1e-3)


def on_a_gpu(folder: Path, **run: Any) -> None:
    write_run(folder, profile="paper", device="a GPU", **run)


def test_seconds_of_runs_that_shared_the_device_come_from_the_one_that_was_alone(records: Path) -> None:
    (records / "paper").mkdir()
    settings = {"train_images": 50_000, "config": {"width": 64}}
    metrics = {"forget": 10.0, "forget_test": 5.0, "retain_test": 80.0}
    for seed in (0, 1):
        on_a_gpu(
            records, method="retrain", seed=seed, metrics=metrics, seconds=999.0, steps=100, shared=9, settings=settings
        )
        on_a_gpu(records, method="contrastive", variant="tuned", seed=seed, metrics=metrics, seconds=99.0, shared=9)
    on_a_gpu(
        records,
        method="contrastive",
        variant="timed",
        seed=0,
        metrics=metrics,
        seconds=2.0,
        shared=1,
        retrain_step_seconds=0.5,
    )
    table = comparison.cost_table("cifar10", "class", comparison.rows_of("class"), profile="paper")
    assert cells(table, "Retrain")[1:4] == ["50.0 (one run)", "1", "100"]
    assert cells(table, "Contrastive")[1:3] == ["2.0 (one run)", "25.0 (one run)"]
    (records / "paper" / "cifar10-resnet18-class5-contrastive-timed-seed0.json").unlink()
    table = comparison.cost_table("cifar10", "class", comparison.rows_of("class"), profile="paper")
    assert cells(table, "Contrastive")[1:3] == ["–", "–"], "no number rather than one of a crowded device"
    on_a_gpu(records, method="contrastive", variant="tuned", seed=1, metrics=metrics, seconds=3.0)
    table = comparison.cost_table("cifar10", "class", comparison.rows_of("class"), profile="paper")
    assert cells(table, "Contrastive")[1] == "3.0 (one run)", "the seed that had the device to itself"
    shown = comparison.recorded_tables("cifar10", "class", ("retrain", "contrastive"))
    assert "**Profile paper**: 50,000 training images, resnet18 of width 64; a GPU." in shown
    assert "laptop" not in shown, "no profile without a run of a method asked for"
    assert comparison.recorded_tables("digits", "class") == comparison.NONE_RECORDED
