"""How many runs a grid has and how long they take, from the seconds of recorded runs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from .grid import REFERENCES, Cell
from .results import read_run, read_runs

START_SECONDS = 10.0  # of a process that loads torch and a notebook's kernel, on two cores


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


def _seconds(cell: Cell, runs: Sequence[dict[str, Any]]) -> float | None:
    """A cell's seconds: those of the nearest recorded runs of its profile, data set and model; None without any."""
    same = [run for run in runs if run["method"] == cell.method and run["task"].startswith(cell.kind)]
    of_variant = [run for run in same if run.get("variant") == cell.variant]
    return _mean(run["seconds"] for run in of_variant or same)


def duration(seconds: float) -> str:
    """Seconds in words: "about 40 s", "about 12 min", "about 3.5 h"."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def estimate(cells: Sequence[Cell], jobs: int = 1) -> str:
    """The plan of a grid in a few lines: runs recorded and to do, models to train, and the time with `jobs` at once.

    A training or run without a recorded one of its kind is counted and said to be unknown, and
    nothing is put in its place. Attacks and audits are not timed in records and not in the sum.
    """
    todo = [cell for cell in cells if not cell.record.exists()]
    lines = [f"{len(cells)} runs wanted: {len(cells) - len(todo)} recorded, {len(todo)} to do"]
    if todo:
        lines += _time(todo, jobs)
    plain = [
        cell.name for cell in cells if cell.verified and cell.record.exists() and "audit" not in read_run(cell.record)
    ]
    if plain:
        lines.append(
            f"{len(plain)} of the recorded runs, such as {plain[0]}, were neither attacked nor audited; to make them "
            "again with both, remove their files"
        )
    return "\n".join(lines)


def _time(todo: Sequence[Cell], jobs: int) -> list[str]:
    """Models to train, the time of what is to do, and what that time leaves out."""
    lines = []
    runs = [
        run
        for run in read_runs(todo[0].profile, dataset=todo[0].dataset)
        if run["model"] in {cell.model for cell in todo}
    ]
    known, unknown = 0.0, Counter[str]()
    keys = {("original", cell.original_key): cell for cell in todo}
    keys |= {("retrain", cell.retrained_key): cell for cell in todo if cell.retrained_key}
    for (method, _), cell in keys.items():
        seconds = _mean(run["seconds"] for run in runs if run["method"] == method and run["model"] == cell.model)
        known += seconds or 0.0
        unknown[f"training of {method}"] += seconds is None
    for cell in todo:
        if cell.method in REFERENCES:
            continue
        seconds = _seconds(cell, [run for run in runs if run["model"] == cell.model])
        known += seconds or 0.0
        unknown[cell.method] += seconds is None
    trainings = len(keys)
    starts = START_SECONDS * (trainings + len(todo) + sum(cell.verified for cell in todo))
    lines.append(f"{trainings} models to train, if the cache does not hold them")
    lines.append(f"{duration((known + starts) / jobs)} with {jobs} at once, from recorded seconds; audits come on top")
    missing = ", ".join(f"{name} ({count})" for name, count in sorted(unknown.items()) if count)
    if missing:
        lines.append(f"not in that time, since none is recorded: {missing}")
    return lines
