"""nbgrader itself makes the assignment, marks three hand-ins and writes the feedback, for three chapters."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from lifting import mutate
from make_students import STUDENT, identity, write_course
from mutants import MUTANTS
from nbformat import NotebookNode

pytestmark = pytest.mark.slow
pytest.importorskip("nbgrader", reason="extra `teach`")

CHAPTERS = ("00", "03", "18")  # quick ones; the last has answers in words too
SEED = 4711
STUDENTS = ("full", "empty", "wrong")


@dataclass(frozen=True)
class Course:
    """A course on disk after everything has been marked, and what each hand-in should get."""

    folder: Path
    sources: dict[str, Path]  # chapter -> the instructor's notebook
    expected: dict[tuple[str, str], float]  # (chapter, student) -> marks


def run(folder: Path, cache: Path, *command: str) -> str:
    """One nbgrader command in the course's folder, at profile smoke; its output."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # nbgrader calls alembic by name
    made = subprocess.run(
        [sys.executable, "-m", "nbgrader", *command],
        cwd=folder,
        env={**os.environ, "PATH": path, "CU_PROFILE": "smoke", "CU_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-6000:]
    return made.stdout + made.stderr


def handed_in(release: NotebookNode, source: NotebookNode, answer: Callable[[str, str], str]) -> NotebookNode:
    """The release with each code answer replaced by `answer(name, solution's cell)`."""
    solutions = {identity(cell, "answer"): cell.source for cell in source.cells}
    for cell in release.cells:
        name = identity(cell, "answer")
        if name is not None and cell.cell_type == "code":
            cell.source = answer(name, solutions[name])
    return release


def marks(notebook: NotebookNode) -> dict[str, int]:
    """Points of the notebook's code exercises."""
    found = {}
    for cell in notebook.cells:
        told = cell.metadata.get("nbgrader", {})
        if told.get("grade") and told["grade_id"].startswith("marks-"):
            found[told["grade_id"].removeprefix("marks-")] = int(told["points"])
    return found


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Course:
    """All commands of an assignment's life, once."""
    folder = tmp_path_factory.mktemp("course")
    sources = {path.parent.name[2:]: path for path in write_course(folder, list(CHAPTERS), SEED)}
    expected = {}
    for chapter, path in sources.items():
        run(folder, shared_cache, "generate_assignment", f"ch{chapter}")
        source = nbformat.read(path, as_version=4)
        points = marks(source)
        right = sorted(points)[-1]  # the one that the wrong hand-in has right
        answers: dict[str, Callable[[str, str], str] | None] = {
            "full": lambda name, cell: cell,
            "empty": None,
            "wrong": lambda name, cell, right=right: cell if name == right else mutate(cell, *MUTANTS[name][0][:2]),
        }
        for student, answer in answers.items():
            release = nbformat.read(folder / "release" / f"ch{chapter}" / path.name, as_version=4)
            made = release if answer is None else handed_in(release, source, answer)
            target = folder / "submitted" / student / f"ch{chapter}" / path.name
            target.parent.mkdir(parents=True)
            nbformat.write(made, target)
        expected |= {(chapter, "full"): sum(points.values()), (chapter, "empty"): 0, (chapter, "wrong"): points[right]}
        run(folder, shared_cache, "autograde", f"ch{chapter}", "--create")
        run(folder, shared_cache, "generate_feedback", f"ch{chapter}")
    return Course(folder, sources, expected)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_release_is_the_committed_student_copy(course: Course, chapter: str) -> None:
    name = course.sources[chapter].name
    release = nbformat.read(course.folder / "release" / f"ch{chapter}" / name, as_version=4)
    copy = nbformat.read(STUDENT / name, as_version=4)
    assert [cell.source for cell in release.cells] == [cell.source for cell in copy.cells]
    assert str(SEED) not in "\n".join(cell.source for cell in release.cells)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_hand_in_gets_its_marks(course: Course, chapter: str) -> None:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course.folder / 'gradebook.db'}") as gradebook:
        for student in STUDENTS:
            submission = gradebook.find_submission(f"ch{chapter}", student)
            assert submission.score == course.expected[chapter, student], student


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_hand_in_ran_to_its_end(course: Course, chapter: str) -> None:
    name = course.sources[chapter].name
    for student in STUDENTS:
        made = nbformat.read(course.folder / "autograded" / student / f"ch{chapter}" / name, as_version=4)
        failed = [
            cell.source
            for cell in made.cells
            if any(output.output_type == "error" for output in cell.get("outputs", []))
            and not cell.metadata.get("nbgrader", {}).get("grade")
        ]
        assert failed == [], student


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_student_reads_which_mistake_it_was(course: Course, chapter: str) -> None:
    name = course.sources[chapter].with_suffix(".html").name
    pages = {
        student: (course.folder / "feedback" / student / f"ch{chapter}" / name).read_text(encoding="utf-8")
        for student in STUDENTS
    }
    first = f"{chapter}-1"
    assert MUTANTS[first][0][2] in pages["wrong"]
    assert "not attempted yet" in pages["empty"]
    assert f"Exercise {first}: right." in pages["full"]
