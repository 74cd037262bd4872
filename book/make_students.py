"""Make the student copies of the chapters, or an nbgrader course from them: `make students`.

    python book/make_students.py                                            # notebooks/student/
    python book/make_students.py --course COURSE --seed 4711 --chapters 03 04  # COURSE/source/ch03/, ...

A student copy is the chapter with a stub in the place of each solution; it is what nbgrader's
generate_assignment makes of the course's source. The chapters are the truth: never edit a copy.
In a course the marks are given by hidden tests, which draw their random cases with the seed that
you choose; the copies hold no test that can fail, so that a chapter runs to its end.
"""

import argparse
import copy
import re
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
STUDENT = NOTEBOOKS / "student"

REGION = re.compile(r"(?m)^(?P<indent> *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION$", re.DOTALL)
CHECK = re.compile(r'(?m)^\w+ = exercises\.check\("[0-9-]+", (?P<function>\w+)\)$')
IMPORTANCE = re.compile(r"importance (\d) of 5")
CODE_STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")  # nbgrader's own
TEXT_STUB = "YOUR ANSWER HERE"
NOTE = """**This is a student copy.** Write where it says `YOUR CODE HERE` or `YOUR ANSWER HERE`, and run the cell.
It says whether your answer is right, and names the likely mistake if it is not. Whatever you write, the chapter goes on
with an answer that is right, so you may skip an exercise. The book's chapter has the solutions."""
CONFIG = """c = get_config()
c.CourseDirectory.course_id = "contrastive-unlearning"
c.ExecutePreprocessor.timeout = 1800
"""


def identity(cell: NotebookNode, kind: str) -> str | None:
    """The exercise's name, such as 03-1, if the cell is tagged `kind` (exercise or solution), else None."""
    names = [tag.partition(":")[2] for tag in cell.metadata.get("tags", []) if tag.startswith(f"{kind}:")]
    return names[0] if names else None


def points(chapter: NotebookNode) -> dict[str, int]:
    """Points of every exercise: its importance. Raises ValueError if one does not tell it."""
    found: dict[str, int] = {}
    for cell in chapter.cells:
        name = identity(cell, "exercise")
        if name and cell.cell_type == "markdown" and name not in found:
            told = IMPORTANCE.search(cell.source)
            if told is None:
                raise ValueError(f"exercise {name} does not say its importance; expected 'importance 3 of 5'")
            found[name] = int(told[1])
    return found


def graded(name: str, **roles: Any) -> dict[str, Any]:
    """nbgrader's metadata of a cell, schema 3."""
    return {"schema_version": 3, "grade_id": name, "task": False, **roles}


def without_solution(source: str) -> str:
    """Code with nbgrader's stub in the place of the solution, at the same indentation."""
    return REGION.sub(lambda found: "\n".join(found["indent"] + line for line in CODE_STUB), source)


def marks_cell(name: str, function: str, value: int, seed: int | None) -> NotebookNode:
    """The cell that carries the marks: a hidden test if there is a seed, else only a remark."""
    source = f"# Exercise {name} is marked here, with other random cases than those above."
    if seed is not None:
        source += f'\n### BEGIN HIDDEN TESTS\nexercises.grade("{name}", {function}, seed={seed})\n### END HIDDEN TESTS'
    cell = new_code_cell(source, id=f"marks-{name}")
    cell.metadata["nbgrader"] = graded(f"marks-{name}", grade=True, solution=False, locked=True, points=value)
    return cell


def answer_cells(cell: NotebookNode, name: str, value: int, seed: int | None) -> list[NotebookNode]:
    """A solution's cell as the cells of a copy. seed: of an nbgrader source, which keeps the solution; None: a stub."""
    made = copy.deepcopy(cell)
    made.metadata["tags"] = [f"answer:{name}"]
    if made.cell_type == "markdown":
        made.source = TEXT_STUB if seed is None else made.source
        made.metadata["nbgrader"] = graded(f"answer-{name}", grade=True, solution=True, locked=False, points=value)
        return [made]
    called = CHECK.search(made.source)
    if called is None or not REGION.search(made.source):
        raise ValueError(f"the solution of {name} has no marked region or no line that checks it")
    made.source = without_solution(made.source) if seed is None else made.source
    made.metadata["nbgrader"] = graded(f"answer-{name}", grade=False, solution=True, locked=False)
    return [made, marks_cell(name, called["function"], value, seed)]


def student_copy(chapter: NotebookNode, seed: int | None = None) -> NotebookNode:
    """The copy of a chapter for students, or with a seed the source from which nbgrader makes it.

    Raises ValueError for an exercise that lacks what a copy needs.
    """
    made = copy.deepcopy(chapter)
    value = points(made)
    made.cells = []
    for cell in chapter.cells:
        cell = copy.deepcopy(cell)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        name = identity(cell, "solution")
        made.cells += [cell] if name is None else answer_cells(cell, name, value[name], seed)
    made.cells.insert(1, new_markdown_cell(NOTE, id="student-note"))
    made.metadata["jupytext"] = {"formats": "ipynb"}  # a copy has no percent script beside it
    return made


def chapters(wanted: list[str]) -> list[Path]:
    """The chapters' notebooks, all or those whose number is named. Raises ValueError for a number without one."""
    found = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
    missing = set(wanted) - {path.name[:2] for path in found}
    if missing:
        raise ValueError(f"there is no chapter {', '.join(sorted(missing))}; expected two digits, such as 03")
    return [path for path in found if not wanted or path.name[:2] in wanted]


def write_copies(folder: Path, wanted: list[str]) -> list[Path]:
    """Write the student copies into `folder` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for path in chapters(wanted):
        target = folder / path.name
        nbformat.write(student_copy(nbformat.read(path, as_version=4)), target)
        written.append(target)
    return written


def write_course(course: Path, wanted: list[str], seed: int) -> list[Path]:
    """Write an nbgrader source, with hidden tests of this seed, for each chapter; keep a configuration that exists."""
    course.mkdir(parents=True, exist_ok=True)
    config = course / "nbgrader_config.py"
    if not config.exists():
        config.write_text(CONFIG, encoding="utf-8")
    written = []
    for path in chapters(wanted):
        target = course / "source" / f"ch{path.name[:2]}" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(student_copy(nbformat.read(path, as_version=4), seed), target)
        written.append(target)
    return written


def main() -> None:
    """Read the command line and write the copies or the course."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chapters", nargs="*", default=[], help="chapter numbers, such as 03 04; all if left out")
    parser.add_argument("--course", type=Path, help="folder of an nbgrader course to write instead of the copies")
    parser.add_argument("--seed", type=int, help="seed of the course's hidden tests; keep it to yourself")
    asked = parser.parse_args()
    if (asked.course is None) != (asked.seed is None):
        parser.error("--course and --seed go together")
    if asked.course is not None:
        written = write_course(asked.course, asked.chapters, asked.seed)
    else:
        written = write_copies(STUDENT, asked.chapters)
    print(f"wrote {len(written)} notebooks, the first to {written[0]}")


if __name__ == "__main__":
    main()
