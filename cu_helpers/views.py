"""One model's look at one set of images, and fair draws of images to look at."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from .data import ImageData
from .devices import generator
from .inference import run
from .models import EmbeddingClassifier


@dataclass(frozen=True)
class View:
    """A model's features (n, d), embeddings z (n, feature_dim) and logits (n, classes) of some images."""

    labels: Tensor
    features: Tensor
    z: Tensor
    logits: Tensor

    def where(self, mask: Tensor) -> "View":
        """The rows where `mask` (n,) is True, or at these positions."""
        return View(self.labels[mask], self.features[mask], self.z[mask], self.logits[mask])


def view(model: EmbeddingClassifier, images: ImageData) -> View:
    """One pass over `images`, in eval mode and full float32, which small differences between cosines need.

    Raises ValueError if something that the model puts out is not finite.
    """

    def look(x: Tensor) -> Tensor:
        features = model.features(x)
        z = F.normalize(model.projection(features), dim=1)
        return torch.cat([features, z, model.classify(z)], dim=1)

    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        rows = run(model, images, look, "float32").clone()
    if not bool(rows.isfinite().all()):
        raise ValueError("the model puts out numbers that are not finite; audit a model whose unlearning converged")
    sizes = [rows.shape[1] - model.config.feature_dim - model.config.num_classes]
    sizes += [model.config.feature_dim, model.config.num_classes]
    features, z, logits = torch.split(rows, sizes, dim=1)
    return View(images.labels, features, z, logits)


def draw_from(images: ImageData, count: int, seed: int) -> ImageData:
    """`count` random images, or all if there are no more, the same on every device. Raises ValueError for none."""
    if count < 1:
        raise ValueError(f"{count} images were to be drawn; expected one or more")
    if len(images) <= count:
        return images
    order = torch.randperm(len(images), generator=generator(seed, torch.device("cpu")))
    return images.select(order[:count].sort().values.to(images.device))


def like(labels: Tensor, offered: Tensor, seed: int = 0) -> Tensor:
    """Positions in `offered` (m,) with the class proportions of `labels` (n,), as many as there are.

    Raises ValueError if a class has fewer images in `offered` than in `labels`, or for no labels.
    """
    if len(labels) == 0:
        raise ValueError("there are no labels whose proportions could be drawn; expected at least one")
    wanted = torch.bincount(labels)
    there = torch.bincount(offered, minlength=len(wanted))[: len(wanted)]
    times = int((there[wanted > 0] // wanted[wanted > 0]).min())
    if times == 0:
        raise ValueError(
            f"the classes have {wanted.tolist()} images and the others {there.tolist()}; "
            "expected as many of each class to compare with; forget fewer images"
        )
    order = torch.randperm(len(offered), generator=generator(seed, torch.device("cpu"))).to(offered.device)
    of_class = [order[offered[order] == label][: times * int(count)] for label, count in enumerate(wanted)]
    return torch.cat(of_class).sort().values


def joined(first: ImageData, second: ImageData) -> ImageData:
    """The images of two sets with the same normalisation, one after the other."""
    images = torch.cat([first.images, second.images])
    return replace(first, images=images, labels=torch.cat([first.labels, second.labels]))
