"""Logit mask: never answer with the forgotten class. It forgets nothing and scores like the best."""

from dataclasses import dataclass

import torch

from ..data import ForgetTask
from ..models import EmbeddingClassifier
from .loop import Observer, UnlearningLoop, UnlearningResult
from .stopping import Stopping


@dataclass(frozen=True)
class LogitMaskSettings:
    """Logit masking has nothing to set."""


# Far below any logit of a unit-norm embedding, and still finite in float32 and bfloat16.
MASKED = -1e4


def logit_mask(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: LogitMaskSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Set the forgotten class's row of the head to zero and its bias to -10,000, in place.

    A control for tables: its forget accuracy is zero, and every embedding is as it was.
    """
    assert task.label is not None
    loop = UnlearningLoop("logit_mask", model, task, Stopping(rule="none"), observer)
    loop.begin()
    with torch.no_grad():
        model.head.weight[task.label] = 0
        model.head.bias[task.label] = MASKED
    loop.count(steps=0, samples=0, loss=0.0)
    return loop.result(settings, stopped_by="finished")
