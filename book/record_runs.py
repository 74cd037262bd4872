"""Make and record the runs of chapter 05 on a data set that is too large to run while reading.

    python book/record_runs.py --dataset cifar10 --task class --seeds 0 1 2

Each run is one JSON in book/results/<profile>/. A run whose file exists is skipped, so a stopped
command goes on where it was.
"""

import argparse
import sys
from dataclasses import replace
from time import strftime
from typing import Any

from cu_helpers.data import ForgetTask, load_dataset
from cu_helpers.errors import reported
from cu_helpers.experiments import (
    KINDS,
    describe_task,
    make_task,
    original_model,
    record_original_and_retrain,
    record_unlearning,
)
from cu_helpers.profiles import PROFILES, Profile, get_profile
from cu_helpers.results import commit, record_path
from cu_helpers.unlearning import Stopping

# The table of the paper that each run belongs to.
TABLES = {"class": "Table 1", "samples": "Table 3"}


def variants(profile: Profile, kind: str) -> list[tuple[str, str | None, Any]]:
    """Method, variant and settings of each run of one seed, the controls with the same limits."""
    ours = profile.settings("contrastive", kind)
    every = replace(ours, stopping=Stopping(check_every=1))
    rounds = replace(ours, stopping=Stopping())
    runs: list[tuple[str, str | None, Any]] = [
        ("contrastive", "first stop", every),
        ("contrastive", "whole rounds", rounds),
        ("contrastive", "no contrast", replace(rounds, lambda_ul=0.0)),
    ]
    runs += [(name, None, profile.settings(name, kind)) for name in ("finetune", "gradient_ascent")]
    return runs


def curves(profile: Profile) -> list[tuple[str, str, Any]]:
    """Method, variant and settings of one pass over the class without a stop rule, for Fig. 2."""
    ours = replace(profile.settings("contrastive", "class"), max_rounds=1)
    passes: list[tuple[str, str, Any, int]] = [
        ("contrastive", "curve", ours, 4),
        ("contrastive", "curve without contrast", replace(ours, lambda_ul=0.0), 4),
        ("finetune", "curve", replace(profile.settings("finetune", "class"), max_rounds=1), 14),
        ("gradient_ascent", "curve", replace(profile.settings("gradient_ascent", "class"), max_rounds=1), 4),
    ]
    return [
        (method, variant, replace(settings, stopping=Stopping(rule="none", check_every=every)))
        for method, variant, settings, every in passes
    ]


def describe(profile: Profile, task: ForgetTask, method: str, variant: str | None, seed: int) -> dict[str, Any]:
    """The fields of a run that make its file's name."""
    run = {"dataset": task.dataset, "model": profile.model, "task": describe_task(task), "method": method}
    return {**run, "variant": variant, "seed": seed, "profile": profile.name}


def exists(profile: Profile, task: ForgetTask, method: str, variant: str | None, seed: int) -> bool:
    """Whether this run is recorded already."""
    return record_path(describe(profile, task, method, variant, seed)).exists()


def say(*words: object) -> None:
    """One progress line with the time of day."""
    print(strftime("%H:%M:%S"), *words, flush=True)


def command_line(description: str | None) -> argparse.ArgumentParser:
    """What to record: data set, profile, model, task and seeds."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--profile", default="laptop", choices=PROFILES)
    parser.add_argument("--model", default=None)
    parser.add_argument("--task", required=True, choices=KINDS)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    return parser


def main() -> int:
    """Read the command line, make what is missing, return the exit status."""
    commit()  # now: the checkout may move on while this runs
    wanted = command_line(__doc__).parse_args()
    try:
        profile = get_profile(wanted.profile, wanted.dataset, wanted.model)
        dataset = profile.shrink(load_dataset(wanted.dataset))
    except ValueError as error:
        print(f"record_runs: {error}", file=sys.stderr)
        return 2
    for seed in wanted.seeds:
        task = make_task(dataset, profile, wanted.task, seed)
        table = TABLES[wanted.task]
        if not exists(profile, task, "retrain", None, seed) or not exists(profile, task, "original", None, seed):
            say(f"{describe_task(task)} seed {seed}: original and retrain")
            record_original_and_retrain(profile, task, seed, {"original": "Table 8", "retrain": table})
        planned = variants(profile, wanted.task)
        if wanted.task == "class":
            planned += curves(profile)
        for method, variant, settings in planned:
            if exists(profile, task, method, variant, seed):
                continue
            original = original_model(dataset, profile, seed)
            sets = ("forget", "retain_test") if variant and variant.startswith("curve") else ()
            measured = record_unlearning(profile, task, original, method, seed, table, variant, settings, sets)
            shown = ", ".join(f"{key} {value:.1f}" for key, value in measured.items())
            say(f"{describe_task(task)} seed {seed}: {method}{', ' + variant if variant else ''}: {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(reported("record_runs", main))
