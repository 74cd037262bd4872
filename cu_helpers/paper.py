"""The numbers that the paper and its first version print, for comparison, with where each stands.

They lie in paper_numbers.csv beside this file: table, row, column, value, spread (the standard
deviation that is printed with it) and source. Several tables of the 2024 manuscript survive without
their cells. Where the first version on arXiv (2401.10458v1, January 2024) has the same experiment,
its numbers stand there and say so. What is in neither is `LOST`, and nothing is put in its place.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from .models import RESNETS

LOST = "lost"
MODELS = tuple(RESNETS)
FIELDS = ("table", "row", "column", "value", "spread", "source")


@dataclass(frozen=True)
class Number:
    """One printed number. value, spread: None where it is lost or, for the spread, not printed."""

    value: float | None
    spread: float | None
    source: str

    def __str__(self) -> str:
        if self.value is None:
            return LOST
        return f"{self.value:.10g}" + ("" if self.spread is None else f" ± {self.spread:.10g}")


@cache
def numbers() -> dict[str, dict[tuple[str, str], Number]]:
    """Table -> (row, column) -> what the paper prints there, in the paper's order.

    A row is a model and a method, "resnet18 scrub", or what its table has there. Raises ValueError for
    a file with another head or a cell that stands twice.
    """
    text = resources.files(__package__).joinpath("paper_numbers.csv").read_text(encoding="utf-8")
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != FIELDS:
        raise ValueError(f"paper_numbers.csv has the columns {reader.fieldnames}; expected {', '.join(FIELDS)}")
    found: dict[str, dict[tuple[str, str], Number]] = {}
    for line in reader:
        cells, key = found.setdefault(line["table"], {}), (line["row"], line["column"])
        if key in cells:
            raise ValueError(f"paper_numbers.csv has {line['table']}, {line['row']}, {line['column']} twice")
        value, spread = (None if line[name] in (LOST, "") else float(line[name]) for name in ("value", "spread"))
        cells[key] = Number(value, spread, line["source"])
    return found


def number(table: str, row: str, column: str) -> Number | None:
    """What the paper prints in a cell; None if its table has no such cell."""
    return numbers().get(table, {}).get((row, column))


@dataclass(frozen=True)
class PaperTable:
    """cells: (model, method) -> numbers in the order of `columns`. source: where they stand."""

    columns: tuple[str, ...]
    source: str
    cells: dict[tuple[str, str], tuple[float, ...]]

    def value(self, model: str, method: str, column: str) -> str:
        """A cell as text, `LOST` where there is none."""
        printed = self.cells.get((model, method), ())
        place = self.columns.index(column) if column in self.columns else len(printed)
        return f"{printed[place]:.10g}" if place < len(printed) else LOST


def _table(name: str, columns: str) -> PaperTable:
    """A table by model and method; a column that ends in _sd is the spread of the one before it."""
    names = tuple(columns.split())
    cells: dict[tuple[str, str], tuple[float, ...]] = {}
    sources: dict[str, None] = {}
    for row in dict.fromkeys(row for row, _ in numbers()[name]):
        printed = []
        for column in names:
            cell = numbers()[name].get((row, column.removesuffix("_sd")))
            if cell is None:
                break
            value = cell.spread if column.endswith("_sd") else cell.value
            if value is None:
                break
            printed.append(value)
            sources[cell.source] = None
        if printed:
            model, method = row.split()
            cells[model, method] = tuple(printed)
    lost = [cell.source for cell in numbers()[name].values()]
    return PaperTable(names, next(iter(sources), lost[0]), cells)


# Accuracies in %, seconds on the authors' RTX 8000, member prediction rates in % over five seeds. Class 5 and 500
# samples of CIFAR-10 (Tables 1 to 5) and of SVHN (Table 19, whose spreads some rows lack).
TABLE_1 = _table("Table 1", "retain_test forget forget_test")
TABLE_2 = _table("Table 2", "seconds")
TABLE_3 = _table("Table 3", "test forget")
TABLE_4 = _table("Table 4", "forgotten forgotten_sd held_out held_out_sd")
TABLE_5 = _table("Table 5", "seconds")
TABLE_19 = _table("Table 19", "forgotten held_out")
# Samples forgotten with a momentum queue, ResNet-18; class 1 of CIFAR-100 forgotten from ViT-B-32 (section D.6). The
# text says that contrastive unlearning ends below random guessing, gradient ascent too but with a significant loss
# elsewhere, and finetuning stays above.
TABLE_14 = _table("Table 14", "test forget")
TABLE_13 = PaperTable(
    ("forget_test", "retain_test"), numbers()["Table 13"]["ViT-B-32 contrastive", "retain_test"].source, {}
)


def _printed(table: str, row: str, column: str) -> float:
    value = numbers()[table][row, column].value
    assert value is not None, f"{table}, {row}, {column} is lost"
    return value


# Top-1 accuracy in % of the CLIP before unlearning, in the text of section D.6.
CLIP_ORIGINAL = _printed("Table 13", "ViT-B-32 original", "top_1")
# Contrastive unlearning of each class of CIFAR-10, ResNet-18: accuracy on retained test images in %.
TABLE_9 = tuple(_printed("Table 9", f"class{label}", "retain_test") for label in range(10))
# Number of samples -> (Retrain's test, contrastive test and forget, Fisher's test and forget), in %, ResNet-18.
_COLUMNS_11 = (
    ("retrain", "test"),
    *[(name, column) for name in ("contrastive", "fisher") for column in ("test", "forget")],
)
TABLE_11 = {
    count: tuple(_printed("Table 11", f"samples{count} {method}", column) for method, column in _COLUMNS_11)
    for count in (200, 500, 1000, 2000)
}
