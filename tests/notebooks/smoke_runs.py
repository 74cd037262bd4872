"""Running a whole chapter at profile smoke. Two test files share the chapters, so that two workers do."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMES = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9]*.py"))]


def run_at_smoke(name: str, cache: Path) -> None:
    """nbval runs every cell; the tagged ones must print what is stored."""
    made = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", f"notebooks/{name}.ipynb"],
        cwd=ROOT,
        env={**os.environ, "CU_PROFILE": "smoke", "CU_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert made.returncode == 0, made.stdout[-6000:] + made.stderr[-2000:]
    assert re.search(r"\b\d+ passed", made.stdout)
