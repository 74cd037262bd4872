"""A fair fight: every method gets the same number of trials, on validation images alone."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from .data import ForgetTask
from .errors import DataFileError, NonFiniteError
from .experiments import describe_task, tuning_task
from .files import write_text
from .metrics import tug_of_war
from .models import EmbeddingClassifier
from .profiles import Profile
from .results import commit, describe_device, plain, results_folder
from .training import accuracy
from .unlearning import METHODS, unlearn

# Every method's searched ranges: the product of its rows, six trials each. LCODEC has three,
# because one trial takes as long as all six of another method. Retrain and the logit mask have
# nothing to tune. The first knob is the method's main one.
GRIDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "contrastive": {"learning_rate": (1e-3, 3e-3, 1e-2), "lambda_ul": (0.5, 1.0)},
    # The same ratios to lambda_ce, which is a half there.
    "contrastive_queue": {"learning_rate": (1e-3, 3e-3, 1e-2), "lambda_ul": (0.25, 0.5)},
    "finetune": {"learning_rate": (0.01, 0.03, 0.1), "batch_size": (64, 256)},
    "gradient_ascent": {"learning_rate": (1e-4, 1e-3, 3e-3), "batch_size": (16, 64)},
    "fisher": {"alpha": (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)},
    "boundary_shrink": {"learning_rate": (1e-4, 3e-4, 1e-3), "exclude_label": (False, True)},
    "boundary_expansion": {"learning_rate": (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)},
    "scrub": {"learning_rate": (2e-3, 1e-2, 3e-2), "alpha": (0.001, 0.5)},
    "unsir": {"impair_learning_rate": (1e-4, 1e-3, 2e-2), "repair_learning_rate": (1e-3, 1e-2)},
    "neggrad_plus": {"learning_rate": (1e-3, 3e-3, 1e-2), "retain_weight": (0.5, 0.95)},
    "ssd": {"selection": (2.0, 5.0, 10.0, 20.0, 50.0, 100.0)},
    "salun": {"learning_rate": (3e-3, 0.013, 0.05), "kept_share": (0.1, 0.5)},
    "lcodec": {"damping": (0.01, 0.1, 1.0)},
}


SEARCH_MODEL = "resnet18"  # the architecture of the main comparison; what its search found serves others without one
SEARCH_SEED = 100  # no table reports the models and the forgotten samples of this seed


@dataclass(frozen=True)
class Trial:
    """One setting that was tried.

    changes: what differs from the profile's settings. metrics: accuracies in percent on the forget
    set and on validation images, empty if the run diverged. score: `tuning_score`, 0 if it did.
    """

    changes: dict[str, Any]
    metrics: dict[str, float]
    score: float
    seconds: float
    steps: int
    samples_seen: int


def tuning_sets(task: ForgetTask) -> dict[str, Any]:
    """What a trial is measured on: the forget set, and validation images in the test images' place."""
    seen = tuning_task(task)
    if task.label is None:
        return {"forget": seen.forget, "test": seen.test}
    return {"forget": seen.forget, "forget_test": seen.forget_test, "retain_test": seen.retain_test}


def tuning_score(measured: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """Nearness to Retrain, from 0 to 1: the product of 1 - |gap| over the measured sets (ToW, Zhao et al. 2024)."""
    return tug_of_war(measured, reference, tuple(measured))


def trials_of(method: str, grid: Mapping[str, tuple[Any, ...]] | None = None) -> list[dict[str, Any]]:
    """The settings that `method`'s search tries, in order; one empty trial if it has nothing to tune.

    grid: name of a setting -> values to try; None means the method's own.
    """
    grid = GRIDS.get(method, {}) if grid is None else grid
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def search(
    method: str,
    original: EmbeddingClassifier,
    retrained: EmbeddingClassifier,
    task: ForgetTask,
    base: Any = None,
    seed: int = 0,
    grid: Mapping[str, tuple[Any, ...]] | None = None,
) -> list[Trial]:
    """Run every trial of `method` once and score it against the retrained model.

    base: the settings that the trials change; None means the method's defaults. grid: see `trials_of`. No test image is
    looked at: neither by the stop rule, nor by the score, nor by the reference. A run that diverges
    is a trial with score 0.
    """
    sets = tuning_sets(task)
    reference = {name: accuracy(retrained, images) for name, images in sets.items()}
    base = base or METHODS[method].settings()
    found = []
    for changes in trials_of(method, grid):
        try:
            result = unlearn(method, original, task, replace(base, **changes), seed)
        except NonFiniteError:
            found.append(Trial(changes, {}, 0.0, 0.0, 0, 0))
            continue
        measured = {name: accuracy(result.model, images) for name, images in sets.items()}
        score = tuning_score(measured, reference)
        found.append(Trial(changes, measured, score, result.seconds, result.steps, result.samples_seen))
    return found


def best(trials: list[Trial]) -> Trial:
    """The trial with the highest score; of equal ones the quicker."""
    return max(trials, key=lambda trial: (trial.score, -trial.seconds))


def at_edge(trials: Sequence[Trial]) -> list[str]:
    """The knobs whose best value is the smallest or largest of three or more that were tried."""
    edges = []
    for name, value in best(list(trials)).changes.items():
        tried = {trial.changes[name] for trial in trials}
        if len(tried) >= 3 and value in (min(tried), max(tried)):
            edges.append(name)
    return edges


def search_path(profile: Profile, kind: str, method: str) -> Path:
    """Where a search is recorded: tuning/<profile>/<dataset>-<model>-<kind>-<method>.json."""
    name = f"{profile.dataset}-{profile.model}-{kind}-{method}.json"
    return results_folder() / "tuning" / profile.name / name


def _recorded(profile: Profile, kind: str, method: str) -> tuple[str, Path]:
    """The architecture and the file of the search that serves a profile, or where the last one looked for would be.

    Its own comes first, then that of its model at profile laptop, then the same two of SEARCH_MODEL.
    """
    for model in (profile.model, SEARCH_MODEL):
        for name in (profile.name, "laptop"):
            path = search_path(replace(profile, name=name, model=model), kind, method)
            if path.exists():
                return model, path
    return SEARCH_MODEL, path


def searched_with(profile: Profile, kind: str, method: str) -> str:
    """The architecture whose search gives this profile's settings: its own if that is recorded, else SEARCH_MODEL."""
    return _recorded(profile, kind, method)[0]


def record_search(profile: Profile, task: ForgetTask, method: str, base: Any, seed: int, trials: list[Trial]) -> Path:
    """Write a search's trials, aside and renamed, and return where."""
    path = search_path(profile, task.kind, method)
    run = {
        "profile": profile.name,
        "dataset": task.dataset,
        "model": profile.model,
        "task": describe_task(task),
        "method": method,
        "seed": seed,
        "base": plain(base),
        "trials": [plain(trial) for trial in trials],
        "device": describe_device(task.forget.device),
        "commit": commit(),
    }
    write_text(path, json.dumps(run, indent=1, sort_keys=True, allow_nan=False) + "\n")
    return path


def read_search(profile: Profile, kind: str, method: str) -> list[Trial]:
    """The recorded trials of a method. Raises DataFileError if there are none.

    A profile without a search of its own reads laptop's, and a model without one `searched_with`'s.
    """
    path = _recorded(profile, kind, method)[1]
    try:
        return [Trial(**trial) for trial in json.loads(path.read_text(encoding="utf-8"))["trials"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataFileError(
            f"{path} does not hold a recorded search ({error}); make it with book/record_baselines.py"
        ) from error


def searches(profile: Profile, kind: str) -> dict[str, list[Trial]]:
    """Method -> trials, for every method that has a recorded search."""
    found = {}
    for method in GRIDS:
        if kind in METHODS[method].tasks:
            with suppress(DataFileError):
                found[method] = read_search(profile, kind, method)
    return found


def tuned_settings(profile: Profile, kind: str, method: str) -> Any:
    """The profile's settings of `method`, changed as its recorded search found best.

    Retrain and the logit mask, which have nothing to tune, come as they are. Raises DataFileError
    if there is no recorded search.
    """
    base = profile.settings(method, kind)
    if method not in GRIDS:
        return base
    return replace(base, **best(read_search(profile, kind, method)).changes)
