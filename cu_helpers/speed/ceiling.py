"""The ceiling: what a method's step costs beside the bare forward, loss, backward and optimiser step."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data import ForgetTask
from ..devices import autocast, wait
from ..models import EmbeddingClassifier
from ..training import TrainSettings, sgd, train
from ..unlearning import ContrastiveSettings, FinetuneSettings, ScrubSettings, Stopping, unlearn
from .clock import in_turns, random_model, random_task, ratio, seconds

NO_RULE = Stopping(rule="none")
BATCH = 128  # images in each forward: B forgotten and B retained ones, or so many of one kind
AIM = {"contrastive": 0.95, "training": 0.90, "finetune": 0.90, "scrub": 0.90}


@dataclass(frozen=True)
class Size:
    """A model, and how many steps a turn times; a turn takes a second or more, so that the clock is exact."""

    model: str
    width: int
    steps: int  # a multiple of omega, which is 4


Step = Callable[[], Tensor]


def plain_step(
    model: EmbeddingClassifier,
    forward: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    settings: TrainSettings,
) -> Step:
    """One training step of `model` on x (b, 3, h, w) and y (b,), as `training.train` takes it; it returns the loss.

    forward: x -> logits (b, classes): the model itself, or a compiled form of it.
    """
    optimizer = sgd(model, settings.learning_rate, settings.momentum, settings.weight_decay)

    def step() -> Tensor:
        with autocast(x.device, settings.precision):
            loss = F.cross_entropy(forward(x).float(), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach()

    return step


def bare_seconds(
    model: EmbeddingClassifier, task: ForgetTask, steps: int, precision: str, teacher: EmbeddingClassifier | None = None
) -> float:
    """Seconds of `steps` plain training steps of a copy of `model` on one batch that is ready in memory.

    teacher: also takes the batch, without gradient, as in distillation.
    """
    learner = copy.deepcopy(model).train()
    x, y = task.train.batch(torch.arange(BATCH, device=task.train.device))

    def forward(images: Tensor) -> Tensor:
        if teacher is not None:
            with torch.no_grad():
                teacher(images)
        return learner(images)  # type: ignore[no-any-return]

    settings = TrainSettings(learning_rate=1e-3, momentum=0.9, weight_decay=5e-4, precision=precision)
    step = plain_step(learner, forward, x, y, settings)

    def run() -> None:
        for _ in range(steps):
            step()

    return seconds(run, x.device)


def between_checks(method: str, model: EmbeddingClassifier, task: ForgetTask, settings: Any, steps: int) -> float:
    """Seconds that a method takes for `steps` steps, stop checks left out. Raises ValueError for other steps."""
    found = unlearn(method, model, task, settings)
    if found.steps != steps:
        raise ValueError(f"{method} took {found.steps} steps; expected {steps}, so that both sides do the same")
    return found.seconds - found.check_seconds


def training_seconds(model: EmbeddingClassifier, task: ForgetTask, steps: int, precision: str) -> float:
    """Seconds that `training.train` takes for `steps` steps of a copy of `model`."""
    learner, images = copy.deepcopy(model), task.train.first(steps * BATCH)
    settings = TrainSettings(epochs=1, batch_size=BATCH, learning_rate=1e-3, precision=precision)
    return seconds(lambda: train(learner, images, settings), images.device)


def check_seconds(model: EmbeddingClassifier, task: ForgetTask, precision: str) -> float:
    """Seconds of one stop check of a task of forgetting samples: its forget set and the validation images."""
    settings = ContrastiveSettings(
        batch_size=BATCH // 2, omega=1, max_rounds=1, precision=precision, stopping=Stopping(check_every=1)
    )
    found = unlearn("contrastive", model, task, settings)
    return found.check_seconds / len(found.history)


def measures(
    model: EmbeddingClassifier, task: ForgetTask, steps: int, precision: str
) -> dict[str, Callable[[], float]]:
    """What is timed in turns: the two bare steps and the four methods, each `steps` steps long."""
    half = BATCH // 2
    settings: dict[str, Any] = {
        "contrastive": ContrastiveSettings(batch_size=half, max_rounds=1, precision=precision, stopping=NO_RULE),
        "finetune": FinetuneSettings(batch_size=BATCH, max_rounds=1, precision=precision, stopping=NO_RULE),
        "scrub": ScrubSettings(retain_batch_size=BATCH, max_rounds=1, max_steps=0, rewind=False, precision=precision),
    }
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    found: dict[str, Callable[[], float]] = {
        "bare": lambda: bare_seconds(model, task, steps, precision),
        "bare with a teacher": lambda: bare_seconds(model, task, steps, precision, teacher),
        "training": lambda: training_seconds(model, task, steps, precision),
    }
    for method, own in settings.items():
        found[method] = partial(between_checks, method, model, task, own, steps)
    return found


def ceiling(size: Size, device: torch.device, repeats: int, precision: str = "auto", side: int = 32) -> dict[str, Any]:
    """Throughput of contrastive unlearning, training, finetuning and SCRUB as a share of the bare step's.

    Returns model, width, batch, steps (a turn), seconds (name -> one for each turn), share (method
    -> median over the turns of bare / method; 1 is the ceiling) and check_steps, what one stop check
    costs in bare steps. SCRUB's bare step has its teacher's forward too.
    """
    start = perf_counter()
    model = random_model(size.model, size.width, device)
    # One round of contrastive unlearning takes omega steps for each batch of B forgotten images.
    forget = BATCH // 2 * size.steps // ContrastiveSettings().omega
    task = random_task(forget, size.steps * BATCH, device, held_out=2000 if side == 32 else 20, side=side)
    found = in_turns(measures(model, task, size.steps, precision), repeats)
    check = check_seconds(model, task, precision)
    wait(device)
    bare_of = {method: "bare with a teacher" if method == "scrub" else "bare" for method in AIM}
    return {
        "model": size.model,
        "width": size.width,
        "batch": BATCH,
        "steps": size.steps,
        "seconds": found,
        "share": {method: ratio(found[bare], found[method]) for method, bare in bare_of.items()},
        "check_steps": check * size.steps / sorted(found["bare"])[len(found["bare"]) // 2],
        "took": perf_counter() - start,
    }
