"""The same grid on a real Slurm: Snakemake's own executor submits each run as a job."""

import os
from pathlib import Path

import pytest
import slurm
from grids import Grid

pytestmark = pytest.mark.slow


def test_a_grid_runs_on_slurm(tmp_path: Path) -> None:
    reason = slurm.missing()
    if reason and not os.environ.get("CU_REQUIRE_SLURM"):
        pytest.skip(reason)
    assert reason is None, reason
    grid = Grid(tmp_path, "--parts", "timed", "--methods", "finetune", "--seeds", "0", "--jobs", "2")
    options = ["--executor", "slurm", "--slurm-no-account", "--slurm-status-command", "squeue"]
    options += ["--slurm-init-seconds-before-status-checks", "5", "--seconds-between-status-checks", "5"]
    options += ["--default-resources", "slurm_partition=book"]
    with slurm.one_node(tmp_path / "slurm"):
        made = grid.run("--", *options, "--slurm-logdir", str(tmp_path / "logs"), "--slurm-keep-successful-logs")
    assert made.returncode == 0, made.stdout
    assert "submitted with SLURM jobid" in made.stdout
    assert set(grid.records()) == {
        "digits-resnet18-class5-finetune-timed-seed0.json",
        "digits-resnet18-samples36-finetune-timed-seed0.json",
    }
    logs = list((tmp_path / "logs").rglob("*.log"))
    assert len(logs) == 3, "one job for the model and one for each run"
