"""The grid's cells: names, models, settings; GPUs for several processes; locks; the estimate."""

import json
import multiprocessing
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import grid_step
import pytest
import reproduce
from records import write_run

from cu_helpers import estimate, grid, grid_parts, grid_steps
from cu_helpers.files import locked, try_lock, write_text
from cu_helpers.gpus import claim_gpu, gpus_to_share, visible_gpus
from cu_helpers.grid import Cell
from cu_helpers.unlearning import METHODS, Stopping

CELL = Cell("smoke", "digits", "resnet18", "class", 5, "contrastive", "tuned", 0)


def test_every_cell_has_a_name_of_its_own_and_settings() -> None:
    for profile, dataset in (("smoke", "digits"), ("laptop", "digits"), ("paper", "cifar10")):
        cells = grid_parts.cells(profile, dataset, parts=list(grid_parts.PARTS))
        assert len({cell.name for cell in cells}) == len(cells)
        for cell in cells:
            if cell.method not in grid.REFERENCES and not grid.needs_search(cell):
                table, variant, settings, _ = grid.planned(cell)
                assert (variant, bool(table)) == (cell.variant, True)
                assert settings is not None


def test_smoke_is_small_and_the_paper_profile_is_whole() -> None:
    assert len(grid_parts.cells("smoke", "digits")) == 10
    whole = grid_parts.cells("paper", "cifar10", models=["resnet18", "resnet34"])
    tables = {
        grid.planned(cell)[0] for cell in whole if cell.method not in grid.REFERENCES and not grid.needs_search(cell)
    }
    assert tables == {"Table 1", "Table 3", "Table 9", "Table 11", "Table 12", "Table 14", "Figs. 3 and 4"}
    assert {cell.method for cell in whole if cell.model == "resnet34" and cell.kind == "class"} == {
        "original",
        "retrain",
        *grid_parts.PAPER_METHODS["class"],
    }
    with pytest.raises(ValueError, match="unknown part of the grid 'tables'"):
        grid_parts.cells("smoke", "digits", parts=["tables"])
    with pytest.raises(ValueError, match="unknown method 'forget'"):
        grid_parts.cells("smoke", "digits", methods=["forget"])


def test_the_part_looks_has_those_whose_rule_is_looked_at_less_often() -> None:
    cells = grid_parts.cells("laptop", "digits", parts=["looks"], seeds=[0])
    assert [(cell.kind, cell.method) for cell in cells] == [
        (kind, method) for kind in ("class", "samples") for method in ("finetune", "gradient_ascent")
    ]
    for cell in cells:
        tuned = grid.settings_of(cell.size, cell.kind, cell.method)
        table, variant, settings, watched = grid.planned(cell)
        assert (table, watched) == (grid.TABLES[cell.kind], ())
        assert variant == grid.EVERY_LOOK
        assert (tuned.stopping.check_every, settings.stopping.check_every) == (None, 1)
        assert replace(settings, stopping=tuned.stopping) == tuned
    others = grid_parts.cells("laptop", "digits", ["resnet34"], parts=["looks"])
    assert others == [], "other architectures are not searched"


def test_a_cell_is_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    assert CELL.record == tmp_path / "smoke" / "digits-resnet18-class5-contrastive-tuned-seed0.json"
    assert Cell(**json.loads(json.dumps(asdict(CELL)))) == CELL
    assert write_run(tmp_path, profile="smoke", dataset="digits", variant="tuned") == CELL.record
    with pytest.raises(ValueError, match="unknown method"):
        Cell("smoke", "digits", "resnet18", "class", 5, "forget", None, 0)


def test_lcodecs_few_samples_share_the_retrained_model() -> None:
    few = Cell("laptop", "cifar10", "resnet18", "samples", grid.FEW, "lcodec", "tuned", 1)
    all_samples = Cell("laptop", "cifar10", "resnet18", "samples", 500, "scrub", "tuned", 1)
    assert few.verified
    assert few.retrained_key == all_samples.retrained_key == "cifar10-resnet18-samples500-seed1"
    other = Cell("laptop", "cifar10", "resnet18", "samples", 1000, "contrastive", "tuned", 1)
    assert other.retrained_key is None
    assert grid.planned(other)[0] == "Table 11"


def test_variants_change_what_they_name() -> None:
    def settings(variant: str, kind: str = "samples", method: str = "contrastive") -> object:
        return grid.planned(
            Cell("paper", "cifar10", "resnet18", kind, 5 if kind == "class" else 500, method, variant, 0)
        )

    assert settings("tau 0.07")[2].temperature == 0.07  # type: ignore[index]
    assert settings(grid.NO_CONTRAST)[2].lambda_ul == 0.0  # type: ignore[index]
    assert settings("batch 32 omega 2")[2].omega == 2  # type: ignore[index]
    curve = settings("curve", "class")
    assert curve[2].stopping == Stopping(rule="none", check_every=4)  # type: ignore[index]
    assert curve[3] == ("forget", "retain_test")  # type: ignore[index]
    with pytest.raises(ValueError, match="no run of contrastive is called 'tau 3'"):
        settings("tau 3")


@pytest.mark.parametrize(
    ("method", "variant"),
    [
        *[(method, "zz") for method in METHODS],
        ("finetune", grid.NO_CONTRAST),
        ("fisher", grid.EVERY_LOOK),
        ("ssd", "curve"),
        ("scrub", "batch 64"),
    ],
)
def test_a_run_that_a_method_cannot_have_is_refused(method: str, variant: str) -> None:
    kind = METHODS[method].tasks[0]
    cell = Cell("smoke", "digits", "resnet18", kind, 5 if kind == "class" else 36, method, variant, 0)
    with pytest.raises(ValueError, match=f"no run of {method} is called '{variant}'; see grid_parts"):
        grid.planned(cell)


def test_a_target_is_made_once(tmp_path: Path) -> None:
    target = tmp_path / "made.json"
    assert grid_steps.once(target, tmp_path, lambda: target.write_text("1") and None)
    assert not grid_steps.once(target, tmp_path, lambda: target.write_text("2") and None)
    assert target.read_text() == "1"


def _add(path: Path, lock: Path) -> None:
    for _ in range(50):
        with locked(lock):
            path.write_text(str(int(path.read_text()) + 1))


def test_a_lock_keeps_processes_apart(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("0")
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=_add, args=(path, tmp_path / "lock")) for _ in range(3)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert path.read_text() == "150"
    first = try_lock(tmp_path / "other")
    assert first is not None
    assert try_lock(tmp_path / "other") is None


def _claim(folder: Path, number: int) -> None:
    gpu = claim_gpu(folder, ["0", "1"], wait_seconds=0.01)
    write_text(folder / f"answer{number}", str(gpu))
    time.sleep(300)


def _answer(folder: Path, number: int) -> str:
    for _ in range(3000):
        if (folder / f"answer{number}").exists():
            return (folder / f"answer{number}").read_text()
        time.sleep(0.01)
    raise AssertionError("no answer in 30 seconds")


def test_every_process_gets_a_gpu_of_its_own_and_a_killed_one_gives_it_back(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    first, second, third = (context.Process(target=_claim, args=(tmp_path, number)) for number in range(3))
    first.start()
    of_first = _answer(tmp_path, 0)
    second.start()
    assert {of_first, _answer(tmp_path, 1)} == {"0", "1"}
    third.start()
    time.sleep(0.3)
    assert not (tmp_path / "answer2").exists(), "it waits for a GPU"
    first.kill()
    assert _answer(tmp_path, 2) == of_first
    for process in (first, second, third):
        process.kill()
        process.join()
    assert claim_gpu(tmp_path, []) is None
    with pytest.raises(ValueError, match="slots is 0"):
        claim_gpu(tmp_path, ["0"], slots=0)
    held = {claim_gpu(tmp_path, ["0", "1"], slots=2) for _ in range(2)}
    assert held == {"0", "1"}, "the emptiest first"


def test_gpus_that_are_named_are_the_ones_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5")
    assert visible_gpus() == ["2", "5"]
    for none in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert visible_gpus() == []


def test_a_scheduler_gives_gpus_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    for name in ("SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert gpus_to_share() == ["0"]
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert gpus_to_share() == []


def test_the_plan_counts_runs_and_adds_recorded_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    cells = grid_parts.cells("smoke", "digits", parts=["class"], methods=["finetune", "fisher"])
    common = {"profile": "smoke", "dataset": "digits"}
    write_run(tmp_path, **common, method="original", seed=3, seconds=7000.0)
    write_run(tmp_path, **common, method="retrain", seed=3, seconds=200.0)
    write_run(tmp_path, **common, method="finetune", variant="tuned", seed=0, seconds=5.0)
    plan = estimate.estimate(cells).splitlines()
    assert plan[0] == "4 runs wanted: 1 recorded, 3 to do"
    assert plan[2].startswith("about 2.0 h with 1 at once")
    assert plan[3] == "not in that time, since none is recorded: fisher (1)"
    assert plan[4].startswith(
        "1 of the recorded runs, such as digits-resnet18-class5-finetune-tuned-seed0, were neither"
    )
    for cell in cells:
        write_run(tmp_path, **common, method=cell.method, variant=cell.variant, seed=0, audit={"mmd": 0.0})
    assert estimate.estimate(cells) == "4 runs wanted: 4 recorded, 0 to do"
    assert [estimate.duration(seconds) for seconds in (5, 600, 7200)] == ["about 5 s", "about 10 min", "about 2.0 h"]


def test_tables_that_are_older_than_a_record_are_made_again(tmp_path: Path) -> None:
    tables, record = tmp_path / "17.ipynb", tmp_path / "run.json"
    for path, when in ((tables, 2000), (record, 1000)):
        path.write_text("")
        os.utime(path, (when, when))
    reproduce.drop_old_tables(tables, [record, tmp_path / "none.json"])
    assert tables.exists()
    os.utime(record, (3000, 3000))
    reproduce.drop_old_tables(tables, [record])
    assert not tables.exists()


def test_snakemakes_command_tells_the_grid_what_is_wanted(tmp_path: Path) -> None:
    words = ["--profile", "paper", "--dataset", "svhn", "--jobs", "4", "--gpu-slots", "2", "--work", str(tmp_path)]
    wanted = reproduce.command_line().parse_args([*words, "--parts", "class", "counts", "--seeds", "0", "1"])
    local = reproduce.snakemake(wanted, [], gpus=3)
    assert {"--keep-going", "--ignore-incomplete", "gpu=6", "parts=class counts", "seeds=0 1", "shared=4"} <= set(local)
    assert local[local.index("--cores") + 1] == "4"
    assert "timed_threads=4" in local, "a timed run is alone on the machine"
    remote = reproduce.snakemake(wanted, ["--executor", "slurm"], gpus=0)
    assert remote[remote.index("--jobs") + 1] == "4"
    assert "--cores" not in remote
    assert "timed_threads=1" in remote


def test_a_failure_is_one_line_with_parameters_and_log(tmp_path: Path) -> None:
    line = grid_step.failure("verify", CELL, tmp_path / "a.log", ValueError("two\nlines"))
    assert "\n" not in line
    assert line.startswith("step verify failed (ValueError: two lines); parameters: profile=smoke, dataset=digits")
    assert line.endswith(f"seed=0; log: {tmp_path / 'a.log'}")
