"""Table 13 from recorded runs, beside what is left of the paper's."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import markdown
from ..comparison import NONE_RECORDED, Pair, ended_by, interval
from ..figures import LABELS
from ..paper import TABLE_13
from ..results import read_runs, results_folder
from ..tuning import Trial

ROWS = (  # method, variant, name
    ("original", None, LABELS["original"]),
    ("retrain", None, LABELS["retrain"]),
    ("contrastive", None, LABELS["contrastive"]),
    ("contrastive", "no contrast", LABELS["no_contrast"]),
    ("gradient_ascent", None, LABELS["gradient_ascent"]),
    ("finetune", None, LABELS["finetune"]),
)
PAPER_NAMES = ("contrastive", "gradient_ascent", "finetune")  # the methods that section D.6 compares


def _pairs(dataset: str, clip_model: str, method: str, variant: str | None) -> list[Pair]:
    """(run, Retrain's run of the same profile, task and seed) for each recorded run."""

    def found(name: str, of: str | None) -> dict[tuple[Any, ...], dict[str, Any]]:
        runs = read_runs(dataset=dataset, model=f"{clip_model}_clip", method=name, variant=of)
        return {(run["profile"], run["task"], run["seed"]): run for run in runs}

    references = found("retrain", None)
    return [(run, references[key]) for key, run in found(method, variant).items() if key in references]


def recorded_runs(
    dataset: str = "digits", clip_model: str = "small", method: str = "contrastive", variant: str | None = None
) -> list[tuple[dict[str, float], dict[str, float]]]:
    """(metrics, those of the Retrain of the same seed) for each recorded seed."""
    return [(run["metrics"], reference["metrics"]) for run, reference in _pairs(dataset, clip_model, method, variant)]


def table_13(dataset: str = "digits", clip_model: str = "small") -> str:
    """A Markdown table: zero-shot accuracies, gaps to Retrain and costs over seeds, and the paper's cells."""
    head = ["run", "seeds", "forgotten test (%)", "retained test (%)", "gap on forgotten", "gap on retained"]
    head += ["steps", "images passed", "seconds", "ended by", "paper: forgotten", "paper: retained"]
    rows = []
    for method, variant, name in ROWS:
        pairs = _pairs(dataset, clip_model, method, variant)
        if not pairs:
            continue
        cells = [name, str(len(pairs))]
        keys = ("forget_test", "retain_test")
        cells += [str(interval(run["metrics"][key] for run, _ in pairs)) for key in keys]
        for key in keys:
            gap = interval(run["metrics"][key] - reference["metrics"][key] for run, reference in pairs)
            cells.append("reference" if method == "retrain" else str(gap))
        for key, form in (("steps", ",.0f"), ("samples_seen", ",.0f"), ("seconds", ".1f")):
            cells.append(f"{sum(run[key] for run, _ in pairs) / len(pairs):{form}}")
        cells.append(ended_by(run for run, _ in pairs))
        named = method in PAPER_NAMES and variant is None
        cells += [TABLE_13.value("ViT-B-32", method, column) if named else "–" for column in keys]
        rows.append(cells)
    return markdown.table(head, rows) if rows else NONE_RECORDED


def effects_table(rows: Mapping[str, Sequence[Mapping[str, float]]], columns: Mapping[str, str]) -> str:
    """A Markdown table of side effects: mean and 95 % interval over the runs of each row.

    rows: what the table calls a row -> metrics of its runs. columns: metric -> head.
    """
    made = []
    for name, runs in rows.items():
        cells = [interval(run.get(key) for run in runs) for key in columns]
        made.append([name, *("–" if cell is None else str(cell) for cell in cells)])
    return markdown.table(["run", *columns.values()], made) if made else NONE_RECORDED


def search_path(dataset: str, clip_model: str, method: str, profile: str = "laptop") -> Path:
    """Where a method's search is recorded."""
    return results_folder() / "tuning" / profile / f"{dataset}-{clip_model}_clip-class-{method}.json"


def recorded_search(dataset: str, clip_model: str, method: str) -> list[Trial]:
    """The trials of a method's recorded search; none if there is no record."""
    path = search_path(dataset, clip_model, method)
    if not path.exists():
        return []
    return [Trial(**trial) for trial in json.loads(path.read_text(encoding="utf-8"))["trials"]]
