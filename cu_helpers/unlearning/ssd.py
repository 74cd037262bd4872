"""Selective synaptic dampening: shrink the weights that matter more to the forgotten images (Foster et al. 2024)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data import ForgetTask, ImageData
from ..devices import generator
from ..errors import NonFiniteError, check_settings
from ..models import EmbeddingClassifier
from .loop import Observer, UnlearningLoop, UnlearningResult
from .stopping import Stopping


@dataclass(frozen=True)
class SsdSettings:
    """Settings of selective synaptic dampening. Defaults: the authors' released code."""

    selection: float = 10.0  # authors' alpha: how many times more important before a weight is dampened
    dampening: float = 1.0  # authors' lambda: strength of the dampening
    batch_size: int = 128  # authors' code: gradients are squared per batch of this size

    def __post_init__(self) -> None:
        check_settings(self, ["selection", "dampening", "batch_size"])


def importance(
    model: EmbeddingClassifier, images: ImageData, batch_size: int, draw: torch.Generator
) -> dict[str, Tensor]:
    """Mean over batches of the squared gradient of the mean cross-entropy, by weight, of its shape, in eval mode.

    With batch_size 1 it is the diagonal of the empirical Fisher information (Foster et al. 2024,
    section 3); larger batches are the authors' code.
    """
    model.eval()
    weights = dict(model.named_parameters())
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    parts = torch.split(torch.randperm(len(images), generator=draw, device=draw.device), batch_size)
    for index in parts:
        x, y = images.batch(index)
        gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(weights.values()))
        for name, gradient in zip(weights, gradients, strict=True):
            total[name] += gradient.square() / len(parts)
    return total


def dampened(weight: Tensor, forget: Tensor, everything: Tensor, settings: SsdSettings) -> Tensor:
    """The new value of one tensor of weights, given its importances for the forget set and for all images.

    Where forget > alpha * everything, times min(1, lambda * everything / forget); else unchanged
    (Foster et al. 2024, section 3).
    """
    factor = (settings.dampening * everything / forget.clamp(min=1e-30)).clamp(max=1)
    return torch.where(forget > settings.selection * everything, weight * factor, weight)


def ssd(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: SsdSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Foster et al. 2024, in place: no step is taken, weights are only shrunk.

    Raises NonFiniteError if a gradient is NaN or infinite.
    """
    draw = generator(seed, task.retain.device)
    loop = UnlearningLoop("ssd", model, task, Stopping(rule="none"), observer)
    loop.begin()
    forget = importance(model, task.forget, settings.batch_size, draw)
    everything = importance(model, task.train, settings.batch_size, draw)
    if not all(bool(value.isfinite().all()) for value in (*forget.values(), *everything.values())):
        raise NonFiniteError("ssd: a gradient is not finite; look for NaN in the model that was passed in", model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(dampened(weight, forget[name], everything[name], settings))
    loop.count(steps=0, samples=len(task.forget) + len(task.train), loss=0.0)
    return loop.result(settings, stopped_by="finished")
