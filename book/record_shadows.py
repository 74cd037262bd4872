"""Train shadow models, let each forget with every method, and record what they say: U-LiRA of chapter 14.

    python book/record_shadows.py --dataset digits

Each shadow model is one JSON in book/results/shadows/<profile>/. What is recorded already is
skipped, so a stopped command goes on where it was. The first thing recorded is how long an epoch
of eight shadow models takes one by one and all at once; the faster way then trains them all.
"""

import argparse
import json
import sys
from dataclasses import replace
from time import strftime

from cu_helpers.data import load_dataset
from cu_helpers.errors import reported
from cu_helpers.files import write_text
from cu_helpers.profiles import PROFILES, get_profile
from cu_helpers.results import commit, describe_device
from cu_helpers.shadow_runs import ShadowSettings, plan, record_shadow, shadow_folder, shadow_path
from cu_helpers.shadows import TRAINERS, training_seconds
from cu_helpers.training import TrainSettings
from cu_helpers.tuning import tuned_settings

TIMED = 8  # shadow models in the comparison of both ways, and in one stack


def settings_of(profile: str) -> ShadowSettings:
    """The experiment's size; smoke shows that the recording works and nothing else."""
    if profile == "smoke":
        return ShadowSettings(shadows=10, width=4, training=TrainSettings(epochs=1, batch_size=30), population=20)
    return ShadowSettings()


def main() -> int:
    """Read the command line, make what is missing, return the exit status."""
    commit()  # now: the checkout may move on while this runs
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--profile", default="laptop", choices=PROFILES)
    wanted = parser.parse_args()
    settings = settings_of(wanted.profile)
    try:
        profile = get_profile(wanted.profile, wanted.dataset)
        dataset = profile.shrink(load_dataset(wanted.dataset))
        methods = {name: tuned_settings(profile, "samples", name) for name in settings.methods}
        _, trained, _ = plan(dataset, settings)
    except ValueError as error:
        print(f"record_shadows: {error}", file=sys.stderr)
        return 2
    config = replace(profile.config(len(dataset.classes)), width=settings.width)
    timing = shadow_folder(wanted.profile) / f"{wanted.dataset}-timing.json"
    if not timing.exists():
        least = training_seconds(config, dataset.train, trained[:TIMED], settings.training)
        told = {"models": TIMED, "seconds_an_epoch": least, "device": describe_device(dataset.train.device)}
        write_text(timing, json.dumps(told | {"commit": commit()}, indent=1, sort_keys=True) + "\n")
    seconds = json.loads(timing.read_text(encoding="utf-8"))["seconds_an_epoch"]
    way = min(seconds, key=lambda name: seconds[name])
    print(strftime("%H:%M:%S"), f"{way}:", seconds, flush=True)
    for start in range(0, settings.shadows, TIMED):
        rows = range(start, min(start + TIMED, settings.shadows))
        if all(shadow_path(wanted.profile, dataset.name, row).exists() for row in rows):
            continue
        originals = TRAINERS[way](config, dataset.train, trained[rows.start : rows.stop], settings.training, start)
        for row, original in zip(rows, originals, strict=True):
            if not shadow_path(wanted.profile, dataset.name, row).exists():
                path = record_shadow(wanted.profile, dataset, row, original, settings, methods)
                print(strftime("%H:%M:%S"), path.name, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(reported("record_shadows", main))
