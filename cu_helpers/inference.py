"""Running a model over a whole data set, in large batches, without gradients."""

from collections.abc import Callable

import torch
from torch import Tensor

from .data import ImageData
from .devices import autocast
from .memory import half, until_it_fits
from .models import EmbeddingClassifier


def run(
    model: EmbeddingClassifier,
    images: ImageData,
    function: Callable[[Tensor], Tensor],
    precision: str = "auto",
    batch_size: int | None = None,
) -> Tensor:
    """`function` of every normalised image, in eval mode, as float32 rows in the images' order.

    The model's train or eval mode is put back afterwards. batch_size: None means 256 on a CPU
    and 2,048 on a GPU, halved with a warning where that is too much for its memory. Raises
    ValueError if there are no images. function: normalised images (b, 3, h, w) -> rows (b, ...).
    """
    if len(images) == 0:
        raise ValueError("there are no images to run the model on; expected at least one")
    size = min(len(images), batch_size or (256 if images.device.type == "cpu" else 2048))
    # Module by module: a caller may have frozen its BatchNorm layers alone.
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode(), autocast(images.device, precision):
            rows, start = [], 0
            while start < len(images):

                def part(count: int, start: int = start) -> Tensor:
                    return function(images.normalise(images.images[start : start + count])).float()

                found, size = until_it_fits(part, size, half, "evaluation", "{} images at once".format)
                rows.append(found)
                start += len(found)
    finally:
        for module, training in modes:
            module.training = training
    return torch.cat(rows)


def predict_logits(model: EmbeddingClassifier, images: ImageData, precision: str = "auto") -> Tensor:
    """Logits (n, num_classes) of every image; see `run`."""
    return run(model, images, model, precision)


def embed(model: EmbeddingClassifier, images: ImageData, precision: str = "auto") -> Tensor:
    """Unit-norm embeddings (n, feature_dim) of every image; see `run`."""
    return run(model, images, model.encode, precision)


def exact_embeddings(model: EmbeddingClassifier, images: ImageData) -> Tensor:
    """The same (n, feature_dim), computed in float32, as float64 on the CPU, where a chapter reckons on with them."""
    return embed(model, images, "float32").clone().double().cpu()
