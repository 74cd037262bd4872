"""What the front page takes from elsewhere: the result table from the records, the animation, how to cite."""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from cu_helpers.comparison import NO_CONTRAST, paired_runs
from cu_helpers.figures import LABELS
from cu_helpers.metrics import mean_interval

BOOK = Path(__file__).resolve().parent
ROWS = (
    ("original", None, LABELS["original"]),
    ("retrain", None, LABELS["retrain"]),
    ("contrastive", "tuned", LABELS["contrastive"]),
    ("contrastive", NO_CONTRAST, LABELS["no_contrast"]),
    ("scrub", "tuned", LABELS["scrub"]),
    ("boundary_shrink", "tuned", LABELS["boundary_shrink"]),
    ("finetune", "tuned", LABELS["finetune"]),
    ("gradient_ascent", "tuned", LABELS["gradient_ascent"]),
)
# (task, column's head, where in the record, whether Retrain's value is taken off)
COLUMNS = (
    ("class", "class: right answers (%)", ("metrics", "forget_test"), False),
    ("class", "other classes: gap", ("metrics", "retain_test"), True),
    ("class", "class: a probe finds it (%)", ("audit", "probe_z"), False),
    ("samples", "samples: gap on them", ("metrics", "forget"), True),
    ("samples", "samples: gap on test", ("metrics", "test"), True),
)


def _value(run: dict[str, Any], where: tuple[str, str]) -> float | None:
    part = run.get(where[0]) or {}
    found = part.get(where[1])
    return None if found is None else float(found)


def _cell(values: Sequence[float], signed: bool) -> str:
    """Mean ± 95 % interval of three seeds or more; of fewer, each seed's value."""
    style = "+.1f" if signed else ".1f"
    if len(values) < 3:
        return " / ".join(f"{value:{style}}" for value in values) or "–"
    found = mean_interval(values)
    return f"{found.mean:{style}} ± {found.half:.1f}"


def _row(method: str, variant: str | None, name: str) -> str:
    cells = [name]
    for task, _, where, gap in COLUMNS:
        values = []
        for run, retrain in paired_runs("cifar10", task, method, variant, profile="paper"):
            value, goal = _value(run, where), _value(retrain, where) if gap else 0.0
            if value is not None and goal is not None:
                values.append(value - goal)
        cells.append("0, by definition" if gap and method == "retrain" else _cell(values, gap))
    return "| " + " | ".join(cells) + " |"


def result_table() -> str:
    """CIFAR-10 after unlearning, a row a method; a dash where no such run is recorded."""
    head = "| CIFAR-10 | " + " | ".join(column[1] for column in COLUMNS) + " |"
    return "\n".join([head, "|---" * (len(COLUMNS) + 1) + "|", *(_row(*row) for row in ROWS)])


def animation() -> str:
    """The moving picture and its button, as HTML that stands in the page."""
    drawn = (BOOK / "geometry.svg").read_text(encoding="utf-8")
    button = '<p class="cu-again"><button type="button" data-cu-again="cu-geometry">Play again</button></p>'
    run = json.loads(drawn.split("<metadata>")[1].split("</metadata>")[0])
    caption = (
        f"One run on the {run['dataset']}: {run['steps']} steps of contrastive unlearning in a fixed plane through the "
        f"embeddings. {run['told']}."
    )
    return f'<figure class="cu-moving">\n{drawn}{button}\n<figcaption>{html.escape(caption)}</figcaption>\n</figure>\n'


def _names(people: Sequence[dict[str, str]]) -> str:
    return " and ".join(
        one["name"] if "name" in one else f"{one['family-names']}, {one['given-names']}" for one in people
    )


def cite_box() -> str:
    """How to cite the paper and the book, in BibTeX, from CITATION.cff."""
    told = yaml.safe_load((BOOK.parent / "CITATION.cff").read_text(encoding="utf-8"))
    paper = told["references"][0]
    entries = [
        "@inproceedings{contrastive-unlearning,",
        f"  author    = {{{_names(paper['authors'])}}},",
        f"  title     = {{{paper['title']}}},",
        f"  booktitle = {{{paper['conference']['name']}}},",
        f"  year      = {{{paper['year']}}},",
        f"  doi       = {{{paper['doi']}}}",
        "}",
        "@software{contrastive-unlearning-book,",
        f"  author  = {{{{{_names(told['authors'])}}}}},",
        f"  title   = {{{told['title']}}},",
        f"  version = {{{told['version']}}}",
        "}",
    ]
    return ":::{dropdown} Cite the paper, and this book\n```bibtex\n" + "\n".join(entries) + "\n```\n:::\n"


def write_fragments(folder: Path) -> None:
    """Put what index.md includes beside it: results.md, geometry.html and cite.md."""
    for name, text in (("results.md", result_table()), ("geometry.html", animation()), ("cite.md", cite_box())):
        (folder / name).write_text(text + "\n", encoding="utf-8")
