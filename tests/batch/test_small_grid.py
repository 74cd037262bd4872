"""A small smoke grid: a notebook that fails says so and the rest goes on; the same command finishes it."""

import json
import os
import signal
import time
from pathlib import Path

from grids import Grid

FAILING, OTHER = (f"digits-resnet18-{task}-finetune-timed-seed0" for task in ("class5", "samples36"))
BAD = {"learning_rate": -1.0}


def spoil(grid: Grid) -> Path:
    """A recorded search whose best setting no run accepts."""
    path = grid.results / "tuning" / "smoke" / "digits-resnet18-class-finetune.json"
    path.parent.mkdir(parents=True)
    trial = {"changes": BAD, "metrics": {}, "score": 1.0, "seconds": 0.0, "steps": 0, "samples_seen": 0}
    path.write_text(json.dumps({"trials": [trial]}))
    return path


def kill_once_there(grid: Grid, folder: Path) -> dict[str, tuple[int, str]]:
    """Start the grid, kill all of it as soon as `folder` holds a file, and return the finished files.

    Snakemake has then not yet seen that the step is done, and takes its output for incomplete.
    """
    process, give_up = grid.start(), time.monotonic() + 300
    while not list(folder.glob("*.json")):
        assert process.poll() is None, f"the grid ended and nothing appeared in {folder}"
        assert time.monotonic() < give_up, f"nothing appeared in {folder}"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return {name: file for name, file in grid.finished().items() if Path(name).parent == folder}


def test_a_failing_notebook_names_itself_and_the_rest_goes_on(tmp_path: Path) -> None:
    words = ("--parts", "timed", "--methods", "finetune", "--seeds", "0", "--retries", "0", "--jobs", "2")
    grid = Grid(tmp_path, *words)
    spoiled = spoil(grid)
    kept = kill_once_there(grid, grid.work / "original" / "smoke")

    made = grid.run()
    after = grid.finished()
    assert {name: after[name] for name in kept} == kept, "what a killed start finished is not made again"
    assert made.returncode == 1, made.stdout
    assert "2 runs wanted: 0 recorded, 2 to do" in made.stdout
    (line,) = {line.strip() for line in made.stdout.splitlines() if "failed in cell" in line}
    log = grid.work / "logs" / f"smoke-unlearn-{FAILING}.log"
    assert line.startswith("notebooks/run/unlearn.ipynb failed in cell")
    assert "learning_rate is -1.0; expected a finite number above 0" in line
    assert "profile=smoke, dataset=digits, model=resnet18, kind=class, amount=5, method=finetune, variant=timed" in line
    assert line.endswith(f"seed=0; log: {log}")
    assert "learning_rate is -1.0" in log.read_text(encoding="utf-8")
    assert set(grid.records()) == {f"{OTHER}.json"}, "the rest went on"
    before = grid.finished()

    spoiled.unlink()
    before.pop(str(spoiled))
    grid.end = "--no-book"
    again = grid.run()
    assert again.returncode == 0, again.stdout
    assert "2 runs wanted: 1 recorded, 1 to do" in again.stdout
    assert set(grid.records()) == {f"{OTHER}.json", f"{FAILING}.json"}
    after = grid.finished()
    assert {name: after[name] for name in before} == before, "nothing finished is run twice"
    executed = grid.work / "notebooks" / "smoke" / f"{FAILING}.ipynb"
    assert '"injected-parameters"' in executed.read_text(encoding="utf-8")
    assert not list((grid.work / "failed").iterdir())
    tables = (grid.work / "tables" / "smoke" / "17_reproduction.ipynb").read_text(encoding="utf-8")
    assert "Of 2 recorded runs" in tables, "chapter 17 was run on these records"
