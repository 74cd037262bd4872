"""How the site reads a chapter: tags become exercises and solutions, and plots get their script.

The committed notebooks hold plain markdown, so that they read well anywhere. Cells tagged
`exercise:ID` and `solution:ID` turn into sphinx-exercise's directives only here, on the way into
the site. `read` is MyST-NB's reader of .ipynb files, `setup` makes the module a Sphinx extension.
"""

import re
from itertools import groupby
from pathlib import Path
from typing import Any

import nbformat
from cu_words import add_words
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

GATED = re.compile(r"(exercise|solution):([0-9]{2}-[0-9]+)")
MARKER = re.compile(r"^\s*### (BEGIN|END) SOLUTION\s*$")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*$")
FENCE = re.compile(r"^\s*(```+|~~~+)")
GLOSSARY = Path(__file__).resolve().parent / "glossary.md"
PLOT = "plotly-graph-div"  # the class of every plot in plotly's HTML


def gate_of(cell: NotebookNode) -> tuple[str, str] | None:
    """(kind, ID) of a cell tagged as part of an exercise or a solution, else None.

    Raises ValueError for a tag that looks like one and is none, and for a cell with two of them.
    """
    gates = []
    for tag in cell.metadata.get("tags", []):
        if tag.split(":")[0] in ("exercise", "solution"):
            match = GATED.fullmatch(tag)
            if match is None:
                raise ValueError(f"tag {tag!r} has no ID such as 03-2; write exercise:03-2 or solution:03-2")
            gates.append((match[1], match[2]))
    if len(gates) > 1:
        raise ValueError(f"a cell carries {len(gates)} exercise or solution tags ({gates}); leave one of them")
    return gates[0] if gates else None


def without_markers(source: str) -> str:
    """The source without its ### BEGIN SOLUTION and ### END SOLUTION lines."""
    return "\n".join(line for line in source.split("\n") if not MARKER.match(line))


def flat_headings(source: str) -> str:
    """Markdown whose headings are bold lines: a heading inside a directive would break the page's sections."""
    lines, fence = [], ""
    for line in source.split("\n"):
        mark = FENCE.match(line)
        if mark:
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        heading = None if fence else HEADING.match(line)
        lines.append(f"**{heading[1]}**" if heading else line)
    return "\n".join(lines)


def split_title(source: str, name: str) -> tuple[str, str]:
    """The title in a first heading, without "Exercise ID", and the rest; no heading gives no title."""
    first, _, rest = source.lstrip().partition("\n")
    heading = HEADING.match(first)
    if heading is None:
        return "", source
    title = re.sub(rf"^(exercise|solution)?\W*({re.escape(name)})?\W*", "", heading[1], flags=re.IGNORECASE)
    return title, rest.lstrip("\n")


def gated(kind: str, name: str, cells: list[NotebookNode]) -> list[NotebookNode]:
    """The cells of one exercise or solution between its start and end directive.

    Both start and end are cells of their own, since a directive can't hold a code cell.
    """
    title = ""
    for cell in cells:
        if cell.cell_type == "markdown":
            if cell is cells[0]:
                title, cell.source = split_title(cell.source, name)
            cell.source = flat_headings(cell.source)
        cell.source = without_markers(cell.source)
    if kind == "exercise":
        head = f"```{{exercise-start}} {name}{': ' if title else ''}{title}\n:label: exercise-{name}\n:nonumber:\n```"
    else:
        head = f"```{{solution-start}} exercise-{name}\n:label: solution-{name}\n:class: dropdown\n```"
    return [new_markdown_cell(head), *cells, new_markdown_cell(f"```{{{kind}-end}}\n```")]


def in_order(kinds: list[tuple[str, str]]) -> None:
    """Raise ValueError unless every ID stands once and every solution follows its exercise."""
    seen: set[tuple[str, str]] = set()
    for kind, name in kinds:
        if (kind, name) in seen:
            raise ValueError(f"{kind} {name} stands there twice, with other cells between; give it another ID")
        if kind == "solution" and ("exercise", name) not in seen:
            raise ValueError(f"solution {name} has no exercise before it; tag the task's cell exercise:{name}")
        seen.add((kind, name))


def read(text: str) -> NotebookNode:
    """A notebook's JSON as the site shows it; the file itself stays as it is.

    Papermill's own cell with the parameters of the run is left out: the set-up cell prints them. The
    first cell says how long the chapter takes to read, and a glossary word is a link where it is first used.
    Raises ValueError for wrong exercise or solution tags.
    """
    notebook = nbformat.reads(text, as_version=4)
    kept = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    add_words(kept, GLOSSARY.read_text(encoding="utf-8"))
    runs = [(gate, list(cells)) for gate, cells in groupby(kept, key=gate_of)]
    in_order([gate for gate, _ in runs if gate is not None])
    notebook.cells = [one for gate, cells in runs for one in (cells if gate is None else gated(*gate, cells))]
    return notebook


def choose_scripts(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Load plotly's 5 MB of script on the pages that hold a plot, and on no other.

    Thebe, which runs code through a server elsewhere, is left out: the site asks nobody for anything,
    and jupyter-book declares its settings twice, which browsers report as an error.
    """
    scripts = context.get("script_files", [])
    scripts[:] = [one for one in scripts if "thebe" not in f"{one} {getattr(one, 'attributes', '')}".lower()]
    if PLOT in context.get("body", ""):
        app.add_js_file("../plotly/plotly.min.js", priority=100)


def setup(app: Any) -> dict[str, bool]:
    """Sphinx's entry: choose each page's scripts."""
    app.connect("html-page-context", choose_scripts, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
