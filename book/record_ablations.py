"""Record what contrastive unlearning's own settings change: Tables 11 and 12, Figs. 3 and 4, and the authors' settings.

    python book/record_ablations.py --dataset cifar10 --profile paper --seeds 0 1 2

Everything but the named setting is as the search found it. What is recorded already is skipped.
"""

import sys

from record_runs import command_line, describe, say

from cu_helpers.ablations import Planned, variants
from cu_helpers.data import ForgetTask, forget_samples, load_dataset
from cu_helpers.errors import DataFileError
from cu_helpers.experiments import make_task, original_model, record_original_and_retrain, record_unlearning
from cu_helpers.grid_parts import counts
from cu_helpers.profiles import Profile, get_profile
from cu_helpers.results import commit, record_path
from cu_helpers.training import TrainedModel
from cu_helpers.tuning import tuned_settings


def run(
    profile: Profile,
    original: TrainedModel,
    task: ForgetTask,
    method: str,
    planned: Planned,
    seed: int,
    shared: int,
) -> None:
    """Record one run, unless it is recorded already."""
    table, variant, settings, curve = planned
    if record_path(describe(profile, task, method, variant, seed)).exists():
        return
    measured = record_unlearning(profile, task, original, method, seed, table, variant, settings, curve, shared=shared)
    say(f"seed {seed}: {method}, {variant}: " + ", ".join(f"{key} {value:.1f}" for key, value in measured.items()))


def main() -> int:
    """Read the command line, make what is missing, return the exit status."""
    commit()  # now: the checkout may move on while this runs
    parser = command_line(__doc__)
    parser.add_argument(
        "--shared", type=int, default=1, help="how many processes use the device: seconds say little then"
    )
    parser.add_argument("--counts", action="store_true", help="Table 11 alone, which needs a Retrain for each number")
    wanted = parser.parse_args()
    try:
        if wanted.counts and wanted.task != "samples":
            raise ValueError("Table 11 forgets samples; --counts needs --task samples")
        profile = get_profile(wanted.profile, wanted.dataset, wanted.model)
        dataset = profile.shrink(load_dataset(wanted.dataset))
        ours = tuned_settings(profile, wanted.task, "contrastive")
        fisher = tuned_settings(profile, wanted.task, "fisher") if wanted.counts else None
    except (ValueError, DataFileError) as error:
        print(f"record_ablations: {error}", file=sys.stderr)
        return 2
    for seed in wanted.seeds:
        original = original_model(dataset, profile, seed)
        if not wanted.counts:
            task = make_task(dataset, profile, wanted.task, seed)
            for planned in variants(ours, wanted.task, profile.count):
                run(profile, original, task, "contrastive", planned, seed, wanted.shared)
            continue
        for count in counts(profile):
            task = forget_samples(dataset, count, seed)
            for method, settings in (("contrastive", ours), ("fisher", fisher)):
                run(profile, original, task, method, ("Table 11", "tuned", settings, ()), seed, wanted.shared)
            if not record_path(describe(profile, task, "retrain", None, seed)).exists():
                tables = {"original": "Table 11", "retrain": "Table 11"}
                record_original_and_retrain(profile, task, seed, tables, wanted.shared)
    return 0


if __name__ == "__main__":
    sys.exit(main())
