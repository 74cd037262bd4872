"""Methods run here and now on one task, over seeds, beside Retrain: what chapters 07 to 13 share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import markdown
from .comparison import HEADS, SETS, short
from .errors import DataFileError
from .experiments import trace
from .figures import COLOURS, LABELS, bars, lines, show
from .geometry import forgotten_geometry
from .metrics import evaluate, mean_interval
from .notebook import Lab
from .strips import strip
from .tuning import searches, tuned_settings
from .unlearning import UnlearningResult, unlearn

SMOKE_ROUNDS = 3  # as in the profile's own settings
SMOKE_CHECKS = 16  # steps between two rows of a curve


@dataclass(frozen=True)
class Bout:
    """One run, its accuracies, and those of the Retrain of the same seed, in percent."""

    seed: int
    result: UnlearningResult
    measured: dict[str, float]
    reference: dict[str, float]


def settings_of(lab: Lab, kind: str, method: str) -> Any:
    """The tuned settings of a method, or the profile's where no search is recorded; one line says which.

    At smoke a search's number of rounds is cut to what the profile allows.
    """
    try:
        settings = tuned_settings(lab.profile, kind, method)
        print(f"{method}, {kind}: the best of its recorded search")
        return brief(lab, settings)
    except DataFileError:
        print(f"{method}, {kind}: no search is recorded for {lab.profile.dataset}; the profile's settings")
        return lab.profile.settings(method, kind)


def brief(lab: Lab, settings: Any) -> Any:
    """The settings, at smoke with few rounds: a run of seconds shows that everything works."""
    if lab.profile.name == "smoke" and hasattr(settings, "max_rounds"):
        return replace(settings, max_rounds=min(SMOKE_ROUNDS, settings.max_rounds))
    return settings


def seeds_of(lab: Lab, kind: str) -> tuple[int, ...]:
    """Three seeds, or one at smoke."""
    seeds = lab.profile.class_seeds if kind == "class" else lab.profile.sample_seeds
    return seeds[: 1 if lab.profile.name == "smoke" else 3]


def fight(lab: Lab, kind: str, method: str, settings: Any) -> list[Bout]:
    """Run a method once for each seed, each with its own original model, and measure it."""
    bouts = []
    for seed in seeds_of(lab, kind):
        task = lab.class_task() if kind == "class" else lab.sample_task(seed)
        result = unlearn(method, lab.original(seed).model, task, settings, seed)
        reference = evaluate(lab.retrained(task, seed).model, task)
        bouts.append(Bout(seed, result, evaluate(result.model, task), reference))
    return bouts


def table(kind: str, bouts: Mapping[str, Sequence[Bout]]) -> str:
    """A Markdown table: mean ± 95 % interval of each accuracy and of the paired gaps to Retrain."""
    keys = SETS[kind]
    head = ["run", *[HEADS[key] for key in keys], *[f"gap, {short(key)}" for key in ("forget", keys[-1])]]
    some = next(iter(bouts.values()))
    reference = [str(mean_interval([bout.reference[key] for bout in some])) for key in keys]
    rows = [["Retrain", *reference, "–", "–", "–", "–"]]
    for name, runs in bouts.items():
        cells = [name, *(str(mean_interval([bout.measured[key] for bout in runs])) for key in keys)]
        for key in ("forget", keys[-1]):
            cells.append(str(mean_interval([bout.measured[key] - bout.reference[key] for bout in runs])))
        cells.append(str(mean_interval([float(bout.result.steps) for bout in runs])))
        cells.append(f"{mean_interval([bout.result.seconds for bout in runs]).mean:.2f}")
        rows.append(cells)
    return markdown.table([*head, "steps", "seconds"], rows)


def sparse(settings: Any) -> Any:
    """The settings with a stop check, and so a row of the curve, every sixteenth step where they ask for more."""
    every = settings.stopping.check_every
    if every is None or every >= SMOKE_CHECKS:
        return settings
    return replace(settings, stopping=replace(settings.stopping, check_every=SMOKE_CHECKS))


def show_curve(lab: Lab, kind: str, runs: Mapping[str, tuple[str, Any]], caption: str) -> None:
    """Fig. 2 for some methods: accuracy on the forgotten images over the images passed, one seed.

    runs: label -> (method, settings); settings say how often a row is written, at smoke every
    sixteenth step at most.
    """
    if lab.profile.name == "smoke":
        runs = {name: (method, sparse(brief(lab, settings))) for name, (method, settings) in runs.items()}
    task = lab.class_task() if kind == "class" else lab.sample_task()
    kept = SETS[kind][-1]
    original = lab.original()
    rows = {name: trace(method, original, task, settings, lab.seed) for name, (method, settings) in runs.items()}
    for metric, words in (("forget", "forgotten training images"), (kept, short(kept) + " images")):
        figure = lines(
            {name: ([row["samples_seen"] for row in of], [row[metric] for row in of]) for name, of in rows.items()},
            "images passed through the model",
            f"accuracy on {words} (%)",
        )
        level = evaluate(lab.retrained(task).model, task)[metric]
        figure.add_hline(y=level, line={"color": COLOURS["retrain"], "dash": "dash"}, annotation_text="Retrain")
        names = ", ".join(LABELS.get(name, name) for name in rows)
        show(figure, f"{caption} Accuracy on {words}.", f"Line plot: accuracy on {words} for {names}; Retrain dashed.")


def show_geometry(lab: Lab, kind: str, bouts: Mapping[str, Sequence[Bout]]) -> None:
    """Bars of where original, Retrain and methods put the forgotten images; bouts: method -> runs."""
    seeds = [bout.seed for bout in next(iter(bouts.values()))]
    tasks = {seed: lab.class_task() if kind == "class" else lab.sample_task(seed) for seed in seeds}
    models = {
        "original": [lab.original(seed).model for seed in seeds],
        "retrain": [lab.retrained(tasks[seed], seed).model for seed in seeds],
    } | {name: [bout.result.model for bout in runs] for name, runs in bouts.items()}
    found = {
        name: [forgotten_geometry(model, tasks[seed]) for model, seed in zip(of, seeds, strict=True)]
        for name, of in models.items()
    }
    measures = (
        {"cohesion": "mean cosine among forgotten images", "nearest": "cosine to the nearest retained class"}
        if kind == "class"
        else {"margin": "own class's cosine minus the nearest other's"}
    )
    for key, words in measures.items():
        intervals = {name: mean_interval([one[key] for one in of]) for name, of in found.items()}
        figure = bars({name: (i.mean, 0.0 if i.half != i.half else i.half) for name, i in intervals.items()}, words)
        told = ", ".join(f"{LABELS.get(name, name)} {i.mean:.2f}" for name, i in intervals.items())
        show(
            figure,
            f"Where the forgotten images lie: {words}, mean and 95 % interval over seeds. Retrain is the reference.",
            f"Bar chart of the {words}: {told}.",
        )


def show_strip(lab: Lab, kind: str, methods: Sequence[str]) -> None:
    """The sensitivity strips of the methods' recorded searches; one line instead if there are none."""
    recorded = {name: trials for name, trials in searches(lab.profile, kind).items() if name in methods}
    if not recorded:
        print(f"no search is recorded for {lab.profile.dataset}")
        return
    task = "a class" if kind == "class" else "samples"
    show(
        strip(recorded),
        f"Every trial of the searches for forgetting {task}: how near to Retrain it came on validation images (1 is "
        "Retrain) against the method's main knob. Hover for the other settings.",
        "Dot plots, one panel a method, of the scores of its trials: "
        + "; ".join(
            f"{LABELS[name]} {min(t.score for t in of):.2f} to {max(t.score for t in of):.2f}"
            for name, of in recorded.items()
        )
        + ".",
    )
