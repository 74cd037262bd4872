"""Small smoke grids started as a user starts them, and what their records must agree in."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Of a record: what depends on the clock, on how many runs share the machine, and on where the code lies.
CLOCK = {"seconds", "check_seconds", "retrain_step_seconds", "shared", "peak_memory_mib", "commit"}


class Grid:
    """A grid's folders and its command."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.results, self.work = folder / "results", folder / "work"
        self.words, self.end = words, "--runs-only"  # or "--no-book": the tables as well
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "CU_RESULTS": str(self.results),
            "CU_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }

    def command(self, *more: str) -> list[str]:
        """The command line of `make reproduce`."""
        start = [sys.executable, str(ROOT / "book" / "reproduce.py"), "--profile", "smoke", self.end]
        return [*start, "--work", str(self.work), *self.words, *more]

    def run(self, *more: str, timeout: float = 1200) -> "subprocess.CompletedProcess[str]":
        """Start the grid and wait for its end; what it prints, stdout and stderr together."""
        return subprocess.run(
            self.command(*more),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *more: str) -> "subprocess.Popen[bytes]":
        """Start the grid in a process group of its own and go on."""
        return subprocess.Popen(
            self.command(*more),
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def finished(self) -> dict[str, tuple[int, str]]:
        """Every finished file of the grid: records, measured runs, models; with its time and content."""
        found = [*self.results.rglob("*.json"), *(self.work / "measured").rglob("*.json")]
        found += [*(self.work / "original").rglob("*.json"), *(self.work / "retrained").rglob("*.json")]
        return {str(path): (path.stat().st_mtime_ns, path.read_text(encoding="utf-8")) for path in found}

    def records(self) -> dict[str, Any]:
        """Every record without what depends on the clock."""
        return {
            path.name: timeless(json.loads(path.read_text(encoding="utf-8")))
            for path in sorted((self.results / "smoke").glob("*.json"))
        }


def timeless(value: Any) -> Any:
    """A record, or a part of one, without the fields in CLOCK."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in CLOCK}
    return [timeless(item) for item in value] if isinstance(value, list) else value
