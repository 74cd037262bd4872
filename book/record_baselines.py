"""Search every method's settings and record its runs: the fair fight of chapters 07 to 13.

    python book/record_baselines.py --dataset cifar10 --task class --seeds 0 1 2

Each search is one JSON in book/results/tuning/, each run one in book/results/<profile>/. What is
recorded already is skipped, so a stopped command goes on where it was. The search uses seed 100,
whose model and forgotten samples no table reports.
"""

import json
import sys
from dataclasses import replace
from typing import Any

from record_runs import TABLES, command_line, describe, exists, say

from cu_helpers.data import Dataset, ForgetTask, forget_samples, load_dataset
from cu_helpers.errors import DataFileError
from cu_helpers.experiments import (
    make_task,
    original_model,
    record_original_and_retrain,
    record_unlearning,
    retrained_model,
)
from cu_helpers.models import EmbeddingClassifier
from cu_helpers.profiles import Profile, get_profile
from cu_helpers.results import commit, record_path
from cu_helpers.training import TrainedModel
from cu_helpers.tuning import GRIDS, SEARCH_MODEL, best, record_search, search, search_path, tuned_settings
from cu_helpers.unlearning import METHODS, Stopping

SEARCH_SEED = 100
# Fig. 2's other methods, and after how many batches each is looked at; chapter 05 has the first ones.
CURVES = {"boundary_shrink": 4, "boundary_expansion": 4, "scrub": 15, "unsir": 15}
FEW = 50  # samples that LCODEC forgets on natural images; it takes hours for the paper's 500


def methods(kind: str) -> list[str]:
    """Every method for this kind of task but Retrain, contrastive unlearning first: its seconds bound others."""
    names = [name for name in METHODS if kind in METHODS[name].tasks and name not in ("retrain", "contrastive")]
    return ["contrastive", *names]


def task_of(method: str, dataset: Dataset, profile: Profile, kind: str, seed: int) -> ForgetTask:
    """The profile's task, or, for LCODEC, the first few of the same samples."""
    if method == "lcodec" and profile.count > FEW:
        return forget_samples(dataset, FEW, seed)
    return make_task(dataset, profile, kind, seed)


def search_all(profile: Profile, dataset: Dataset, kind: str, names: list[str]) -> None:
    """Make the searches that are missing."""
    for method in names:
        task = task_of(method, dataset, profile, kind, SEARCH_SEED)
        if method not in GRIDS or search_path(profile, task, method).exists():
            continue
        original = original_model(dataset, profile, SEARCH_SEED)
        # Retrain without all of the profile's samples is a reference for the first few as well.
        reference = retrained_model(make_task(dataset, profile, kind, SEARCH_SEED), profile, SEARCH_SEED)
        base = profile.settings(method, kind) or METHODS[method].settings()
        found = search(method, original.model, reference.model, task, base, SEARCH_SEED)
        record_search(profile, task, method, base, SEARCH_SEED, found)
        say(f"searched {method}: {best(found).changes} scores {best(found).score:.3f} of", [t.score for t in found])


def run_all(profile: Profile, dataset: Dataset, kind: str, names: list[str], seed: int) -> None:
    """Record one seed: each method's own stop, then each in contrastive unlearning's seconds."""
    full = make_task(dataset, profile, kind, seed)
    if not all(exists(profile, full, method, None, seed) for method in ("original", "retrain")):
        say(f"seed {seed}: original and retrain")
        record_original_and_retrain(profile, full, seed, {"original": "Table 8", "retrain": TABLES[kind]})
    original = original_model(dataset, profile, seed)
    planned = [(method, "tuned", tuned_settings(profile, kind, method)) for method in names]
    ours = planned[0][2]
    for method, variant, settings in [*planned, ("contrastive", "tuned, no contrast", replace(ours, lambda_ul=0.0))]:
        task = task_of(method, dataset, profile, kind, seed)
        # Retrain without all of the samples never saw the first few either, but its own record is of all.
        few = len(task.forget) != len(full.forget)
        reference = retrained_model(full, profile, seed).model if few else None
        run(profile, original, task, method, variant, settings, seed, reference=reference)
    path = record_path(describe(profile, full, "contrastive", "tuned", seed))
    recorded = json.loads(path.read_text(encoding="utf-8"))
    budget = recorded["seconds"] - recorded["check_seconds"]
    for method, _, settings in planned[1:]:
        if hasattr(settings, "stopping") and method != "lcodec":
            endless = {"max_rounds": 1000} if hasattr(settings, "max_rounds") else {}
            limited = replace(settings, stopping=Stopping(rule="none", seconds=budget), **endless)
            run(profile, original, full, method, "equal seconds", limited, seed)
    if kind == "class" and profile.dataset != "digits":  # digits are drawn live in the chapters
        for method, _, settings in planned:
            if method in CURVES:
                once = {"max_rounds": 1} if hasattr(settings, "max_rounds") else {}
                watched = replace(settings, stopping=Stopping(rule="none", check_every=CURVES[method]), **once)
                run(profile, original, full, method, "curve", watched, seed, ("forget", "retain_test"))


def run(
    profile: Profile,
    original: TrainedModel,
    task: ForgetTask,
    method: str,
    variant: str,
    settings: Any,
    seed: int,
    curve: tuple[str, ...] = (),
    reference: EmbeddingClassifier | None = None,
) -> None:
    """Record one run, unless it is recorded already."""
    if record_path(describe(profile, task, method, variant, seed)).exists():
        return
    measured = record_unlearning(
        profile, task, original, method, seed, TABLES[task.kind], variant, settings, curve, reference
    )
    say(f"seed {seed}: {method}, {variant}: " + ", ".join(f"{key} {value:.1f}" for key, value in measured.items()))


def main() -> int:
    """Read the command line, make what is missing, return the exit status."""
    commit()  # now: the checkout may move on while this runs
    parser = command_line(__doc__)
    parser.add_argument("--methods", nargs="+", choices=sorted(GRIDS), help="beside contrastive; default: all")
    wanted = parser.parse_args()
    try:
        profile = get_profile(wanted.profile, wanted.dataset, wanted.model)
        dataset = profile.shrink(load_dataset(wanted.dataset))
    except (ValueError, DataFileError) as error:
        print(f"record_baselines: {error}", file=sys.stderr)
        return 2
    names = [name for name in methods(wanted.task) if name in ("contrastive", *(wanted.methods or METHODS))]
    if profile.model == SEARCH_MODEL:
        search_all(profile, dataset, wanted.task, names)
    for seed in wanted.seeds:
        run_all(profile, dataset, wanted.task, names, seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
