"""Every public name of the package is described: tensors with their shapes, errors by name, defaults with a source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "cu_helpers"
TENSOR = re.compile(r"\b(Tensor|NDArray)\b")
# "(n, classes)", "(n,)", "(p)", or a word where there is no shape to give.
SHAPE = re.compile(r"\(\w[\w /*+-]*,|\(\w+\)|\bshape\b|\bscalar\b")


# What a function measures by its name, and the unit that its description must have.
UNITS = [
    (re.compile(r"seconds$"), re.compile(r"\b[Ss]econds\b")),
    (re.compile(r"mib$|memory_mib"), re.compile(r"\bMiB\b")),
    (re.compile(r"bytes"), re.compile(r"\b[Bb]ytes\b")),
    (re.compile(r"accurac(y|ies)$"), re.compile(r"percent|%|\[0, 1\]|share")),
]


def described(node: "ast.FunctionDef | ast.ClassDef") -> str:
    return ast.get_docstring(node) or ""


def public(tree: ast.Module) -> Iterator[tuple[str, "ast.FunctionDef | ast.ClassDef", str]]:
    """Name, node and the class's docstring of all public classes, functions and methods of a module."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node, ""
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and (method.name == "__call__" or method.name[0] != "_"):
                    yield f"{node.name}.{method.name}", method, described(node)


def raised(function: ast.FunctionDef) -> set[str]:
    """The names of the exceptions that a function raises itself."""
    causes = (node.exc for node in ast.walk(function) if isinstance(node, ast.Raise) and node.exc is not None)
    names = (cause.func if isinstance(cause, ast.Call) else cause for cause in causes)
    return {name.id for name in names if isinstance(name, ast.Name) and name.id[0].isupper()}


def gaps(source: str, shapes: bool = True) -> list[str]:
    """What is not described in a module."""
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) else ["the module: no docstring"]
    for name, node, around in public(tree):
        own = described(node)
        if not own:
            found.append(f"{name}: no docstring")
            continue
        if isinstance(node, ast.ClassDef):
            if name.endswith("Settings") and (missing := without_source(node, source)):
                found.append(f"{name}: no source for {', '.join(missing)}")
            continue
        words = f"{own} {around}"
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        tensors = [one.arg for one in arguments if one.annotation and TENSOR.search(ast.unparse(one.annotation))]
        if node.returns is not None and TENSOR.search(ast.unparse(node.returns)):
            tensors.append("what it returns")
        if shapes and tensors and not SHAPE.search(words):
            found.append(f"{name}: no shape of {', '.join(tensors)}")
        found += [f"{name}: no unit" for kind, unit in UNITS if kind.search(name) and not unit.search(words)]
        found += [f"{name}: {error} is not named" for error in sorted(raised(node)) if error not in words]
    return found


# What every settings class has, and what is explained where its class is.
COMMON = {"precision", "stopping"}


def without_source(node: ast.ClassDef, source: str) -> list[str]:
    """The fields of a settings class that neither a comment nor the docstring speaks of."""
    lines = source.split("\n")
    fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
    names = [
        (one.target.id, "".join(lines[one.lineno - 1 : one.end_lineno]))
        for one in fields
        if isinstance(one.target, ast.Name)
    ]
    return [name for name, line in names if "#" not in line and name not in described(node) and name not in COMMON]


MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def test_every_public_name_is_described() -> None:
    found = {}
    for module in MODULES:
        # An exercise states the shapes of what its check is given.
        missing = gaps((PACKAGE / module).read_text(encoding="utf-8"), shapes=module.parts[0] != "exercises")
        if missing:
            found[str(module)] = missing
    assert found == {}


def test_the_whole_package_is_read() -> None:
    total = sum(len(list(public(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))))) for module in MODULES)
    assert len(MODULES) > 100
    assert total > 600


GOOD = '''"""A module."""
class GoodSettings:
    """Settings of it. rounds: how many."""
    rate: float = 1.0  # a source
    rounds: int = 3
def good(z: Tensor) -> Tensor:
    """Rows (n, d), halved. Raises ValueError for none."""
    raise ValueError("none")
'''


@pytest.mark.parametrize(
    ("found", "changed", "gap"),
    [
        ('"""A module."""\n', "", "the module: no docstring"),
        ('    """Rows (n, d), halved. Raises ValueError for none."""\n', "", "good: no docstring"),
        ("Rows (n, d), halved", "Rows, halved", "good: no shape of z, what it returns"),
        ("def good(z: Tensor) -> Tensor", "def good(z: Tensor) -> float", ""),
        ("def good(", "def good_accuracy(", "good_accuracy: no unit"),
        (" Raises ValueError for none.", "", "good: ValueError is not named"),
        ("  # a source", "", "GoodSettings: no source for rate"),
    ],
)
def test_each_gap_would_be_seen(found: str, changed: str, gap: str) -> None:
    assert gaps(GOOD) == []
    assert gaps(GOOD.replace(found, changed)) == ([gap] if gap else [])
