"""The site as one file."""

import zipfile
from pathlib import Path

import pytest
from pack_site import NAME, pack


def test_the_zip_holds_every_file_of_the_site(tmp_path: Path) -> None:
    site = tmp_path / "html"
    (site / "_static").mkdir(parents=True)
    (site / "index.html").write_text("<p>first</p>", encoding="utf-8")
    (site / "_static" / "a.css").write_text("p {}", encoding="utf-8")
    with zipfile.ZipFile(pack(site, tmp_path / "book.zip")) as packed:
        assert sorted(packed.namelist()) == [f"{NAME}/_static/a.css", f"{NAME}/index.html"]
        assert packed.read(f"{NAME}/index.html") == b"<p>first</p>"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["book.zip", "html"]


def test_without_a_site_one_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run `make book` first"):
        pack(tmp_path, tmp_path / "book.zip")
    assert list(tmp_path.iterdir()) == []
