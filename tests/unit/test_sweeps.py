"""Chapter 05's tables: pairs with the Retrain of the same seed, means by hand, and its recorded runs."""

from dataclasses import replace
from pathlib import Path

import pytest
from records import write_run

from cu_helpers import first_runs, notebook, sweeps
from cu_helpers.data import Dataset, forget_samples
from cu_helpers.metrics import evaluate
from cu_helpers.profiles import get_profile
from cu_helpers.training import TrainSettings
from cu_helpers.unlearning import ContrastiveSettings, Stopping, unlearn


def cells(table: str, label: str) -> list[str]:
    (row,) = [line for line in table.split("\n") if line.startswith(f"| {label} |")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_sweep_is_the_runs_beside_the_retrain_of_their_seed(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(
        digits, train=digits.train.first(120), validation=digits.validation.first(30), test=digits.test.first(90)
    )
    tiny = replace(get_profile("smoke"), width=4, training=TrainSettings(epochs=1, batch_size=60))
    lab = notebook.Lab(tiny, few, few.train.device, 0)
    settings = ContrastiveSettings(batch_size=20, omega=1, max_rounds=1, stopping=Stopping(rule="none"))
    runs = sweeps.Sweeps(lab)
    (found,) = runs.sweep("class", {"a": settings}, (1,))["a"]
    task = lab.class_task()
    run = unlearn("contrastive", lab.original(1).model, task, settings, 1)
    got, goal = evaluate(run.model, task), evaluate(lab.retrained(task, 1).model, task)
    assert (found["forget"], found["test"]) == pytest.approx((got["forget"], got["retain_test"]))
    assert found["gap_forget"] == pytest.approx(got["forget"] - goal["forget"])
    assert found["gap_test"] == pytest.approx(got["retain_test"] - goal["retain_test"])
    assert (found["retrain_forget"], found["retrain_test"]) == pytest.approx((goal["forget"], goal["retain_test"]))
    assert (found["steps"], found["rule"]) == (run.steps, False)
    again = runs.sweep("class", {"b": settings}, (1,))["b"][0]
    assert again is found, "a run that two tables share is made once"
    own = runs.sweep("samples", {"9": settings}, (2,), {"9": lambda seed: forget_samples(few, 9, seed)})["9"][0]
    drawn = forget_samples(few, 9, 2)
    assert own["retrain_test"] == pytest.approx(evaluate(lab.retrained(drawn, 2).model, drawn)["test"])
    others = {"first 9": lambda seed: forget_samples(few, 9, seed, first=True)}
    other = runs.sweep("samples", {"first 9": settings}, (2,), others)["first 9"][0]
    assert other is not own, "as many images, but others"


SWEPT: sweeps.Swept = {
    "1": [{"gap_forget": 1.0, "gap_test": -2.0, "steps": 4, "rule": True}],
    "2": [
        {"gap_forget": 3.0, "gap_test": 0.0, "steps": 4, "rule": True},
        {"gap_forget": 5.0, "gap_test": 0.0, "steps": 8, "rule": False},
    ],
}


def test_the_table_and_the_figures_show_means_and_who_was_stopped() -> None:
    table = sweeps.table("ω", SWEPT)
    assert cells(table, "1") == ["1", "1.0 (one run)", "-2.0 (one run)", "4.0 (one run)", "1 of 1"]
    assert cells(table, "2")[1] == "4.0 ± 12.7", "t of one degree of freedom times one"
    assert cells(table, "2")[-1] == "1 of 2"
    forgotten, test = sweeps.gap_figure(SWEPT, "ω").data
    assert (list(forgotten.x), list(forgotten.y), list(test.y)) == (["1", "2"], [1, 4], [-2, 0])
    assert forgotten.error_y.array[0] is None, "one seed has no interval"
    assert forgotten.error_y.array[1] == pytest.approx(12.7062, abs=1e-3)
    a, b = sweeps.kinds_figure({"a class": SWEPT, "samples": SWEPT}, "variant", ("#111111", "#222222")).data
    assert (list(a.y), a.marker.symbol, b.marker.symbol) == ([1, 4], "circle", "square")


PASSES = [
    [{"samples_seen": 0, "seconds": 0.0, "forget": 100.0}, {"samples_seen": 10, "seconds": 1.0, "forget": 60.0}],
    [
        {"samples_seen": 0, "seconds": 0.0, "forget": 90.0},
        {"samples_seen": 20, "seconds": 2.0, "forget": 20.0},
        {"samples_seen": 40, "seconds": 4.0, "forget": 0.0},
    ],
]


def test_a_curve_is_the_mean_as_far_as_the_shortest_run_goes() -> None:
    assert sweeps.mean_curve(PASSES, "forget") == ([0, 15], [95, 40])
    figure = sweeps.curve_figure({"contrastive": PASSES}, "forget", "accuracy (%)", level=7.0)
    assert list(figure.data[0].y) == [95, 40]
    assert figure.layout.shapes[0].y0 == 7
    assert sweeps.at_seconds(PASSES[1], 3.9)["forget"] == 20
    assert sweeps.at_seconds(PASSES[1], 4.0)["forget"] == 0
    assert cells(sweeps.accuracy_rows({"a": PASSES[0]}, {"forget": "f"}), "a")[1].startswith("80.0 ± ")


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    for seed in (0, 1):
        reference = {"forget": 0.0, "forget_test": 0.0, "retain_test": 80.0 + seed}
        write_run(
            tmp_path, method="retrain", seed=seed, metrics=reference, seconds=400.0, steps=4000, samples_seen=90_000
        )
        metrics = {"forget": 4.0 + seed, "forget_test": 6.0, "retain_test": 78.5 + seed}
        ours = {"method": "contrastive", "seed": seed, "metrics": metrics, "retrain_step_seconds": 0.1}
        write_run(tmp_path, **ours, variant="first stop", stopped_by="rule" if seed else "rounds", forget_share=0.5)
        write_run(tmp_path, **ours, variant="tuned")  # a fair fight's: not this chapter's
        curve = [{"samples_seen": 0, "seconds": 0.0, "forget": 99.0, "retain_test": 80.0}]
        curve.append({"samples_seen": 9, "seconds": 2.0 + seed, "forget": 5.0 + 2 * seed, "retain_test": 70.0})
        write_run(tmp_path, method="contrastive", seed=seed, variant="curve", metrics=metrics, curve=curve)
        write_run(
            tmp_path,
            method="contrastive",
            seed=seed,
            variant="curve without contrast",
            metrics=metrics,
            curve=curve[:1],
        )
    return tmp_path


def test_the_recorded_table_is_paired_by_seed(records: Path) -> None:
    runs = first_runs.recorded()
    assert {run.get("variant") for run in runs} == {None, "first stop", "curve", "curve without contrast"}
    found = first_runs.by_task(runs)
    assert set(found["class5"]) == {"retrain", "contrastive, first stop"}
    row = cells(first_runs.table("class5", found["class5"]), "contrastive, first stop")
    assert row[1:3] == ["2", "4.5 ± 6.4"]
    assert row[6] == "-1.5 ± 0.0", "78.5 - 80 and 79.5 - 81"
    assert row[7:] == ["10.0 ± 0.0", "40.0 ± 0.0", "90.0 ± 0.0", "50.0 ± 0.0", "1 of 2"]
    assert cells(first_runs.table("class5", found["class5"]), "retrain")[-1] == "–"


def test_targets_are_met_or_not(records: Path) -> None:
    found = first_runs.by_task(first_runs.recorded())
    pairs = first_runs.paired(found["class5"], "contrastive, first stop")
    assert [met for _, _, met in first_runs.targets("class5", pairs)] == [True, False, True, True]
    told = first_runs.judgement(found).split("\n")
    assert told[0] == "class5, contrastive, first stop"
    assert [line.split("  ")[1].strip() for line in told[1:]] == ["met", "NOT met", "met", "met"]
    with pytest.raises(ValueError, match="class5 has 0 paired runs without a measured speed"):
        first_runs.targets("class5", [])


def test_at_a_moment_a_shorter_pass_shows_its_end(records: Path) -> None:
    traced = first_runs.passes(first_runs.recorded())
    assert {name: sorted(of) for name, of in traced.items()} == {"contrastive": [0, 1], "no_contrast": [0, 1]}
    table = first_runs.at_moments(traced, (0.5, 1.0))
    assert cells(table, "Contrastive, 50 % of the pass")[1] == "99.0 ± 0.0"
    assert cells(table, "Contrastive, 100 % of the pass")[1] == "6.0 ± 12.7"
    assert cells(table, "Contrastive without L_UL, 100 % of the pass")[1] == "99.0 ± 0.0"
