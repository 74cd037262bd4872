"""One run from start to record: original model, task, unlearning or retraining, measurement."""

from dataclasses import replace
from typing import Any

from .data import Dataset, ForgetTask, forget_class, forget_samples
from .errors import choose
from .metrics import evaluate
from .profiles import Profile
from .results import record
from .training import TrainedModel, load_or_train
from .unlearning import METHODS, unlearn

KINDS = ("class", "samples")


def make_task(dataset: Dataset, profile: Profile, kind: str, seed: int) -> ForgetTask:
    """The profile's task: its class, or its number of samples drawn by `seed`."""
    choose("kind of task", kind, KINDS)
    if kind == "class":
        return forget_class(dataset, profile.label, seed)
    return forget_samples(dataset, profile.count, seed)


def tuning_task(task: ForgetTask) -> ForgetTask:
    """The same task with validation images in place of the test images.

    A search over settings measures on this, so that it never sees what is reported.
    """
    seen = task.validation
    if task.label is None:
        return replace(task, test=seen)
    forgotten = seen.labels == task.label
    return replace(task, test=seen, forget_test=seen.select(forgotten), retain_test=seen.select(~forgotten))


def original_model(dataset: Dataset, profile: Profile, seed: int) -> TrainedModel:
    """The model that learned everything: trained on all of `dataset.train`, or read from the cache."""
    return load_or_train(profile.config(len(dataset.classes)), dataset.train, profile.training, seed)


def retrained_model(task: ForgetTask, profile: Profile, seed: int) -> TrainedModel:
    """Retrain, the reference: the same training with the same seed on `task.retain` alone."""
    return load_or_train(profile.config(len(task.classes)), task.retain, profile.training, seed)


def describe_task(task: ForgetTask) -> str:
    """A short name for records: "class5", "samples500"."""
    return f"class{task.label}" if task.kind == "class" else f"samples{len(task.forget)}"


def record_original_and_retrain(profile: Profile, task: ForgetTask, seed: int, tables: dict[str, str]) -> None:
    """Train (or read) both models of a seed and record what they score.

    tables: method -> the paper's table that the run belongs to.
    """
    everything = Dataset(task.dataset, task.train, task.validation, task.test, task.classes)
    for method, trained, images in (
        ("original", original_model(everything, profile, seed), task.train),
        ("retrain", retrained_model(task, profile, seed), task.retain),
    ):
        steps = profile.training.epochs * -(-len(images) // profile.training.batch_size)
        record(
            images.device,
            table=tables[method],
            profile=profile.name,
            dataset=task.dataset,
            model=profile.model,
            method=method,
            task=describe_task(task),
            seed=seed,
            settings={"config": trained.model.config, "training": profile.training, "train_images": len(task.train)},
            metrics=evaluate(trained.model, task),
            seconds=trained.seconds,
            steps=steps,
            samples_seen=profile.training.epochs * len(images),
            stopped_by="finished",
        )


def trace(
    method: str, original: TrainedModel, task: ForgetTask, settings: Any, seed: int = 0
) -> list[dict[str, float]]:
    """A history in which every row also has the accuracies of `evaluate`, in percent.

    The first row is the original model. settings: how often rows are written is its
    stopping.check_every; with Stopping(rule="none") the run goes on to its last round. The time
    of the measurements is not in the rows' seconds.
    """
    rows: list[dict[str, float]] = []
    unlearn(method, original.model, task, settings, seed, lambda model, row: rows.append(row | evaluate(model, task)))
    return rows


def record_unlearning(
    profile: Profile,
    task: ForgetTask,
    original: TrainedModel,
    method: str,
    seed: int,
    table: str,
    variant: str | None = None,
    settings: Any = None,
) -> dict[str, float]:
    """Unlearn, measure and record one run; return the metrics.

    settings: None means the profile's. variant: names a run whose settings are not the profile's.
    """
    settings = settings or profile.settings(method, task.kind) or METHODS[method].settings()
    result = unlearn(method, original.model, task, settings, seed)
    measured = evaluate(result.model, task)
    record(
        task.forget.device,
        table=table,
        profile=profile.name,
        dataset=task.dataset,
        model=profile.model,
        method=method,
        variant=variant,
        task=describe_task(task),
        seed=seed,
        settings={"config": original.model.config, "train_images": len(task.train), method: settings},
        metrics=measured,
        seconds=result.seconds,
        check_seconds=result.check_seconds,
        steps=result.steps,
        samples_seen=result.samples_seen,
        forget_share=result.forget_share,
        stopped_by=result.stopped_by,
        history=result.history,
    )
    return measured
