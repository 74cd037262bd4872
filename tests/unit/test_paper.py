"""The paper's numbers: one file, every cell once, nothing put in the place of what is lost."""

import csv
from pathlib import Path

import pytest

from cu_helpers import paper

FILE = Path(paper.__file__).with_name("paper_numbers.csv")


def rows() -> list[dict[str, str]]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_cell_stands_once_with_a_source() -> None:
    keys = [(row["table"], row["row"], row["column"]) for row in rows()]
    assert len(set(keys)) == len(keys)
    assert all(row["source"] for row in rows())
    assert {row["table"] for row in rows()} == {*[f"Table {number}" for number in range(1, 22)], "Fig. 2"}


def test_a_number_is_a_number_or_lost() -> None:
    for row in rows():
        assert row["value"] == paper.LOST or float(row["value"]) >= 0, row
        assert row["spread"] in ("", paper.LOST) or float(row["spread"]) >= 0, row


@pytest.mark.parametrize("table", ["Table 14", "Table 18", "Table 20"])
def test_tables_of_which_no_copy_was_found_have_no_number(table: str) -> None:
    assert {str(number) for number in paper.numbers()[table].values()} == {paper.LOST}


def test_numbers_are_read_as_printed() -> None:
    assert str(paper.number("Table 16", "resnet18 gradient_ascent", "test")) == "67.8 ± 16.8"
    assert str(paper.number("Table 2", "vit_small retrain", "seconds")) == "22888.08"
    assert str(paper.number("Table 19", "resnet50 fisher", "forgotten")) == "59.24", "its spread is lost"
    assert str(paper.number("Table 1", "vit_small scrub", "forget")) == paper.LOST
    assert paper.number("Table 1", "resnet18 fisher", "forget") is None, "no such row"


def test_a_file_with_another_head_or_a_cell_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Folder:
        def joinpath(self, _: str) -> Path:
            return tmp_path / "numbers.csv"

    monkeypatch.setattr("cu_helpers.paper.resources.files", lambda _: Folder())
    head = ",".join(paper.FIELDS)
    for text, message in (
        ("table,row\n", "expected table, row"),
        (f"{head}\nT,a,b,1,,s\nT,a,b,2,,s\n", "T, a, b twice"),
    ):
        (tmp_path / "numbers.csv").write_text(text)
        with pytest.raises(ValueError, match=message):
            paper.numbers.__wrapped__()
