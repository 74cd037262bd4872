"""The gradient of a whole set of images, batch by batch."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data import ImageData
from ..models import EmbeddingClassifier


def summed_gradient(model: EmbeddingClassifier, images: ImageData, divisor: int = 1) -> dict[str, Tensor]:
    """Gradient of the cross-entropy summed over `images`, by parameter name and of its shape, in the model's own mode.

    divisor: what each loss is divided by first; the number of images gives the gradient of the mean.
    """
    weights = dict(model.named_parameters())
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for index in torch.split(torch.arange(len(images), device=images.device), 256):
        x, y = images.batch(index)
        loss = F.cross_entropy(model(x), y, reduction="sum") / divisor
        for name, part in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            total[name] += part
    return total
