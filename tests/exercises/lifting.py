"""Lift an exercise's function out of a chapter without running the chapter."""

import ast
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = {path.stem[:2]: path for path in sorted((ROOT / "notebooks").glob("[0-9]*.py"))}
CELL = re.compile(r"(?m)^# %%(?P<head>[^\n]*)\n(?P<source>.*?)(?=^# %%|\Z)", re.DOTALL)
REGION = re.compile(r"(?m)^(?P<indent> *)### BEGIN SOLUTION\n(?P<body>.*?)^ *### END SOLUTION$", re.DOTALL)
CHECK = re.compile(r'^(?P<target>\w+) = exercises\.check\("(?P<name>[0-9-]+)", (?P<argument>\w+)\)$', re.MULTILINE)


@cache
def cells(chapter: str) -> list[tuple[str, str]]:
    """(head, source) of every cell of a chapter's percent script."""
    text = SCRIPTS[chapter].read_text(encoding="utf-8")
    return [(found["head"], found["source"]) for found in CELL.finditer(text)]


def solution_cells(chapter: str) -> dict[str, str]:
    """Source of every code cell tagged as a solution, by the exercise's name."""
    found = {}
    for head, source in cells(chapter):
        tag = re.search(r'"solution:([0-9-]+)"', head)
        if tag and "[markdown]" not in head:
            found[tag[1]] = source
    return found


@cache
def surroundings(chapter: str) -> dict[str, Any]:
    """A namespace with the imports, functions and classes of a chapter's other cells; nothing else is run."""
    kept: list[ast.stmt] = []
    for head, source in cells(chapter):
        if "[markdown]" in head or "solution:" in head or '"setup"' in head:
            continue
        kept += [
            node
            for node in ast.parse(source).body
            if isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef)
            or (isinstance(node, ast.FunctionDef) and all(isinstance(one, ast.Constant) for one in node.args.defaults))
        ]
    space: dict[str, Any] = {}
    exec(compile(ast.Module(kept, []), SCRIPTS[chapter].name, "exec"), space)
    return space


def function_of(chapter: str, source: str) -> Callable[..., Any]:
    """The function that a solution cell hands to its check, defined in the chapter's surroundings."""
    space = dict(surroundings(chapter))
    target = CHECK.search(source)
    assert target, source
    kept = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ImportFrom)]
    exec(compile(ast.Module(kept, []), "solution", "exec"), space)
    made: Callable[..., Any] = space[target["argument"]]
    return made


def stub(source: str) -> str:
    """The cell as a student gets it: nbgrader's own stub in the solution's place."""
    return REGION.sub(
        lambda region: "\n".join(
            region["indent"] + line for line in ("# YOUR CODE HERE", "raise NotImplementedError()")
        ),
        source,
    )


def mutate(source: str, old: str, new: str) -> str:
    """The cell with `old` replaced by `new` inside its solution; `old` == "" replaces the whole solution."""
    region = REGION.search(source)
    assert region, source
    body = region["body"]
    if old == "":
        changed = "".join(f"{region['indent']}{line}\n" for line in new.split("\n"))
    else:
        assert old in body, f"{old!r} is not in the solution:\n{body}"
        changed = body.replace(old, new)
    return source.replace(body, changed)
