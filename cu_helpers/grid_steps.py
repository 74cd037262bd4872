"""The steps of a batch run: each makes one file, under a lock, and only if it is not there yet."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .checkpoints import load_model, save_model
from .data import Dataset, load_dataset
from .experiments import original_model, record_reference, retrained_model, unlearning_run
from .files import locked, write_text
from .grid import REFERENCES, TABLES, Cell, needs_search, planned
from .models import EmbeddingClassifier
from .profiles import get_profile
from .results import complete, read_run, write_run
from .training import TrainedModel
from .tuning import GRIDS, SEARCH_MODEL, SEARCH_SEED, best, record_search, search
from .verification import verify


def measured_path(work: Path, cell: Cell) -> Path:
    """Where a run waits for its attacks and audits; its model lies beside it, as .safetensors."""
    return work / "measured" / cell.profile / f"{cell.name}.json"


def notebook_path(work: Path, cell: Cell) -> Path:
    """Where the executed notebook of a run lies."""
    return work / "notebooks" / cell.profile / f"{cell.name}.ipynb"


def run_path(work: Path, cell: Cell) -> Path:
    """The file that a cell's unlearning makes: its record, or what waits for attacks and audits."""
    return measured_path(work, cell) if cell.verified else cell.record


def once(target: Path, work: Path, make: Callable[[], None]) -> bool:
    """Call `make` unless `target` is there; return whether it was called.

    Of several processes that want the same target one makes it, and the others wait and find it.
    """
    lock = work / "locks" / f"{target.parent.name}-{target.name}.lock"
    with locked(lock):
        if target.exists():
            return False
        make()
        return True


def data_of(cell: Cell) -> Dataset:
    """The cell's data set, at its profile's size."""
    return cell.size.shrink(load_dataset(cell.dataset))


def _stamp(target: Path, trained: TrainedModel) -> None:
    """Say that a model is in the cache."""
    write_text(target, json.dumps({"key": trained.key, "seconds": trained.seconds}) + "\n")


def train_original(cell: Cell, target: Path) -> None:
    """Train the original model into the cache, and write `target` when it is there."""
    _stamp(target, original_model(data_of(cell), cell.size, cell.seed))


def train_retrained(cell: Cell, target: Path) -> None:
    """Train Retrain of the cell's task into the cache, and write `target` when it is there."""
    _stamp(target, retrained_model(cell.task(data_of(cell), cell.reference_amount), cell.size, cell.seed))


def record_reference_cell(cell: Cell, shared: int) -> None:
    """Record the original or the retrained model, attacked and audited."""
    main = cell.kind == "class" or cell.amount == cell.size.count
    table = ("Table 8" if cell.method == "original" else TABLES[cell.kind]) if main else "Table 11"
    record_reference(cell.size, cell.task(data_of(cell)), cell.method, cell.seed, table, shared)


def unlearn_cell(cell: Cell, dataset: Dataset, shared: int) -> tuple[EmbeddingClassifier, dict[str, Any]]:
    """The unlearned model, and the run as it is recorded but for attacks and audits.

    Raises ValueError for a cell of the original or the retrained model.
    """
    if cell.method in REFERENCES:
        raise ValueError(f"{cell.method} is a reference; record it with record_reference_cell")
    table, variant, settings, curve = planned(cell)
    retrained = None
    if cell.retrained_key:
        retrained = retrained_model(cell.task(dataset, cell.reference_amount), cell.size, cell.seed).model
    task = cell.task(dataset)
    original = original_model(dataset, cell.size, cell.seed)
    alone = 1 if cell.variant == "timed" else shared
    model, run = unlearning_run(
        cell.size, task, original, cell.method, cell.seed, table, variant, settings, curve, retrained, shared=alone
    )
    return model, complete(task.forget.device, **run)


def keep_run(work: Path, cell: Cell, model: EmbeddingClassifier, run: dict[str, Any]) -> Path:
    """Write a run where it belongs, its model first if attacks and audits are to follow; return where."""
    path = run_path(work, cell)
    if cell.verified:
        save_model(model, path.with_suffix(".safetensors"))
    write_run(path, run)
    return path


def verify_cell(work: Path, cell: Cell) -> None:
    """Attack and audit a measured run's model, and write its record.

    Raises DataFileError if the run is not measured yet, and CheckpointError without its model.
    """
    path, dataset = measured_path(work, cell), data_of(cell)
    run = read_run(path)
    del run["path"]
    task = cell.task(dataset)
    original = original_model(dataset, cell.size, cell.seed)
    retrained = retrained_model(cell.task(dataset, cell.reference_amount), cell.size, cell.seed)
    model, _ = load_model(path.with_suffix(".safetensors"), original.model.config, task.forget.device)
    write_run(cell.record, run | verify(model.eval(), task, original.model, retrained.model, cell.seed))


def search_cell(cell: Cell) -> None:
    """Search the settings of the cell's method at profile laptop, and record the search."""
    if cell.method not in GRIDS or not needs_search(cell):
        return
    small = Cell(**{**asdict(cell), "profile": "laptop", "model": SEARCH_MODEL, "seed": SEARCH_SEED})
    size, dataset = get_profile("laptop", cell.dataset), data_of(small)
    amount = size.label if cell.kind == "class" else size.count
    full = small.task(dataset, amount)
    task = small.task(dataset, min(amount, cell.amount) if cell.method == "lcodec" else amount)
    original, reference = original_model(dataset, size, SEARCH_SEED), retrained_model(full, size, SEARCH_SEED)
    base = size.settings(cell.method, cell.kind)
    trials = search(cell.method, original.model, reference.model, task, base, SEARCH_SEED)
    record_search(size, task, cell.method, base, SEARCH_SEED, trials)
    print(f"best of {len(trials)}: {best(trials).changes}")
