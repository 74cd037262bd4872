"""Methods side by side: recorded runs paired with Retrain, as tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import markdown
from .figures import LABELS
from .metrics import Interval, mean_interval
from .paper import LOST, TABLE_1, TABLE_2, TABLE_3, TABLE_5, TABLE_9, PaperTable
from .profiles import get_profile
from .results import read_runs
from .unlearning import METHODS

# What each kind of task reports, and which of it has to stay.
SETS = {"class": ("forget", "forget_test", "retain_test"), "samples": ("forget", "test")}
HEADS = {
    "forget": "forgotten train (%)",
    "forget_test": "forgotten test (%)",
    "retain_test": "retained test (%)",
    "test": "test (%)",
}


def short(key: str) -> str:
    """A table head without its unit."""
    return HEADS[key].removesuffix(" (%)")


PAPER: dict[str, tuple[PaperTable, PaperTable]] = {"class": (TABLE_1, TABLE_2), "samples": (TABLE_3, TABLE_5)}

NO_CONTRAST = "tuned, no contrast"  # the tuned settings with lambda_ul 0
NONE_RECORDED = "No such run is recorded in this copy of the book."
Pair = tuple[dict[str, Any], dict[str, Any]]
Row = tuple[str, str | None, str]  # method, variant, what the table calls it


def rows_of(kind: str) -> list[Row]:
    """Every row of a kind's comparison: Retrain, all methods at their own stop, the trivial baselines."""
    names = [name for name in METHODS if kind in METHODS[name].tasks and name not in ("retrain", "logit_mask")]
    rows: list[Row] = [("retrain", None, LABELS["retrain"])]
    rows += [(name, "tuned", LABELS[name]) for name in names]
    rows += [
        ("contrastive", NO_CONTRAST, "Contrastive, λ_UL = 0"),
        ("finetune", "equal seconds", SAME_SECONDS),
    ]
    if kind == "class":
        rows.append(("logit_mask", "tuned", LABELS["logit_mask"]))
    return rows


SAME_SECONDS = "Finetune, as long as contrastive"
# Runs of another architecture that keep ResNet-18's settings although it has a search of its own.
TRANSFERRED = "settings of resnet18"


def transferred_rows(kind: str) -> list[Row]:
    """The rows of `rows_of` for an architecture that took ResNet-18's settings."""
    changed = {"tuned": TRANSFERRED, NO_CONTRAST: f"{TRANSFERRED}, no contrast", None: None}
    return [(method, changed[variant], label) for method, variant, label in rows_of(kind) if variant in changed]


def paired_runs(
    dataset: str, kind: str, method: str, variant: str | None, model: str = "resnet18", profile: str = "laptop"
) -> list[Pair]:
    """(run, Retrain's run of the same task and seed) for each recorded seed of a method.

    A run that has retrain_metrics of its own is paired with those: they are of the very model that
    stood beside it, and, for LCODEC's few samples, of the same task.
    """
    task = get_profile(profile, dataset).task_name(kind)
    runs = read_runs(profile, dataset=dataset, model=model, method=method, variant=variant)
    references = {
        run["seed"]: run
        for run in read_runs(profile, dataset=dataset, model=model, method="retrain", variant=None, task=task)
    }
    pairs = []
    for run in runs:
        if run["seed"] not in references:
            continue
        reference = references[run["seed"]]
        own = run.get("retrain_metrics")
        if run["task"] == task or (own and kind == "samples" and run["task"].startswith(kind)):
            pairs.append((run, reference | {"metrics": own} if own else reference))
    return pairs


def interval(values: Iterable[float | None]) -> Interval | None:
    """Mean and 95 % interval of what is there; None if nothing is."""
    there = [value for value in values if value is not None]
    return mean_interval(there) if there else None


def times_faster(run: Mapping[str, Any], reference: Mapping[str, Any]) -> float | None:
    """Retrain's seconds over a run's, both measured in one go.

    None where that was not done, or where the run looked at no image and a ratio says nothing.
    """
    step = run.get("retrain_step_seconds")
    return float(reference["steps"] * step / run["seconds"]) if step and run["samples_seen"] else None


def ended_by(runs: Iterable[Mapping[str, Any]]) -> str:
    """What ended the runs, and how many of them: "rounds 1, rule 2"."""
    ends = [run["stopped_by"] for run in runs]
    return ", ".join(f"{name} {ends.count(name)}" for name in sorted(set(ends)))


def _cell(found: Interval | None) -> str:
    return "–" if found is None else str(found)


def _count(values: Iterable[float]) -> str:
    """A mean of whole numbers, with its interval if they differ."""
    found = mean_interval(list(values))
    spread = f" ± {found.half:,.0f}" if found.half >= 0.5 else ""
    return f"{found.mean:,.0f}{spread}"


def accuracy_table(
    dataset: str, kind: str, rows: Sequence[Row], model: str = "resnet18", profile: str = "laptop"
) -> str:
    """A Markdown table: accuracies, paired gaps to Retrain, and beside them the paper's numbers.

    The paper's are for its full-width model on all of CIFAR-10 and stand for orientation. A row
    without a recorded run is left out.
    """
    keys = SETS[kind]
    head = ["method", "seeds", *[HEADS[key] for key in keys], "gap on forgotten", f"gap on {short(keys[-1])}"]
    natural = dataset == "cifar10"
    if natural:
        head += [f"paper: {HEADS[key]}" for key in keys]
    made = []
    for method, variant, label in rows:
        pairs = paired_runs(dataset, kind, method, variant, model, profile)
        if not pairs:
            continue
        few = {run["task"] for run, _ in pairs} - {reference["task"] for _, reference in pairs}
        cells = [label + "".join(f" ({task})" for task in sorted(few)), str(len(pairs))]
        cells += [_cell(interval(run["metrics"].get(key) for run, _ in pairs)) for key in keys]
        for key in ("forget", keys[-1]):
            gap = interval(run["metrics"][key] - reference["metrics"][key] for run, reference in pairs)
            cells.append("reference" if method == "retrain" else _cell(gap))
        if natural:
            cells += [_paper(kind, 0, model, method, variant, key) for key in keys]
        made.append(cells)
    return markdown.table(head, made) if made else NONE_RECORDED


def had_the_device(run: Mapping[str, Any]) -> bool:
    """Whether a run had the device to itself, so that its seconds say something."""
    return bool(run.get("shared", 1) == 1)


def _timed(pairs: Sequence[Pair], kind: str, method: str, model: str) -> list[Pair]:
    """The runs whose seconds count: those alone on the device or, where none was, those that were timed alone."""
    alone = [(run, reference) for run, reference in pairs if had_the_device(run)]
    if alone:
        return alone
    first = pairs[0][0]
    return paired_runs(first["dataset"], kind, method, "timed", model, first["profile"])


def _retrain_seconds(pairs: Sequence[Pair], kind: str, model: str) -> Interval | None:
    """Retrain's seconds alone on the device or, where no run was, its steps times what a step takes alone."""
    alone = [run["seconds"] for run, _ in pairs if had_the_device(run)]
    if alone:
        return interval(alone)
    first = pairs[0][0]
    beside = paired_runs(first["dataset"], kind, "contrastive", "timed", model, first["profile"])
    return interval(reference["steps"] * run["retrain_step_seconds"] for run, reference in beside)


def cost_table(dataset: str, kind: str, rows: Sequence[Row], model: str = "resnet18", profile: str = "laptop") -> str:
    """A Markdown table: seconds, Retrain's seconds over these, steps, images, and what ended the runs.

    Where runs shared the device their seconds are those of the run that was timed alone.
    """
    head = ["method", "seconds", "Retrain's seconds / these", "optimiser steps", "images passed", "ended by"]
    natural = dataset == "cifar10"
    if natural:
        head.append("paper: seconds on its GPU")
    made = []
    for method, variant, label in rows:
        pairs = paired_runs(dataset, kind, method, variant, model, profile)
        if not pairs:
            continue
        if method == "retrain":
            cells = [label, _cell(_retrain_seconds(pairs, kind, model)), "1"]
        else:
            timed = _timed(pairs, kind, method, model) if variant in (None, "tuned") else list(pairs)
            cells = [label, _cell(interval(run["seconds"] for run, _ in timed if had_the_device(run)))]
            cells.append(_cell(interval(times_faster(*pair) for pair in timed)))
        cells += [_count(float(run[key]) for run, _ in pairs) for key in ("steps", "samples_seen")]
        cells.append(ended_by(run for run, _ in pairs))
        if natural:
            cells.append(_paper(kind, 1, model, method, variant, "seconds"))
        made.append(cells)
    return markdown.table(head, made) if made else NONE_RECORDED


def recorded_tables(dataset: str, kind: str, methods: Sequence[str] | None = None) -> str:
    """Markdown: for each profile with recorded runs, what was run where, and the accuracy and cost tables.

    methods: the rows to show; None means every method and the trivial baselines.
    """
    rows = [row for row in rows_of(kind) if methods is None or row[0] in methods]
    parts = []
    for profile in ("paper", "laptop"):
        found = [
            pair for method, variant, _ in rows for pair in paired_runs(dataset, kind, method, variant, profile=profile)
        ]
        if not any(run["method"] != "retrain" for run, _ in found):
            continue
        settings = found[0][0]["settings"]
        devices = ", ".join(sorted({run["device"] for run, _ in found}))
        parts.append(
            f"**Profile {profile}**: {settings['train_images']:,} training images, {found[0][0]['model']} of width "
            f"{settings['config']['width']}; {devices}."
        )
        parts += [table(dataset, kind, rows, profile=profile) for table in (accuracy_table, cost_table)]
    if not parts:
        return NONE_RECORDED
    if dataset == "cifar10":
        parts.append(paper_sources(kind))
    return "\n\n".join(parts)


def class_table(profile: str = "laptop", model: str = "resnet18") -> str:
    """Table 9: contrastive unlearning of each class in turn, ours on each data set beside the paper's."""
    runs = read_runs(profile, method="contrastive", variant="tuned", model=model)
    keys = ("retain_test", "forget", "forget_test")
    rows = []
    for dataset in ("digits", "cifar10"):
        for label in range(10):
            of_class = [run for run in runs if run["dataset"] == dataset and run["task"] == f"class{label}"]
            if not of_class:
                continue
            cells = [dataset, str(label), str(len(of_class))]
            cells += [_cell(interval(run["metrics"][key] for run in of_class)) for key in keys]
            cells.append(f"{TABLE_9[label]:g}" if dataset == "cifar10" else "–")
            rows.append(cells)
    head = ["data", "class", "seeds", *[HEADS[key] for key in keys], "paper's retained"]
    return markdown.table(head, rows) if rows else NONE_RECORDED


def _paper(kind: str, position: int, model: str, method: str, variant: str | None, column: str) -> str:
    """The paper's number; a dash for a row that its table does not have."""
    table = PAPER[kind][position]
    if variant not in (None, "tuned") or method not in {name for _, name in table.cells}:
        return "–"
    return table.value(model, method, column)


def paper_sources(kind: str) -> str:
    """Where the paper's numbers in the two tables of a kind of task come from, as one sentence."""
    accuracy, seconds = PAPER[kind]
    return f"Paper's accuracies: {accuracy.source}. Seconds: {seconds.source}. {LOST.capitalize()} cells stay so."
