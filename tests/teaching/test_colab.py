"""The set-up cell of every chapter and student copy, run as on Colab: a stub google.colab, no package, no network."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted([*(ROOT / "notebooks").glob("[0-9]*.ipynb"), *(ROOT / "notebooks" / "student").glob("[0-9]*.ipynb")])
NAMES = [str(path.relative_to(ROOT / "notebooks")) for path in NOTEBOOKS]
ADDRESS = "https://github.com/OWNER/NAME"
NEVER = ("torch", "torchvision", "numpy", "plotly", "scikit-learn")
FOLDER = "contrastive-unlearning"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def setup_cells(name: str) -> list[str]:
    book = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    return [cell.source for cell in book.cells if "setup" in cell.metadata.get("tags", [])]


class Colab:
    """What the set-up cell does there: the commands it runs and the questions it asks.

    missing: the modules that are not there. failing: what a command that holds this word fails with.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, missing: tuple[str, ...] = ()) -> None:
        self.commands: list[list[str]] = []
        self.questions: list[str] = []
        self.failing: dict[str, str] = {}
        google, colab = types.ModuleType("google"), types.ModuleType("google.colab")
        google.colab = colab  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "google", google)
        monkeypatch.setitem(sys.modules, "google.colab", colab)

        def find_spec(name: str, package: str | None = None) -> Any:
            return None if name in missing else types.SimpleNamespace(name=name)

        def run(command: list[str], **_: Any) -> Any:
            self.commands.append(command)
            if command[0] == "git":
                Path(command[-1], "book", "results").mkdir(parents=True)
            said = next((text for word, text in self.failing.items() if word in command), "")
            return types.SimpleNamespace(returncode=int(bool(said)), stdout="", stderr=said)

        def ask(question: str = "") -> str:
            self.questions.append(question)
            return ADDRESS

        monkeypatch.setattr(importlib.util, "find_spec", find_spec)
        monkeypatch.setattr(subprocess, "run", run)
        monkeypatch.setattr("builtins.input", ask)
        monkeypatch.delenv("CU_SOURCE", raising=False)
        monkeypatch.setenv("CU_RESULTS", "to be restored")  # the cell sets it
        monkeypatch.delenv("CU_RESULTS")
        monkeypatch.chdir(folder)

    def execute(self, source: str) -> None:
        """Run the cell, as IPython would."""
        exec(compile(source, "setup", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("name", NAMES)
def test_on_colab_the_cell_installs_our_package_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source,) = setup_cells(name)
    colab = Colab(monkeypatch, tmp_path, missing=("cu_helpers",))
    colab.execute(source)
    clone, install = colab.commands
    there = str(tmp_path / FOLDER)
    assert clone == ["git", "clone", "-q", "--depth", "1", "--branch", f"v{VERSION}", ADDRESS, there]
    assert install == [sys.executable, "-m", "pip", "install", "-q", "--no-deps", there]
    assert len(colab.questions) == 1
    assert "repository" in colab.questions[0]
    assert os.environ["CU_RESULTS"] == str(tmp_path / FOLDER / "book" / "results"), "the records come along"


@pytest.mark.parametrize("name", NAMES)
def test_with_an_address_in_the_environment_nobody_is_asked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source,) = setup_cells(name)
    colab = Colab(monkeypatch, tmp_path, missing=("cu_helpers",))
    monkeypatch.setenv("CU_SOURCE", "https://example.org/book")
    colab.execute(source)
    assert "https://example.org/book" in colab.commands[0]
    assert colab.questions == []


@pytest.mark.parametrize("name", NAMES)
def test_where_the_package_is_there_nothing_is_done(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = setup_cells(name)
    colab = Colab(monkeypatch, tmp_path)
    colab.execute(source)
    assert colab.commands == colab.questions == []
    assert "CU_RESULTS" not in os.environ


def test_what_colab_lacks_is_installed_too_but_never_torch_or_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source,) = setup_cells(NAMES[0])
    colab = Colab(monkeypatch, tmp_path, missing=("cu_helpers", "open_clip", "ftfy", *NEVER))
    colab.execute(source)
    install = colab.commands[1]
    packages = [canonicalize_name(Requirement(name).name) for name in install[-2:]]
    assert packages == ["open-clip-torch", "ftfy"]
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"][
        "clip"
    ]
    assert [install[-2]] == ours, "in the range that the package asks for"
    assert not set(NEVER) & set(install)
    assert "--no-deps" in install, "nor as a dependency"


def test_a_second_try_goes_on_with_the_folder_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = setup_cells(NAMES[0])
    colab = Colab(monkeypatch, tmp_path, missing=("cu_helpers",))
    colab.failing["pip"] = "no connection"
    with pytest.raises(RuntimeError, match=r"the book was not installed; .*pip install said: no connection"):
        colab.execute(source)
    colab.failing.clear()
    colab.execute(source)
    assert [command[0] for command in colab.commands] == ["git", sys.executable, sys.executable]


def test_a_wrong_address_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = setup_cells(NAMES[0])
    colab = Colab(monkeypatch, tmp_path, missing=("cu_helpers",))
    colab.failing["git"] = "fatal: repository not found\n"
    with pytest.raises(
        RuntimeError, match=r"the book was not installed; git clone .* said: fatal: repository not found$"
    ):
        colab.execute(source)
    assert len(colab.commands) == 1


def test_the_cell_is_the_same_everywhere() -> None:
    assert len({source for name in NAMES for source in setup_cells(name)}) == 1


def test_the_release_has_one_number() -> None:
    (source,) = setup_cells(NAMES[0])
    assert re.findall(r'"v(\d[\d.]*)"', source) == [VERSION]
    for page in ("README.md", "book/teaching.md"):
        assert set(re.findall(r"\bv(\d+\.\d+\.\d+)\b", (ROOT / page).read_text(encoding="utf-8"))) == {VERSION}, page
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == VERSION
