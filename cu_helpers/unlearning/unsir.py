"""UNSIR: break a class with noise that it finds hard, then repair the rest (Tarun et al. 2023)."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data import ForgetTask
from ..devices import autocast, generator
from ..errors import check_settings
from ..models import EmbeddingClassifier
from .loop import Observer, UnlearningLoop, UnlearningResult
from .stopping import Stopping


@dataclass(frozen=True)
class UnsirSettings:
    """Settings of UNSIR. Defaults: the authors' CIFAR-10 notebook."""

    noise_size: int = 256  # authors' notebook: how many noise images are learned
    noise_steps: int = 40  # authors' notebook: 5 epochs of 8
    noise_learning_rate: float = 0.1  # authors' notebook, Adam
    noise_penalty: float = 0.1  # authors' notebook: weight of the noise's squared norm
    noise_copies: int = 20  # authors' notebook: how often each noise image is shown
    retain_per_class: int = 1000  # authors' notebook
    impair_learning_rate: float = 0.02  # authors' notebook, Adam
    repair_learning_rate: float = 0.01  # authors' notebook, Adam
    impair_epochs: int = 1  # authors' notebook
    repair_epochs: int = 1  # authors' notebook
    batch_size: int = 256  # authors' notebook
    precision: str = "auto"
    stopping: Stopping = field(default_factory=lambda: Stopping(rule="none"))  # authors: a fixed length

    def __post_init__(self) -> None:
        sizes = ["noise_size", "noise_steps", "noise_copies", "retain_per_class", "impair_epochs", "batch_size"]
        rates = ["noise_learning_rate", "impair_learning_rate", "repair_learning_rate"]
        check_settings(self, sizes + rates, ["noise_penalty", "repair_epochs"])


def learn_noise(
    model: EmbeddingClassifier, label: int, shape: tuple[int, int, int], settings: UnsirSettings, draw: torch.Generator
) -> Tensor:
    """Noise images (noise_size, *shape), in the model's normalised input space, hard for class `label`.

    Starting from N(0, 1), Adam descends -CE(model(noise), label) + noise_penalty * mean squared
    norm (Tarun et al. 2023, Eq. 3). The model is in eval mode and nothing of it moves; in the
    authors' notebook BatchNorm's statistics drift meanwhile.
    """
    model.eval()
    noise = torch.randn(settings.noise_size, *shape, generator=draw, device=draw.device).requires_grad_()
    labels = torch.full((settings.noise_size,), label, device=draw.device)
    optimizer = torch.optim.Adam([noise], lr=settings.noise_learning_rate)
    for _ in range(settings.noise_steps):
        with autocast(draw.device, settings.precision):
            logits = model(noise).float()
        loss = -F.cross_entropy(logits, labels) + settings.noise_penalty * noise.square().sum(dim=(1, 2, 3)).mean()
        (noise.grad,) = torch.autograd.grad(loss, noise)
        optimizer.step()
    return noise.detach()


def retained_subset(labels: Tensor, per_class: int, draw: torch.Generator) -> Tensor:
    """Positions of `per_class` random rows of each class in `labels` (n,), or of all it has."""
    order = torch.randperm(len(labels), generator=draw, device=labels.device)
    chosen = [order[labels[order] == label][:per_class] for label in torch.unique(labels)]
    return torch.cat(chosen)


def unsir(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: UnsirSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Tarun et al. 2023, algorithm 1, in place: learn noise, impair, repair.

    Impair: epochs over copies of the noise, labelled as the forgotten class, mixed with some
    retained images. Repair: epochs over the retained images alone. No forgotten image is used.
    The authors take the first rows of each class and label all noise 0; here rows are drawn, and
    the noise has its class's label.
    """
    assert task.label is not None
    draw = generator(seed, task.retain.device)
    loop = UnlearningLoop("unsir", model, task, settings.stopping, observer)
    loop.remedy = "lower impair_learning_rate or repair_learning_rate"
    height, width = task.retain.images.shape[2:]
    noise = learn_noise(model, task.label, (3, height, width), settings, draw)
    loop.samples_seen += settings.noise_steps * settings.noise_size
    rows = retained_subset(task.retain.labels, settings.retain_per_class, draw)
    impair = torch.optim.Adam(model.parameters(), lr=settings.impair_learning_rate, fused=True)
    repair = torch.optim.Adam(model.parameters(), lr=settings.repair_learning_rate, fused=True)
    copies = settings.noise_size * settings.noise_copies
    model.train()
    for epoch in loop.rounds(settings.impair_epochs + settings.repair_epochs):
        # Positions below len(rows) are retained images, those above are copies of the noise.
        impairs = epoch <= settings.impair_epochs
        for index in loop.shuffled(len(rows) + copies * impairs, settings.batch_size, draw):
            x, y = task.retain.batch(rows[index[index < len(rows)]])
            extra = index[index >= len(rows)] - len(rows)
            x = torch.cat([x, noise[extra % settings.noise_size]])
            y = torch.cat([y, torch.full_like(extra, task.label)])
            with autocast(x.device, settings.precision):
                loss = F.cross_entropy(model(x).float(), y)
            loop.step(impair if impairs else repair, loss, len(index))
    return loop.result(settings)
