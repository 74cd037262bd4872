"""Shadow models: who is trained on what, who forgets what, and training many at a time."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import perf_counter

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from .data import Dataset, ForgetTask, ImageData, forget_these
from .devices import autocast, generator, wait
from .errors import NonFiniteError
from .models import EmbeddingClassifier, ModelConfig, memory_format
from .training import TrainSettings, train


def shadow_design(images: int, shadows: int, forgotten: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Which images each shadow model is trained on, and which of them it forgets: bool (shadows, images) each.

    Rows 2j and 2j + 1 are trained on complementary random halves, so that every image is in exactly
    half of the models. Each model forgets `forgotten` images of its half, and every image is
    forgotten by the same number of models, shadows * forgotten / images.
    Raises ValueError unless images is a multiple of 2 * forgotten, and shadows of images / forgotten.
    """
    pair = 2 * forgotten
    if forgotten < 1 or images % pair or shadows < 2 or shadows % (images // forgotten):
        raise ValueError(
            f"{shadows} shadow models that forget {forgotten} of {images} images do not come out even; expected images "
            "to be a multiple of 2 * forgotten and shadows a multiple of images / forgotten"
        )
    draw = generator(seed, torch.device("cpu"))
    trained = torch.zeros(shadows, images, dtype=torch.bool)
    forgets = torch.zeros(shadows, images, dtype=torch.bool)
    for first in range(0, shadows, 2):
        turn = (first // 2) % (images // pair)
        if turn == 0:
            order = torch.randperm(images, generator=draw)  # each image is in one pair's share of it
        share = order[turn * pair : (turn + 1) * pair]
        rest = torch.cat([order[: turn * pair], order[(turn + 1) * pair :]])
        rest = rest[torch.randperm(len(rest), generator=draw)]
        for row, (own, others) in enumerate(zip(share.reshape(2, -1), rest.reshape(2, -1), strict=True)):
            forgets[first + row, own] = True
            trained[first + row, torch.cat([own, others])] = True
    return trained, forgets


def shadow_task(dataset: Dataset, trained: Tensor, forgets: Tensor, seed: int = 0) -> ForgetTask:
    """The task of one shadow model: its row (images,) of each mask of `shadow_design`, over dataset.train.

    Raises ValueError if the model forgets none or all of its images.
    """
    chosen = trained.to(dataset.train.device)
    forgotten = forgets.to(dataset.train.device)[chosen]
    return forget_these(replace(dataset, train=dataset.train.select(chosen)), forgotten.nonzero()[:, 0], seed)


def train_one_by_one(
    config: ModelConfig, images: ImageData, trained: Tensor, settings: TrainSettings, seed: int = 0
) -> list[EmbeddingClassifier]:
    """One model for each row of `trained` (models, n), by `training.train`; row k has the seed `seed` + k."""
    rows = trained.to(images.device)
    return [train(config.build(seed + k), images.select(rows[k]), settings, seed + k).eval() for k in range(len(rows))]


def train_all_at_once(
    config: ModelConfig, images: ImageData, trained: Tensor, settings: TrainSettings, seed: int = 0
) -> list[EmbeddingClassifier]:
    """The models of `train_one_by_one`, one for each row of `trained` (models, n), as one stack of weights under vmap.

    They are equal to rounding. Every step takes one batch of each model. BatchNorm's statistics are stacked too. Raises
    ValueError unless all rows hold equally many images, the optimizer is SGD and the images are not
    augmented, and NonFiniteError if the loss of any model is NaN or infinite at the end of an epoch.
    """
    sizes = sorted({int(count) for count in trained.sum(dim=1)})
    if len(sizes) != 1 or settings.optimizer != "sgd" or images.augment:
        raise ValueError(
            f"the rows hold {sizes} images and the optimizer is {settings.optimizer}; all at once needs equally many "
            "images for each model, SGD, and images that are not augmented"
        )
    device, size = images.device, sizes[0]
    models = [config.build(seed + k).to(device).train() for k in range(len(trained))]
    # vmap knows no channels-last batches: the stack is contiguous, and so is each model's input.
    plain = copy.deepcopy(models[0])
    plain.backbone.memory_format = torch.contiguous_format
    skeleton = plain.to("meta")
    values, buffers = stack_module_state(models)
    weights = {name: value.detach().requires_grad_() for name, value in values.items()}
    optimizer = torch.optim.SGD(
        list(weights.values()),
        settings.learning_rate,
        settings.momentum,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    steps = settings.epochs * math.ceil(size / settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    own = trained.to(device).nonzero()[:, 1].reshape(len(trained), size)
    draws = [generator(seed + k, device) for k in range(len(trained))]

    def forward(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        logits: Tensor = functional_call(skeleton, (weights, buffers), (x,))
        return logits

    for epoch in range(1, settings.epochs + 1):
        order = torch.stack([torch.randperm(size, generator=draw, device=device) for draw in draws])
        total = torch.zeros((), device=device)
        for places in torch.split(order, settings.batch_size, dim=1):
            index = own.gather(1, places)
            x, y = images.batch(index.flatten())
            x = x.contiguous().reshape(*index.shape, *x.shape[1:])
            with autocast(device, settings.precision):
                logits = vmap(forward)(weights, buffers, x)
            # The sum of the models' own means: none feels another's gradient.
            loss = F.cross_entropy(logits.float().flatten(0, 1), y) * len(models)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.detach()
        if not math.isfinite(total.item()):
            raise NonFiniteError(f"a shadow model's loss is {total.item()} in epoch {epoch}; lower learning_rate")
    return [_unstacked(model, k, weights, buffers) for k, model in enumerate(models)]


def _unstacked(
    model: EmbeddingClassifier, k: int, weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
) -> EmbeddingClassifier:
    """`model` with the k-th weights and statistics of the stack, in the layout that training leaves it in."""
    model.load_state_dict({name: value[k].detach() for name, value in {**weights, **buffers}.items()})
    format_of = memory_format(model.config.width)
    return model.to(memory_format=format_of).eval()


Trainer = Callable[[ModelConfig, ImageData, Tensor, TrainSettings, int], list[EmbeddingClassifier]]
TRAINERS: dict[str, Trainer] = {"one by one": train_one_by_one, "all at once": train_all_at_once}


def training_seconds(
    config: ModelConfig, images: ImageData, trained: Tensor, settings: TrainSettings, repeats: int = 3
) -> dict[str, float]:
    """Seconds of one epoch of all models, both ways in turn: the least of `repeats` after a first run of each.

    trained: (models, n), see `train_one_by_one`.
    """
    once = replace(settings, epochs=1)
    least = dict.fromkeys(TRAINERS, math.inf)
    for turn in range(repeats + 1):
        for way, trainer in TRAINERS.items():
            start = perf_counter()
            trainer(config, images, trained, once, 0)
            wait(images.device)
            if turn:
                least[way] = min(least[way], perf_counter() - start)
    return least
