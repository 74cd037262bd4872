"""One step of a batch run, as notebooks/Snakefile calls it.

    python book/grid_step.py unlearn --cell '{"profile": "smoke", ...}' --work build/grid --target FILE

What the step prints goes to its log. If it fails, one line says which step or notebook, with which
parameters, and where the log is; the same line stays in the work folder's failed/ until the step
succeeds.
"""

import argparse
import json
import os
import sys
import traceback
from pathlib import Path
from time import perf_counter

from cu_helpers import grid_steps
from cu_helpers.files import locked, write_text
from cu_helpers.gpus import claim_gpu, gpus_to_share
from cu_helpers.grid import Cell
from cu_helpers.results import commit

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = Path("notebooks") / "run" / "unlearn.ipynb"
STEPS = ("original", "retrained", "search", "reference", "unlearn", "verify")


def run_notebook(cell: Cell, work: Path, shared: int) -> None:
    """Run the notebook of one cell with papermill; the executed copy appears when it is whole."""
    import papermill  # here: it takes seconds, and the other steps do without

    output = grid_steps.notebook_path(work, cell)
    output.parent.mkdir(parents=True, exist_ok=True)
    aside = output.with_name(f".{output.name}")
    parameters = {**cell.__dict__, "shared": shared, "work": str(work)}
    papermill.execute_notebook(
        ROOT / NOTEBOOK,
        aside,
        parameters,
        progress_bar=False,
        cwd=str(work),
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    aside.replace(output)


def do(step: str, cell: Cell, work: Path, target: Path, shared: int) -> None:
    """Make the target of one step."""
    if step == "original":
        grid_steps.train_original(cell, target)
    elif step == "retrained":
        grid_steps.train_retrained(cell, target)
    elif step == "search":
        grid_steps.search_cell(cell)
    elif step == "reference":
        grid_steps.record_reference_cell(cell, shared)
    elif step == "verify":
        grid_steps.verify_cell(work, cell)
    else:
        run_notebook(cell, work, shared)


def failure(step: str, cell: Cell, log: Path, error: BaseException) -> str:
    """One line: what failed, why, with which parameters, and where its log is."""
    what, why = f"step {step} failed", f"{type(error).__name__}: {error}"
    if hasattr(error, "ename"):  # papermill's report of a cell
        what, why = f"{NOTEBOOK} failed in cell {error.exec_count}", f"{error.ename}: {error.evalue}"
    parameters = ", ".join(f"{name}={value}" for name, value in cell.__dict__.items())
    return f"{what} ({why}); parameters: {parameters}; log: {log}".replace("\n", " ")


def main() -> int:
    """Make one step's target, unless it is there; return the exit status."""
    os.environ.setdefault("CU_COMMIT", commit())  # now, and for the notebook's process: the checkout may move on
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--cell", type=json.loads, required=True, help="the cell's fields, as JSON")
    parser.add_argument("--work", type=Path, required=True, help="the folder for what lies between steps")
    parser.add_argument("--target", type=Path, required=True, help="the file that the step makes")
    parser.add_argument("--shared", type=int, default=1, help="how many runs use the machine at once")
    parser.add_argument("--gpu-slots", type=int, default=1, help="how many runs may share a GPU")
    wanted = parser.parse_args()
    cell, work, target = Cell(**wanted.cell), wanted.work.resolve(), wanted.target.resolve()
    name = f"{cell.profile}-{wanted.step}-{target.stem}"
    log, failed = work / "logs" / f"{name}.log", work / "failed" / f"{name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    console = os.dup(2)
    with log.open("w", encoding="utf-8") as file:  # also what kernels and libraries print
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)

    def say(line: str) -> None:
        os.write(console, f"{line}\n".encode())

    start = perf_counter()
    with locked(work / "busy.lock", shared=True):
        gpu = claim_gpu(work / "locks", gpus_to_share(), wanted.gpu_slots)
        if gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        print(f"{wanted.step}: {json.dumps(wanted.cell)}; GPU: {gpu or 'as given'}", flush=True)
        try:
            made = grid_steps.once(target, work, lambda: do(wanted.step, cell, work, target, wanted.shared))
        except Exception as error:  # whatever a run may raise is reported in one line, and the rest goes on
            traceback.print_exc()
            line = failure(wanted.step, cell, log, error)
            say(line)  # first: a full disk may not take the file
            write_text(failed, line + "\n")
            return 1
    say(f"{wanted.step} {target.stem}: " + (f"{perf_counter() - start:.0f} s" if made else "there already"))
    failed.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
