"""The site, built once at profile smoke, and one browser without a network."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import build_book
import pytest
from playwright.sync_api import Browser, sync_playwright
from static_figures import chromium

ROOT = Path(__file__).resolve().parents[2]
# These run for the site, with formulas, plots, animations and tables of every kind. The others' pages stand
# without outputs: nbval has run them, and running all of them twice would double the time of the tests.
EXECUTED = ("00", "03", "05")
FRESH = {"profile": "smoke", "dataset": "digits"}


def take_as_it_is(chapter: Path, source: Path) -> None:
    """Let the build find a chapter that it need not run."""
    shutil.copy(chapter, source / chapter.name)
    stamp = {"fingerprint": build_book.fingerprint(chapter, FRESH), "seconds": 0}
    (source / f".{chapter.stem}.json").write_text(json.dumps(stamp), encoding="utf-8")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """The folder of the built pages. Warnings fail the build."""
    chapters = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    target = tmp_path_factory.mktemp("book")
    (target / "source").mkdir()
    for chapter in chapters:
        if not chapter.name.startswith(EXECUTED):
            take_as_it_is(chapter, target / "source")
    before = os.environ.get("CU_CACHE")
    os.environ["CU_CACHE"] = str(shared_cache)
    try:
        return build_book.build(target, FRESH["profile"], FRESH["dataset"], chapters).parent
    finally:
        if before is None:
            del os.environ["CU_CACHE"]
        else:
            os.environ["CU_CACHE"] = before


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; where there is none, tests skip by name, unless CU_REQUIRE_CHROMIUM is set."""
    found = chromium()
    if found is None:
        assert not os.environ.get("CU_REQUIRE_CHROMIUM"), "CU_REQUIRE_CHROMIUM is set and there is no Chromium"
        pytest.skip("no Chromium: install it to test the site in a browser")
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()
