"""Recorded runs: one JSON file each, so that every number in the book can be traced."""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch

from .checkpoints import versions
from .errors import DataFileError
from .files import write_text
from .memory import peak_memory_mib
from .profiles import PROFILES
from .schema import REQUIRED, check_run, fault

FIELDS = tuple(REQUIRED)


def results_folder() -> Path:
    """Where runs are kept: $CU_RESULTS, else book/results of the checkout that holds the package.

    Without either (the package is installed alone) it is ./results.
    """
    named = os.environ.get("CU_RESULTS")
    if named:
        return Path(named)
    book = Path(__file__).resolve().parent.parent / "book"
    return book / "results" if book.is_dir() else Path("results")


@cache
def commit() -> str:
    """The checkout's git commit when this was first asked, or "unknown".

    A "+" follows if tracked files of the package have changed. An installed package that only lies inside some
    other repository is unknown. $CU_COMMIT names the commit where the code runs without its history, as in a
    container or from a copied tree.
    """
    named = os.environ.get("CU_COMMIT")
    if named:
        return named
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=True).stdout

    try:
        git("ls-files", "--error-unmatch", "--", Path(__file__).name)
        changed = git("status", "--porcelain", "--untracked-files=no", "--", str(here)).strip()
        return git("rev-parse", "--short=12", "HEAD").strip() + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def describe_device(device: torch.device) -> str:
    """The processor or GPU in words, and how many threads torch uses on a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = "CPU"
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        model = found.group(1).strip() if found else model
    except OSError:
        pass
    return f"{model}, {torch.get_num_threads()} threads"


def plain(value: Any) -> Any:
    """Dataclasses, tuples and paths as what JSON can hold."""
    if is_dataclass(value) and not isinstance(value, type):
        return {key: plain(item) for key, item in asdict(value).items()}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


NAMED = ("dataset", "model", "task", "method")  # what every record's file name starts with


def _in_name(value: Any) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "_", str(value))


def record_path(run: Mapping[str, Any]) -> Path:
    """Where a run belongs: <profile>/<dataset>-<model>-<task>-<method>[-<variant>]-seed<seed>.json."""
    parts = [*[run[name] for name in NAMED], run.get("variant"), f"seed{run['seed']}"]
    name = "-".join(_in_name(part) for part in parts if part)
    return results_folder() / str(run["profile"]) / f"{name}.json"


def complete(device: torch.device, **run: Any) -> dict[str, Any]:
    """A run as it is recorded: what the machine knows is added, and the schema is checked.

    run: everything in `schema.REQUIRED` but peak_memory_mib, device, versions and commit, and what
    `schema.OPTIONAL` allows. Raises ValueError if the run does not fit the schema or a number in it
    is NaN or infinite.
    """
    described: dict[str, Any] = plain(run) | {
        "peak_memory_mib": round(peak_memory_mib(device), 1),
        "device": describe_device(device),
        "versions": versions(),
        "commit": commit(),
    }
    wrong = fault(described)
    if wrong:
        raise ValueError(f"the run that was to be recorded {wrong}")
    return described


def write_run(path: Path, run: Mapping[str, Any]) -> None:
    """Write a complete run to `path`, aside and renamed. Raises ValueError for a NaN or infinite number."""
    write_text(path, json.dumps(plain(run), indent=1, sort_keys=True, allow_nan=False) + "\n")


def record(device: torch.device, **run: Any) -> Path:
    """Complete one run, write it where it belongs and return where; see `complete`."""
    described = complete(device, **run)
    path = record_path(described)
    write_run(path, described)
    return path


@lru_cache(maxsize=4096)
def _read(path: Path, changed: int, size: int) -> tuple[dict[str, Any], str]:
    """One record, checked, and its text; changed and size tell a file that was written anew."""
    text = path.read_text(encoding="utf-8")
    try:
        run = json.loads(text)
    except ValueError as error:
        raise DataFileError(f"{path} is not a recorded run ({error}); remove it and run it again") from error
    check_run(run, str(path))
    return run, text


def _cached(path: Path) -> tuple[dict[str, Any], str]:
    """One recorded run as the cache holds it: not to be changed, nor handed on. Its text is what copies are made of."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataFileError(f"{path} is not a recorded run ({error}); make it first") from error
    return _read(path, status.st_mtime_ns, status.st_size)


def _copy(path: Path, text: str) -> dict[str, Any]:
    """A run of its own for each reader: what one changes must not reach the next. Parsing is faster than deepcopy."""
    return {**json.loads(text), "path": path.name}


def read_run(path: Path) -> dict[str, Any]:
    """One recorded run, with its file's name as "path". Raises DataFileError if the file is not a run."""
    return _copy(path, _cached(path)[1])


def _may_match(stem: str, wanted: Mapping[int, str]) -> bool:
    """Whether a file of this name can hold a wanted run; wanted: place in the name -> what has to stand there."""
    parts = stem.split("-")
    return len(parts) <= len(NAMED) or all(parts[place] == part for place, part in wanted.items())


def read_runs(profile: str | None = None, **match: Any) -> list[dict[str, Any]]:
    """Every recorded run whose fields equal `match`, in the order of their file names.

    profile: one profile's folder, None for all. A file whose name says that it does not match is not
    opened. Raises DataFileError if a file is not a run: damaged,
    or with a field missing, unknown or of another kind than the schema says.
    """
    folders = (profile,) if profile else PROFILES
    root, found = results_folder(), []
    wanted = {place: _in_name(match[key]) for place, key in enumerate(NAMED) if key in match}
    for name in sorted(folders):
        folder = root / name
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        for entry in names:
            stem, ending = os.path.splitext(entry)
            if ending == ".json" and _may_match(stem, wanted):
                run, text = _cached(folder / entry)
                if all(run.get(key) == value for key, value in match.items()):
                    found.append(_copy(folder / entry, text))
    return found


def values(runs: Iterable[dict[str, Any]], metric: str) -> list[float]:
    """One metric of each run, in the runs' order."""
    return [float(run["metrics"][metric]) for run in runs]
