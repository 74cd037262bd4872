"""The site, built once at profile smoke, and one browser without a network."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import build_book
import pytest
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """The folder of the built pages. Warnings fail the build."""
    chapters = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    before = os.environ.get("CU_CACHE")
    os.environ["CU_CACHE"] = str(shared_cache)
    try:
        return build_book.build(tmp_path_factory.mktemp("book"), "smoke", "digits", chapters).parent
    finally:
        if before is None:
            del os.environ["CU_CACHE"]
        else:
            os.environ["CU_CACHE"] = before


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; where there is none, tests skip by name, unless CU_REQUIRE_CHROMIUM is set."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        assert not os.environ.get("CU_REQUIRE_CHROMIUM"), "CU_REQUIRE_CHROMIUM is set and there is no Chromium"
        pytest.skip("no Chromium: install it to test the site in a browser")
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()
