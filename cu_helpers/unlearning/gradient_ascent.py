"""Gradient ascent: climb the loss of the forgotten images until the model gets them wrong."""

from dataclasses import dataclass, field

import torch.nn.functional as F

from ..data import ForgetTask
from ..devices import autocast, generator
from ..errors import check_settings
from ..models import EmbeddingClassifier
from ..training import sgd
from .loop import Observer, UnlearningLoop, UnlearningResult
from .stopping import Stopping


@dataclass(frozen=True)
class GradientAscentSettings:
    """Settings of gradient ascent; the paper gives none beyond "a smaller batch"."""

    learning_rate: float = 1e-4  # Unlearn-Sparse
    momentum: float = 0.9  # Unlearn-Sparse
    weight_decay: float = 0.0  # Unlearn-Sparse has 5e-4; none here, so that a step is exactly minus a descent step
    batch_size: int = 64  # the paper says "smaller" than its 128 and gives no number
    max_rounds: int = 40  # the paper: "more than 40 iterations" over the forget set
    precision: str = "auto"
    stopping: Stopping = field(default_factory=Stopping)

    def __post_init__(self) -> None:
        check_settings(self, ["learning_rate", "batch_size", "max_rounds"], ["momentum", "weight_decay"])


def gradient_ascent(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: GradientAscentSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Ascend the cross-entropy on `task.forget`, in place. A round is one pass over it."""
    model.train()
    draw = generator(seed, task.forget.device)
    optimizer = sgd(model, settings.learning_rate, settings.momentum, settings.weight_decay)
    loop = UnlearningLoop("gradient_ascent", model, task, settings.stopping, observer)
    for index in loop.batches(len(task.forget), settings.batch_size, settings.max_rounds, draw, forgets=True):
        x, y = task.forget.batch(index)
        with autocast(x.device, settings.precision):
            loss = -F.cross_entropy(model(x).float(), y)
        loop.step(optimizer, loss, len(index))
    return loop.result(settings)
