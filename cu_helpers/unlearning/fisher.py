"""Fisher forgetting: noise where the retained images do not mind (Golatkar et al. 2020)."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..data import ForgetTask, ImageData
from ..devices import generator
from ..errors import NonFiniteError, check_settings
from ..memory import half, until_it_fits
from ..models import EmbeddingClassifier
from .loop import Observer, UnlearningLoop, UnlearningResult
from .per_sample import images_at_once, squared_gradients
from .stopping import Stopping

HEAD = ("head.weight", "head.bias")


@dataclass(frozen=True)
class FisherSettings:
    """Settings of Fisher forgetting. Defaults: the authors' released code."""

    alpha: float = 1e-6  # released code: scale of the noise's variance; its sweep goes from 1e-8 to 1e-5
    damping: float = 1e-8  # released code: added to the diagonal before it is inverted
    max_variance: float = 1e3  # released code: before alpha
    max_head_variance: float = 1e2  # released code: the same for the last layer
    boost: float = 10.0  # released code: variance factor of the last layer and of every 1-d tensor
    class_row_variance: float = 1e-4  # released code: of the forgotten class's row in the last layer, before boost
    directions: int | None = None  # None: exact (released code: all labels); else so many random mixtures an image
    max_images: int | None = None  # None: all retained images; else a random draw of so many

    def __post_init__(self) -> None:
        variances = ["max_variance", "max_head_variance", "class_row_variance"]
        check_settings(self, ["alpha", "damping", *variances, "boost", "directions", "max_images"])


def softmax_factors(logits: Tensor) -> Tensor:
    """C - 1 rows v_y (n, C - 1, C) from logits (n, C), whose sum of v v^T is diag(p) - p p^T.

    This matrix is the information in the logits, so that for every weight w
    sum_y p_y (d log p_y / dw)^2 = sum_y (d (v_y . logits) / dw)^2.
    The rows sqrt(p_y) (e_y - p), one a label, do the same, and are one too many. Here the labels are asked in
    turn, "is it y, or a later one?": v_y is the gradient of this decision's log-odds, e_y minus the softmax over
    later labels, times the root of P(y or later) a (1 - a), with a = P(y | y or later).
    """
    log_p = logits.log_softmax(dim=1)
    from_here = log_p.flip(1).logcumsumexp(dim=1).flip(1)  # log P(y or later), in logarithms as tails are small
    later = from_here[:, 1:]
    root = ((log_p[:, :-1] + later - from_here[:, :-1]) / 2).exp()
    classes = logits.shape[1]
    is_later = torch.ones(classes - 1, classes, dtype=torch.bool, device=logits.device).triu(diagonal=1)
    among_later = (log_p[:, None, :] - later[:, :, None]).masked_fill(~is_later, -torch.inf).exp()
    own = torch.eye(classes, dtype=logits.dtype, device=logits.device)[:-1]
    return root[:, :, None] * (own - among_later)


def random_signs(images: int, count: int, rows: int, draw: torch.Generator) -> Tensor:
    """Independent -1 and +1 for `mixtures`: int8 (images, count, rows), drawn by `draw`."""
    drawn = torch.randint(2, (images, count, rows), generator=draw, device=draw.device, dtype=torch.int8)
    return 2 * drawn - 1


def mixtures(factors: Tensor, signs: Tensor) -> Tensor:
    """Random mixtures (n, count, C) of the rows of `factors` (n, rows, C), for `signs` (n, count, rows).

    The signs are independent, so that mixed products vanish on average: the squared derivative along a
    mixture is, in expectation, the sum of squares along all rows.
    """
    mixed: Tensor = signs.to(factors.dtype) @ factors / signs.shape[1] ** 0.5
    return mixed


def fisher_diagonal(
    model: EmbeddingClassifier,
    images: ImageData,
    directions: int | None = None,
    seed: int = 0,
    chunk: int | None = None,
) -> dict[str, Tensor]:
    """The diagonal of the Fisher information at `model`: weight's name -> tensor of its shape.

    F_k = mean over images x of sum_y p(y|x) (d log p(y|x) / dw_k)^2, over all C labels, in eval
    mode (Golatkar et al. 2020, section 4). directions: None takes C - 1 derivatives an image, which is
    exact; a number takes so many random mixtures of them instead, drawn by `seed`, which is right
    on average and takes fewer backward passes. chunk: images at once; None fits them into memory,
    and fewer are tried where even these do not fit. Raises NonFiniteError if the model answers with NaN,
    and ValueError for a chunk below 1.
    """
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk is {chunk}; expected a number of images of at least 1, or None")
    total = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    if model.config.num_classes == 1:
        return total  # the one answer is certain
    places = torch.arange(len(images), device=images.device)
    first, _ = images.batch(places[:1])
    squares = squared_gradients(model, first)
    signs = None
    if directions is not None:
        signs = random_signs(len(images), directions, model.config.num_classes - 1, generator(seed, images.device))

    def rows(logits: Tensor, chosen: Tensor) -> Tensor:
        if not logits.isfinite().all():
            raise NonFiniteError(
                "fisher: the model's logits are not finite; look for NaN in the model that was passed in"
            )
        factors = softmax_factors(logits)
        return factors if signs is None else mixtures(factors, signs[chosen])

    one = squares.bytes_of_one(first, directions or model.config.num_classes - 1)
    size, start = min(chunk or images_at_once(one, images.device, squares.memory), len(images)), 0
    while start < len(images):

        def part(count: int, start: int = start) -> dict[str, Tensor]:
            chosen = places[start : start + count]
            return squares(images.batch(chosen)[0], partial(rows, chosen=chosen))

        found, size = until_it_fits(part, size, half, "fisher", "{} images at once".format)
        for name, value in found.items():
            total[name] += value
        start += size
    return {name: value / len(images) for name, value in total.items()}


def noise_distribution(
    name: str, weight: Tensor, information: Tensor, settings: FisherSettings, label: int | None
) -> tuple[Tensor, Tensor]:
    """Mean and variance of the new weights of one tensor, both of its shape (released code).

    The variance is alpha / information, clamped, and averaged over a tensor's second dimension.
    label: the forgotten class, whose row of the last layer is drawn anew around zero, or None.
    """
    head = name in HEAD
    most = min(settings.max_variance, settings.max_head_variance) if head else settings.max_variance
    variance = settings.alpha * (1 / (information + settings.damping)).clamp(max=most)
    if weight.ndim > 1:
        variance = variance.mean(dim=1, keepdim=True).expand_as(weight).clone()
    mean = weight.clone()
    if head and label is not None:
        mean[label] = 0
        variance[label] = settings.class_row_variance
    if head or weight.ndim == 1:
        variance *= settings.boost
    return mean, variance


def fisher(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: FisherSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Golatkar et al. 2020, section 4 and released code, in place: one draw of noise on the weights.

    No step is taken and no forgotten image is looked at. Their text derives a standard deviation
    that goes with F^(-1/4); their code, followed here, has sqrt(alpha / F). Their code takes for
    the last layer whatever tensor has C rows; here it is the last layer.
    """
    draw = generator(seed, task.retain.device)
    loop = UnlearningLoop("fisher", model, task, Stopping(rule="none"), observer)
    loop.begin()
    images = task.retain
    if settings.max_images is not None and settings.max_images < len(images):
        images = images.select(torch.randperm(len(images), generator=draw, device=draw.device)[: settings.max_images])
    information = fisher_diagonal(model, images, settings.directions, seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            mean, variance = noise_distribution(name, weight, information[name], settings, task.label)
            noise = torch.empty(weight.shape, device=weight.device).normal_(generator=draw)
            weight.copy_(mean + variance.sqrt() * noise)
    loop.count(steps=0, samples=len(images), loss=0.0)
    return loop.result(settings, stopped_by="finished")
