"""Importing the package is cheap beside torch: what is slow to import waits until it is needed."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SLOW = ("scipy.stats", "sklearn", "plotly", "umap", "numba", "pandas", "torchvision", "open_clip", "IPython")


def brought_in(statement: str, beside: str = "torch") -> list[str]:
    """Which slow packages a statement imports that `beside` alone does not."""
    code = f"import sys, {beside}\nbefore = set(sys.modules)\n{statement}\nprint(*(set(sys.modules) - before))"
    made = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    modules = made.stdout.split()
    assert any(name.startswith("cu_helpers") for name in modules)
    return [name for name in SLOW if name in modules]


def test_a_chapters_set_up_imports_nothing_slow() -> None:
    """`make speed` has the seconds; here it is names, which no busy machine changes."""
    assert brought_in("from cu_helpers import notebook, unlearning, training, attacks, audits, metrics, results") == []


def test_a_slow_import_would_be_seen() -> None:
    assert brought_in("import cu_helpers, plotly, scipy.stats", beside="math") == ["scipy.stats", "plotly"]
