"""Train shadow models on parts of the digits, grade the images by memorisation, and forget graded sets.

    python book/record_memorisation.py --models 30 --seeds 0 1 2

Two JSON files in book/results/memorisation/<profile>/: one with a row for each shadow model, one with a row for each
run on a graded forget set. What is there already is kept, so a stopped command goes on where it was.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from record_runs import say

from cu_helpers.audits import audit_all
from cu_helpers.data import Dataset, forget_these, load_dataset
from cu_helpers.devices import generator
from cu_helpers.errors import reported
from cu_helpers.experiments import make_task, original_model, retrained_model
from cu_helpers.files import write_text
from cu_helpers.inference import predict_logits
from cu_helpers.memorisation import graded, graded_path, memorisation, read_shadows, shadow_path
from cu_helpers.metrics import evaluate
from cu_helpers.models import EmbeddingClassifier
from cu_helpers.profiles import PROFILES, Profile, get_profile
from cu_helpers.results import commit, describe_device
from cu_helpers.training import train
from cu_helpers.tuning import tuned_settings
from cu_helpers.unlearning import unlearn

SHARE = 0.7  # of the training images, for each shadow model (Feldman and Zhang 2020, section 2)
# 100 % of its 126 training images right, in less time than the profile's forty epochs.
TRAINING = {"epochs": 25, "batch_size": 32, "learning_rate": 0.1}
METHODS = ("contrastive", "finetune", "scrub")  # contrastive unlearning and two that look at retained images
AUDIT_IMAGES = 400  # of each set; a tenth of them are of one class


def kept(path: Path, key: str, fixed: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that are recorded already; none if the file is missing or was made with other settings."""
    if not path.exists():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    return found[key] if all(found.get(name) == value for name, value in fixed.items()) else []


def write(path: Path, key: str, fixed: dict[str, Any], rows: list[dict[str, Any]], device: torch.device) -> None:
    """Write all rows, with the settings they share and where they were made."""
    described = {**fixed, "device": describe_device(device), "commit": commit(), key: rows}
    write_text(path, json.dumps(described, indent=1, allow_nan=False) + "\n")


def shadows(profile: Profile, dataset: Dataset, count: int) -> None:
    """Train the shadow models that are missing; model i is drawn and trained with seed 1000 + i."""
    images = dataset.train
    settings = replace(profile.training, **TRAINING)
    fixed = {"profile": profile.name, "dataset": profile.dataset, "share": SHARE, "training": TRAINING}
    rows = kept(shadow_path(profile), "models", fixed)
    for number in range(len(rows), count):
        seed = 1000 + number
        order = torch.randperm(len(images), generator=generator(seed, torch.device("cpu")))
        member = torch.zeros(len(images), dtype=torch.bool)
        member[order[: round(SHARE * len(images))]] = True
        config = profile.config(len(dataset.classes))
        model = config.build(seed)
        train(model, images.select(member.to(images.device)), settings, seed)
        right = predict_logits(model, images).argmax(dim=1) == images.labels
        marks = {"member": member, "right": right.cpu()}
        rows.append({"seed": seed} | {name: "".join("01"[bit] for bit in of.int()) for name, of in marks.items()})
        write(shadow_path(profile), "models", fixed, rows, images.device)
        seen, unseen = (100 * right.cpu()[mask].double().mean().item() for mask in (member, ~member))
        say(f"shadow {number + 1} of {count}: {seen:.0f} % of its members right, {unseen:.0f} % of the others")


def runs(profile: Profile, dataset: Dataset, seeds: list[int]) -> None:
    """Forget each graded set, and a random one of the same size, with each method and seed."""
    trained = read_shadows(profile)
    scores = memorisation(trained)
    fixed = {"profile": profile.name, "dataset": profile.dataset, "count": profile.count, "graded": "within classes"}
    fixed |= {"shadow_models": len(trained.member)}  # more of them grade other sets
    rows = kept(graded_path(profile), "runs", fixed)
    for seed in seeds:
        tasks = {
            name: forget_these(dataset, index, seed)
            for name, index in graded(scores, dataset.train.labels.cpu(), profile.count, seed).items()
        }
        tasks["random"] = make_task(dataset, profile, "samples", seed)
        original = original_model(dataset, profile, seed).model
        for grade, task in tasks.items():
            if any(row["grade"] == grade and row["seed"] == seed for row in rows):
                continue
            models: dict[str, EmbeddingClassifier] = {
                "original": original,
                "retrain": retrained_model(task, profile, seed).model,
            }
            for method in METHODS:
                settings = tuned_settings(profile, "samples", method)
                models[method] = unlearn(method, original, task, settings, seed).model
            audits = audit_all(models, task, original, models["retrain"], seed, AUDIT_IMAGES, relearning=False)
            for method, model in models.items():
                row = {"grade": grade, "seed": seed, "method": method}
                rows.append(row | {"metrics": evaluate(model, task), "audit": audits[method]})
            write(graded_path(profile), "runs", fixed, rows, task.forget.device)
            told = ", ".join(f"{row['method']} {row['metrics']['forget']:.0f}" for row in rows[-len(models) :])
            say(f"seed {seed}, {grade}: accuracy on forgotten images: {told}")


def main() -> int:
    """Read the command line, make what is missing, return the exit status."""
    commit()  # now: the checkout may move on while this runs
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="laptop", choices=PROFILES)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--models", type=int, default=30, help="shadow models")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the runs on graded sets")
    wanted = parser.parse_args()
    try:
        profile = get_profile(wanted.profile, wanted.dataset)
        dataset = profile.shrink(load_dataset(wanted.dataset))
        shadows(profile, dataset, wanted.models)
        runs(profile, dataset, wanted.seeds)
    except ValueError as error:
        print(f"record_memorisation: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(reported("record_memorisation", main))
