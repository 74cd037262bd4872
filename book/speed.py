"""Measure how near the package comes to what this machine can do, and record it: `make speed`.

    python book/speed.py --profile laptop --dataset cifar10
    python book/speed.py --parts ceiling evaluation

Each part is written as soon as it is measured, into book/results/speed/<cpu or cuda>-<profile>.json;
parts that are not named stay as they were recorded. Everything that is compared runs in turns in one
process, and ratios are medians over the turns, since other work on the machine slows neighbours alike.
Profile smoke shows that every part runs, with sizes that measure nothing.
"""

import argparse
import os
import sys
from collections.abc import Callable
from time import strftime
from typing import Any

import torch

from cu_helpers.checkpoints import versions
from cu_helpers.data import load_dataset
from cu_helpers.devices import pick_device, resolve_precision
from cu_helpers.errors import reported
from cu_helpers.profiles import get_profile
from cu_helpers.results import commit, describe_device
from cu_helpers.speed import growth, report, rival_table, rivals, vectorised
from cu_helpers.speed.ceiling import Size, ceiling
from cu_helpers.speed.graphs import graphs

Part = Callable[[], Any]


def ceiling_sizes(device: torch.device, smoke: bool) -> list[Size]:
    """The models whose steps are timed."""
    if smoke:
        return [Size("resnet18", 4, 4)]
    if device.type == "cuda":
        return [Size("resnet18", 64, 80), Size("resnet50", 64, 40)]
    return [Size("resnet18", 16, 8), Size("resnet18", 64, 4)]


def rival_runs(profile: str, dataset: str, device: torch.device, kinds: list[str], repeats: int) -> Part:
    """Every kind of task against Retrain."""

    def run() -> list[dict[str, Any]]:
        size = get_profile(profile, dataset)
        loaded = size.shrink(load_dataset(dataset, device=device))
        schedules = [1, size.training.epochs] if profile == "smoke" else None
        return [rivals.against_retrain(loaded, size, kind, 0, repeats, schedules) for kind in kinds]

    return run


def parts(wanted: argparse.Namespace, device: torch.device) -> dict[str, Part]:
    """What each part measures, by its name in the record."""
    smoke, repeats = wanted.profile == "smoke", wanted.repeats
    side = 8 if smoke else 32
    axes = (
        {"width": [4, 8], "forget": [64, 128]}
        if smoke
        else {
            "width": [8, 16, 32, 64],
            "forget": [128, 256, 512, 1024],
            "classes": [10, 30, 100],
            "retain": [1024, 4096, 16384],
        }
    )
    return {
        "import": lambda: growth.import_seconds(1 if smoke else 5),
        "ceiling": lambda: [ceiling(size, device, repeats, side=side) for size in ceiling_sizes(device, smoke)],
        "evaluation": lambda: vectorised.evaluation(4 if smoke else 16, 300 if smoke else 10_000, device, repeats),
        "fisher": lambda: vectorised.fisher(4 if smoke else 16, 4 if smoke else 128, device, repeats),
        "shadows": lambda: vectorised.shadows(
            4 if smoke else 8, 2 if smoke else 8, 64 if smoke else 128, device, repeats
        ),
        "growth": lambda: [growth.along(axis, values, device, repeats) for axis, values in axes.items()],
        "memory": lambda: growth.peak_memory([4] if smoke else [16, 64], device),
        "rivals": rival_runs(wanted.profile, wanted.dataset, device, wanted.tasks, repeats),
        "graphs": lambda: [graphs("resnet18", 4 if smoke else 64, 256, 40, device, repeats)],
    }


def how(wanted: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Under what a part was measured: the fields of `report.MEASURED`."""
    return {
        "device": describe_device(device),
        "precision": resolve_precision("auto", device),
        "versions": versions(),
        "commit": commit(),
        "repeats": wanted.repeats,
        "busy": os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
        "cores": os.cpu_count(),
    }


def main() -> int:
    """Read the command line, measure, return the exit status."""
    commit()  # now: the checkout may move on while this runs
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="laptop", choices=("smoke", "laptop"))
    parser.add_argument("--dataset", default="cifar10", help="of the part rivals; the others need none")
    parser.add_argument("--device", default=None)
    parser.add_argument("--parts", nargs="+", choices=report.PARTS, help="default: all that this device can run")
    parser.add_argument("--tasks", nargs="+", default=["class", "samples"], choices=("class", "samples"))
    parser.add_argument("--repeats", type=int, default=5)
    wanted = parser.parse_args()
    try:
        device = pick_device(wanted.device)
        path = report.speed_path(device.type, wanted.profile)
        record = report.read_speed(device.type, wanted.profile) if path.exists() else {}
        gpu = device.type == "cuda"
        able = [name for name in report.PARTS if gpu or name not in report.GPU_PARTS]
        if not gpu and sys.platform != "linux":
            able.remove("memory")  # other systems do not tell the peak of a part of a process
        for name, measure in parts(wanted, device).items():
            if name in (wanted.parts or able):
                print(strftime("%H:%M:%S"), name, flush=True)
                found = measure()
                if name == "rivals":  # of each data set and task the last measurement stays
                    made = {(one["dataset"], one["task"]) for one in found}
                    found += [one for one in record.get(name, []) if (one["dataset"], one["task"]) not in made]
                measured = {**record.get("measured", {}), report.name_of_run(name, wanted.dataset): how(wanted, device)}
                record = {**record, "profile": wanted.profile, name: found, "measured": measured}
                report.write_speed(path, record)
    except ValueError as error:
        print(f"speed: {error}", file=sys.stderr)
        return 2
    for table in (report.ceiling_table, rival_table.rivals_table, report.parts_table):
        print("\n" + table(record))
    return 0


if __name__ == "__main__":
    sys.exit(reported("speed", main))
