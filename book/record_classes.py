"""Record contrastive unlearning of every class in turn, for Table 9.

    python book/record_classes.py --dataset cifar10 --seeds 0

The settings are those that the search for one class found. What is recorded already is skipped.
"""

import argparse
import sys

from record_runs import describe, say

from cu_helpers.data import forget_class, load_dataset
from cu_helpers.errors import DataFileError
from cu_helpers.experiments import original_model, record_unlearning
from cu_helpers.profiles import PROFILES, get_profile
from cu_helpers.results import commit, record_path
from cu_helpers.tuning import tuned_settings


def main() -> int:
    """Read the command line, make what is missing, return the exit status."""
    commit()  # now: the checkout may move on while this runs
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--profile", default="laptop", choices=PROFILES)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument(
        "--shared", type=int, default=1, help="how many processes use the device: seconds say little then"
    )
    wanted = parser.parse_args()
    try:
        profile = get_profile(wanted.profile, wanted.dataset)
        dataset = profile.shrink(load_dataset(wanted.dataset))
        settings = tuned_settings(profile, "class", "contrastive")
    except (ValueError, DataFileError) as error:
        print(f"record_classes: {error}", file=sys.stderr)
        return 2
    for seed in wanted.seeds:
        original = original_model(dataset, profile, seed)
        for label in range(len(dataset.classes)):
            task = forget_class(dataset, label, seed)
            if record_path(describe(profile, task, "contrastive", "tuned", seed)).exists():
                continue
            measured = record_unlearning(
                profile, task, original, "contrastive", seed, "Table 9", "tuned", settings, shared=wanted.shared
            )
            say(f"seed {seed}, class {label}: " + ", ".join(f"{k} {v:.1f}" for k, v in measured.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
