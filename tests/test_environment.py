"""environment.yml (conda) and pyproject.toml (pip) ask for the same packages in the same ranges."""

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
ENVIRONMENT = (ROOT / "environment.yml").read_text(encoding="utf-8")

Ranges = dict[str, SpecifierSet]


def ranges(requirements: list[str]) -> Ranges:
    parsed = [Requirement(text) for text in requirements]
    assert len({canonicalize_name(one.name) for one in parsed}) == len(parsed), "a package stands there twice"
    return {canonicalize_name(one.name): one.specifier for one in parsed}


def from_pyproject(text: str) -> Ranges:
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"]
    asked = ranges(project["dependencies"] + extras["book"] + extras["clip"] + extras["teach"] + extras["test"])
    return asked | {"python": SpecifierSet(project["requires-python"])}


def from_environment(text: str) -> Ranges:
    conda = yaml.safe_load(text)["dependencies"]
    pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    assert "-e ." in pip, "environment.yml must install the package itself with -e ."
    asked = ranges([entry for entry in pip if entry != "-e ."])
    python = next(entry for entry in conda if isinstance(entry, str) and entry.startswith("python"))
    return asked | {"python": Requirement(python).specifier}


def differences(pyproject: str, environment: str) -> list[str]:
    """One line for each package that the two files do not ask for alike."""
    here, there = from_pyproject(pyproject), from_environment(environment)
    return [
        f"{name}: pyproject.toml {here.get(name)}, environment.yml {there.get(name)}"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ]


def test_both_files_ask_for_the_same() -> None:
    assert differences(PYPROJECT, ENVIRONMENT) == []


@pytest.mark.parametrize(
    ("found", "changed", "package"),
    [
        ("- papermill>=2.6", "- papermill>=2.7", "papermill"),
        ("jupyter-book>=1.0.4.post1,<2", "jupyter-book>=1.0.4.post1", "jupyter-book"),
        ("      - nbval>=0.11\n", "", "nbval"),
        ("- ruff>=0.8", "- ruff>=0.8\n      - black>=24", "black"),
        ("- python>=3.11", "- python>=3.10", "python"),
    ],
)
def test_a_change_in_one_file_is_seen(found: str, changed: str, package: str) -> None:
    mutant = ENVIRONMENT.replace(found, changed)
    assert mutant != ENVIRONMENT
    assert [line.split(":")[0] for line in differences(PYPROJECT, mutant)] == [package]


def test_conda_brings_what_the_commands_need() -> None:
    assert {"pip", "make"} <= {entry for entry in yaml.safe_load(ENVIRONMENT)["dependencies"] if isinstance(entry, str)}
