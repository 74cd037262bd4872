"""Run the reproduction's grid: `make reproduce`; this starts Snakemake with what a safe resume needs.

    python book/reproduce.py --profile smoke --dataset digits --jobs 2
    python book/reproduce.py --profile paper --dataset cifar10 --plan
    python book/reproduce.py --profile paper --dataset cifar10 -- --executor slurm --slurm-no-account

What stands after `--` goes to Snakemake as it is.
"""

import argparse
import os
import sys
from pathlib import Path

from cu_helpers import grid_parts
from cu_helpers.data import DATASETS
from cu_helpers.errors import reported
from cu_helpers.estimate import estimate
from cu_helpers.files import locked, try_lock
from cu_helpers.gpus import visible_gpus
from cu_helpers.models import MODELS
from cu_helpers.profiles import PROFILES
from cu_helpers.sources import pin_folders
from cu_helpers.unlearning import METHODS

ROOT = Path(__file__).resolve().parent.parent


def at_least_one(word: str) -> int:
    """A whole number of 1 or more from the command line."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"found {word!r}; expected a whole number, 1 or more")
    return int(word)


def command_line() -> argparse.ArgumentParser:
    """What to run and how much of it at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="smoke", choices=PROFILES)
    parser.add_argument("--dataset", default="digits", choices=DATASETS)
    parser.add_argument("--models", nargs="+", default=["resnet18"], choices=MODELS)
    parser.add_argument("--parts", nargs="+", choices=list(grid_parts.PARTS), help="default: all but timed")
    parser.add_argument("--methods", nargs="+", choices=sorted(METHODS), help="default: all")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: the profile's")
    parser.add_argument("--jobs", type=at_least_one, default=1, help="runs at once")
    parser.add_argument("--gpus", type=int, help="GPUs of the cluster; default: those of this machine")
    parser.add_argument("--gpu-slots", type=at_least_one, default=1, help="runs that may share a GPU")
    parser.add_argument("--retries", type=int, default=1, help="how often a failed run is tried again")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "grid", help="for logs and notebooks")
    parser.add_argument("--runs-only", action="store_true", help="make the records, no tables and no book")
    parser.add_argument("--no-book", action="store_true", help="make the records and the tables, no book")
    parser.add_argument("--plan", action="store_true", help="say how many runs there are and how long; run none")
    return parser


def snakemake(wanted: argparse.Namespace, extra: list[str], gpus: int) -> list[str]:
    """Snakemake's command line."""
    chosen = {
        "profile": wanted.profile,
        "dataset": wanted.dataset,
        "models": " ".join(wanted.models),
        "parts": " ".join(wanted.parts or []),
        "methods": " ".join(wanted.methods or []),
        "seeds": " ".join(str(seed) for seed in wanted.seeds or []),
        "work": str(wanted.work.resolve()),
        "shared": wanted.jobs,
        "gpus": gpus,
        "gpu_slots": wanted.gpu_slots,
        "retries": wanted.retries,
        "book": not wanted.no_book,
        "timed_threads": 1 if "--executor" in extra else wanted.jobs,
    }
    words = [sys.executable, "-m", "snakemake", "runs" if wanted.runs_only else "all"]
    words += ["--snakefile", str(ROOT / "notebooks" / "Snakefile"), "--directory", str(wanted.work.resolve())]
    words += ["--keep-going", "--rerun-triggers", "mtime"]
    words += ["--ignore-incomplete"]  # an output that exists is whole, also if its start was killed before it knew
    words += ["--nolock"]  # two starts at once are kept apart by the lock that this process holds
    words += ["--quiet", "rules", "host", "--latency-wait", "30"]
    if "--executor" not in extra:
        words += ["--cores", str(wanted.jobs)]
    else:
        words += ["--jobs", str(wanted.jobs)]
    if gpus:
        words += ["--resources", f"gpu={gpus * wanted.gpu_slots}"]
    return [*words, *extra, "--config", *[f"{name}={value}" for name, value in chosen.items()]]


def hold(path: Path) -> None:
    """Hold a lock until this process ends, also when it has become another program; wait for it if need be."""
    handle = try_lock(path)
    if handle is None:
        print("Another start works on this folder; waiting until it ends", flush=True)
        handle = try_lock(path, wait=True)
    assert handle is not None
    os.set_inheritable(handle, True)


def drop_old_tables(tables: Path, records: list[Path]) -> None:
    """Remove the executed chapter 17 if a record is newer, so that it is made again; the book follows it."""
    times = [path.stat().st_mtime for path in records if path.exists()]
    if tables.exists() and times and max(times) > tables.stat().st_mtime:
        tables.unlink()


def main() -> int:
    """Show the plan, or wait for what an earlier start left running and become Snakemake."""
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    wanted, extra = command_line().parse_args(words[:split]), words[split + 1 :]
    pin_folders()  # the steps run in the work folder
    cells = grid_parts.cells(wanted.profile, wanted.dataset, wanted.models, wanted.parts, wanted.methods, wanted.seeds)
    print(estimate(cells, wanted.jobs), flush=True)
    if wanted.plan:
        return 0
    work = wanted.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    hold(work / "start.lock")
    with locked(work / "busy.lock"):  # steps of a killed start finish first: what they make is not made again
        pass
    drop_old_tables(work / "tables" / wanted.profile / "17_reproduction.ipynb", [cell.record for cell in cells])
    threads = 1 if wanted.profile == "smoke" else max(1, (os.cpu_count() or 1) // wanted.jobs)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    gpus = len(visible_gpus()) if wanted.gpus is None else wanted.gpus
    command = snakemake(wanted, extra, gpus)
    os.execv(command[0], command)


if __name__ == "__main__":
    sys.exit(reported("reproduce", main))
