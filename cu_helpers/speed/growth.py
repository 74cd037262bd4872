"""Growth: seconds and peak memory of contrastive unlearning against the sizes of the model and of the data."""

import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch

from ..memory import added_memory_mib, peak_memory_mib
from ..models import build_model
from ..training import TrainSettings, train
from ..unlearning import ContrastiveSettings, Stopping, unlearn
from .ceiling import BATCH
from .clock import random_images, random_model, random_task


@dataclass(frozen=True)
class Case:
    """One run: contrastive unlearning of `forget` images beside `retain` others, by a ResNet-18."""

    width: int = 16
    forget: int = 128
    retain: int = 2048
    classes: int = 10


AXES: dict[str, str] = {
    "width": "width of the ResNet-18",
    "forget": "forgotten images",
    "classes": "classes",
    "retain": "retained images",
}
# What the time of one round should be proportional to: a convolution has width x width weights.
SLOPES = {"width": 2, "forget": 1, "classes": 0, "retain": 0}
SETTINGS = ContrastiveSettings(batch_size=BATCH // 2, max_rounds=1, omega=2, stopping=Stopping(rule="none"))


def case_seconds(case: Case, device: torch.device) -> float:
    """Seconds of one round between stop checks."""
    model = random_model("resnet18", case.width, device, case.classes)
    task = random_task(case.forget, case.retain, device, case.classes, held_out=2 * case.classes)
    found = unlearn("contrastive", model, task, SETTINGS)
    return found.seconds - found.check_seconds


def along(axis: str, values: list[int], device: torch.device, repeats: int, base: Case | None = None) -> dict[str, Any]:
    """One axis of growth: values, seconds (the least of `repeats` turns), and the measured and expected slope.

    axis: a field of `Case`. The slope is that of log seconds over log size, from the first to the
    last value: 1 doubles the time with the size, 0 leaves it.
    """
    cases = [replace(base or Case(), **{axis: value}) for value in values]
    case_seconds(cases[0], device)  # warm
    turns = [[case_seconds(case, device) for case in cases] for _ in range(repeats)]
    least = [min(turn[position] for turn in turns) for position in range(len(cases))]
    logs = torch.tensor([[values[0], least[0]], [values[-1], least[-1]]], dtype=torch.float64).log()
    slope = float((logs[1, 1] - logs[0, 1]) / (logs[1, 0] - logs[0, 0]))
    return {"axis": axis, "values": values, "seconds": least, "slope": slope, "expected_slope": SLOPES[axis]}


def _train_step(width: int, device: torch.device) -> None:
    model = build_model("resnet18", 10, width=width, seed=0)
    settings = TrainSettings(epochs=1, batch_size=BATCH, learning_rate=1e-3)
    train(model, random_images(3 * BATCH, 10, 0, device), settings)


def _unlearn_steps(width: int, device: torch.device) -> None:
    model = random_model("resnet18", width, device)
    unlearn("contrastive", model, random_task(BATCH // 2, 3 * BATCH, device, held_out=20), SETTINGS)


WORK: dict[str, Callable[[int, torch.device], None]] = {"training": _train_step, "contrastive": _unlearn_steps}


def _peak(work: str, width: int, device: torch.device) -> float:
    """Peak memory in MiB that the work adds to a process which has only imported the package.

    Raises RuntimeError where the system does not tell.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        WORK[work](width, device)
        return peak_memory_mib(device)
    found = added_memory_mib(lambda: WORK[work](width, device))
    if not found or found <= 0:
        raise RuntimeError(f"the peak memory of {work} was found to be {found} MiB; it is measured on Linux alone")
    return found


def peak_memory(widths: list[int], device: torch.device) -> dict[str, Any]:
    """Peak memory in MiB of three training steps and of two unlearning steps on as many images, at each width.

    Every measurement has a process of its own, since one only ever tells its largest memory so far.
    Returns widths, mib (work -> one for each width) and ratio, unlearning over training.
    """
    found: dict[str, list[float]] = {name: [] for name in WORK}
    for width in widths:
        for name in WORK:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found[name].append(pool.apply(_peak, (name, width, device)))
    share = [ours / theirs for ours, theirs in zip(found["contrastive"], found["training"], strict=True)]
    return {"widths": widths, "mib": found, "ratio": share}


def import_seconds(repeats: int) -> dict[str, Any]:
    """Seconds of importing what a chapter's set-up imports, after torch, each time in a new process."""
    code = (
        "import time, torch\nstart = time.perf_counter()\n"
        "import cu_helpers.notebook\nprint(time.perf_counter() - start)"
    )
    found = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(repeats)
    ]
    return {"seconds": found, "median": median(found)}
