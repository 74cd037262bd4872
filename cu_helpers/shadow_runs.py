"""Recorded shadow models: what each says of every image before and after unlearning, one JSON file each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .attack_scores import logit_score
from .attacks import outputs
from .checkpoints import versions
from .data import Dataset, ForgetTask
from .errors import DataFileError
from .files import write_text
from .models import EmbeddingClassifier
from .results import commit, describe_device, plain, results_folder
from .shadows import shadow_design, shadow_task
from .training import TrainSettings
from .unlearning import RetrainSettings, unlearn


@dataclass(frozen=True)
class ShadowSettings:
    """The U-LiRA experiment on the digits, of a size that two CPU cores record in half an hour.

    Every shadow model learns half of the pool (all training images), forgets a fifth of its half, and
    with 40 models (shadows) every image is forgotten by four of them. methods: whose models forget; beside them
    stands Retrain. seed: draws the halves. The numbers are ours.
    """

    shadows: int = 40
    forgotten: int = 18
    width: int = 8  # narrower than the laptop profile's 16: 40 models and 200 runs of methods have to be paid
    training: TrainSettings = field(
        default_factory=lambda: TrainSettings(epochs=40, batch_size=15, learning_rate=0.1, precision="float32")
    )
    validation: int = 100  # images that stop rules see
    population: int = 100  # test images for RMIA
    methods: tuple[str, ...] = ("contrastive", "finetune", "gradient_ascent", "scrub")
    seed: int = 0


@dataclass(frozen=True)
class ShadowRecords:
    """All recorded shadow models as arrays; rows are models.

    trained, forgets: bool (models, n). phi: stage -> (models, n); population: stage -> (models, m).
    shown: positions (models, s) of the images whose logits are kept: those that the model forgets,
    then as many that it was never trained on. logits: stage -> (models, s, classes). labels: (n,).
    accuracy: stage -> set -> (models,), percent. Stages are "original", "retrain" and the methods.
    about: settings, device, versions, CPU seconds of all runs of methods.
    """

    trained: NDArray[np.bool_]
    forgets: NDArray[np.bool_]
    labels: NDArray[np.int64]
    shown: NDArray[np.int64]
    phi: dict[str, NDArray[np.float64]]
    population: dict[str, NDArray[np.float64]]
    logits: dict[str, NDArray[np.float64]]
    accuracy: dict[str, dict[str, NDArray[np.float64]]]
    about: dict[str, Any]


def shadow_folder(profile: str) -> Path:
    """Where the shadow models of a profile are recorded."""
    return results_folder() / "shadows" / profile


def shadow_path(profile: str, dataset: str, shadow: int) -> Path:
    """The record of one shadow model."""
    return shadow_folder(profile) / f"{dataset}-shadow{shadow:02d}.json"


def plan(dataset: Dataset, settings: ShadowSettings) -> tuple[Dataset, Tensor, Tensor]:
    """The data set, validation images cut to what the stop rules get, and both masks of the design (shadows, n)."""
    small = replace(dataset, validation=dataset.validation.first(settings.validation))
    trained, forgets = shadow_design(len(dataset.train), settings.shadows, settings.forgotten, settings.seed)
    return small, trained, forgets


def stages(
    original: EmbeddingClassifier, task: ForgetTask, settings: ShadowSettings, methods: Mapping[str, Any], seed: int
) -> tuple[dict[str, EmbeddingClassifier], dict[str, float]]:
    """The shadow model, its retrained twin and what each method makes of it, with CPU seconds of the last."""
    models, seconds = {"original": original}, {}
    for name, chosen in {"retrain": RetrainSettings(settings.training), **methods}.items():
        start = process_time()
        models[name] = unlearn(name, original, task, chosen, seed).model
        seconds[name] = process_time() - start
    return models, seconds


def describe_shadow(
    models: Mapping[str, EmbeddingClassifier],
    dataset: Dataset,
    trained: Tensor,
    forgets: Tensor,
    settings: ShadowSettings,
    seed: int,
) -> dict[str, Any]:
    """What a record holds of one shadow model's stages; trained, forgets: its rows of the design, (n,)."""
    never = (~trained).nonzero()[:, 0]
    draw = torch.Generator().manual_seed(seed)
    some = never[torch.randperm(len(never), generator=draw)[: settings.forgotten]].sort().values
    shown = torch.cat([forgets.nonzero()[:, 0], some])
    population = dataset.test.first(settings.population)
    labels, z_labels = dataset.train.labels.cpu(), population.labels.cpu()
    sets = {"forget": forgets, "retain": trained & ~forgets, "never": ~trained}
    found: dict[str, Any] = {"shown": shown.tolist(), "phi": {}, "population": {}, "logits": {}, "accuracy": {}}
    for name, model in models.items():
        logits, z = outputs(model, dataset.train), outputs(model, population)
        right = (logits.argmax(dim=1) == labels).double()
        found["phi"][name] = _rounded(logit_score(logits, labels), 4)
        found["population"][name] = _rounded(logit_score(z, z_labels), 4)
        found["logits"][name] = [_rounded(row, 3) for row in logits[shown]]
        found["accuracy"][name] = {of: 100 * right[mask].mean().item() for of, mask in sets.items()}
    return found


def _rounded(values: Tensor, digits: int) -> list[float]:
    return [round(value, digits) for value in values.double().tolist()]


def shadow_run(
    dataset: Dataset,
    shadow: int,
    original: EmbeddingClassifier,
    settings: ShadowSettings,
    methods: Mapping[str, Any],
) -> dict[str, Any]:
    """Unlearn with every method from one trained shadow model: everything that its record holds.

    methods: name -> settings. dataset and shadow: as `plan` and the design have them.
    """
    small, trained, forgets = plan(dataset, settings)
    seed = settings.seed + shadow
    task = shadow_task(small, trained[shadow], forgets[shadow], seed)
    models, seconds = stages(original, task, settings, methods, seed)
    return {
        "dataset": dataset.name,
        "shadow": shadow,
        "settings": plain(settings),
        "method_settings": plain(dict(methods)),
        "trained": trained[shadow].nonzero()[:, 0].tolist(),
        "forgets": forgets[shadow].nonzero()[:, 0].tolist(),
        "labels": dataset.train.labels.tolist(),
        **describe_shadow(models, small, trained[shadow], forgets[shadow], settings, seed),
        "cpu_seconds": seconds,
        "device": describe_device(dataset.train.device),
        "versions": versions(),
        "commit": commit(),
    }


def record_shadow(
    profile: str,
    dataset: Dataset,
    shadow: int,
    original: EmbeddingClassifier,
    settings: ShadowSettings,
    methods: Mapping[str, Any],
) -> Path:
    """Write the record of one shadow model, see `shadow_run`, and return where."""
    described = {"profile": profile} | shadow_run(dataset, shadow, original, settings, methods)
    path = shadow_path(profile, dataset.name, shadow)
    write_text(path, json.dumps(described, sort_keys=True, allow_nan=False) + "\n")
    return path


def read_shadows(profile: str, dataset: str) -> ShadowRecords:
    """Every recorded shadow model of a profile and data set.

    Raises DataFileError if there are none, some are missing, or they were made with different settings.
    """
    paths = sorted(shadow_folder(profile).glob(f"{dataset}-shadow*.json"))
    again = "make them with book/record_shadows.py"
    if not paths:
        raise DataFileError(f"{shadow_folder(profile)} holds no shadow models of {dataset}; {again}")
    try:
        runs = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        return gather(runs)
    except (KeyError, TypeError, ValueError) as error:
        raise DataFileError(
            f"the shadow models of {dataset} in {shadow_folder(profile)} cannot be used together ({error}); "
            f"remove them and {again}"
        ) from error


def gather(runs: list[dict[str, Any]]) -> ShadowRecords:
    """Records of one experiment as arrays. Raises ValueError if they are of several, or not all of one."""
    runs = sorted(runs, key=lambda run: int(run["shadow"]))
    first = runs[0]
    wanted = list(range(first["settings"]["shadows"]))
    found = [run["shadow"] for run in runs]
    if found != wanted:
        raise ValueError(f"{len(found)} of {len(wanted)} shadow models are recorded")
    for key in ("settings", "method_settings", "labels"):
        if any(run[key] != first[key] for run in runs):
            raise ValueError(f"their {key} differ")

    def mask(name: str) -> NDArray[np.bool_]:
        rows = np.zeros((len(runs), len(first["labels"])), dtype=bool)
        for row, run in zip(rows, runs, strict=True):
            row[run[name]] = True
        return rows

    def stacked(name: str) -> dict[str, NDArray[np.float64]]:
        return {stage: np.array([run[name][stage] for run in runs], dtype=np.float64) for stage in first[name]}

    accuracy = {
        stage: {of: np.array([run["accuracy"][stage][of] for run in runs]) for of in sets}
        for stage, sets in first["accuracy"].items()
    }
    return ShadowRecords(
        trained=mask("trained"),
        forgets=mask("forgets"),
        labels=np.array(first["labels"], dtype=np.int64),
        shown=np.array([run["shown"] for run in runs], dtype=np.int64),
        phi=stacked("phi"),
        population=stacked("population"),
        logits=stacked("logits"),
        accuracy=accuracy,
        about={key: first[key] for key in ("settings", "method_settings", "device", "versions", "commit")}
        | {"cpu_seconds": sum(sum(run["cpu_seconds"].values()) for run in runs)},
    )
