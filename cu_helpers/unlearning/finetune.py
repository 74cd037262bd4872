"""Finetune: go on training on the retained images, and hope that the rest fades."""

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
class FinetuneSettings:
    """Settings of finetuning; the paper gives none, so these are the field's."""

    learning_rate: float = 0.01  # SCRUB's and Unlearn-Sparse's finetuning
    momentum: float = 0.9  # Unlearn-Sparse
    weight_decay: float = 5e-4  # Unlearn-Sparse
    batch_size: int = 256  # Unlearn-Sparse
    max_rounds: int = 10  # passes over the retained set: SCRUB's and Unlearn-Sparse's epochs
    precision: str = "auto"
    stopping: Stopping = field(default_factory=Stopping)  # the same rule as contrastive unlearning's

    def __post_init__(self) -> None:
        check_settings(self, ["learning_rate", "batch_size", "max_rounds"], ["momentum", "weight_decay"])


def finetune(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: FinetuneSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Descend the cross-entropy on `task.retain`, in place. A round is one pass over it."""
    model.train()
    draw = generator(seed, task.retain.device)
    optimizer = sgd(model, settings.learning_rate, settings.momentum, settings.weight_decay)
    loop = UnlearningLoop("finetune", model, task, settings.stopping, observer)
    for index in loop.batches(len(task.retain), settings.batch_size, settings.max_rounds, draw, forgets=False):
        x, y = task.retain.batch(index)
        with autocast(x.device, settings.precision):
            loss = F.cross_entropy(model(x).float(), y)
        loop.step(optimizer, loss, len(index))
    return loop.result(settings)
