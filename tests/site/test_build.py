"""The build script: what runs again, what a failure leaves behind, and the picture of the front page."""

import json
import re
from pathlib import Path
from typing import Any

import build_book
import front_page
import make_animation
import make_picture
import nbformat
import papermill
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

FRESH = {"profile": "smoke", "dataset": "digits"}


def chapter(folder: Path, *cells: str) -> Path:
    """A notebook of these code cells in `folder`."""
    book = new_notebook(cells=[new_code_cell(source) for source in cells])
    book.cells.insert(0, new_code_cell("profile = dataset = None", metadata={"tags": ["parameters"]}))
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / "90_trial.ipynb"
    nbformat.write(book, path)
    return path


@pytest.fixture
def small_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of nothing but what the fingerprint reads."""
    (tmp_path / "cu_helpers").mkdir()
    (tmp_path / "book" / "results").mkdir(parents=True)
    monkeypatch.setattr(build_book, "ROOT", tmp_path)
    monkeypatch.setattr(build_book, "BOOK", tmp_path / "book")
    return tmp_path


def test_a_chapter_runs_once_until_something_changes(small_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = small_root / "out"
    out.mkdir()
    path = chapter(small_root, "print(profile, dataset)")
    seconds = build_book.execute(path, out, "smoke", "digits")
    assert seconds > 0
    made = nbformat.read(out / path.name, as_version=4)
    assert any("smoke digits" in output.text for cell in made.cells for output in cell.outputs)
    capsys.readouterr()
    assert build_book.execute(path, out, "smoke", "digits") == seconds
    assert "unchanged" in capsys.readouterr().out
    (small_root / "cu_helpers" / "new.py").write_text("x = 1\n", encoding="utf-8")
    build_book.execute(path, out, "smoke", "digits")
    assert "unchanged" not in capsys.readouterr().out


@pytest.mark.parametrize("change", ["chapter", "package", "record", "profile"])
def test_the_fingerprint_sees_every_source(small_root: Path, change: str) -> None:
    path = chapter(small_root, "1")
    before = build_book.fingerprint(path, FRESH)
    assert build_book.fingerprint(path, FRESH) == before
    settings = dict(FRESH)
    if change == "chapter":
        chapter(small_root, "2")
    elif change == "package":
        (small_root / "cu_helpers" / "a.py").write_text("", encoding="utf-8")
    elif change == "record":
        (small_root / "book" / "results" / "a.json").write_text("{}", encoding="utf-8")
    else:
        settings["profile"] = "laptop"
    assert build_book.fingerprint(path, settings) != before


def test_a_failing_chapter_leaves_nothing(small_root: Path) -> None:
    out = small_root / "out"
    out.mkdir()
    with pytest.raises(papermill.PapermillExecutionError, match="wrong on purpose"):
        build_book.execute(chapter(small_root, "raise ValueError('wrong on purpose')"), out, "smoke", "digits")
    assert list(out.iterdir()) == []


def test_colab_is_offered_where_the_repository_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    assert "launch_buttons" not in yaml.safe_load(build_book.configuration())
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/book")
    known = yaml.safe_load(build_book.configuration())
    assert known["repository"]["url"] == "https://github.com/someone/book"
    assert known["repository"]["branch"] == build_book.release_tag(), "the notebooks of the package they install"
    assert known["launch_buttons"] == {"colab_url": "https://colab.research.google.com"}
    monkeypatch.setenv("GITHUB_REPOSITORY", "not a repository")
    with pytest.raises(ValueError, match="expected owner/name"):
        build_book.configuration()


def test_the_contents_list_each_chapter_once() -> None:
    made = yaml.safe_load(build_book.contents([Path("00_a.ipynb"), Path("01_b.ipynb")]))
    files = [entry["file"] for part in made["parts"] for entry in part["chapters"]]
    assert files == ["00_a", "01_b", "teaching", "glossary", "bibliography", "status"]


def test_the_front_page_names_every_chapter() -> None:
    front = (build_book.BOOK / "index.md").read_text(encoding="utf-8")
    chapters = [path.stem for path in sorted((build_book.ROOT / "notebooks").glob("[0-9]*.py"))]
    assert re.findall(r"^\| \[.*?\]\((\d\d_\w+)\)", front, re.MULTILINE) == chapters


def test_the_picture_shows_the_committed_records() -> None:
    assert make_picture.PICTURE.read_text(encoding="utf-8") == make_picture.picture(), (
        "run `python book/make_picture.py` and commit the picture"
    )


def test_another_record_would_change_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = make_picture.read_runs("laptop", dataset="cifar10", task="class5")
    for run in runs:
        run["metrics"]["forget"] += 1.0
    monkeypatch.setattr(make_picture, "read_runs", lambda *_, **__: runs)
    assert make_picture.picture() != make_picture.PICTURE.read_text(encoding="utf-8")


def test_some_chapters_run_alone(small_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = chapter(small_root, "print(profile, dataset)")
    with pytest.raises(ValueError, match="there is no chapter 91; expected some of 90"):
        build_book.run_only(small_root / "out", "smoke", "digits", [path], ["91"])
    build_book.run_only(small_root / "out", "smoke", "digits", [path], ["90"])
    assert [made.name for made in (small_root / "out" / "source").glob("*.ipynb")] == [path.name]
    assert "The executed notebooks are in" in capsys.readouterr().out


def test_the_front_page_reads_its_numbers_from_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    def runs(
        dataset: str, kind: str, method: str, variant: str | None, profile: str
    ) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        if (kind, method, variant) != ("class", "contrastive", "tuned"):
            return []
        goal = {"metrics": {"forget_test": 0.0, "retain_test": 80.0}}
        return [
            ({"metrics": {"forget_test": value, "retain_test": 79.0}, "audit": {"probe_z": 90.0}}, goal)
            for value in (1.0, 2.0)
        ]

    monkeypatch.setattr(front_page, "paired_runs", runs)
    (row,) = [line for line in front_page.result_table().split("\n") if line.startswith("| Contrastive |")]
    assert row == "| Contrastive | 1.0 / 2.0 | -1.0 / -1.0 | 90.0 / 90.0 | – | – |"


def test_the_moving_picture_names_its_run_and_the_citation_its_paper() -> None:
    drawn = make_animation.PICTURE.read_text(encoding="utf-8")
    run = json.loads(drawn.split("<metadata>")[1].split("</metadata>")[0])
    assert {"dataset", "profile", "method", "seed", "commit"} <= run.keys()
    assert 0 < drawn.count("<animateTransform") <= make_animation.EACH
    assert "10.24963/ijcai.2025/830" in front_page.cite_box()
