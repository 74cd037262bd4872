"""Contrastive training of a CLIP on captioned images: from scratch, or finetuning."""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..checkpoints import cache_folder, discard, fingerprint, keep, read_or_make, save_weights
from ..data import ImageData
from ..devices import autocast, generator, resolve_precision, wait
from ..errors import NonFiniteError, check_settings, choose
from ..memory import batch_words, halved, until_it_fits
from ..training import rotate_and_crop
from .captions import wordings
from .losses import clip_loss
from .models import CLIP_MODELS, ZeroShotClip

MAX_SCALE = 100.0  # Radford et al. 2021, section 2.5


@dataclass(frozen=True)
class ClipTrainSettings:
    """How to train on pairs of image and caption. Defaults: how the paper finetunes ViT-B-32."""

    epochs: int = 10  # paper, section D.6; the released CLIP code has 5
    batch_size: int = 128  # released CLIP code
    learning_rate: float = 1e-5  # released CLIP code
    betas: tuple[float, float] = (0.9, 0.98)  # released CLIP code
    epsilon: float = 1e-6  # released CLIP code
    weight_decay: float = 0.2  # released CLIP code; decoupled, on matrices alone (Radford et al. 2021, 2.5)
    wording: str = "prompt"  # released CLIP code: one prompt a class
    augment: bool = False  # rotate and crop the images
    precision: str = "auto"

    def __post_init__(self) -> None:
        choose("wording", self.wording, ("prompt", "captions"))
        check_settings(self, ["epochs", "batch_size", "learning_rate", "epsilon"], ["weight_decay"])


@dataclass(frozen=True)
class TrainedClip:
    """A trained CLIP, the seconds of its training (also when it was loaded) and its optimiser steps."""

    model: ZeroShotClip
    seconds: float
    steps: int
    samples_seen: int


def adam(model: ZeroShotClip, settings: Any) -> torch.optim.AdamW:
    """Adam with decoupled weight decay on matrices; gains, biases and the scale keep their size.

    settings: has learning_rate, betas, epsilon and weight_decay.
    """
    weights = list(model.parameters())
    groups = [
        {"params": [p for p in weights if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in weights if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, eps=settings.epsilon, fused=True)


def limit_scale(model: ZeroShotClip) -> None:
    """Keep the scale of the logits at `MAX_SCALE` or below, as CLIP's training does after each step."""
    with torch.no_grad():
        model.net.logit_scale.clamp_(max=math.log(MAX_SCALE))


def caption_embeddings(model: ZeroShotClip, labels: Tensor, draw: torch.Generator) -> Tensor:
    """One embedded caption for each label (b,), drawn from the class's prompts: (b, dim).

    A caption that several images share is embedded once.
    """
    count = model.prompts.shape[1]
    chosen = torch.randint(count, (len(labels),), generator=draw, device=labels.device)
    distinct, place = torch.unique(labels * count + chosen, return_inverse=True)
    return model.encode_text(model.prompts.flatten(0, 1)[distinct])[place]


def train_clip(
    model: ZeroShotClip,
    images: ImageData,
    settings: ClipTrainSettings | None = None,
    seed: int = 0,
    on_epoch: Callable[[int, float], None] | None = None,
) -> ZeroShotClip:
    """Train `model` in place on `images` with captions from its own wording; return it in eval mode.

    seed: draws batches, captions and augmentation. The learning rate follows a cosine to zero.
    on_epoch: called after each epoch with its number (from 1) and mean loss. Raises ValueError if there
    are no images and NonFiniteError at the end of an epoch whose loss is NaN or infinite.
    """
    if len(images) == 0:
        raise ValueError("the training set is empty; expected at least one image")
    settings = settings or ClipTrainSettings()
    draw = generator(seed, images.device)
    optimizer = adam(model, settings)
    steps = settings.epochs * math.ceil(len(images) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for epoch in range(1, settings.epochs + 1):
        total = torch.zeros((), device=images.device)
        for index in torch.split(
            torch.randperm(len(images), generator=draw, device=images.device), settings.batch_size
        ):
            x, y = images.batch(index)
            if settings.augment:
                x = rotate_and_crop(x, draw)
            with autocast(images.device, settings.precision):
                image_z, text_z = model.encode(x), caption_embeddings(model, y, draw)
            loss = clip_loss(image_z, text_z, model.scale)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            limit_scale(model)
            schedule.step()
            total += loss.detach() * len(index)
        mean = total.item() / len(images)
        if not math.isfinite(mean):
            raise NonFiniteError(
                f"CLIP's training loss is {mean} in epoch {epoch}; lower learning_rate (now {settings.learning_rate:g})"
            )
        if on_epoch:
            on_epoch(epoch, mean)
    return model.eval()


def _key(name: str, start: ZeroShotClip, images: ImageData, settings: ClipTrainSettings, seed: int) -> str:
    """A hash of all that changes the result, the weights that training starts from included."""
    weights = hashlib.sha256()
    for value in start.state_dict().values():
        weights.update(value.detach().cpu().contiguous().numpy().tobytes())
    described = {
        "model": name,
        "start": weights.hexdigest(),
        "settings": {**asdict(settings), "precision": resolve_precision(settings.precision, images.device)},
        "wording": asdict(start.wording),
        "seed": seed,
        "images": fingerprint(images),
        "device": images.device.type,
        "torch": torch.__version__.split("+")[0],
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:20]


def load_or_train_clip(
    name: str,
    start: ZeroShotClip,
    images: ImageData,
    classes: tuple[str, ...],
    settings: ClipTrainSettings,
    seed: int = 0,
    folder: str | Path | None = None,
) -> TrainedClip:
    """A CLIP trained on `images` from the weights of `start`: from the cache, else trained now.

    name: one of `CLIP_MODELS`, for the file's name. start: changed in place, to the trained weights. The model
    that comes back asks with start's wording; its captions follow settings.wording. folder: None means
    `checkpoints.cache_folder()`. An unreadable file in the cache is trained anew and replaced; a cache that cannot
    be written to keeps nothing, and a warning says so. Where a batch does not fit into a GPU's memory, training starts
    over from the same weights with half of it, and so with half the captions to tell an image's own from; a warning
    says so and the file's notes tell the batch.
    """
    choose("CLIP model", name, CLIP_MODELS)
    learner = start.asked(wordings(classes)[settings.wording])
    path = Path(folder or cache_folder()) / f"clip-{name}-{_key(name, learner, images, settings, seed)}.safetensors"

    def make() -> TrainedClip:
        before = {key: value.clone() for key, value in start.state_dict().items()}

        def attempt(tried: ClipTrainSettings) -> float:
            start.load_state_dict(before)
            begun = perf_counter()
            train_clip(learner, images, tried, seed)
            wait(images.device)
            return perf_counter() - begun

        seconds, used = until_it_fits(attempt, settings, halved, f"training CLIP {name}", batch_words)
        weights = {key: value.detach().cpu().contiguous() for key, value in start.state_dict().items()}
        keep(lambda: save_weights(path, weights, {"seconds": str(seconds), "batch_size": str(used.batch_size)}))
        return _trained(start, seconds, images, used)

    return read_or_make(path, lambda: _cached(path, start, images, settings), make)


def _trained(model: ZeroShotClip, seconds: float, images: ImageData, settings: ClipTrainSettings) -> TrainedClip:
    steps = settings.epochs * math.ceil(len(images) / settings.batch_size)
    return TrainedClip(model.eval(), seconds, steps, settings.epochs * len(images))


def _cached(path: Path, start: ZeroShotClip, images: ImageData, settings: ClipTrainSettings) -> TrainedClip | None:
    """`start` with the weights in the cache; None, and `start` as it was, if there are none that can be read."""
    if not path.exists():
        return None
    before = {key: value.clone() for key, value in start.state_dict().items()}
    try:
        with safe_open(path, framework="pt", device=str(images.device)) as file:
            notes = file.metadata()
            used = replace(settings, batch_size=int(notes.get("batch_size", settings.batch_size)))
            seconds = float(notes["seconds"])
            start.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError):
        start.load_state_dict(before)
        discard(path)
        return None
    return _trained(start, seconds, images, used)
