"""Unlearning against the shortest Retrain that is as good, and against the fastest rivals, quality beside each time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from ..data import Dataset, ForgetTask
from ..errors import DataFileError
from ..experiments import describe_task, make_task, original_model, retrain_step_seconds, retrained_model
from ..metrics import evaluate
from ..profiles import EVERY_BATCH, Profile
from ..results import plain
from ..training import accuracy
from ..tuning import tuned_settings
from ..unlearning import unlearn
from .quick import quick_search, quick_settings

SHARES = (0.25, 0.4, 0.6, 1.0)  # lengths of Retrain that are tried, as shares of the profile's epochs
NEAR = 0.5  # points of validation accuracy below the best that still count as good
RIVALS = {
    "class": ("contrastive", "ssd", "boundary_shrink", "scrub"),
    "samples": ("contrastive", "ssd", "scrub"),
}


def schedules_of(profile: Profile) -> list[int]:
    """The numbers of epochs of Retrain that are tried, in ascending order."""
    return sorted({max(1, round(share * profile.training.epochs)) for share in SHARES})


def seen_accuracy(model: Any, task: ForgetTask) -> float:
    """Accuracy in percent on the validation images that Retrain can know: all, but for a forgotten class."""
    images = task.validation
    return accuracy(model, images if task.label is None else images.select(images.labels != task.label))


def shortest(found: dict[int, float], near: float = NEAR) -> int:
    """The fewest epochs whose validation accuracy (percent) is within `near` points of the best; epochs -> accuracy."""
    best = max(found.values())
    return min(epochs for epochs, reached in found.items() if reached >= best - near)


def variants(profile: Profile, kind: str, quick: Sequence[Mapping[str, Any]] = ()) -> list[tuple[str, str, Any]]:
    """Method, a name for the reader, and settings: the searched ones, and ours in quick ways first.

    quick: what `quick_search` has chosen; without any, a check after every batch.
    """
    found = []
    for method in RIVALS[kind]:
        own = profile.settings(method, kind)
        if method == "contrastive":
            for choice in quick:
                name = f"quick, {choice['given_up']:g} given up"
                found.append((method, name, quick_settings(profile, kind, choice["changes"])))
            if not quick:
                found.append((method, "checked after every batch", replace(own, stopping=EVERY_BATCH)))
        try:
            found.append((method, "as searched", tuned_settings(profile, kind, method)))
        except DataFileError:
            found.append((method, "as in the profile", own))
    return found


def against_retrain(
    dataset: Dataset, profile: Profile, kind: str, seed: int, repeats: int, schedules: Sequence[int] | None = None
) -> dict[str, Any]:
    """How many times faster than Retrain each method is, one task and seed.

    Retrain takes the shortest of `schedules` (epochs; None means `schedules_of`) that `shortest` allows, on
    validation images; the models come from the cache or are trained. Its seconds are its steps times the mean of what
    its step took just before and just after the method's run, so that a busy machine slows both.
    Returns dataset, task, seed, schedules, epochs, retrain_metrics, quick (see `quick_search`), and runs: for each
    method variant, method, variant, seconds, check_seconds, times_faster (one for each repeat), steps, stopped_by
    and metrics.
    """
    task = make_task(dataset, profile, kind, seed)
    original = original_model(dataset, profile, seed)
    models = {}
    for epochs in schedules or schedules_of(profile):
        sized = replace(profile, training=replace(profile.training, epochs=epochs))
        models[epochs] = retrained_model(task, sized, seed).model
    reached = {epochs: seen_accuracy(model, task) for epochs, model in models.items()}
    epochs = shortest(reached)
    steps = epochs * -(-len(task.retain) // profile.training.batch_size)
    quick = None if profile.name == "smoke" else quick_search(dataset, profile, kind)
    runs = []
    for method, variant, settings in variants(profile, kind, quick["chosen"] if quick else ()):
        times, spent, checks = [], [], []
        for _ in range(repeats):
            before = retrain_step_seconds(profile, task)
            result = unlearn(method, original.model, task, settings, seed)
            step = (before + retrain_step_seconds(profile, task)) / 2
            times.append(steps * step / result.seconds)
            spent.append(result.seconds)
            checks.append(result.check_seconds)
        runs.append(
            {
                "method": method,
                "variant": variant,
                "seconds": spent,
                "check_seconds": median(checks),
                "times_faster": times,
                "steps": result.steps,
                "stopped_by": result.stopped_by,
                "metrics": evaluate(result.model, task),
            }
        )
    return {
        "dataset": dataset.name,
        "task": describe_task(task),
        "seed": seed,
        "schedules": {str(count): value for count, value in reached.items()},
        "epochs": epochs,
        "retrain_metrics": evaluate(models[epochs], task),
        "quick": plain(quick),
        "runs": runs,
    }
