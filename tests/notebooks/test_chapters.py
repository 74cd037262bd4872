"""Every chapter: paired, well formed, and running at profile smoke with its stored outputs confirmed."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.py"))
NAMES = [path.stem for path in CHAPTERS]
PARAMETERS = ("profile", "dataset", "model", "seed")


def notebook(name: str) -> NotebookNode:
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def tagged(book: NotebookNode, tag: str) -> list[NotebookNode]:
    return [cell for cell in book.cells if tag in tags(cell)]


def test_there_are_chapters() -> None:
    assert NAMES[:6] == [
        "00_start_here",
        "01_what_unlearning_means",
        "02_embedding_geometry",
        "03_sample_loss",
        "04_class_loss",
        "05_full_algorithm",
    ]
    assert [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))] == NAMES, "each .py has its .ipynb"


@pytest.fixture(scope="module")
def updated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every pair, after `make notebooks`."""
    folder = tmp_path_factory.mktemp("pairs")
    for name in NAMES:
        for suffix in (".py", ".ipynb"):
            shutil.copy(ROOT / "notebooks" / f"{name}{suffix}", folder)
    shutil.copy(ROOT / "jupytext.toml", folder)
    command = [sys.executable, "-m", "jupytext", "--to", "ipynb", "--update", *[f"{name}.py" for name in NAMES]]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_updating_the_pair_changes_nothing(name: str, updated: Path) -> None:
    before = (ROOT / "notebooks" / f"{name}.ipynb").read_bytes()
    assert (updated / f"{name}.ipynb").read_bytes() == before, "run `make notebooks` and commit the pair"


def test_a_changed_script_would_be_seen(tmp_path: Path) -> None:
    name = NAMES[0]
    for suffix in (".py", ".ipynb"):
        shutil.copy(ROOT / "notebooks" / f"{name}{suffix}", tmp_path)
    before = (tmp_path / f"{name}.ipynb").read_bytes()
    script = tmp_path / f"{name}.py"
    script.write_text(script.read_text(encoding="utf-8") + "\n# %%\nadded = 1\n", encoding="utf-8")
    command = [sys.executable, "-m", "jupytext", "--to", "ipynb", "--update", script.name]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / f"{name}.ipynb").read_bytes() != before


@pytest.mark.parametrize("name", NAMES)
def test_a_chapter_opens_as_all_chapters_do(name: str) -> None:
    book = notebook(name)
    assert book.cells[0].source.startswith(f"# {name[:2]} · ")
    assert "**What you will learn**" in book.cells[1].source
    first = notebook(NAMES[0])
    assert [cell.source for cell in tagged(book, "setup")] == [cell.source for cell in tagged(first, "setup")]
    (parameters,) = tagged(book, "parameters")
    assigned = [statement.targets[0].id for statement in ast.parse(parameters.source).body]  # type: ignore[attr-defined]
    assert tuple(assigned[:4]) == PARAMETERS
    assert sum(cell.source.count("notebook.setup(") for cell in book.cells) == 1
    headings = [line for cell in book.cells if cell.cell_type == "markdown" for line in cell.source.split("\n")]
    assert sum(line.startswith("# ") for line in headings) == 1, "one title"
    assert "## What we showed, and what we did not" in headings
    assert "## References" in headings


@pytest.mark.parametrize("name", NAMES)
def test_a_chapter_tells_its_time_on_each_kind_of_device(name: str) -> None:
    rows = re.findall(r"(?m)^\| (.*(?:CPU|GPU).*?) \| (.*) \|$", notebook(name).cells[1].source)
    devices = " ".join(device for device, _ in rows)
    assert all(kind in devices for kind in ("laptop CPU", "T4-class", "large GPU"))
    for device, told in rows:
        assert re.search(r"measured|an estimate|the same", told), f"{device}: measured, or an estimate?"


@pytest.mark.parametrize("name", NAMES)
def test_exercises_have_solutions_and_figures_have_words(name: str) -> None:
    book = notebook(name)
    found: dict[str, set[str]] = {"exercise": set(), "solution": set()}
    for cell in book.cells:
        for tag in tags(cell):
            kind, _, identity = tag.partition(":")
            if kind in found:
                found[kind].add(identity)
                assert identity.startswith(f"{name[:2]}-")
    assert found["exercise"] == found["solution"]
    assert found["exercise"], "a chapter has exercises"
    for cell in book.cells:
        if "solution" in " ".join(tags(cell)) and cell.cell_type == "code":
            assert cell.source.count("### BEGIN SOLUTION") == cell.source.count("### END SOLUTION") == 1


@pytest.mark.parametrize("name", NAMES)
def test_only_tagged_cells_keep_outputs(name: str) -> None:
    for cell in notebook(name).cells:
        if cell.cell_type == "code" and "nbval-check-output" in tags(cell):
            assert cell.outputs, "a checked cell needs a stored output"
            assert cell.execution_count is not None
        elif cell.cell_type == "code":
            assert not cell.outputs, cell.source[:80]


@pytest.mark.parametrize("name", NAMES)
def test_no_result_is_typed_into_prose(name: str) -> None:
    for cell in notebook(name).cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\d+\.\d+ ?%", cell.source), f"computed, or read from a record: {cell.source[:120]}"


def test_a_wrong_stored_output_would_be_seen(tmp_path: Path) -> None:
    book = nbformat.v4.new_notebook()
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    output = nbformat.v4.new_output("stream", name="stdout", text="3\n")
    cell = nbformat.v4.new_code_cell("print(2)", metadata={"tags": ["nbval-check-output"]}, outputs=[output])
    cell.execution_count = 1
    book.cells = [cell]
    nbformat.write(book, tmp_path / "wrong.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", "wrong.ipynb"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert made.returncode == 1
    assert "1 failed" in made.stdout
