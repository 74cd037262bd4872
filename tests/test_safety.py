"""What is committed: no secret, no path or name of a machine, and no code that loads a pickle or unpacks blindly."""

import ast
import getpass
import re
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# A path below a home folder, on each system; the last part is the user's name.
HOME = re.compile(r"(?<![\w.])(?:/home/|/Users/|/root/|[A-Za-z]:\\{1,2}Users\\{1,2})[\w.-]*")
SECRETS = {
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "AWS key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,})"),
    "Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{30,}\b"),
    "Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "API key": re.compile(r"\bsk-[A-Za-z0-9_-]{20,}"),
    "password in an address": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"{}<>]+:[^\s/@'\"{}<>]+@"),
}
PICKLE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
LOADERS = {("torch", "load"), ("np", "load"), ("numpy", "load"), ("pd", "read_pickle")}
UNPACKERS = {"extractall", "extract", "unpack_archive", "extract_archive"}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def leaks(text: str, names: tuple[str, ...] = ()) -> list[str]:
    """What a text gives away; names: of this machine and its user, as part of a path or before an @."""
    found = [f"home folder {match.group()}" for match in HOME.finditer(text)]
    found += [kind for kind, pattern in SECRETS.items() if pattern.search(text)]
    for name in names:
        if re.search(rf"[/\\]{re.escape(name)}[/\\]|\b{re.escape(name)}@", text):
            found.append(f"name {name}")
    return found


def machine() -> tuple[str, ...]:
    return tuple({name for name in (getpass.getuser(), socket.gethostname()) if name not in ("localhost", "")})


def test_nothing_committed_holds_a_secret_or_names_a_machine() -> None:
    found = {}
    for path in tracked():
        if path == Path(__file__).resolve():
            continue  # it names what it looks for
        given_away = leaks(path.read_text(encoding="utf-8", errors="replace"), machine())
        if given_away:
            found[str(path.relative_to(ROOT))] = given_away
    assert found == {}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("read from /home/ann/data", "home folder /home/ann"),
        ('"cache": "/Users/Ann/.cache"', "home folder /Users/Ann"),
        ('{"path": "C:\\\\Users\\\\ann\\\\x"}', "home folder C:\\\\Users\\\\ann"),
        ("/root/.cache/cu_helpers", "home folder /root/.cache"),
        ("key = AKIA" + "ABCDEFGH12345678", "AWS key"),
        ("hf_" + "a" * 34, "Hugging Face token"),
        ("ghp_" + "a" * 36, "GitHub token"),
        ("-----BEGIN RSA " + "PRIVATE KEY-----", "private key"),
        ("https://ann:" + "secret@example.org/simple", "password in an address"),
        ("scp ann@laptop:x", "name ann"),
        ("/scratch/ann/book", "name ann"),
    ],
)
def test_each_kind_of_leak_would_be_seen(text: str, kind: str) -> None:
    assert kind in leaks(text, ("ann",))


@pytest.mark.parametrize(
    "text", ["$HOME/x", "~/.cache/cu_helpers", "a /home page", "book/home.md", "anna@x", "mail ann"]
)
def test_what_gives_nothing_away_passes(text: str) -> None:
    assert leaks(text, ("ann",)) in ([], ["home folder /home"])


def foreign(node: ast.ImportFrom) -> bool:
    """Whether the import is from a library that has such loaders, and not from the package itself."""
    return node.level == 0 and (node.module or "").split(".")[0] in {owner for owner, _ in LOADERS} | {
        "numpy",
        "shutil",
    }


def unsafe(source: str) -> list[str]:
    """Imports of pickle's kin, and calls that load a pickle or unpack an archive."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [f"import {name}" for name in names if name.split(".")[0] in PICKLE_MODULES]
        if isinstance(node, ast.ImportFrom):  # a loader by its bare name would not be seen where it is called
            loaders = {name for _, name in LOADERS} | set(UNPACKERS)
            found += [
                f"from {node.module} import {one.name}" for one in node.names if one.name in loaders and foreign(node)
            ]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            allowed = [one for one in node.keywords if one.arg == "allow_pickle" and ast.unparse(one.value) == "False"]
            if (owner, node.func.attr) in LOADERS and not allowed:
                found.append(f"{owner}.{node.func.attr}")
            if node.func.attr in UNPACKERS:
                found.append(node.func.attr)
    return found


def test_no_code_loads_a_pickle_or_unpacks_an_archive() -> None:
    """CIFAR's own pickles and archive are torchvision's to read, after their checksum; tests/unit/test_faults.py."""
    scripts = tracked("cu_helpers/*.py", "book/*.py", "notebooks/*.py")
    assert len(scripts) > 100
    found = {str(path.relative_to(ROOT)): unsafe(path.read_text(encoding="utf-8")) for path in scripts}
    assert {name: calls for name, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "from torch import load",
        "from torch.hub import load",
        "from shutil import unpack_archive",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "tarfile.open(path).extractall(folder)",
        "shutil.unpack_archive(path)",
    ],
)
def test_each_way_to_run_foreign_code_would_be_seen(source: str) -> None:
    assert unsafe(source)
    assert unsafe("np.load(path, allow_pickle=False)") == []


def test_every_read_of_cifar_comes_after_its_checksum() -> None:
    """In `read_cifar` the files are checked one by one before torchvision, which unpickles them, is called."""
    source = (ROOT / "cu_helpers" / "sources.py").read_text(encoding="utf-8")
    (reader,) = [
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "read_cifar"
    ]
    calls = [(node.lineno, ast.unparse(node.func)) for node in ast.walk(reader) if isinstance(node, ast.Call)]
    checked = max(line for line, name in calls if name == "_check_file")
    assert all(line > checked for line, name in calls if name == "kind")
    assert any(name == "kind" for _, name in calls)
