"""Run chapters at smoke and keep the outputs of cells tagged nbval-check-output, and no other.

    python book/store_outputs.py notebooks/03_sample_loss.ipynb ...

Needed after an edit that changes what such a cell prints; the tests compare with what is kept.
"""

import argparse
import os
import tempfile
from pathlib import Path

import nbformat
import papermill
from nbformat import NotebookNode

TAG = "nbval-check-output"


def merge(committed: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """`committed` with the outputs of `executed` in tagged cells, and without outputs elsewhere.

    Raises ValueError if the two do not hold the same cells.
    """
    ran = [cell for cell in executed.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    if [cell.source for cell in ran] != [cell.source for cell in committed.cells]:
        raise ValueError("the executed notebook has other cells than the committed one; run `make notebooks` first")
    for cell, done in zip(committed.cells, ran, strict=True):
        if cell.cell_type != "code":
            continue
        checked = TAG in cell.metadata.get("tags", [])
        cell.outputs = done.outputs if checked else []
        cell.execution_count = done.execution_count if checked else None
    return committed


def main() -> None:
    """Read the command line and bring each notebook's kept outputs up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="+", type=Path)
    os.environ["CU_PROFILE"] = "smoke"
    for path in parser.parse_args().notebooks:
        with tempfile.TemporaryDirectory() as folder:
            done = Path(folder) / path.name
            papermill.execute_notebook(path, done, progress_bar=False, cwd=str(path.parent))
            merged = merge(nbformat.read(path, as_version=4), nbformat.read(done, as_version=4))
        nbformat.write(merged, path)
        print(f"stored {path.name}")


if __name__ == "__main__":
    main()
