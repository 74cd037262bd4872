"""What is long: chapters at profile laptop from a fresh clone, and what a wheel of the package holds."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


FIRST = ("00", "03", "04")  # all chapters at laptop would take longer than all other tests together


def test_a_fresh_clone_runs_chapters_at_laptop(tmp_path: Path) -> None:
    clone = tmp_path / "book"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    made = subprocess.run(
        [sys.executable, "book/build_book.py", "--profile", "laptop", "--only", *FIRST],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": str(clone), "CU_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=2400,
        check=False,
    )
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    print(made.stdout)
    source = clone / "build" / "source"
    assert sorted(path.name[:2] for path in source.glob("*.ipynb")) == list(FIRST)
    assert all(path.stat().st_size > 20_000 for path in source.glob("*.ipynb"))
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout
    assert changed == "", "a run must leave the checkout as it was"


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "cu_helpers").rglob("*.py")}
    assert held == package | {"cu_helpers/py.typed", "cu_helpers/paper_numbers.csv"}
