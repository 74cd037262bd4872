"""kill -9 at ten random moments, with two jobs at once: the same records as one undisturbed job makes."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from grids import Grid

from cu_helpers.schema import check_run

pytestmark = pytest.mark.slow
WORDS = ("--parts", "class", "--methods", "finetune", "--seeds", "0", "--gpu-slots", "2")


def test_a_grid_that_is_killed_ten_times_ends_like_one_that_is_not(tmp_path: Path) -> None:
    calm = Grid(tmp_path / "calm", *WORDS, "--jobs", "1")
    start = time.monotonic()
    made = calm.run()
    whole = time.monotonic() - start
    assert made.returncode == 0, made.stdout
    assert len(calm.records()) == 3

    draw, killed = random.Random(6), Grid(tmp_path / "killed", *WORDS, "--jobs", "2")
    seen: dict[str, tuple[int, str]] = {}
    for number in range(10):
        process = killed.start()
        time.sleep(draw.uniform(0.05, 0.3) * whole)
        if number % 2:
            os.killpg(process.pid, signal.SIGKILL)  # everything that was started
        else:
            os.kill(process.pid, signal.SIGKILL)  # the head alone: its steps go on, and the next start waits for them
        process.wait()
        found = killed.finished()
        assert {name: found.get(name) for name in seen} == seen, "nothing finished is lost or run twice"
        for name, record in killed.records().items():
            assert record["method"], f"{name} is whole at every moment"
        seen = found
    last = killed.run()
    assert last.returncode == 0, last.stdout
    found = killed.finished()
    assert {name: found.get(name) for name in seen} == seen
    assert killed.records() == calm.records(), "two jobs at once, ten kills: the same records, seconds aside"
    for path in (killed.results / "smoke").glob("*.json"):
        check_run(json.loads(path.read_text(encoding="utf-8")), path.name)
