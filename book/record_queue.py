"""Record contrastive unlearning of samples at several batch sizes, with and without the queue: Table 14.

    python book/record_queue.py --dataset cifar10 --seeds 0 1 2

The batch sizes are those of `batches.batch_sizes` unless --batches names others; the settings are
those of the recorded searches, or the profile's. What is recorded already is skipped, so a stopped
command goes on where it was.
"""

import argparse
import sys

from record_runs import TABLES, exists, say

from cu_helpers.batches import BOTH, base_settings, batch_sizes, plans
from cu_helpers.data import Dataset, load_dataset
from cu_helpers.errors import DataFileError
from cu_helpers.experiments import (
    make_task,
    original_model,
    record_original_and_retrain,
    record_unlearning,
    retrained_model,
)
from cu_helpers.profiles import PROFILES, Profile, get_profile
from cu_helpers.results import commit


def record_seed(profile: Profile, dataset: Dataset, seed: int, sizes: tuple[int, ...], shared: int) -> None:
    """Record every run of one seed that is missing."""
    task = make_task(dataset, profile, "samples", seed)
    if not all(exists(profile, task, method, None, seed) for method in ("original", "retrain")):
        say(f"seed {seed}: original and retrain")
        record_original_and_retrain(profile, task, seed, {"original": "Table 8", "retrain": TABLES["samples"]}, shared)
    base = {method: base_settings(profile, method) for method in BOTH}
    for plan in plans(base, sizes):
        if exists(profile, task, plan.method, plan.variant, seed):
            continue
        original = original_model(dataset, profile, seed)
        measured = record_unlearning(
            profile,
            task,
            original,
            plan.method,
            seed,
            "Table 14",
            plan.variant,
            plan.settings,
            retrained=retrained_model(task, profile, seed).model,
            shared=shared,
        )
        shown = ", ".join(f"{key} {value:.1f}" for key, value in measured.items())
        say(f"seed {seed}: {plan.method}, {plan.variant}: {shown}")


def main() -> int:
    """Read the command line, make what is missing, return the exit status."""
    commit()  # now: the checkout may move on while this runs
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--profile", default="laptop", choices=PROFILES)
    parser.add_argument("--model", default=None)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--batches", type=int, nargs="+", help="the largest is the one that the settings suit")
    parser.add_argument(
        "--shared", type=int, default=1, help="how many processes use the device: seconds say little then"
    )
    wanted = parser.parse_args()
    try:
        profile = get_profile(wanted.profile, wanted.dataset, wanted.model)
        dataset = profile.shrink(load_dataset(wanted.dataset))
    except (ValueError, DataFileError) as error:
        print(f"record_queue: {error}", file=sys.stderr)
        return 2
    sizes = tuple(wanted.batches or batch_sizes(profile.count))
    for seed in wanted.seeds:
        record_seed(profile, dataset, seed, sizes, wanted.shared)
    return 0


if __name__ == "__main__":
    sys.exit(main())
