"""The GitHub workflow: it tests, builds and deploys with the commands that stand in the Makefile, in any fork."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / ".github" / "workflows" / "book.yml").read_text(encoding="utf-8")
JOBS: dict[str, Any] = yaml.safe_load(TEXT)["jobs"]


def commands(job: str) -> list[str]:
    return [step["run"] for step in JOBS[job]["steps"] if "run" in step]


def test_every_command_is_one_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    found = [command.split() for job in JOBS for command in commands(job)]
    assert [words[:2] for words in found] == [["make", "test"], ["make", "book"]]
    assert {words[1] for words in found} <= targets


def test_only_a_tested_main_is_deployed() -> None:
    assert JOBS["deploy"]["needs"] == ["test", "site"]
    assert JOBS["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert "refs/heads/main" in JOBS["site"]["if"]


def test_no_repository_is_named() -> None:
    owners = {match for match in re.findall(r"uses: ([\w-]+)/", TEXT)}
    assert owners == {"actions"}
    assert "github.com" not in TEXT


def test_the_page_that_is_uploaded_is_the_one_that_is_built() -> None:
    (upload,) = [step for step in JOBS["site"]["steps"] if "upload-pages" in step.get("uses", "")]
    assert upload["with"]["path"] == "build/site/_build/html"
    build = (ROOT / "book" / "build_book.py").read_text(encoding="utf-8")
    assert 'target / "site" / "_build" / "html"' in build
    assert "GITHUB_REPOSITORY" in build
