"""NegGrad+: ascend on forgotten images while descending on retained ones (Kurmanji et al. 2023)."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from ..data import ForgetTask
from ..devices import autocast, generator
from ..errors import check_settings
from ..models import EmbeddingClassifier
from ..training import sgd
from .loop import Observer, UnlearningLoop, UnlearningResult
from .stopping import Stopping


@dataclass(frozen=True)
class NegGradPlusSettings:
    """Settings of NegGrad+. Defaults: SCRUB's authors' code, where it is a baseline."""

    retain_weight: float = 0.95  # authors' small-scale setting (0.9999 for their attack); the rest weighs the ascent
    learning_rate: float = 0.01  # authors' code
    momentum: float = 0.9  # authors' code
    weight_decay: float = 0.0  # authors' code
    batch_size: int = 128  # of each of the two batches
    max_rounds: int = 5  # authors' code: passes over the retained images, 5 to 10
    precision: str = "auto"
    stopping: Stopping = field(default_factory=lambda: Stopping(rule="none"))  # authors: a fixed length

    def __post_init__(self) -> None:
        check_settings(
            self, ["learning_rate", "batch_size", "max_rounds"], ["momentum", "weight_decay", "retain_weight"]
        )
        if self.retain_weight > 1:
            raise ValueError(
                f"NegGradPlusSettings: retain_weight is {self.retain_weight!r}; expected a share from 0 to 1"
            )


def neggrad_plus(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: NegGradPlusSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Descend a CE(retained batch) - (1 - a) CE(forgotten batch), in place; a is `retain_weight`.

    A round is one pass over `task.retain`; each of its batches meets a random batch of
    `task.forget`. The two pass the model apart, so that BatchNorm normalises each by itself.
    """
    model.train()
    draw = generator(seed, task.retain.device)
    optimizer = sgd(model, settings.learning_rate, settings.momentum, settings.weight_decay)
    loop = UnlearningLoop("neggrad_plus", model, task, settings.stopping, observer)
    weight = settings.retain_weight
    for index in loop.batches(len(task.retain), settings.batch_size, settings.max_rounds, draw, forgets=False):
        size = min(settings.batch_size, len(task.forget))
        chosen = torch.randint(len(task.forget), (size,), generator=draw, device=draw.device)
        (x_r, y_r), (x_u, y_u) = task.retain.batch(index), task.forget.batch(chosen)
        with autocast(x_r.device, settings.precision):
            kept = F.cross_entropy(model(x_r).float(), y_r)
            lost = F.cross_entropy(model(x_u).float(), y_u)
        loop.step(optimizer, weight * kept - (1 - weight) * lost, len(index) + size)
    return loop.result(settings)
