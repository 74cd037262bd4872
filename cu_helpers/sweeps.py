"""One setting changed at a time, each run beside the Retrain of its own seed: chapter 05's tables and figures."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from . import markdown
from .comparison import SETS
from .data import ForgetTask
from .figures import COLOURS, SET_COLOURS, lines, style
from .metrics import evaluate, mean_interval
from .notebook import Lab
from .unlearning import ContrastiveSettings, unlearn

Row = dict[str, float]
Forgotten = tuple[int, ...]  # positions in the training images
Swept = dict[str, list[Row]]  # value of the setting -> a row for each seed
GAPS = {
    "gap_forget": "gap on forgotten (points)",
    "gap_test": "gap on test (points)",
    "steps": "optimiser steps",
}
SHAPES = ("circle", "square", "diamond")


@dataclass
class Sweeps:
    """Runs of contrastive unlearning in a lab; a run that several tables share is made once."""

    lab: Lab
    _goals: dict[tuple[str, int, Forgotten], Row] = field(default_factory=dict)
    _done: dict[tuple[str, int, Forgotten, Any], Row] = field(default_factory=dict)

    def _run(self, kind: str, seed: int, task: ForgetTask, settings: ContrastiveSettings) -> Row:
        """Accuracies in percent of one run and of Retrain, the gaps between them, and what the run took."""
        same = kind, seed, tuple(task.forget_index.tolist())
        if same not in self._goals:
            self._goals[same] = evaluate(self.lab.retrained(task, seed).model, task)
        if (*same, settings) not in self._done:
            goal, kept = self._goals[same], SETS[kind][-1]
            run = unlearn("contrastive", self.lab.original(seed).model, task, settings, seed)
            got = evaluate(run.model, task)
            self._done[*same, settings] = {
                "gap_forget": got["forget"] - goal["forget"],
                "gap_test": got[kept] - goal[kept],
                "forget": got["forget"],
                "test": got[kept],
                "retrain_forget": goal["forget"],
                "retrain_test": goal[kept],
                "seconds": run.seconds,
                "steps": run.steps,
                "rule": run.stopped_by == "rule",
            }
        return self._done[*same, settings]

    def sweep(
        self,
        kind: str,
        variants: Mapping[str, ContrastiveSettings],
        seeds: Iterable[int],
        tasks: Mapping[str, Callable[[int], ForgetTask]] | None = None,
    ) -> Swept:
        """Every variant with every seed: accuracies, gaps to the Retrain of that seed, seconds, steps, and the rule.

        tasks: name -> the task of a seed, where it is not the profile's. "test" is on retained classes for a class.
        """
        usual = (lambda _: self.lab.class_task()) if kind == "class" else self.lab.sample_task
        make = {name: tasks[name] if tasks else usual for name in variants}
        return {
            name: [self._run(kind, seed, make[name](seed), settings) for seed in seeds]
            for name, settings in variants.items()
        }


def table(first: str, swept: Mapping[str, Sequence[Row]], columns: Mapping[str, str] = GAPS) -> str:
    """A Markdown table: mean ± 95 % interval over seeds for each value, and how many runs the stop rule ended.

    first: the head of the first column. columns: key of a row -> head.
    """
    head = [first, *columns.values(), "stopped by the rule"]
    made = []
    for name, rows in swept.items():
        cells = [name, *(str(mean_interval([row[key] for row in rows])) for key in columns)]
        cells.append(f"{sum(bool(row['rule']) for row in rows)} of {len(rows)}")
        made.append(cells)
    return markdown.table(head, made)


def _add(figure: go.Figure, swept: Swept, key: str, **looks: Any) -> None:
    found = [mean_interval([row[key] for row in rows]) for rows in swept.values()]
    error = {"type": "data", "array": [one.half if one.count > 1 else None for one in found]}
    figure.add_scatter(x=list(swept), y=[one.mean for one in found], error_y=error, **looks)


def _at_zero(figure: go.Figure, x: str, y: str) -> go.Figure:
    style(figure, x, y).update_xaxes(type="category")
    line = {"color": COLOURS["retrain"], "dash": "dash"}
    return figure.add_hline(y=0, line=line, annotation_text="Retrain")


def gap_figure(swept: Swept, x: str) -> go.Figure:
    """Gaps to Retrain on forgotten and on test images over a setting, means with 95 % intervals; x: its name."""
    figure = go.Figure()
    for key, part, name in (("gap_forget", "forget", "forgotten images"), ("gap_test", "test", "test images")):
        _add(figure, swept, key, mode="lines+markers", name=name, line={"color": SET_COLOURS[part]})
    return _at_zero(figure, x, "accuracy minus Retrain's (points)")


def kinds_figure(groups: Mapping[str, Swept], x: str, colours: Sequence[str]) -> go.Figure:
    """The gap on forgotten images of the same variants in several kinds of task, means with 95 % intervals."""
    figure = go.Figure()
    for (name, swept), colour, symbol in zip(groups.items(), colours, SHAPES, strict=False):
        marker = {"size": 9, "color": colour, "symbol": symbol}
        _add(figure, swept, "gap_forget", mode="markers", marker=marker, name=name)
    return _at_zero(figure, x, "forgotten accuracy minus Retrain's (points)")


def mean_curve(runs: Sequence[Sequence[Row]], metric: str) -> tuple[list[float], list[float]]:
    """Images passed and a metric along several runs, means over runs, as far as the shortest goes."""
    rows = list(zip(*runs, strict=False))
    return tuple([sum(row[key] for row in at) / len(at) for at in rows] for key in ("samples_seen", metric))  # type: ignore[return-value]


def curve_figure(
    curves: Mapping[str, Sequence[Sequence[Row]]], metric: str, y: str, level: float | None = None
) -> go.Figure:
    """One metric of each method over the images passed, mean over its runs; level: Retrain's, a dashed line."""
    means = {name: mean_curve(runs, metric) for name, runs in curves.items()}
    figure = lines(means, "images passed through the model", y)
    if level is not None:
        figure.add_hline(y=level, line={"color": COLOURS["retrain"], "dash": "dash"}, annotation_text="Retrain")
    return figure


def at_seconds(rows: Sequence[Row], seconds: float) -> Row:
    """The last row of a run that is no later than `seconds`; the first row has done nothing yet."""
    return [row for row in rows if row["seconds"] <= seconds][-1]


def accuracy_rows(measured: Mapping[str, Sequence[Row]], columns: Mapping[str, str]) -> str:
    """A Markdown table of mean ± 95 % interval over seeds: row -> a measurement for each seed; columns: key -> head."""
    made = [
        [name, *(str(mean_interval([row[key] for row in rows])) for key in columns)] for name, rows in measured.items()
    ]
    return markdown.table(["method", *columns.values()], made)
