"""Search the small CLIP's unlearning settings and record its runs: Table 13 and chapter 16.

    python book/record_clip.py --search
    python book/record_clip.py --seeds 0 1 2

A search is one JSON a method in book/results/tuning/<profile>/, a run one in book/results/<profile>/. What
is recorded already is skipped. The search uses seed 100, whose models no table reports, and validation
images. On a GPU with a connection, the paper's setting is

    python book/record_clip.py --clip-model ViT-B-32 --dataset cifar100 --profile paper --seeds 0
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from time import strftime
from typing import Any

from cu_helpers import clip
from cu_helpers.clip.models import as_classifier
from cu_helpers.clip.training import TrainedClip
from cu_helpers.data import ForgetTask, forget_class, load_dataset
from cu_helpers.errors import NonFiniteError, reported
from cu_helpers.experiments import describe_task
from cu_helpers.files import write_text
from cu_helpers.metrics import evaluate
from cu_helpers.profiles import PROFILES, Profile, get_profile
from cu_helpers.results import commit, describe_device, plain, record, record_path
from cu_helpers.training import accuracy
from cu_helpers.tuning import SEARCH_SEED, Trial, tuning_score, tuning_sets


@dataclass(frozen=True)
class Bench:
    """Both trained CLIPs of a seed, and the task."""

    clip_model: str
    profile: Profile
    task: ForgetTask
    original: TrainedClip
    retrained: TrainedClip
    seed: int


def prepare(clip_model: str, profile: Profile, seed: int, weights: str | None) -> Bench:
    """Load or train the original and the retrained CLIP of a seed."""
    dataset = profile.shrink(load_dataset(profile.dataset))
    prompt = clip.wordings(dataset.classes)["prompt"]
    settings = clip.train_settings(clip_model, profile)
    start, dataset = clip.load_clip(clip_model, dataset, prompt, seed, weights)
    task = forget_class(dataset, clip.clip_label(profile), seed)
    original = clip.load_or_train_clip(clip_model, start, task.train, task.classes, settings, seed)
    start, _ = clip.load_clip(clip_model, dataset, prompt, seed, weights)
    retrained = clip.load_or_train_clip(clip_model, start, task.retain, task.classes, settings, seed)
    return Bench(clip_model, profile, task, original, retrained, seed)


def describe(bench: Bench, method: str, variant: str | None) -> dict[str, Any]:
    """The fields of a run that make its file's name."""
    names = {"dataset": bench.task.dataset, "model": f"{bench.clip_model}_clip", "task": describe_task(bench.task)}
    return names | {"method": method, "variant": variant, "seed": bench.seed, "profile": bench.profile.name}


def say(*words: object) -> None:
    """One progress line with the time of day."""
    print(strftime("%H:%M:%S"), *words, flush=True)


def write(bench: Bench, method: str, variant: str | None, model: clip.ZeroShotClip, **fields: Any) -> None:
    """Measure one model and record the run."""
    original = bench.original.model
    metrics = evaluate(as_classifier(model), bench.task)
    moved = None if method in ("original", "retrain") else original
    metrics |= clip.effects(model, bench.task, clip.class_groups(original, bench.task.label), moved)
    record(bench.task.forget.device, table="Table 13", metrics=metrics, **describe(bench, method, variant), **fields)
    say(bench.seed, method, variant or "", {key: round(metrics[key], 1) for key in ("forget_test", "retain_test")})


def record_trained(bench: Bench) -> None:
    """Record the original and the retrained CLIP."""
    for method, trained in (("original", bench.original), ("retrain", bench.retrained)):
        if record_path(describe(bench, method, None)).exists():
            continue
        write(
            bench,
            method,
            None,
            trained.model,
            settings={"training": clip.train_settings(bench.clip_model, bench.profile)},
            seconds=trained.seconds,
            steps=trained.steps,
            samples_seen=trained.samples_seen,
            stopped_by="finished",
        )


def record_method(bench: Bench, method: str, variant: str | None, task: ForgetTask, settings: Any) -> None:
    """Unlearn and record one run, unless it is recorded already."""
    if record_path(describe(bench, method, variant)).exists():
        return
    result = clip.unlearn_clip(method, bench.original.model, task, settings, bench.seed)
    write(
        bench,
        method,
        variant,
        result.model,
        settings={method: settings},
        seconds=result.seconds,
        check_seconds=result.check_seconds,
        steps=result.steps,
        samples_seen=result.samples_seen,
        forget_share=result.forget_share,
        stopped_by=result.stopped_by,
        history=result.history,
    )


def record_seed(bench: Bench) -> None:
    """Table 13's rows, and contrastive unlearning without its contrast and without some classes' pairs."""
    record_trained(bench)
    for method in clip.CLIP_METHODS:
        record_method(bench, method, None, bench.task, clip.method_settings(bench.clip_model, bench.profile, method))
    ours = clip.method_settings(bench.clip_model, bench.profile, "contrastive")
    record_method(bench, "contrastive", "no contrast", bench.task, replace(ours, lambda_ul=0.0))
    groups = clip.class_groups(bench.original.model, bench.task.label)
    absent = groups["near bystander"] + groups["far bystander"]
    record_method(bench, "contrastive", "bystanders", clip.without_bystanders(bench.task, absent), ours)


def measure(model: clip.ZeroShotClip, task: ForgetTask) -> dict[str, float]:
    """Accuracies on the forget set and on validation images."""
    return {name: accuracy(as_classifier(model), images) for name, images in tuning_sets(task).items()}


def try_settings(bench: Bench, method: str, changes: Mapping[str, Any], reference: Mapping[str, float]) -> Trial:
    """Run one trial; a run that diverges scores zero."""
    settings = replace(clip.method_settings(bench.clip_model, bench.profile, method), **changes)
    try:
        result = clip.unlearn_clip(method, bench.original.model, bench.task, settings, bench.seed)
    except NonFiniteError:
        return Trial(dict(changes), {}, 0.0, 0.0, 0, 0)
    measured = measure(result.model, bench.task)
    score = tuning_score(measured, reference)
    return Trial(dict(changes), measured, score, result.seconds, result.steps, result.samples_seen)


def search(bench: Bench) -> None:
    """Make and record the searches that are missing."""
    reference = measure(bench.retrained.model, bench.task)
    for method, grid in clip.CLIP_GRIDS.items():
        path = clip.search_path(bench.task.dataset, bench.clip_model, method, bench.profile.name)
        if path.exists():
            continue
        trials = []
        for values in product(*grid.values()):
            trials.append(try_settings(bench, method, dict(zip(grid, values, strict=True)), reference))
            say(method, trials[-1].changes, round(trials[-1].score, 3), trials[-1].metrics)
        found = describe(bench, method, None) | {
            "base": plain(clip.method_settings(bench.clip_model, bench.profile, method)),
            "retrain_metrics": reference,
            "trials": [plain(trial) for trial in trials],
            "device": describe_device(bench.task.forget.device),
            "commit": commit(),
        }
        write_text(path, json.dumps(found, indent=1, sort_keys=True, allow_nan=False) + "\n")


def main() -> int:
    """Read the command line, make what is missing, return the exit status."""
    commit()  # now: the checkout may move on while this runs
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--profile", default="laptop", choices=PROFILES)
    parser.add_argument("--clip-model", default="small", choices=clip.CLIP_MODELS)
    parser.add_argument("--weights", help="a file with the weights of ViT-B-32; default: open_clip fetches them")
    parser.add_argument("--search", action="store_true", help="search the settings first")
    parser.add_argument("--seeds", type=int, nargs="+", default=[])
    wanted = parser.parse_args()
    try:
        profile = get_profile(wanted.profile, wanted.dataset)
        if wanted.search:
            search(prepare(wanted.clip_model, profile, SEARCH_SEED, wanted.weights))
        for seed in wanted.seeds:
            record_seed(prepare(wanted.clip_model, profile, seed, wanted.weights))
    except ValueError as error:
        print(f"record_clip: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(reported("record_clip", main))
