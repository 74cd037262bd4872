"""Fisher forgetting: noise where the retained images do not mind (Golatkar et al. 2020)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..data import ForgetTask, ImageData
from ..devices import generator
from ..errors import NonFiniteError, check_settings
from ..inference import predict_logits
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
    directions: int | None = None  # released code: all labels of each image; else so many random mixtures of them
    max_images: int | None = None  # None: all retained images; else a random draw of so many

    def __post_init__(self) -> None:
        variances = ["max_variance", "max_head_variance", "class_row_variance"]
        check_settings(self, ["alpha", "damping", *variances, "boost", "directions", "max_images"])


def softmax_factors(logits: Tensor) -> Tensor:
    """Rows sqrt(p_y) (e_y - p) for each label y: (n, C, C) from logits (n, C).

    e_y - p is the gradient of log p_y with respect to the logits, so that for every weight w
    sum_y p_y (d log p_y / dw)^2 = sum_y (d (row_y . logits) / dw)^2.
    """
    p = logits.softmax(dim=1)
    return p.sqrt()[:, :, None] * (torch.eye(p.shape[1], device=p.device) - p[:, None, :])


def mixtures(factors: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """`count` random mixtures (n, count, C) of the rows of `factors` (n, C, C), signs drawn by `draw`.

    Signs are independent, so that mixed products vanish on average: the squared derivative along a
    mixture is, in expectation, the sum of squares along all rows.
    """
    signs = torch.randint(2, (len(factors), count, factors.shape[1]), generator=draw, device=factors.device)
    mixed: Tensor = (2.0 * signs - 1) @ factors / count**0.5
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
    mode (Golatkar et al. 2020, section 4). directions: None takes one derivative a label, which is
    exact; a number takes so many random mixtures of them instead, drawn by `seed`, which is right
    on average and takes fewer backward passes. chunk: images at once; None fits them into memory,
    and fewer are tried where even these do not fit. Raises NonFiniteError if the model answers with NaN.
    """
    logits = predict_logits(model, images, "float32")
    if not logits.isfinite().all():
        raise NonFiniteError("fisher: the model's logits are not finite; look for NaN in the model that was passed in")
    rows = softmax_factors(logits)
    if directions is not None:
        rows = mixtures(rows, directions, generator(seed, images.device))
    squares = squared_gradients(model)
    total = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    places = torch.arange(len(images), device=images.device)
    one = squares.bytes_of_one(images.batch(places[:1])[0], rows.shape[1])
    size, start = chunk or images_at_once(one, images.device), 0
    while start < len(images):

        def part(count: int, start: int = start) -> dict[str, Tensor]:
            chosen = places[start : start + count]
            return squares(images.batch(chosen)[0], rows[chosen])

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
