"""Boundary Expansion: give the forgotten class a class of its own, then cut it off (Chen et al. 2023)."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from ..data import ForgetTask
from ..devices import autocast, generator
from ..errors import check_settings
from ..models import EmbeddingClassifier
from ..training import sgd
from .loop import Observer, UnlearningLoop, UnlearningResult
from .stopping import Stopping


@dataclass(frozen=True)
class BoundaryExpansionSettings:
    """Settings of Boundary Expansion. Defaults: the authors' released code."""

    learning_rate: float = 1e-5  # released code
    momentum: float = 0.9  # released code
    weight_decay: float = 0.0  # released code
    batch_size: int = 64  # released code
    max_rounds: int = 10  # released code's epochs over the forget set
    precision: str = "auto"
    stopping: Stopping = field(default_factory=lambda: Stopping(rule="none"))  # released code: a fixed length

    def __post_init__(self) -> None:
        check_settings(self, ["learning_rate", "batch_size", "max_rounds"], ["momentum", "weight_decay"])


class WidenedClassifier(nn.Module):
    """A model with one more logit, kept apart, so that cutting it off is to forget this wrapper.

    The first C logits are `model`'s own, whatever the extra row holds. Its weight is
    Xavier-normal for a layer of C + 1 rows, its bias zero (released code).
    """

    def __init__(self, model: EmbeddingClassifier, draw: torch.Generator) -> None:
        super().__init__()
        self.model = model
        inputs, classes = model.head.in_features, model.head.out_features
        weight = torch.empty(1, inputs, device=draw.device)
        weight.normal_(0, (2 / (inputs + classes + 1)) ** 0.5, generator=draw)
        # Its own first weights would be drawn from torch's global generator.
        self.extra = skip_init(nn.Linear, inputs, 1, device=draw.device)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.extra.weight.copy_(weight)
            self.extra.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, C + 1); the extra one comes last."""
        z = self.model.encode(x)
        return torch.cat([self.model.classify(z), self.extra(F.relu(z))], dim=1)


def boundary_expansion(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: BoundaryExpansionSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Descend CE(widened model(x), C) on `task.forget`, in place; no retained image is used.

    C is the label of an extra class that only forgotten images have (Chen et al. 2023, section
    3.3). It is gone at the end, and at every stop check: what is measured is the pruned model.
    """
    model.train()
    draw = generator(seed, task.forget.device)
    widened = WidenedClassifier(model, draw)
    optimizer = sgd(widened, settings.learning_rate, settings.momentum, settings.weight_decay)
    extra = len(task.classes)
    loop = UnlearningLoop("boundary_expansion", model, task, settings.stopping, observer)
    for index in loop.batches(len(task.forget), settings.batch_size, settings.max_rounds, draw, forgets=True):
        x = task.forget.batch(index)[0]
        with autocast(x.device, settings.precision):
            loss = F.cross_entropy(widened(x).float(), torch.full_like(index, extra))
        loop.step(optimizer, loss, len(index))
    return loop.result(settings)
