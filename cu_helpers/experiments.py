"""One run from start to record: original model, task, unlearning or retraining, measurement."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from .data import Dataset, ForgetTask, forget_class, forget_samples
from .errors import choose
from .metrics import evaluate
from .models import EmbeddingClassifier
from .profiles import Profile
from .results import record
from .training import TrainedModel, accuracy, load_or_train, train
from .unlearning import Stopping, unlearn
from .verification import verify

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


def record_reference(
    profile: Profile, task: ForgetTask, method: str, seed: int, table: str, shared: int = 1
) -> dict[str, float]:
    """Record one of the two models that others are compared with, attacked and audited; return the metrics.

    method: "original" or "retrain". table: the paper's table that the run belongs to. Both models are
    trained, or read from the cache. shared: see `unlearning_run`.
    """
    choose("reference", method, ["original", "retrain"])
    everything = Dataset(task.dataset, task.train, task.validation, task.test, task.classes)
    original, retrained = original_model(everything, profile, seed), retrained_model(task, profile, seed)
    trained, images = (original, task.train) if method == "original" else (retrained, task.retain)
    metrics = evaluate(trained.model, task)
    record(
        images.device,
        table=table,
        profile=profile.name,
        dataset=task.dataset,
        model=profile.model,
        method=method,
        task=describe_task(task),
        seed=seed,
        settings={"config": trained.model.config, "training": profile.training, "train_images": len(task.train)},
        metrics=metrics,
        seconds=trained.seconds,
        steps=profile.training.epochs * -(-len(images) // profile.training.batch_size),
        samples_seen=profile.training.epochs * len(images),
        stopped_by="finished",
        shared=shared,
        **verify(trained.model, task, original.model, retrained.model, seed),
    )
    return metrics


def record_original_and_retrain(
    profile: Profile, task: ForgetTask, seed: int, tables: dict[str, str], shared: int = 1
) -> None:
    """Record both references of a task and seed; tables: method -> table, see `record_reference`."""
    for method in ("original", "retrain"):
        record_reference(profile, task, method, seed, tables[method], shared)


def retrain_step_seconds(profile: Profile, task: ForgetTask, steps: int = 30) -> float:
    """Seconds of one of Retrain's training steps here and now, the mean over `steps`.

    A machine that others use too is not equally fast all day. Times Retrain's number of steps this
    gives what retraining would take beside the method that is timed next.
    """
    batch = profile.training.batch_size

    def short(count: int) -> float:
        images = task.retain.first(count * batch)
        fresh = profile.config(len(task.classes)).build(0)
        start = perf_counter()
        train(fresh, images, replace(profile.training, epochs=1))
        return (perf_counter() - start) / -(-len(images) // batch)

    short(3)  # the first steps also choose kernels and fill caches
    return short(steps)


def trace(
    method: str,
    original: TrainedModel,
    task: ForgetTask,
    settings: Any,
    seed: int = 0,
    also: Callable[[EmbeddingClassifier], dict[str, float]] | None = None,
) -> list[dict[str, float]]:
    """A history in which every row also has the accuracies of `evaluate`, in percent, and what `also` measures.

    The first row is the original model. settings: how often rows are written is its
    stopping.check_every; with Stopping(rule="none") the run goes on to its last round. The time
    of the measurements is not in the rows' seconds.
    """
    rows: list[dict[str, float]] = []

    def look(model: EmbeddingClassifier, row: dict[str, float]) -> None:
        if row["round"] == 0:
            rows.clear()  # a run that starts over with half the batch
        rows.append(row | evaluate(model, task) | (also(model) if also else {}))

    unlearn(method, original.model, task, settings, seed, look)
    return rows


def unlearning_run(
    profile: Profile,
    task: ForgetTask,
    original: TrainedModel,
    method: str,
    seed: int,
    table: str,
    variant: str | None = None,
    settings: Any = None,
    curve: Sequence[str] = (),
    retrained: EmbeddingClassifier | None = None,
    retrain_steps: float | None = None,
    shared: int = 1,
) -> tuple[EmbeddingClassifier, dict[str, Any]]:
    """Unlearn and measure once; return the model and the run as `results.record` takes it.

    settings: None means the profile's. variant: names a run whose settings are not the profile's.
    curve: sets of the task, such as "forget", whose accuracy the record holds at every stop check.
    retrained: the reference; with it the record also holds retrain_metrics, its accuracies on this
    task. retrain_steps: end the run after as many seconds as that many of Retrain's steps take here
    and now, whatever its stop rule says. shared: how many processes use the device at once. Alone,
    the record has retrain_step_seconds, the mean of what was measured just before and just after the
    run; beside others seconds say too little for that. Raises ValueError for retrain_steps beside others.
    """
    rows: list[dict[str, float]] = []

    def look(model: EmbeddingClassifier, row: dict[str, float]) -> None:
        if row["round"] == 0:
            rows.clear()  # a run that starts over with half the batch
        at = {name: row[name] for name in ("steps", "samples_seen", "seconds")}
        rows.append(at | {name: accuracy(model, getattr(task, name)) for name in curve})

    if shared > 1 and retrain_steps is not None:
        raise ValueError(
            f"a run as long as {retrain_steps:g} of Retrain's steps needs a device of its own; found {shared} processes"
        )
    before = retrain_step_seconds(profile, task) if shared == 1 else None
    settings = settings or profile.settings(method, task.kind)
    if retrain_steps is not None and before is not None:
        settings = replace(settings, stopping=Stopping(rule="none", seconds=retrain_steps * before))
    result = unlearn(method, original.model, task, settings, seed, look if curve else None)
    step_seconds = None if before is None else (before + retrain_step_seconds(profile, task)) / 2
    run = {
        "table": table,
        "profile": profile.name,
        "dataset": task.dataset,
        "model": profile.model,
        "method": method,
        "variant": variant,
        "task": describe_task(task),
        "seed": seed,
        "settings": {"config": original.model.config, "train_images": len(task.train), method: result.settings},
        "metrics": evaluate(result.model, task),
        "seconds": result.seconds,
        "check_seconds": result.check_seconds,
        "steps": result.steps,
        "samples_seen": result.samples_seen,
        "forget_share": result.forget_share,
        "stopped_by": result.stopped_by,
        "history": result.history,
        "retrain_step_seconds": step_seconds,
        "shared": shared,
        "curve": rows,
    }
    if retrained is not None:
        run["retrain_metrics"] = evaluate(retrained, task)
    return result.model, run


def record_unlearning(
    profile: Profile,
    task: ForgetTask,
    original: TrainedModel,
    method: str,
    seed: int,
    table: str,
    variant: str | None = None,
    settings: Any = None,
    curve: Sequence[str] = (),
    retrained: EmbeddingClassifier | None = None,
    verified: bool = False,
    retrain_steps: float | None = None,
    shared: int = 1,
) -> dict[str, float]:
    """Unlearn, measure and record one run, see `unlearning_run`; return the metrics.

    verified: also attack and audit the model, see `verify`; this needs retrained, and raises ValueError without.
    """
    if verified and retrained is None:
        raise ValueError("a run is audited against Retrain; pass the retrained model too, or verified=False")
    model, run = unlearning_run(
        profile, task, original, method, seed, table, variant, settings, curve, retrained, retrain_steps, shared
    )
    if verified and retrained is not None:
        run |= verify(model, task, original.model, retrained, seed)
    record(task.forget.device, **run)
    measured: dict[str, float] = run["metrics"]
    return measured
