"""Fisher forgetting: noise where the retained images do not mind (Golatkar et al. 2020)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..data import ForgetTask, ImageData
from ..devices import generator
from ..errors import NonFiniteError, check_settings
from ..inference import predict_logits
from ..models import EmbeddingClassifier
from .loop import Observer, UnlearningLoop, UnlearningResult
from .per_sample import PerSampleGradients, chunk_size
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
    tolerance: float = 1e-3  # share of the softmax's Fisher information that may be left out; 0 is exact
    max_images: int | None = None  # None: all retained images; else a random draw of so many

    def __post_init__(self) -> None:
        variances = ["max_variance", "max_head_variance", "class_row_variance"]
        check_settings(self, ["alpha", "damping", *variances, "boost", "max_images"])
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"FisherSettings: tolerance is {self.tolerance!r}; expected a share from 0 to below 1")


def softmax_factors(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (n, C), ascending, and scaled eigenvectors (n, C, C) of diag(p) - p p'.

    That matrix is the Fisher information of a softmax's logits (n, C). Row k of the factors is
    sqrt(eigenvalue k) times eigenvector k, so that sum_y p_y (d log p_y / dw)^2 equals
    sum_k (d (factor_k . logits) / dw)^2 for every weight w.
    """
    p = logits.double().softmax(dim=1)
    values, vectors = torch.linalg.eigh(torch.diag_embed(p) - p[:, :, None] * p[:, None, :])
    values = values.clamp(min=0)
    return values, (vectors * values.sqrt()[:, None, :]).transpose(1, 2)


def largest_share(values: Tensor, tolerance: float) -> Tensor:
    """Mask of the largest entries of `values`; those left out sum to at most tolerance * total."""
    flat = values.flatten()
    order = flat.argsort()
    small = flat[order].cumsum(0) <= tolerance * flat.sum()
    keep = torch.ones_like(flat, dtype=torch.bool)
    keep[order[small]] = False
    return keep.reshape(values.shape)


def fisher_diagonal(
    model: EmbeddingClassifier, images: ImageData, tolerance: float = 0.0, chunk: int | None = None
) -> dict[str, Tensor]:
    """The diagonal of the Fisher information at `model`: weight's name -> tensor of its shape.

    F_k = mean over images x of sum_y p(y|x) (d log p(y|x) / dw_k)^2, over all C labels, in eval
    mode (Golatkar et al. 2020, section 4). A fitted model is sure of most images, whose terms are
    then next to nothing: the smallest eigenvalues of diag(p) - p p', over all images together,
    are left out until they sum to `tolerance` of the total. chunk: gradients at once; None fits
    them into memory. Raises NonFiniteError if the model answers with NaN.
    """
    logits = predict_logits(model, images, "float32")
    if not logits.isfinite().all():
        raise NonFiniteError("fisher: the model's logits are not finite; look for NaN in the model that was passed in")
    values, factors = softmax_factors(logits)
    image, factor = largest_share(values, tolerance).nonzero(as_tuple=True)
    gradients = PerSampleGradients(model)
    total = {name: torch.zeros_like(value) for name, value in gradients.weights.items()}
    for part in torch.split(torch.arange(len(image), device=images.device), chunk or chunk_size(model, images.device)):
        x = images.batch(image[part])[0]
        for name, value in gradients(x, factors[image[part], factor[part]].float()).items():
            total[name] += value.square().sum(dim=0)
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
    information = fisher_diagonal(model, images, settings.tolerance)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            mean, variance = noise_distribution(name, weight, information[name], settings, task.label)
            noise = torch.empty(weight.shape, device=weight.device).normal_(generator=draw)
            weight.copy_(mean + variance.sqrt() * noise)
    loop.count(steps=0, samples=len(images), loss=0.0)
    return loop.result(settings, stopped_by="finished")
