"""How soon a model learns again what it was made to forget."""

import copy
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from .data import ImageData
from .errors import check_settings
from .models import EmbeddingClassifier
from .training import accuracy, sgd


@dataclass(frozen=True)
class RelearnSettings:
    """How a copy of the model is tuned. The recipe is ours; Golatkar et al. 2020 count epochs in the same way."""

    steps: int = 60  # ours: at most so many
    learning_rate: float = 3e-3  # at 1e-2 the accuracy swings on the digits
    momentum: float = 0.9  # as in training

    def __post_init__(self) -> None:
        check_settings(self, ["steps", "learning_rate"], ["momentum"])


@dataclass(frozen=True)
class Relearning:
    """steps: how many reached the target; one more than the limit if none did. curve: accuracy in percent
    after 0, 1, 2, ... steps, until the target or the limit."""

    steps: int
    curve: tuple[float, ...]


def relearn(
    model: EmbeddingClassifier,
    shown: ImageData,
    target: float,
    measured: ImageData | None = None,
    settings: RelearnSettings | None = None,
    label: int | None = None,
) -> Relearning:
    """Tune a copy of `model` on `shown` until its accuracy on `measured` is at least `target` percent.

    measured: other images, or None for those shown. Every step descends the cross-entropy of all of `shown`, with
    BatchNorm as it is (eval mode), in float32. label: a forgotten class whose row of the head is first set to zero,
    with the mean bias of the others: so every model starts without an answer, a mask in the head counts for nothing,
    and what is measured lies below the head. Raises ValueError for a target outside 0 to 100.
    """
    if not 0 <= target <= 100:
        raise ValueError(f"the target is {target!r}; expected an accuracy from 0 to 100 percent")
    settings = settings or RelearnSettings()
    student = copy.deepcopy(model).eval()
    if label is not None:
        others = torch.arange(student.config.num_classes, device=shown.device) != label
        with torch.no_grad():
            student.head.weight[label] = 0
            student.head.bias[label] = student.head.bias[others].mean()
    optimizer = sgd(student, settings.learning_rate, settings.momentum, 0.0)
    x, y = shown.batch(torch.arange(len(shown), device=shown.device))
    curve: list[float] = []
    while True:
        logits = student(x)
        if measured is None:
            curve.append(100 * (logits.argmax(dim=1) == y).double().mean().item())
        else:
            curve.append(accuracy(student, measured, "float32"))
        if curve[-1] >= target:
            return Relearning(len(curve) - 1, tuple(curve))
        if len(curve) > settings.steps:
            return Relearning(settings.steps + 1, tuple(curve))
        loss = F.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
