"""Forget sets of low, medium and high memorisation side by side: one table and one figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from . import markdown
from .figures import COLOURS, LABELS, show, style
from .memorisation import GRADES
from .metrics import Interval, mean_interval

SETS = (*GRADES, "random")
Graded = Mapping[tuple[str, str], Interval]  # (method, forget set) -> mean and interval over seeds


def by_seed(runs: Sequence[Mapping[str, Any]], grade: str, method: str, section: str, key: str) -> dict[int, float]:
    """Seed -> one number of the recorded runs; section: metrics or audit."""
    chosen = [run for run in runs if (run["grade"], run["method"]) == (grade, method)]
    return {run["seed"]: float(run[section][key]) for run in chosen}


def graded_values(runs: Sequence[Mapping[str, Any]], section: str, key: str) -> Graded:
    """Mean and 95 % interval over seeds of each method on each forget set."""
    found = {(run["method"], run["grade"]) for run in runs}
    return {(m, g): mean_interval(list(by_seed(runs, g, m, section, key).values())) for m, g in found}


def graded_gaps(runs: Sequence[Mapping[str, Any]], section: str, key: str) -> Graded:
    """The same, of the differences to the Retrain of the same forget set and seed."""
    gaps = {}
    for method, grade in {(run["method"], run["grade"]) for run in runs}:
        mine, reference = (by_seed(runs, grade, name, section, key) for name in (method, "retrain"))
        gaps[method, grade] = mean_interval([mine[seed] - reference[seed] for seed in mine if seed in reference])
    return gaps


def graded_table(runs: Sequence[Mapping[str, Any]], section: str, key: str) -> str:
    """A Markdown table: a row for each method, value and paired gap to Retrain for each forget set."""
    values, gaps = graded_values(runs, section, key), graded_gaps(runs, section, key)
    head = ["run", *(text for grade in SETS for text in (grade, "gap"))]
    rows = []
    for method in dict.fromkeys(run["method"] for run in runs):
        cells = [LABELS.get(method, method)]
        for grade in SETS:
            cells += [str(values[method, grade]), "reference" if method == "retrain" else str(gaps[method, grade])]
        rows.append(cells)
    return markdown.table(head, rows)


def show_graded(runs: Sequence[Mapping[str, Any]], section: str, key: str, y: str, caption: str) -> None:
    """Each method's gap to Retrain over the forget sets, mean and 95 % interval over seeds; y: the axis title."""
    gaps = graded_gaps(runs, section, key)
    figure = go.Figure()
    told = []
    for method in dict.fromkeys(run["method"] for run in runs):
        if method == "retrain":
            continue
        found = [gaps[method, grade] for grade in SETS]
        figure.add_scatter(
            x=SETS,
            y=[one.mean for one in found],
            error_y={"array": [one.half for one in found]},
            mode="lines+markers",
            name=LABELS.get(method, method),
            line={"color": COLOURS.get(method)},
        )
        told.append(f"{LABELS.get(method, method)} " + ", ".join(f"{one.mean:.1f}" for one in found))
    style(figure, "forget set, by memorisation", y)
    figure.add_hline(y=0, line={"color": COLOURS["retrain"], "dash": "dash"}, annotation_text="Retrain")
    show(figure, caption, f"Lines of {y} over the sets {', '.join(SETS)}: " + "; ".join(told) + ".")
