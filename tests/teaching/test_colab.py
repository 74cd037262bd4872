"""The set-up cell of every chapter and student copy, run as on Colab: a stub google.colab, no package, no network."""

import importlib.util
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted([*(ROOT / "notebooks").glob("[0-9]*.ipynb"), *(ROOT / "notebooks" / "student").glob("[0-9]*.ipynb")])
NAMES = [str(path.relative_to(ROOT / "notebooks")) for path in NOTEBOOKS]
ADDRESS = "https://github.com/OWNER/NAME"
NEVER = ("torch", "numpy", "plotly", "scikit-learn", "cu-helpers ")


def setup_cells(name: str) -> list[str]:
    book = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    return [cell.source for cell in book.cells if "setup" in cell.metadata.get("tags", [])]


class Colab:
    """What the set-up cell does there: the commands it runs and the questions it asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
        self.commands: list[list[str]] = []
        self.questions: list[str] = []
        google, colab = types.ModuleType("google"), types.ModuleType("google.colab")
        google.colab = colab  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "google", google)
        monkeypatch.setitem(sys.modules, "google.colab", colab)
        found = importlib.util.find_spec

        def find_spec(name: str, package: str | None = None) -> Any:
            return None if name == "cu_helpers" and not installed else found(name, package)

        def run(command: list[str], check: bool = False, **_: Any) -> None:
            assert check, "a failed install must stop the cell"
            self.commands.append(command)

        def ask(question: str = "") -> str:
            self.questions.append(question)
            return ADDRESS

        monkeypatch.setattr(importlib.util, "find_spec", find_spec)
        monkeypatch.setattr(subprocess, "run", run)
        monkeypatch.setattr("builtins.input", ask)
        monkeypatch.delenv("CU_SOURCE", raising=False)

    def execute(self, source: str) -> None:
        """Run the cell, as IPython would."""
        exec(compile(source, "setup", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("name", NAMES)
def test_on_colab_the_cell_installs_our_package_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = setup_cells(name)
    colab = Colab(monkeypatch, installed=False)
    colab.execute(source)
    (command,) = colab.commands
    assert command == [sys.executable, "-m", "pip", "install", "-q", "--no-deps", f"git+{ADDRESS}"]
    assert not any(package in " ".join(command[1:]) for package in NEVER)
    assert len(colab.questions) == 1
    assert "repository" in colab.questions[0]


@pytest.mark.parametrize("name", NAMES)
def test_with_an_address_in_the_environment_nobody_is_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = setup_cells(name)
    colab = Colab(monkeypatch, installed=False)
    monkeypatch.setenv("CU_SOURCE", f"{ADDRESS}@v0.1.0")
    colab.execute(source)
    assert colab.commands[0][-1] == f"git+{ADDRESS}@v0.1.0", "a fixed tag can be asked for"
    assert colab.questions == []


@pytest.mark.parametrize("name", NAMES)
def test_where_the_package_is_there_nothing_is_done(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = setup_cells(name)
    colab = Colab(monkeypatch, installed=True)
    colab.execute(source)
    assert colab.commands == colab.questions == []


def test_the_cell_is_the_same_everywhere() -> None:
    assert len({source for name in NAMES for source in setup_cells(name)}) == 1
