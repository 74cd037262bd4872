"""Search every method's settings and record its runs: the fair fight of chapters 07 to 13.

    python book/record_baselines.py --dataset cifar10 --task class --seeds 0 1 2

Each search is one JSON in book/results/tuning/, each run one in book/results/<profile>/. What is
recorded already is skipped, so a stopped command goes on where it was. The search uses seed 100,
whose model and forgotten samples no table reports.
"""

import argparse
import sys
from dataclasses import replace
from typing import Any

from record_runs import TABLES, command_line, describe, exists, say

from cu_helpers.data import Dataset, ForgetTask, forget_samples, load_dataset
from cu_helpers.errors import DataFileError, reported
from cu_helpers.experiments import (
    make_task,
    original_model,
    record_original_and_retrain,
    record_unlearning,
    retrained_model,
)
from cu_helpers.grid import CURVES, NO_CONTRAST, samples_of
from cu_helpers.models import EmbeddingClassifier
from cu_helpers.profiles import Profile, get_profile
from cu_helpers.results import commit, read_run, record_path
from cu_helpers.training import TrainedModel
from cu_helpers.tuning import (
    GRIDS,
    SEARCH_MODEL,
    SEARCH_SEED,
    best,
    record_search,
    search,
    search_path,
    tuned_settings,
)
from cu_helpers.unlearning import METHODS, Stopping


def methods(kind: str, wanted: list[str] | None) -> list[str]:
    """The wanted methods for this kind of task, contrastive first: its seconds bound the others'. None: all.

    Retrain is never among them: it is recorded with the original, first of all.
    """
    names = [name for name in METHODS if kind in METHODS[name].tasks and name != "retrain"]
    chosen = [name for name in names if wanted is None or name in wanted]
    return sorted(chosen, key=lambda name: name != "contrastive")


def task_of(method: str, dataset: Dataset, profile: Profile, kind: str, seed: int) -> ForgetTask:
    """The profile's task, or, for LCODEC, the first few of the same samples."""
    count = samples_of(method, profile)
    if count != profile.count:
        return forget_samples(dataset, count, seed)
    return make_task(dataset, profile, kind, seed)


def search_all(profile: Profile, dataset: Dataset, kind: str, names: list[str]) -> None:
    """Make the searches that are missing."""
    for method in names:
        task = task_of(method, dataset, profile, kind, SEARCH_SEED)
        if method not in GRIDS or search_path(profile, kind, method).exists():
            continue
        original = original_model(dataset, profile, SEARCH_SEED)
        # Retrain without all of the profile's samples is a reference for the first few as well.
        reference = retrained_model(make_task(dataset, profile, kind, SEARCH_SEED), profile, SEARCH_SEED)
        base = profile.settings(method, kind)
        found = search(method, original.model, reference.model, task, base, SEARCH_SEED)
        record_search(profile, task, method, base, SEARCH_SEED, found)
        say(f"searched {method}: {best(found).changes} scores {best(found).score:.3f} of", [t.score for t in found])


def run_all(profile: Profile, dataset: Dataset, kind: str, names: list[str], seed: int, shared: int) -> None:
    """Record one seed: each method's own stop, then, alone on the device, each in contrastive unlearning's seconds."""
    full = make_task(dataset, profile, kind, seed)
    if not all(exists(profile, full, method, None, seed) for method in ("original", "retrain")):
        say(f"seed {seed}: original and retrain")
        record_original_and_retrain(profile, full, seed, {"original": "Table 8", "retrain": TABLES[kind]}, shared)
    original = original_model(dataset, profile, seed)
    # Other architectures are compared by their accuracies alone.
    audited = profile.model == SEARCH_MODEL
    # Retrain without all of the samples never saw LCODEC's first few either.
    retrained = retrained_model(full, profile, seed).model if audited else None
    planned = [(method, "tuned", tuned_settings(profile, kind, method)) for method in names]
    if "contrastive" in names:
        planned.append(("contrastive", NO_CONTRAST, replace(planned[0][2], lambda_ul=0.0)))
    for method, variant, settings in planned:
        task = task_of(method, dataset, profile, kind, seed)
        run(profile, original, task, method, variant, settings, seed, (), retrained, audited, shared=shared)
    if shared == 1 and names and retrained is not None:
        equal_seconds(profile, original, full, planned, seed, retrained)
    if kind == "class" and profile.dataset != "digits":  # digits are drawn live in the chapters
        for method, _, settings in planned:
            if method in CURVES:
                once = {"max_rounds": 1} if hasattr(settings, "max_rounds") else {}
                watched = replace(settings, stopping=Stopping(rule="none", check_every=CURVES[method]), **once)
                sets = ("forget", "retain_test")
                run(profile, original, full, method, "curve", watched, seed, sets, shared=shared)


def equal_seconds(
    profile: Profile,
    original: TrainedModel,
    task: ForgetTask,
    planned: list[tuple[str, str, Any]],
    seed: int,
    retrained: EmbeddingClassifier,
) -> None:
    """Record every method that takes steps, cut to the time that contrastive unlearning took."""
    timed = record_path(describe(profile, task, "contrastive", "timed", seed))
    path = timed if timed.exists() else record_path(describe(profile, task, "contrastive", "tuned", seed))
    recorded = read_run(path)
    if recorded.get("retrain_step_seconds") is None:
        raise DataFileError(
            f"{path} was recorded beside other runs, so that its seconds bound nothing; "
            "record it alone first (--timed, without --shared)"
        )
    # Without its stop checks, in Retrain's steps: what a busy machine leaves as it is.
    budget = (recorded["seconds"] - recorded["check_seconds"]) / recorded["retrain_step_seconds"]
    for method, _, settings in planned:
        if hasattr(settings, "stopping") and method not in ("contrastive", "lcodec"):
            # A run is cut, never drawn out past its own length, except finetuning: "finetune for the same seconds".
            limited = replace(settings, max_rounds=1000) if method == "finetune" else settings
            run(profile, original, task, method, "equal seconds", limited, seed, (), retrained, budget=budget)


def time_all(profile: Profile, dataset: Dataset, kind: str, names: list[str], seed: int) -> None:
    """Record every method's run once more, for its seconds, with the device to itself."""
    original, task = original_model(dataset, profile, seed), make_task(dataset, profile, kind, seed)
    for method in names:
        if method != "lcodec":
            run(profile, original, task, method, "timed", tuned_settings(profile, kind, method), seed)


def run(
    profile: Profile,
    original: TrainedModel,
    task: ForgetTask,
    method: str,
    variant: str,
    settings: Any,
    seed: int,
    curve: tuple[str, ...] = (),
    retrained: EmbeddingClassifier | None = None,
    verified: bool = False,
    budget: float | None = None,
    shared: int = 1,
) -> None:
    """Record one run, unless it is recorded already; see `record_unlearning`."""
    if record_path(describe(profile, task, method, variant, seed)).exists():
        return
    measured = record_unlearning(
        profile,
        task,
        original,
        method,
        seed,
        TABLES[task.kind],
        variant,
        settings,
        curve,
        retrained,
        verified,
        budget,
        shared,
    )
    say(f"seed {seed}: {method}, {variant}: " + ", ".join(f"{key} {value:.1f}" for key, value in measured.items()))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = command_line(__doc__)
    parser.add_argument("--methods", nargs="+", choices=sorted(METHODS), help="default: all")
    parser.add_argument("--no-search", action="store_true", help="take the settings that are found already")
    parser.add_argument("--search-only", action="store_true", help="record no run")
    parser.add_argument(
        "--shared", type=int, default=1, help="how many processes use the device: seconds say little then"
    )
    parser.add_argument("--timed", action="store_true", help="only record each run's seconds, as variant 'timed'")
    return parser.parse_args()


def main() -> int:
    """Read the command line, make what is missing, return the exit status."""
    commit()  # now: the checkout may move on while this runs
    wanted = arguments()
    try:
        profile = get_profile(wanted.profile, wanted.dataset, wanted.model)
        dataset = profile.shrink(load_dataset(wanted.dataset))
    except ValueError as error:
        print(f"record_baselines: {error}", file=sys.stderr)
        return 2
    names = methods(wanted.task, wanted.methods)
    if not wanted.no_search:
        search_all(profile, dataset, wanted.task, names)
    for seed in () if wanted.search_only else wanted.seeds:
        if wanted.timed:
            time_all(profile, dataset, wanted.task, names, seed)
        else:
            run_all(profile, dataset, wanted.task, names, seed, wanted.shared)
    return 0


if __name__ == "__main__":
    sys.exit(reported("record_baselines", main))
