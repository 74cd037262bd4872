"""The paper's training: cross-entropy without augmentation, to (near) 100 % train accuracy."""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .checkpoints import cache_folder, discard, fingerprint, keep, load_model, read_or_make, save_model
from .data import ImageData
from .devices import autocast, generator, pick_device, resolve_precision, wait
from .errors import CheckpointError, NonFiniteError, check_settings, choose
from .inference import predict_logits
from .memory import batch_words, halved, until_it_fits
from .models import EmbeddingClassifier, ModelConfig, memory_format

OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class TrainSettings:
    """How to train an original or retrained model. Defaults: the released code's README run."""

    epochs: int = 100  # released code's default
    batch_size: int = 256  # released code's default
    learning_rate: float = 0.1  # released code's README; the paper's section C names SGD only
    momentum: float = 0.9  # released code
    weight_decay: float = 1e-4  # released code's README
    optimizer: str = "sgd"  # "adam" for ViT (paper, section C)
    precision: str = "auto"  # bfloat16 where the device gains by it

    def __post_init__(self) -> None:
        choose("optimizer", self.optimizer, OPTIMIZERS)
        check_settings(self, ["epochs", "batch_size", "learning_rate"], ["momentum", "weight_decay"])

    @classmethod
    def for_model(cls, name: str, **changes: Any) -> "TrainSettings":
        """The settings that suit a model: Adam at 3e-4 without decay for ViT, else the defaults."""
        if name == "vit_small":
            changes = {"optimizer": "adam", "learning_rate": 3e-4, "weight_decay": 0.0, **changes}
        return cls(**changes)


def sgd(model: nn.Module, learning_rate: float, momentum: float, weight_decay: float) -> torch.optim.SGD:
    """SGD over all parameters with torch's fused step."""
    return torch.optim.SGD(
        model.parameters(), lr=learning_rate, momentum=momentum, weight_decay=weight_decay, fused=True
    )


def rotate_and_crop(x: Tensor, draw: torch.Generator) -> Tensor:
    """A random rotation (up to 15 degrees) and crop (up to an eighth of the side) per batch image.

    x: normalised images (b, 3, h, w); the result has the same shape, padded by reflection. The
    paper names RandomRotation and RandomCrop for Mini-ImageNet and gives no amounts.
    """
    angle = (torch.rand(len(x), generator=draw, device=x.device) * 2 - 1) * math.radians(15)
    shift = (torch.rand(len(x), 2, generator=draw, device=x.device) * 2 - 1) * 0.25
    transform = torch.stack(
        [
            torch.stack([angle.cos(), -angle.sin(), shift[:, 0]], dim=1),
            torch.stack([angle.sin(), angle.cos(), shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(transform, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def train(
    model: EmbeddingClassifier,
    images: ImageData,
    settings: TrainSettings | None = None,
    seed: int = 0,
    on_epoch: Callable[[int, float], None] | None = None,
) -> EmbeddingClassifier:
    """Train `model` in place on `images` and return it, in eval mode.

    settings: None means `TrainSettings.for_model`. seed: shuffles the batches. The learning rate
    follows a cosine from its start to zero over all steps. on_epoch: called after each epoch
    with the epoch (from 1) and its mean loss. Raises ValueError if there are no images and
    NonFiniteError at the end of an epoch whose loss is NaN or infinite.
    """
    if len(images) == 0:
        raise ValueError("the training set is empty; expected at least one image")
    settings = settings or TrainSettings.for_model(model.config.name)
    device = images.device
    model.to(device, memory_format=memory_format(model.config.width))  # type: ignore[call-overload]
    optimizer: torch.optim.Optimizer
    if settings.optimizer == "adam":
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
    else:
        optimizer = sgd(model, settings.learning_rate, settings.momentum, settings.weight_decay)
    draw = generator(seed, device)
    steps = settings.epochs * math.ceil(len(images) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for epoch in range(1, settings.epochs + 1):
        total = torch.zeros((), device=device)
        for index in torch.split(torch.randperm(len(images), generator=draw, device=device), settings.batch_size):
            x, y = images.batch(index)
            if images.augment:
                x = rotate_and_crop(x, draw)
            with autocast(device, settings.precision):
                loss = F.cross_entropy(model(x).float(), y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.detach() * len(index)
        mean = total.item() / len(images)
        if not math.isfinite(mean):
            raise NonFiniteError(
                f"training loss is {mean} in epoch {epoch}; lower learning_rate (now {settings.learning_rate:g})"
            )
        if on_epoch:
            on_epoch(epoch, mean)
    return model.eval()


def accuracy(model: EmbeddingClassifier, images: ImageData, precision: str = "auto") -> float:
    """Share of `images` whose largest logit is at their label, in percent."""
    hits = predict_logits(model, images, precision).argmax(dim=1) == images.labels
    return 100 * hits.double().mean().item()


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, how long its training took (seconds, also when loaded) and its cache key."""

    model: EmbeddingClassifier
    seconds: float
    key: str
    loaded: bool


def load_or_train(
    config: ModelConfig,
    images: ImageData,
    settings: TrainSettings | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
) -> TrainedModel:
    """A model trained on `images`: from the cache if it was trained before, else trained now.

    The cache key covers everything that changes the result: architecture, settings, seed, the
    images themselves, precision, device type and torch's version. seed draws the initial weights
    and the batches. folder: None means `checkpoints.cache_folder()`. An unreadable file in the
    cache is trained anew and replaced. A cache that cannot be written to keeps nothing, and a
    warning says so. Where a batch does not fit into a GPU's memory, training starts over with half
    of it, with a warning; the notes in the file tell the settings that were used.
    """
    settings = settings or TrainSettings.for_model(config.name)
    described: dict[str, Any] = {
        "model": asdict(config),
        "settings": {**asdict(settings), "precision": resolve_precision(settings.precision, images.device)},
        "seed": seed,
        "images": fingerprint(images),
        "device": images.device.type,
        "torch": torch.__version__.split("+")[0],
    }
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:20]
    path = Path(folder or cache_folder()) / f"{config.name}-{key}.safetensors"

    def attempt(tried: TrainSettings) -> tuple[EmbeddingClassifier, float]:
        model = config.build(seed)
        start = perf_counter()
        train(model, images, tried, seed)
        wait(images.device)
        return model, perf_counter() - start

    def make() -> TrainedModel:
        (model, seconds), used = until_it_fits(attempt, settings, halved, f"training {config.describe()}", batch_words)
        described["settings"]["batch_size"] = used.batch_size
        keep(lambda: save_model(model, path, {**described, "seconds": seconds}))
        return TrainedModel(model, seconds, key, loaded=False)

    return read_or_make(path, lambda: _cached(path, config, images, key), make)


def _cached(path: Path, config: ModelConfig, images: ImageData, key: str) -> TrainedModel | None:
    """The model in the cache, on the images' device; None if there is none that can be read."""
    if not path.exists():
        return None
    try:
        model, notes = load_model(path, config, pick_device(images.device))
    except CheckpointError:
        discard(path)
        return None
    model.to(memory_format=memory_format(config.width))
    return TrainedModel(model.eval(), float(notes["seconds"]), key, loaded=True)
