"""The site's reader of chapters: tags in, sphinx-exercise's directives out."""

import nbformat
import pytest
from cu_reader import read
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output


def md(source: str, *tags: str) -> NotebookNode:
    return new_markdown_cell(source, metadata={"tags": list(tags)})


def code(source: str, *tags: str, text: str = "") -> NotebookNode:
    outputs = [new_output("stream", name="stdout", text=text)] if text else []
    return new_code_cell(source, metadata={"tags": list(tags)}, outputs=outputs)


def sources(*cells: NotebookNode) -> list[str]:
    return [cell.source for cell in read(nbformat.writes(new_notebook(cells=list(cells)))).cells]


TASK = md("### Exercise 03-2 · Both signs\n\nWhat changes?", "exercise:03-2")


def test_an_exercise_and_its_solution_become_directives() -> None:
    got = sources(md("Before."), TASK, code("answer = 1", "solution:03-2"), md("On."))
    assert got == [
        "Before.",
        "```{exercise-start} 03-2: Both signs\n:label: exercise-03-2\n:nonumber:\n```",
        "What changes?",
        "```{exercise-end}\n```",
        "```{solution-start} exercise-03-2\n:label: solution-03-2\n:class: dropdown\n```",
        "answer = 1",
        "```{solution-end}\n```",
        "On.",
    ]


def test_cells_of_one_tag_in_a_row_share_one_gate() -> None:
    got = sources(TASK, code("start = 0", "exercise:03-2"), md("So:", "solution:03-2"), code("x", "solution:03-2"))
    assert [line for line in got if line.startswith("```{")] == [got[0], got[3], got[4], got[7]]
    assert got[2] == "start = 0"
    assert got[5:7] == ["So:", "x"]


def test_two_exercises_in_a_row_stay_two() -> None:
    got = sources(md("One", "exercise:01-1"), md("Two", "exercise:01-2"))
    assert sum(line.startswith("```{exercise-start}") for line in got) == 2


def test_solution_markers_vanish_and_nothing_else() -> None:
    kept = 'text = "### BEGIN SOLUTION"\nif x:\n    pass'
    marked = 'text = "### BEGIN SOLUTION"\nif x:\n    ### BEGIN SOLUTION\n    pass\n    ### END SOLUTION'
    assert sources(TASK, code(marked, "solution:03-2"))[4] == kept
    assert sources(code(marked))[0] == marked, "only in a solution's cells"


def test_headings_inside_a_gate_become_bold_but_not_code_comments() -> None:
    got = sources(md("Do it.\n\n#### Hint\n\n```python\n# a comment\n```\n\n## More", "exercise:03-2"))
    assert got[0].startswith("```{exercise-start} 03-2\n")
    assert got[1] == "Do it.\n\n**Hint**\n\n```python\n# a comment\n```\n\n**More**"


@pytest.mark.parametrize("heading", ["### Exercise 03-2: Both signs", "### 03-2 Both signs", "## Both signs"])
def test_the_title_loses_the_word_and_the_id(heading: str) -> None:
    assert sources(md(f"{heading}\nTask.", "exercise:03-2"))[0].startswith("```{exercise-start} 03-2: Both signs\n")


def test_papermills_cell_is_left_out() -> None:
    assert sources(code("seed = None", "parameters"), code("seed = 1", "injected-parameters")) == ["seed = None"]


def test_outputs_and_plain_cells_stay_as_they_are() -> None:
    cell = code("print(1)", text="1\n")
    assert read(nbformat.writes(new_notebook(cells=[cell]))).cells[0].outputs == cell.outputs


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([md("x", "exercise:3-2")], "has no ID such as 03-2"),
        ([md("x", "exercise")], "has no ID such as 03-2"),
        ([md("x", "exercise:03-2", "solution:03-1")], "carries 2 exercise or solution tags"),
        ([md("x", "solution:03-2"), md("x", "exercise:03-2")], "has no exercise before it"),
        ([md("x", "exercise:03-2"), md("y"), md("z", "exercise:03-2")], "stands there twice"),
    ],
)
def test_wrong_tags_are_told_in_one_sentence(cells: list[NotebookNode], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sources(*cells)
