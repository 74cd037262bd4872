"""Run the chapters with papermill and build the site: `make book`.

    python book/build_book.py --profile laptop

A chapter whose notebook, package, records and profile are unchanged is not run again. Outputs
are written aside and renamed, so a stopped build goes on where it was.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
from importlib import metadata, resources
from pathlib import Path

import papermill
from front_page import write_fragments
from static_figures import draw_site

from cu_helpers.errors import DataFileError
from cu_helpers.profiles import PROFILES
from cu_helpers.sources import pin_folders

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
PAGES = ("index.md", "teaching.md", "glossary.md", "bibliography.md")
SHOWN = ("torch", "torchvision", "numpy", "scikit-learn", "umap-learn", "plotly", "jupyter-book", "papermill")
QUIET = ["--IPKernelApp.log_level=ERROR"]  # its warnings on transport mean nothing to a reader


def fingerprint(chapter: Path, settings: dict[str, str]) -> str:
    """A hash of all that a chapter's outputs depend on."""
    described = {**settings, **{name: metadata.version(name) for name in SHOWN}}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    package = sorted(path for path in (ROOT / "cu_helpers").rglob("*") if path.suffix in (".py", ".csv"))
    sources = [chapter, *package, *sorted((BOOK / "results").rglob("*.json"))]
    for path in sources:
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def execute(chapter: Path, folder: Path, profile: str, dataset: str) -> float:
    """Run one chapter into `folder` unless its stamp fits; return its seconds, also when reused.

    Raises papermill's PapermillExecutionError if a cell fails; nothing is left behind then.
    """
    output, stamp = folder / chapter.name, folder / f".{chapter.stem}.json"
    settings = {"profile": profile, "dataset": dataset}
    wanted = fingerprint(chapter, settings)
    if output.exists() and stamp.exists():
        noted = json.loads(stamp.read_text(encoding="utf-8"))
        if noted["fingerprint"] == wanted:
            print(f"  {chapter.stem:28} unchanged", flush=True)
            return float(noted["seconds"])
    # Not in `folder`: Sphinx would read what a killed run leaves there.
    aside = folder.parent / "running" / chapter.name
    aside.parent.mkdir(exist_ok=True)
    start = time.perf_counter()
    try:
        papermill.execute_notebook(
            chapter, aside, settings, progress_bar=False, cwd=str(chapter.parent), extra_arguments=QUIET
        )
        aside.replace(output)
    finally:
        aside.unlink(missing_ok=True)
    seconds = time.perf_counter() - start
    stamp.write_text(json.dumps({"fingerprint": wanted, "seconds": seconds}), encoding="utf-8")
    print(f"  {chapter.stem:28} {seconds:6.1f} s", flush=True)
    return seconds


def copy_assets(source: Path) -> None:
    """Put plotly.js and MathJax, both from installed Python packages, beside the pages."""
    static = source / "_static"
    shutil.copytree(BOOK / "_static", static, dirs_exist_ok=True)
    # Not into _static: jupyter-book loads every script there on every page, and plotly's has 5 MB.
    extra = source / "extra"
    (extra / "plotly").mkdir(parents=True, exist_ok=True)
    plotly = resources.files("plotly") / "package_data" / "plotly.min.js"
    (extra / "plotly" / "plotly.min.js").write_bytes(plotly.read_bytes())
    located = metadata.distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline/static/mathjax")
    shutil.copytree(str(located), extra / "mathjax", dirs_exist_ok=True)


def status_page(seconds: dict[str, float], profile: str, dataset: str) -> str:
    """The page of run times and versions."""
    lines = [
        "# Status of this build",
        "",
        f"Profile `{profile}`, data set `{dataset}`, Python {platform.python_version()}.",
    ]
    lines += ["", "| chapter | seconds |", "|---|---|"]
    lines += [f"| {name} | {value:.0f} |" for name, value in seconds.items()]
    lines += ["", "| package | version |", "|---|---|", *[f"| {name} | {metadata.version(name)} |" for name in SHOWN]]
    return "\n".join(lines) + "\n"


def contents(chapters: list[Path]) -> str:
    """The table of contents: front page, the chapters that exist, back pages."""
    lines = ["format: jb-book", "root: index", "parts:", "  - caption: Chapters", "    chapters:"]
    lines += [f"      - file: {chapter.stem}" for chapter in chapters]
    lines += ["  - caption: Back pages", "    chapters:"]
    lines += [f"      - file: {name}" for name in ("teaching", "glossary", "bibliography", "status")]
    return "\n".join(lines) + "\n"


def release_tag() -> str:
    """The tag that the chapters' set-up cells install on Colab: v and the package's version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"v{project['version']}"


def configuration() -> str:
    """_config.yml, with the repository's address if GITHUB_REPOSITORY (owner/name) gives one.

    The Colab buttons open the notebooks at the release's tag, as the package that they install.
    """
    text = (BOOK / "_config.yml").read_text(encoding="utf-8")
    repository = os.environ.get("GITHUB_REPOSITORY")
    if repository and not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"GITHUB_REPOSITORY is {repository!r}; expected owner/name")
    if repository:
        text += f"\nrepository:\n  url: https://github.com/{repository}\n  branch: {release_tag()}\n"
        text += "  path_to_book: notebooks\n"
        text += "\nlaunch_buttons:\n  colab_url: https://colab.research.google.com\n"
    return text


def build(target: Path, profile: str, dataset: str, chapters: list[Path]) -> Path:
    """Run `chapters` and build the site under `target`; return its first page.

    Raises CalledProcessError if jupyter-book warns or fails.
    """
    source = target / "source"
    source.mkdir(parents=True, exist_ok=True)
    print(f"Running {len(chapters)} chapters (profile {profile}, data set {dataset})", flush=True)
    seconds = {chapter.stem: execute(chapter, source, profile, dataset) for chapter in chapters}
    for name in (*PAGES, "references.bib", "logo.svg", "first_light.svg"):
        shutil.copy(BOOK / name, source / name)
    write_fragments(source)
    (source / "status.md").write_text(status_page(seconds, profile, dataset), encoding="utf-8")
    (source / "_config.yml").write_text(configuration(), encoding="utf-8")
    (source / "_toc.yml").write_text(contents(chapters), encoding="utf-8")
    copy_assets(source)
    print("Building the site", flush=True)
    start = "from jupyter_book.cli.main import main; main()"  # jupyter-book has no `python -m`
    arguments = ["build", str(source), "--path-output", str(target / "site"), "-n", "-W", "--keep-going", "-q"]
    made = subprocess.run(
        [sys.executable, "-c", start, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(BOOK), os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    page = target / "site" / "_build" / "html" / "index.html"
    if made.returncode or not page.exists():
        print(made.stdout, file=sys.stderr)
        raise subprocess.CalledProcessError(made.returncode, ["jupyter-book", *arguments])
    if draw_site(page.parent) is None:
        print("No Chromium was found: the site has no still figures for print and for readers without JavaScript.")
    return page


def run_only(target: Path, profile: str, dataset: str, chapters: list[Path], numbers: list[str]) -> None:
    """Run the chapters with these numbers into `target`/source, as `build` would; a later build takes them over.

    Raises ValueError for a number that no chapter has.
    """
    known = {chapter.stem[:2]: chapter for chapter in chapters}
    unknown = sorted(set(numbers) - set(known))
    if unknown:
        raise ValueError(f"there is no chapter {', '.join(unknown)}; expected some of {', '.join(known)}")
    (target / "source").mkdir(parents=True, exist_ok=True)
    for number in numbers:
        execute(known[number], target / "source", profile, dataset)
    print(f"Done. The executed notebooks are in {os.path.relpath(target / 'source')}.")


def main() -> int:
    """Read the command line, build, say where the book is; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="laptop", choices=PROFILES)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--target", type=Path, default=ROOT / "build")
    parser.add_argument("--only", nargs="+", metavar="NN", help="run these chapters, such as 05, and build no site")
    wanted = parser.parse_args()
    os.environ.setdefault("CU_CACHE", str(wanted.target.resolve() / "cache"))
    pin_folders()  # the chapters run in their own folder
    chapters = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    try:
        if wanted.only:
            run_only(wanted.target, wanted.profile, wanted.dataset, chapters, wanted.only)
            return 0
        page = build(wanted.target, wanted.profile, wanted.dataset, chapters)
    except DataFileError as error:
        print(f"build_book: {error}", file=sys.stderr)
        return 2
    except papermill.PapermillExecutionError as error:
        print(f"A chapter failed in cell {error.exec_count}: {error.ename}: {error.evalue}", file=sys.stderr)
        return 1
    except (subprocess.CalledProcessError, ValueError) as error:
        print(f"The site was not built: {error}", file=sys.stderr)
        return 1
    print(f"Done. Open {os.path.relpath(page)} in a browser.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
