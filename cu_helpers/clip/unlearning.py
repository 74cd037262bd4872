"""Forgetting a class in CLIP: contrastive unlearning and the paper's two baselines (section D.6)."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..data import ForgetTask
from ..devices import autocast, generator
from ..errors import check_settings, choose
from ..losses import check_temperature
from ..memory import batch_words, halved, until_it_fits
from ..unlearning.loop import Observer, UnlearningLoop, UnlearningResult
from ..unlearning.stopping import Stopping
from .losses import clip_loss, clip_pair_losses, clip_unlearning_loss
from .models import ZeroShotClip, as_classifier
from .training import adam, caption_embeddings, limit_scale


@dataclass(frozen=True)
class _Steps:
    """What the three methods share: Adam as in the released CLIP code, and when to stop."""

    learning_rate: float = 1e-5  # the released code's for finetuning; its 1e-12 for unlearning moves nothing
    batch_size: int = 128  # released CLIP code
    max_rounds: int = 10  # released CLIP code
    betas: tuple[float, float] = (0.9, 0.98)  # released CLIP code
    epsilon: float = 1e-6  # released CLIP code
    weight_decay: float = 0.2  # released CLIP code
    precision: str = "auto"
    stopping: Stopping = field(default_factory=Stopping)  # below 1/C on validation images

    def __post_init__(self) -> None:
        check_settings(self, ["learning_rate", "batch_size", "max_rounds", "epsilon"], ["weight_decay"])


@dataclass(frozen=True)
class ClipContrastiveSettings(_Steps):
    """Contrastive unlearning. The paper gives no settings for CLIP."""

    lambda_ul: float = 0.5  # released CLIP code
    lambda_clip: float = 1.0  # weight of CLIP's loss on retained pairs; the released code runs it as a pass of its own
    omega: int = 3  # released CLIP code: retained batches for each forget batch
    temperature: float = 0.07  # released CLIP code

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        check_settings(self, ["omega"], ["lambda_ul", "lambda_clip"])


@dataclass(frozen=True)
class ClipFinetuneSettings(_Steps):
    """Finetune: further contrastive training on retained pairs alone. A round is one pass over them."""


@dataclass(frozen=True)
class ClipGradientAscentSettings(_Steps):
    """Gradient ascent on forget pairs, descent on retained pairs. The paper gives no weights."""

    ascent: float = 1.0  # weight of the forget pairs' loss, which is climbed

    def __post_init__(self) -> None:
        super().__post_init__()
        check_settings(self, [], ["ascent"])


def _start(
    method: str, model: ZeroShotClip, task: ForgetTask, settings: _Steps, seed: int, observer: Observer | None
) -> tuple[UnlearningLoop, torch.Generator, torch.optim.AdamW]:
    model.train()
    loop = UnlearningLoop(method, as_classifier(model), task, settings.stopping, observer)
    return loop, generator(seed, task.forget.device), adam(model, settings)


def _embed_both(
    model: ZeroShotClip, task: ForgetTask, index: Tensor, draw: torch.Generator, precision: str
) -> tuple[Tensor, Tensor, Tensor]:
    """A forget batch and a retained batch of its size in one forward.

    Returns image embeddings (2b, dim), forgotten first; embedded captions of the retained
    images (b, dim); the forgotten images' labels (b,).
    """
    x_u, y_u = task.forget.batch(index)
    chosen = torch.randint(len(task.retain), (len(index),), generator=draw, device=index.device)
    x_r, y_r = task.retain.batch(chosen)
    with autocast(index.device, precision):
        # One forward, so that BatchNorm, where there is one, sees their mixture as in Algorithm 1.
        return model.encode(torch.cat([x_u, x_r])), caption_embeddings(model, y_r, draw), y_u


def contrastive(
    model: ZeroShotClip,
    task: ForgetTask,
    settings: ClipContrastiveSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Change `model` in place: Algorithm 1 with `clip_unlearning_loss`, and CLIP's loss as the CE term."""
    loop, draw, optimizer = _start("contrastive", model, task, settings, seed, observer)
    for index in loop.batches(len(task.forget), settings.batch_size, settings.max_rounds, draw, forgets=True):
        for _ in range(settings.omega):
            image_z, text_r, y_u = _embed_both(model, task, index, draw, settings.precision)
            with autocast(index.device, settings.precision):
                own_text = model.encode_text(model.prompts[y_u[0]])
            z_u, z_r = image_z[: len(index)], image_z[len(index) :]
            l_ul = clip_unlearning_loss(z_u, own_text, z_r, text_r, settings.temperature)
            l_clip = clip_loss(z_r, text_r, model.scale)
            loop.step(optimizer, settings.lambda_clip * l_clip + settings.lambda_ul * l_ul, 2 * len(index))
            limit_scale(model)
    return loop.result(settings)


def finetune(
    model: ZeroShotClip,
    task: ForgetTask,
    settings: ClipFinetuneSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Change `model` in place: CLIP's loss on retained pairs alone."""
    loop, draw, optimizer = _start("finetune", model, task, settings, seed, observer)
    for index in loop.batches(len(task.retain), settings.batch_size, settings.max_rounds, draw, forgets=False):
        x, y = task.retain.batch(index)
        with autocast(index.device, settings.precision):
            image_z, text_z = model.encode(x), caption_embeddings(model, y, draw)
        loop.step(optimizer, clip_loss(image_z, text_z, model.scale), len(index))
        limit_scale(model)
    return loop.result(settings)


def gradient_ascent(
    model: ZeroShotClip,
    task: ForgetTask,
    settings: ClipGradientAscentSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Change `model` in place: up CLIP's loss of the forget pairs, down that of the retained pairs.

    Both kinds of pair stand in one batch, as each other's negatives. In a batch of the forgotten class alone
    all captions are alike, and no step of the loss moves the images' mean similarity to them.
    """
    loop, draw, optimizer = _start("gradient_ascent", model, task, settings, seed, observer)
    loop.remedy = "lower learning_rate or ascent"
    for index in loop.batches(len(task.forget), settings.batch_size, settings.max_rounds, draw, forgets=True):
        image_z, text_r, y_u = _embed_both(model, task, index, draw, settings.precision)
        with autocast(index.device, settings.precision):
            text_u = caption_embeddings(model, y_u, draw)
        pairs = clip_pair_losses(image_z, torch.cat([text_u, text_r]), model.scale)
        forgotten, retained = pairs[: len(index)].mean(), pairs[len(index) :].mean()
        loop.step(optimizer, retained - settings.ascent * forgotten, 2 * len(index))
        limit_scale(model)
    return loop.result(settings)


@dataclass(frozen=True)
class ClipMethod:
    """One method: the function that changes a CLIP in place, its settings class, where it comes from."""

    function: Callable[..., UnlearningResult]
    settings: type
    reference: str


CLIP_METHODS = {
    "contrastive": ClipMethod(contrastive, ClipContrastiveSettings, "Contrastive Unlearning, 2024, section D.6"),
    "finetune": ClipMethod(finetune, ClipFinetuneSettings, "a baseline of section D.6"),
    "gradient_ascent": ClipMethod(gradient_ascent, ClipGradientAscentSettings, "a baseline of section D.6"),
}


def unlearn_clip(
    method: str,
    model: ZeroShotClip,
    task: ForgetTask,
    settings: Any = None,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Forget a class from a copy of `model`; the model passed in is never changed.

    method: a name in `CLIP_METHODS`. task: of kind "class", its images normalised as `load_clip` says.
    settings: an instance of the method's class; None means its defaults. seed: draws batches and
    captions. observer: as in `unlearning.unlearn`. The result's model is a `ZeroShotClip`; captions are
    those of the model's own wording, in the steps and in the stop rule. Where a batch does not fit into a
    GPU's memory, the run starts over with half of it, as in `unlearning.unlearn`.

    Raises ValueError for an unknown method, another kind of task, an empty set or another number of
    classes; TypeError for settings of another method; NonFiniteError, at a stop check, if the loss is NaN or
    infinite, naming the setting to lower.
    """
    chosen = CLIP_METHODS[choose("CLIP unlearning method", method, tuple(CLIP_METHODS))]
    if task.kind != "class":
        raise ValueError(f"CLIP forgets a class here; the task is to forget {task.kind}")
    for name, images in (("forget", task.forget), ("retain", task.retain)):
        if len(images) == 0:
            raise ValueError(f"the task's {name} set is empty; expected at least one image")
    if len(model.prompts) != len(task.classes):
        raise ValueError(
            f"the CLIP is asked for {len(model.prompts)} classes and the task has {len(task.classes)}; "
            f"expected a wording of {task.dataset}'s classes"
        )
    settings = settings if settings is not None else chosen.settings()
    if not isinstance(settings, chosen.settings):
        raise TypeError(f"settings are {type(settings).__name__}; {method} expects {chosen.settings.__name__}")

    def attempt(tried: Any) -> UnlearningResult:
        return chosen.function(copy.deepcopy(model), task, tried, seed, observer)

    return until_it_fits(attempt, settings, halved, f"CLIP {method}", batch_words)[0]
