"""`make speed` at profile smoke: every part runs, is recorded and shown."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cu_helpers.speed import report

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_every_part_runs_and_is_recorded(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CU_RESULTS": str(tmp_path),
        "CU_CACHE": str(tmp_path / "cache"),
    }
    words = ["--profile", "smoke", "--dataset", "digits", "--repeats", "1", "--device", "cpu", "--tasks", "class"]
    made = subprocess.run(
        [sys.executable, str(ROOT / "book" / "speed.py"), *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    record = json.loads((tmp_path / "speed" / "cpu-smoke.json").read_text(encoding="utf-8"))
    report.check_record(record, "cpu-smoke.json")
    assert set(report.PARTS) - set(report.GPU_PARTS) <= set(record)
    assert [one["task"] for one in record["rivals"]] == ["class5"]
    assert record["fisher"]["relative_difference"] < 1e-3
    assert "| resnet18, width 4 | Contrastive |" in made.stdout
    assert "| digits, class5 | SSD, as " in made.stdout
