"""The core with the oldest versions that pyproject.toml allows: torch 2.6, plotly 5.24, numpy 2.1 and their like.

uv chooses and installs them into an environment of its own, some gigabytes, so this runs where CU_OLDEST=1 alone.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("CU_OLDEST") != "1", reason="installs some gigabytes; set CU_OLDEST=1"),
]

ROOT = Path(__file__).resolve().parents[1]
# What a version of torch, numpy, scikit-learn or plotly can break; the chapters and the site depend on other packages.
FILES = ("imports", "losses", "models", "training", "data", "figures", "checkpoints", "metrics", "fisher", "queue")
NAMED = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "safetensors", "plotly", "umap-learn")


def lower_bounds() -> dict[str, str]:
    """Package -> the oldest release that pyproject.toml allows, of the package's own dependencies."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    return dict(re.match(r"([\w-]+)>=([\d.]+)", line).groups() for line in declared)  # type: ignore[union-attr,misc]


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The interpreter of an environment with the oldest versions."""
    home = tmp_path_factory.mktemp("oldest")
    subprocess.run([sys.executable, "-m", "venv", str(home / "venv")], check=True)
    python = home / "venv" / "bin" / "python"
    uv = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", str(python)]
    wanted = [*uv, "--resolution", "lowest-direct", f"{ROOT}[book,test,clip]"]
    # Its own cache, beside the environment, so that both go together.
    subprocess.run(wanted, check=True, env=os.environ | {"UV_CACHE_DIR": str(home / "cache")}, timeout=1500)
    yield python
    shutil.rmtree(home)


def test_the_core_works_with_the_oldest_versions(oldest: Path, tmp_path: Path) -> None:
    bounds = lower_bounds()
    assert set(bounds) == set(NAMED)
    asked = "from importlib.metadata import version; import sys; print(*map(version, sys.argv[1:]))"
    told = subprocess.run([str(oldest), "-c", asked, *NAMED], check=True, capture_output=True, text=True).stdout.split()
    for name, version in zip(NAMED, told, strict=True):
        assert version.startswith(bounds[name]), f"{name} {version} is not the oldest that is allowed"
    files = [str(ROOT / "tests" / "unit" / f"test_{name}.py") for name in FILES]
    done = subprocess.run(
        [str(oldest), "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CU_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
