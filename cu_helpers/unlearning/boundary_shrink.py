"""Boundary Shrink: teach forgotten images the labels of their nearest wrong classes (Chen et al. 2023)."""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data import ForgetTask, ImageData
from ..devices import autocast, generator
from ..errors import check_settings
from ..models import EmbeddingClassifier
from ..training import sgd
from .loop import Observer, UnlearningLoop, UnlearningResult
from .stopping import Stopping


@dataclass(frozen=True)
class BoundaryShrinkSettings:
    """Settings of Boundary Shrink. Defaults: the authors' released code, for an AllCNN on CIFAR-10."""

    learning_rate: float = 1e-5  # released code
    momentum: float = 0.9  # released code
    weight_decay: float = 0.0  # released code
    batch_size: int = 64  # released code
    max_rounds: int = 10  # released code's epochs over the forget set
    epsilon: float = 0.1  # released code: the attack's step, in [0, 1] pixel units
    exclude_label: bool = False  # True: the nearest class is never the forgotten one
    precision: str = "auto"
    stopping: Stopping = field(default_factory=lambda: Stopping(rule="none"))  # released code: a fixed length

    def __post_init__(self) -> None:
        check_settings(self, ["learning_rate", "batch_size", "max_rounds", "epsilon"], ["momentum", "weight_decay"])


def fgsm(model: EmbeddingClassifier, images: ImageData, index: Tensor, epsilon: float) -> Tensor:
    """The fast gradient sign attack in pixel space: uint8 (b, 3, h, w) of the images at `index` (b,).

    x' = x + epsilon * sign(d CE(model(x), y) / dx) on [0, 1], clipped there and rounded to whole
    pixel values (Goodfellow et al. 2015, Eq. 3.2.1). A pixel whose gradient is zero stays.
    """
    pixels = (images.images[index].float() / 255).requires_grad_()
    loss = F.cross_entropy(model(images.normalise(255 * pixels)), images.labels[index], reduction="sum")
    (gradient,) = torch.autograd.grad(loss, pixels)
    moved = (pixels.detach() + epsilon * gradient.sign()).clamp(0, 1)
    return (255 * moved).round().to(torch.uint8)


def nearest_labels(
    original: EmbeddingClassifier, images: ImageData, index: Tensor, settings: BoundaryShrinkSettings
) -> Tensor:
    """What `original`, in eval mode, makes of the attacked images: labels (b,)."""
    attacked = fgsm(original, images, index, settings.epsilon)
    with torch.no_grad():
        logits = original(images.normalise(attacked))
    if settings.exclude_label:
        logits.scatter_(1, images.labels[index][:, None], -torch.inf)
    nearest: Tensor = logits.argmax(dim=1)
    return nearest


def boundary_shrink(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: BoundaryShrinkSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Descend CE(model(x), nearest label) on `task.forget`, in place; no retained image is used.

    The nearest label is where one FGSM step on a frozen copy of the original lands (Chen et al.
    2023, section 3.2). It may still be the forgotten class, as in the authors' code;
    `exclude_label` rules that out. Their code attacks with other constants than it normalises
    with; here the step is taken on true pixels. Its curvature term and sample weights are optional
    there and left out.
    """
    original = copy.deepcopy(model).eval().requires_grad_(False)
    model.train()
    draw = generator(seed, task.forget.device)
    optimizer = sgd(model, settings.learning_rate, settings.momentum, settings.weight_decay)
    loop = UnlearningLoop("boundary_shrink", model, task, settings.stopping, observer)
    for index in loop.batches(len(task.forget), settings.batch_size, settings.max_rounds, draw, forgets=True):
        x = task.forget.batch(index)[0]
        with autocast(x.device, settings.precision):
            nearest = nearest_labels(original, task.forget, index, settings)
            loss = F.cross_entropy(model(x).float(), nearest)
        loop.step(optimizer, loss, len(index))
    return loop.result(settings)
