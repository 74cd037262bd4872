"""Student copies: in line with the chapters, without a solution, and complete."""

import re
from pathlib import Path

import nbformat
import pytest
from make_students import CODE_STUB, STUDENT, TEXT_STUB, chapters, identity, student_copy, write_copies, write_course
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = chapters([])
NAMES = [path.name for path in CHAPTERS]
BODY = re.compile(r"### BEGIN SOLUTION\n(.*?) *### END SOLUTION", re.DOTALL)


def chapter(name: str) -> NotebookNode:
    return nbformat.read(ROOT / "notebooks" / name, as_version=4)


def leaks(copy: NotebookNode, original: NotebookNode) -> list[str]:
    """Names of the exercises whose solution can be read in the copy."""
    told = "\n".join(cell.source for cell in copy.cells)
    found = []
    for cell in original.cells:
        name = identity(cell, "solution")
        if name is None:
            continue
        secrets = BODY.findall(cell.source) if cell.cell_type == "code" else [cell.source]
        assert secrets, name
        found += [name for secret in secrets if secret.strip() in told]
    return found


def test_every_chapter_has_its_copy_and_no_other_is_there() -> None:
    assert sorted(path.name for path in STUDENT.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_copy_is_what_the_chapter_gives(name: str, tmp_path: Path) -> None:
    (made,) = write_copies(tmp_path, [name[:2]])
    assert made.read_bytes() == (STUDENT / name).read_bytes(), "run `make students` and commit the copies"


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_holds_no_solution(name: str) -> None:
    copy = nbformat.read(STUDENT / name, as_version=4)
    nbformat.validate(copy)
    assert leaks(copy, chapter(name)) == []
    text = (STUDENT / name).read_text(encoding="utf-8")
    assert "BEGIN SOLUTION" not in text
    assert "HIDDEN TESTS" not in text
    assert not any(cell.get("outputs") for cell in copy.cells)


def test_a_leak_would_be_seen() -> None:
    original = chapter(NAMES[3])
    copy = student_copy(original)
    assert leaks(copy, original) == []
    solution = next(cell for cell in original.cells if identity(cell, "solution"))
    copy.cells[-1].source += "\n" + solution.source
    assert leaks(copy, original) == [identity(solution, "solution")]


@pytest.mark.parametrize("name", NAMES)
def test_every_exercise_can_be_answered_and_marked(name: str) -> None:
    copy, original = nbformat.read(STUDENT / name, as_version=4), chapter(name)
    exercises = {identity(cell, "solution") for cell in original.cells} - {None}
    answers = {identity(cell, "answer"): cell for cell in copy.cells if identity(cell, "answer")}
    assert set(answers) == exercises
    marks = {
        cell.metadata.nbgrader.grade_id: cell for cell in copy.cells if cell.metadata.get("nbgrader", {}).get("grade")
    }
    for exercise, cell in answers.items():
        if cell.cell_type == "markdown":
            assert cell.source == TEXT_STUB
            assert marks[f"answer-{exercise}"].metadata.nbgrader.points > 0
        else:
            assert all(line in cell.source for line in CODE_STUB)
            assert marks[f"marks-{exercise}"].metadata.nbgrader.points > 0
    identities = [cell.metadata.nbgrader.grade_id for cell in copy.cells if "nbgrader" in cell.metadata]
    assert len(identities) == len(set(identities))


def test_a_course_has_hidden_tests_with_the_instructors_seed(tmp_path: Path) -> None:
    (source,) = write_course(tmp_path, ["03"], 4711)
    assert source == tmp_path / "source" / "ch03" / "03_sample_loss.ipynb"
    text = "\n".join(cell.source for cell in nbformat.read(source, as_version=4).cells)
    assert text.count("### BEGIN HIDDEN TESTS") == text.count("seed=4711") == text.count("### BEGIN SOLUTION") == 3
    config = tmp_path / "nbgrader_config.py"
    config.write_text("# mine\n", encoding="utf-8")
    write_course(tmp_path, ["03"], 1)
    assert config.read_text(encoding="utf-8") == "# mine\n"


def test_what_a_copy_cannot_be_made_of_is_told() -> None:
    with pytest.raises(ValueError, match="there is no chapter 99"):
        chapters(["99"])
    broken = chapter(NAMES[3])
    for cell in broken.cells:
        cell.source = cell.source.replace("importance", "weight")
    with pytest.raises(ValueError, match="does not say its importance"):
        student_copy(broken)
    unmarked = chapter(NAMES[3])
    for cell in unmarked.cells:
        cell.source = cell.source.replace("### BEGIN SOLUTION", "")
    with pytest.raises(ValueError, match="no marked region"):
        student_copy(unmarked)


def test_the_instructors_table_counts_what_the_chapters_hold() -> None:
    page = (ROOT / "book" / "teaching.md").read_text(encoding="utf-8")
    for name in NAMES:
        tasks = [cell for cell in chapter(name).cells if identity(cell, "exercise") and cell.cell_type == "markdown"]
        told = [re.search(r"importance (\d) of 5 · (\d+) minutes", cell.source) for cell in tasks]
        value, minutes = (sum(int(found[part]) for found in told if found) for part in (1, 2))
        assert re.search(rf"\| {name[:2]} \| \d+ \| {len(tasks)} \| {minutes} \| {value} \|", page), name
