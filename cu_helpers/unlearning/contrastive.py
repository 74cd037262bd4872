"""Contrastive unlearning: Algorithm 1 of the paper, with the loss of Eq. 7."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import ForgetTask, ImageData
from ..devices import autocast, generator
from ..errors import check_settings, choose
from ..losses import PUSH_WEIGHTS, check_temperature, class_unlearning_loss, sample_unlearning_loss
from ..models import EmbeddingClassifier
from ..training import sgd
from .loop import Observer, UnlearningLoop, UnlearningResult
from .stopping import Stopping

RETAINED = ("random", "first")
BATCH_SIZES = {"class": 64, "samples": 128}  # Table 6


@dataclass(frozen=True)
class ContrastiveSettings:
    """Settings of contrastive unlearning. The paper's own lambda and omega cells are lost.

    batch_size None means 64 for a class and 128 for samples.
    """

    lambda_ul: float = 3.0  # weight of Eq. 5 or 6, mean form (released code; Table 6's cell is lost)
    lambda_ce: float = 1.0  # weight of the cross-entropy on retained images (released code; lost too)
    omega: int = 4  # retained batches per forget batch (released code; Table 7: 4)
    temperature: float = 0.7  # tau (Tables 7 and 12)
    learning_rate: float = 1e-3  # Table 6
    momentum: float = 0.9  # Table 6
    weight_decay: float = 5e-4  # Table 6
    batch_size: int | None = None  # Table 6: 64 for a class, 128 for samples
    max_rounds: int = 30  # released code's README, for samples; the paper needed fewer than 15
    retained: str = "random"  # the paper's text; "first" is the released code's sequential loader
    push_weight: str = "paper"  # "released": R/|N| on the log-sum of Eq. 5
    clamp_embeddings: bool = False  # released code: an in-place ReLU leaves max(z, 0) in the loss
    detach_retained: bool = False  # a control: let L_UL move forgotten embeddings only
    freeze_batch_norm: bool = False  # a control: leave BatchNorm's running statistics alone
    precision: str = "auto"
    stopping: Stopping = field(default_factory=Stopping)

    def __post_init__(self) -> None:
        choose("way to draw retained batches", self.retained, RETAINED)
        choose("push weight", self.push_weight, PUSH_WEIGHTS)
        check_settings(
            self,
            ["temperature", "omega", "learning_rate", "max_rounds", "batch_size"],
            ["lambda_ul", "lambda_ce", "momentum", "weight_decay"],
        )
        check_temperature(self.temperature)

    @classmethod
    def released(cls, **changes: Any) -> "ContrastiveSettings":
        """The authors' released code where it departs from the paper's text.

        The first retained rows only, R/|N| push weight, no weight decay, embeddings clamped at
        zero in the loss, and a stop rule that looks at the whole test set. Its forget set, the
        first N rows, is an option of `data.forget_samples`.
        """
        released: dict[str, Any] = {
            "retained": "first",
            "push_weight": "released",
            "weight_decay": 0.0,
            "clamp_embeddings": True,
            "stopping": Stopping(data="test"),
        }
        return cls(**{**released, **changes})

    @classmethod
    def mini_imagenet(cls, model: str, **changes: Any) -> "ContrastiveSettings":
        """Table 7's settings for a ResNet; its feature dimension is `MINI_IMAGENET_DIM[model]`."""
        choose("model with settings in Table 7", model, tuple(MINI_IMAGENET_DIM))
        small = model in ("resnet18", "resnet34")
        table: dict[str, Any] = {
            "batch_size": 256 if model == "resnet18" else 128,
            "learning_rate": 1e-3 if small else 1e-4,
        }
        return cls(**{**table, **changes})


# Table 7's feature dimensions, for build_model's feature_dim.
MINI_IMAGENET_DIM = {"resnet18": 256, "resnet34": 256, "resnet50": 512, "resnet101": 512}


def retained_batch(
    retain: ImageData, size: int, repeat: int, settings: ContrastiveSettings, draw: torch.Generator
) -> tuple[Tensor, Tensor]:
    """X^r and Y^r for the `repeat`-th of omega steps: normalised images (size, 3, h, w), labels (size,)."""
    if settings.retained == "first":
        index = torch.arange(repeat * size, (repeat + 1) * size, device=retain.device) % len(retain)
    else:
        index = torch.randint(len(retain), (size,), generator=draw, device=retain.device)
    return retain.batch(index)


def unlearning_loss(
    z_u: Tensor, y_u: Tensor, z_r: Tensor, y_r: Tensor, kind: str, settings: ContrastiveSettings
) -> Tensor:
    """L_UL of Eq. 7's second term, a scalar: Eq. 6 for a class, Eq. 5 for samples; a mean over anchors.

    z_u, z_r: unit-norm embeddings (b, d). y_u, y_r: their labels (b,).
    """
    if settings.clamp_embeddings:
        z_u, z_r = F.relu(z_u), F.relu(z_r)
    if settings.detach_retained:
        z_r = z_r.detach()
    if kind == "class":
        return class_unlearning_loss(z_u, z_r, settings.temperature)
    return sample_unlearning_loss(z_u, y_u, z_r, y_r, settings.temperature, push_weight=settings.push_weight)


def freeze_batch_norm(model: nn.Module) -> None:
    """Put the BatchNorm layers alone into eval mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def contrastive(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: ContrastiveSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Change `model` in place by Algorithm 1; `unlearning.unlearn` copies it first.

    Each forget batch X^u meets omega retained batches X^r of its own size. Both pass the encoder
    in one forward, so BatchNorm sees their mixture, as in the released code. The step descends
    Eq. 7: lambda_CE * CE(H(E(X^r)), Y^r) + lambda_UL * L_UL.
    """
    size = settings.batch_size or BATCH_SIZES[task.kind]
    model.train()
    if settings.freeze_batch_norm:
        freeze_batch_norm(model)
    draw = generator(seed, task.forget.device)
    optimizer = sgd(model, settings.learning_rate, settings.momentum, settings.weight_decay)
    loop = UnlearningLoop("contrastive", model, task, settings.stopping, observer)
    for index in loop.batches(len(task.forget), size, settings.max_rounds, draw, forgets=True):
        x_u, y_u = task.forget.batch(index)
        for repeat in range(settings.omega):
            x_r, y_r = retained_batch(task.retain, len(index), repeat, settings, draw)
            with autocast(x_r.device, settings.precision):
                z = model.encode(torch.cat([x_u, x_r]))
                z_u, z_r = z[: len(index)], z[len(index) :]
                l_ce = F.cross_entropy(model.classify(z_r).float(), y_r)
            l_ul = unlearning_loss(z_u, y_u, z_r, y_r, task.kind, settings)
            loop.step(optimizer, settings.lambda_ce * l_ce + settings.lambda_ul * l_ul, 2 * len(index))
    return loop.result(settings)
