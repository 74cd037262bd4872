"""Chapters as Colab runs them: its versions of the packages, a stub google.colab, and the notebook file alone.

A virtual environment gets Colab's plotly, numpy and scikit-learn. What else is needed (torch above all, which is some
gigabytes) is read from the environment that runs the tests, through a .pth file: the versions on top win. The package
itself is not among it. The set-up cell fetches it from a clone of this checkout that has the tag which the cell names.
The set-up cells of all chapters run; of the chapters themselves two cheap ones do, and all where CU_ALL_CHAPTERS=1.
CU_COLAB_PYTHON names the interpreter of an environment made beforehand, such as one with Colab's torch as well.
"""

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from test_colab import VERSION, setup_cells

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9]*.py"))]
CHEAP = ("03", "14")
PINNED = {"plotly": "5.24.1", "numpy": "2.1.3", "scikit-learn": "1.6.1"}  # as Colab had them in August 2026
NOTE = """import google.colab
from importlib.metadata import version
with open("versions.txt", "w", encoding="utf-8") as file:
    print(*map(version, ("plotly", "numpy", "scikit-learn")), file=file)
"""


@dataclass(frozen=True)
class Colab:
    """An interpreter with Colab's versions, and the environment variables of a session there."""

    python: Path
    variables: dict[str, str]

    def run(self, folder: Path, *arguments: str, seconds: int = 1200) -> str:
        """The output of python with these arguments in `folder`; a failure fails the test."""
        made = subprocess.run(
            [str(self.python), *arguments],
            cwd=folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-6000:]
        return made.stdout


def make_environment(folder: Path) -> Path:
    """A virtual environment with the pinned packages on top of those that run this test; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    pinned = [f"{name}=={version}" for name, version in PINNED.items()]
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", *pinned], check=True)
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([str(python), "-c", asked], check=True, capture_output=True, text=True).stdout.strip()
    # A path in a .pth file comes after the environment's own packages; editable installs below it are not followed.
    (Path(own) / "below.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


@pytest.fixture(scope="module")
def colab(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Colab:
    """A session on Colab: its interpreter, google.colab imported at the start, and a repository with the tag."""
    home = tmp_path_factory.mktemp("colab")
    named = os.environ.get("CU_COLAB_PYTHON")
    python = Path(named) if named else make_environment(home / "venv")
    stub = home / "stub" / "google" / "colab"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text("", encoding="utf-8")
    start = home / "ipython" / "profile_default" / "startup" / "colab.py"  # as there, before the first cell
    start.parent.mkdir(parents=True)
    start.write_text(NOTE, encoding="utf-8")
    repository = home / "repository"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(repository)], check=True)
    subprocess.run(["git", "-C", str(repository), "tag", "-f", f"v{VERSION}"], check=True)
    own = ("CU_", "PYTHON", "PYTEST", "VIRTUAL_ENV")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    variables |= {
        "PYTHONPATH": str(stub.parents[1]),
        "IPYTHONDIR": str(start.parents[2]),
        "CU_SOURCE": repository.as_uri(),
        "CU_PROFILE": "smoke",
        "CU_CACHE": str(shared_cache),
    }
    if "CU_DATA" in os.environ:
        variables["CU_DATA"] = os.environ["CU_DATA"]
    return Colab(python, variables)


@pytest.fixture(scope="module")
def content(colab: Colab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's folder after every chapter's set-up cell has run: the first installs, the others find it there."""
    folder = tmp_path_factory.mktemp("content")
    cells = {name: setup_cells(f"{name}.ipynb")[0] for name in CHAPTERS}
    said = ["import google.colab, importlib.util as find", "assert find.find_spec('cu_helpers') is None"]
    said += [f"exec({cell!r})\nprint({name!r}, 'is set up')" for name, cell in cells.items()]
    said += ["import cu_helpers", "print(cu_helpers.__file__, os.environ['CU_RESULTS'])"]
    output = colab.run(folder, "-c", "\n".join(said))
    assert output.count("is set up") == len(CHAPTERS)
    file, results = output.splitlines()[-1].split()
    assert Path(file).is_relative_to(colab.python.parents[1]), "our package came from the tag, into this environment"
    assert Path(results) == folder / "contrastive-unlearning" / "book" / "results"
    return folder


def test_every_set_up_cell_leaves_colabs_versions_alone(colab: Colab, content: Path) -> None:
    asked = f"from importlib.metadata import version; print(*map(version, {list(PINNED)}), sep='\\n')"
    assert colab.run(content, "-c", asked).split() == list(PINNED.values())


@pytest.mark.parametrize(
    "name", [name for name in CHAPTERS if os.environ.get("CU_ALL_CHAPTERS") == "1" or name.startswith(CHEAP)]
)
def test_a_chapter_runs_there(name: str, colab: Colab, content: Path) -> None:
    executed = content / f"done-{name}.ipynb"
    chapter = ROOT / "notebooks" / f"{name}.ipynb"
    (content / chapter.name).write_bytes(chapter.read_bytes())
    colab.run(content, "-m", "papermill", "--no-progress-bar", chapter.name, executed.name)
    outputs = [out for cell in nbformat.read(executed, as_version=4).cells for out in cell.get("outputs", [])]
    assert not [out for out in outputs if out.output_type == "error"]
    assert (content / "versions.txt").read_text(encoding="utf-8").split() == list(PINNED.values()), "in its kernel too"
    figures = [
        out.data["text/html"] for out in outputs if 'class="cu-figure"' in out.get("data", {}).get("text/html", "")
    ]
    assert all("cdn.plot.ly/plotly-2" in page for page in figures), "on Colab each figure brings its plotly"
    assert figures or name == "18_capstone"
