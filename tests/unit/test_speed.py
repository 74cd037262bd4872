"""What `make speed` computes from its seconds, and that each measurement does what its name says; no time is tested."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CPU, image_data

from cu_helpers.errors import DataFileError
from cu_helpers.memory import added_memory_mib, peak_memory_mib
from cu_helpers.models import build_model
from cu_helpers.profiles import get_profile
from cu_helpers.speed import ceiling, clock, graphs, growth, report, rival_table, rivals, vectorised
from cu_helpers.training import TrainSettings, train
from cu_helpers.unlearning import METHODS, ContrastiveSettings, Stopping
from cu_helpers.unlearning.fisher import fisher_diagonal


def test_work_is_measured_in_turns_after_a_first_call_of_each() -> None:
    order: list[str] = []

    def measure(name: str) -> Any:
        def once() -> float:
            order.append(name)
            return float(len(order))

        return once

    found = clock.in_turns({"a": measure("a"), "b": measure("b")}, 3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert found == {"a": [3.0, 6.0, 7.0], "b": [4.0, 5.0, 8.0]}


def test_a_ratio_is_the_median_of_the_turns_own_ratios() -> None:
    """A machine that is three times slower in one turn changes nothing; the ratio of the sums would move."""
    assert clock.ratio([2.0, 6.0, 2.0], [1.0, 3.0, 1.0]) == 2.0
    assert clock.ratio([1.0, 1.0, 9.0], [1.0, 1.0, 1.0]) == 1.0


def test_a_task_of_noise_is_a_task() -> None:
    task = clock.random_task(10, 20, CPU, classes=5, held_out=15, side=8)
    assert (len(task.forget), len(task.retain), len(task.train), len(task.validation)) == (10, 20, 30, 15)
    assert task.kind == "samples"
    assert task.train.labels.bincount().tolist() == [6] * 5


def test_the_ceiling_times_equally_many_steps_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    real = torch.optim.SGD.step

    def step(self: Any, *args: Any) -> Any:
        taken.append(1)
        return real(self, *args)

    monkeypatch.setattr(ceiling, "BATCH", 8)
    monkeypatch.setattr(torch.optim.SGD, "step", step)
    model = build_model("resnet18", 10, width=4, seed=0)
    task = clock.random_task(4, 32, CPU, held_out=20, side=8)
    measures = ceiling.measures(model, task, 4, "float32")
    assert set(measures) == {"bare", "bare with a teacher", *ceiling.AIM}
    for name, measure in measures.items():
        taken.clear()
        assert measure() > 0
        assert len(taken) == 4, name
    with pytest.raises(ValueError, match="contrastive took 4 steps; expected 5"):
        ceiling.between_checks(
            "contrastive", model, task, ContrastiveSettings(batch_size=4, max_rounds=1, stopping=Stopping("none")), 5
        )


def test_the_share_is_bare_over_method(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"bare": 2.0, "bare with a teacher": 3.0, "training": 4.0, "contrastive": 2.5, "finetune": 2.0, "scrub": 4.0}
    monkeypatch.setattr(ceiling, "measures", lambda *_: {name: lambda own=own: own for name, own in told.items()})
    monkeypatch.setattr(ceiling, "check_seconds", lambda *_: 0.5)
    found = ceiling.ceiling(ceiling.Size("resnet18", 4, 4), CPU, 3, side=8)
    assert found["share"] == {"contrastive": 0.8, "training": 0.5, "finetune": 1.0, "scrub": 0.75}
    assert found["check_steps"] == pytest.approx(0.5 / (2.0 / 4))


def test_the_shortest_schedule_is_the_first_within_half_a_point() -> None:
    assert rivals.shortest({4: 70.0, 6: 74.6, 9: 75.0, 15: 74.9}) == 6
    assert rivals.shortest({4: 70.0, 6: 74.4, 9: 75.0, 15: 74.9}) == 9
    assert rivals.shortest({15: 75.0}) == 15


def test_the_lengths_that_are_tried_end_with_the_profiles_own() -> None:
    assert rivals.schedules_of(get_profile("laptop", "cifar10")) == [4, 6, 9, 15]
    assert rivals.schedules_of(get_profile("laptop", "digits")) == [10, 16, 24, 40]


def test_every_rival_takes_its_kind_of_task() -> None:
    for kind, names in rivals.RIVALS.items():
        assert all(kind in METHODS[name].tasks for name in names)


def test_the_loop_and_the_vectorised_fisher_agree() -> None:
    model, images = build_model("resnet18", 3, width=4, seed=0).eval(), image_data(3)
    ours, loop = fisher_diagonal(model, images), vectorised.fisher_loop(model, images)
    assert ours.keys() == loop.keys()
    for name, value in loop.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-9)


def test_the_bare_backward_goes_through_the_model_once_for_each_label_but_one() -> None:
    model, x = build_model("resnet18", 3, width=4, seed=0).eval().requires_grad_(False), torch.ones(2, 3, 8, 8)
    passed: list[int] = []
    model.backbone.get_submodule("stem.0").register_full_backward_hook(lambda *_: passed.append(len(passed)))
    vectorised.bare_backward_passes(model, x)
    assert len(passed) == 2
    assert x.grad is None


def test_the_plain_step_is_the_step_of_training() -> None:
    """One step on a batch that holds all there is ends at the weights of one epoch of `train`."""
    images, settings = image_data(6), TrainSettings(epochs=1, batch_size=6, learning_rate=0.01, precision="float32")
    trained, stepped = (build_model("resnet18", 10, width=4, seed=0) for _ in range(2))
    train(trained, images, settings)
    stepped.train()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    graphs.plain_step(stepped, stepped, *images.batch(order), settings)()
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(stepped.state_dict()[name], value)


def test_cuda_graphs_ask_for_a_gpu() -> None:
    with pytest.raises(ValueError, match="need a GPU; found device 'cpu'"):
        graphs.graphs("resnet18", 4, 8, 2, CPU, 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_graph_takes_the_same_steps() -> None:
    found = graphs.graphs("resnet18", 16, 32, 2, torch.device("cuda"), 1, compiled=False)
    assert found["losses"]["graph"] == pytest.approx(found["losses"]["plain"], rel=0.02)


def test_a_slope_is_that_of_logarithms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "case_seconds", lambda case, _: 3.0 * case.width**2)
    found = growth.along("width", [4, 8, 16], CPU, 2)
    assert found["slope"] == pytest.approx(2.0)
    assert found["seconds"] == [48.0, 192.0, 768.0]
    assert set(growth.AXES) == set(growth.SLOPES)


HOW: dict[str, Any] = {
    "device": "a CPU, 1 threads",
    "precision": "float32",
    "versions": {"torch": "2.6"},
    "commit": "0123456789ab",
    "repeats": 5,
    "busy": 0.5,
    "cores": 2,
}
RECORD: dict[str, Any] = {
    "profile": "laptop",
    "ceiling": [
        {
            "model": "resnet18",
            "width": 16,
            "share": {"contrastive": 0.96, "scrub": 0.88},
            "seconds": {
                "bare": [9.6, 9.0, 11.0],
                "contrastive": [10.0, 10.0, 10.0],
                "bare with a teacher": [7.0, 8.8, 8.9],
                "scrub": [10.0, 10.0, 10.0],
            },
            "check_steps": 2.5,
        }
    ],
    "rivals": [
        {
            "dataset": "cifar10",
            "task": "class5",
            "epochs": 6,
            "retrain_metrics": {"forget_test": 0.0, "retain_test": 78.0},
            "runs": [
                {
                    "method": "contrastive",
                    "variant": "checked after every batch",
                    "seconds": [4.0],
                    "check_seconds": 1.0,
                    "times_faster": [30.0],
                    "metrics": {"forget_test": 0.4, "retain_test": 71.0},
                },
                {
                    "method": "ssd",
                    "variant": "as searched",
                    "seconds": [3.0, 1.0, 2.0],
                    "times_faster": [60.0, 70.0, 50.0],
                    "metrics": {"forget_test": 1.5, "retain_test": 70.25},
                },
            ],
        }
    ],
    "fisher": {"times_faster": 4.0, "seconds": {"vectorised": [1.0, 1.0], "loop": [4.0, 4.5]}},
    "shadows": {"models": 8, "times_faster": 1.25},
    "evaluation": {"share": 0.97},
    "memory": {"ratio": [1.1, 1.4]},
    "import": {"median": 0.2},
    "graphs": [{"model": "resnet18", "width": 64, "batch": 256, "times_faster": {"graph": 2.04, "compiled": 2.5}}],
    "growth": [{"axis": "width", "values": [8, 16], "seconds": [1.0, 3.0], "slope": math.log2(3), "expected_slope": 2}],
}
RECORD["measured"] = {run: HOW for run in report.runs_of(RECORD)}


def test_added_memory_is_what_the_work_takes_beside_what_was_there() -> None:
    """Also after a larger peak, which getrusage would still tell; so large a block is never one that was kept."""
    larger = torch.ones(256 * 2**20, dtype=torch.uint8)
    del larger
    kept: list[torch.Tensor] = []
    found = added_memory_mib(lambda: kept.append(torch.ones(128 * 2**20, dtype=torch.uint8)))
    if found is None:
        pytest.skip("no /proc/self/clear_refs here")
    assert 120 < found < 140
    assert peak_memory_mib(CPU) > 128


def test_peak_memory_grows_with_the_model() -> None:
    found = growth.peak_memory([4, 16], CPU)
    for of in found["mib"].values():
        assert of[1] > of[0] > 1
    assert found["ratio"] == [a / b for a, b in zip(found["mib"]["contrastive"], found["mib"]["training"], strict=True)]


def test_tables_set_what_was_measured_beside_the_aim() -> None:
    lines = report.ceiling_table(RECORD).split("\n")
    assert lines[1] == "|---|---|---|---|---|---|---|"
    assert lines[2] == "| resnet18, width 16 | Contrastive | 96 % | 90 to 110 | 95 % | open | 2.5 steps |"
    assert lines[3] == "| resnet18, width 16 | SCRUB | 88 % | 70 to 89 | 90 % | no | – |"
    lines = rival_table.rivals_table(RECORD).split("\n")
    assert lines[2] == "| cifar10, class5 | Retrain, 6 epochs | – | 1 | 0.0 | 78.0 | – |"
    assert lines[3] == "| cifar10, class5 | Contrastive, checked after every batch | 4.0 | 30 | 0.4 | 71.0 | ours |"
    assert lines[4] == "| cifar10, class5 | SSD, as searched | 2.0 | 60 | 1.5 | 70.2 | no |"
    table = report.parts_table(RECORD)
    assert "| Fisher information, against a loop | 4.0 times faster | 5 times | no |" in table
    gained = {"seconds": {"vectorised": [1.0, 1.0], "loop": [4.9, 5.3]}, "times_faster": 5.1, "bare_times_faster": 9.04}
    bound = report.parts_table({"fisher": gained})
    assert (
        "| Fisher information, against a loop | 5.1 times faster (bare backward passes: 9.0) | 5 times | open |"
        in bound
    )
    assert "| evaluation, of the bare forward | 97 % | 95 % | yes |" in table
    assert "| peak memory, of a training step's | 1.40 | at most 1.3 | no |" in table
    step = "a training step of resnet18, width 64, batch 256"
    assert f"| {step}, from a CUDA graph | 2.0 times faster | – | – |" in table
    assert f"| {step}, compiled by torch | 2.5 times faster | – | – |" in table
    assert "| import beyond torch's | 0.20 s | at most 0.3 s | yes |" in table
    assert "| time against width of the ResNet-18 | size to the power 1.58 | 2 | – |" in table


@pytest.mark.parametrize(
    ("forget", "test", "equal"),
    [(80.0, 69.9, True), (85.0, 75.0, True), (86.1, 75.0, False), (80.0, 68.9, False), (72.0, 75.0, False)],
)
def test_a_rival_is_equal_where_it_is_as_near_to_retrain_and_keeps_as_much(
    forget: float, test: float, equal: bool
) -> None:
    """Retrain has 80 % of the forgotten samples, ours 84: a rival may have 75 to 85, and lose a point of the rest."""
    ours = {"method": "contrastive", "metrics": {"forget": 84.0, "test": 70.0}}
    rival = {"method": "ssd", "metrics": {"forget": forget, "test": test}}
    one = {"retrain_metrics": {"forget": 80.0, "test": 75.0}, "runs": [ours, rival]}
    assert rival_table.as_good(one, ours)
    assert rival_table.as_good(one, rival) is equal


def test_ours_stands_beside_its_aim_and_the_rivals_that_are_as_good_and_no_slower() -> None:
    def run(method: str, variant: str, seconds: float, times: list[float], kept: float) -> dict[str, Any]:
        metrics = {"forget_test": 0.5, "retain_test": kept}
        return {
            "method": method,
            "variant": variant,
            "seconds": [seconds],
            "check_seconds": seconds / 4,
            "times_faster": times,
            "metrics": metrics,
        }

    known = {"forget_test": 0.0, "retain_test": 78.0}
    runs = [
        run("contrastive", "quick, 0.03 given up", 5.0, [59.0, 61.0, 62.0], 76.0),
        run("contrastive", "as searched", 10.0, [30.0], 77.5),
        run("ssd", "as searched", 5.0, [60.0], 75.5),
        run("scrub", "as searched", 8.0, [40.0], 77.0),
    ]
    one = {"dataset": "cifar10", "task": "class5", "retrain_metrics": known, "runs": runs}
    lines = rival_table.ours_table({"rivals": [one, {**one, "dataset": "digits"}]}).split("\n")
    assert lines[2:] == [
        "| class5, quick, 0.03 given up | 61 (59 to 62) | 60 | open | +0.5 | -2.0 | 25 % | SSD |",
        "| class5, as searched | 30 (30 to 30) | 60 | no | +0.5 | -0.5 | 25 % | SCRUB |",
    ]
    samples = {**one, "retrain_metrics": {"forget": 74.0, "test": 75.0}}
    samples["runs"] = [{**runs[0], "metrics": {"forget": 75.0, "test": 70.0}}]
    last = rival_table.ours_table({"rivals": [samples]}).split("\n")[-1]
    assert last == "| class5, quick, 0.03 given up | 61 (59 to 62) | 25 | yes | +1.0 | -5.0 | 25 % | none |"


@pytest.mark.parametrize(
    ("shares", "told"), [([0.95, 1.02], "yes"), ([0.7, 0.94], "no"), ([0.7, 0.95], "open"), ([1.2, 0.94, 0.7], "open")]
)
def test_turns_on_both_sides_of_an_aim_leave_it_open(shares: list[float], told: str) -> None:
    assert report.reached(shares, 0.95) == told


def test_the_expected_slope_starts_at_the_first_point() -> None:
    figure = report.growth_figure(RECORD, "width")
    measured, expected = figure.data
    assert list(measured.y) == [1.0, 3.0]
    assert list(expected.y) == [1.0, 4.0]
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    with pytest.raises(DataFileError, match="no growth along 'retain'; run make speed"):
        report.growth_figure(RECORD, "retain")


def test_a_record_is_checked_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    path = report.speed_path("cpu", "laptop")
    assert path == tmp_path / "speed" / "cpu-laptop.json"
    with pytest.raises(DataFileError, match=r"cpu-laptop\.json is not a record of make speed .*; run make speed"):
        report.read_speed()
    report.write_speed(path, RECORD)
    assert report.read_speed() == json.loads(json.dumps(RECORD))
    unknown = {part: HOW for part in RECORD["measured"] if part != "rivals (cifar10)"}
    for wrong in (
        {"profile": "laptop"},
        {**RECORD, "more": 1},
        {**RECORD, "fisher": {"times_faster": math.nan}},
        {**RECORD, "measured": unknown},
    ):
        with pytest.raises(DataFileError, match="is not a record of make speed"):
            report.write_speed(path, wrong)
    assert report.read_speed() == json.loads(json.dumps(RECORD)), "what was there stays"
    assert set(report.SCHEMA) == set(RECORD)


def test_parts_of_another_day_keep_what_they_were_measured_under() -> None:
    assert report.conditions(RECORD).count("**a CPU, 1 threads, float32**, torch 2.6, commit 0123456789ab.") == 1
    later = {**RECORD["measured"], "fisher": {**HOW, "commit": "ba9876543210", "busy": 1.25}}
    told = report.conditions({**RECORD, "measured": later}).split("\n\n")
    assert len(told) == 2
    assert "rivals (cifar10)" in told[0]
    assert "fisher" not in told[0]
    assert "On average 0.5 to 0.5" in told[0]
    assert "** (fisher), torch 2.6, commit ba9876543210." in told[1]
    assert "On average 1.2 processes wanted one of 2 cores." in told[1]


def test_committed_records_can_be_shown() -> None:
    folder = Path(__file__).resolve().parents[2] / "book" / "results" / "speed"
    for path in folder.glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        report.check_record(record, path.name)
        for table in (report.ceiling_table, rival_table.rivals_table, report.parts_table):
            assert table(record).startswith("| ")
