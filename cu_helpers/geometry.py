"""Where a model puts the forgotten images: class centres, margins, cohesion."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .data import ForgetTask, ImageData
from .inference import embed, exact_embeddings
from .labels import check_labels
from .models import EmbeddingClassifier


def class_centres(z: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Unit-norm mean direction (classes, d) of the embeddings z (n, d) of each class.

    A class without an image has a centre of zeros, which has cosine 0 with everything.
    Raises ValueError for labels (n,) that are not from 0 to classes - 1.
    """
    check_labels(labels, len(z), classes)
    sums = torch.zeros(classes, z.shape[1], dtype=z.dtype, device=z.device).index_add_(0, labels, z)
    return F.normalize(sums, dim=1)


def tangent(gradient: Tensor, z: Tensor) -> Tensor:
    """The part (n, d) of each row of `gradient` (n, d) that is tangent to the unit sphere at z (n, d)."""
    return gradient - (gradient * z).sum(dim=1, keepdim=True) * z


def pairwise_cosines(rows: Tensor, most: int = 200) -> Tensor:
    """Cosines (pairs,) of all pairs of different rows (n, d), of the first `most` rows."""
    unit = F.normalize(rows[:most], dim=1)
    first, second = torch.triu_indices(len(unit), len(unit), offset=1)
    return (unit @ unit.T)[first, second]


def between_classes(model: EmbeddingClassifier, images: ImageData) -> float:
    """Mean cosine of two images of different classes in the embedding of `model`: 1 if it tells no two apart."""
    z = exact_embeddings(model, images)
    labels = images.labels.cpu()
    return float((z @ z.T)[labels[:, None] != labels[None, :]].mean())


def cohesion(z: Tensor) -> float:
    """Mean cosine between two different rows of z (n, d), all of unit norm: 1 for a single point.

    Raises ValueError for fewer than two rows.
    """
    n = len(z)
    if n < 2:
        raise ValueError(f"cohesion needs two embeddings or more; got {n}")
    return float((z.sum(dim=0).square().sum() - n) / (n * (n - 1)))


def margins(z: Tensor, labels: Tensor, own: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Of each embedding z (n, d): its margin (n,), and its cosine (n,) with the nearest centre of another class.

    own, others: unit-norm centres (classes, d). The margin is the cosine with the own class's centre in `own` minus
    the cosine with the nearest of the other classes' centres in `others`.
    Raises ValueError for labels (n,) without a centre.
    """
    check_labels(labels, len(z), len(own))
    nearest = (z @ others.T).scatter(1, labels[:, None], -torch.inf).max(dim=1).values
    return (z * own[labels]).sum(dim=1) - nearest, nearest


def forgotten_geometry(model: EmbeddingClassifier, task: ForgetTask) -> dict[str, float]:
    """Where `model` puts the forgotten images, in three cosines.

    cohesion: among themselves. nearest: to the nearest centre of another class of retained
    images, mean. margin: to the centre of their own class's unseen test images minus the nearest
    other centre, mean. Centres of the other classes are those of the retained images.
    """
    z = embed(model, task.forget)
    retained = class_centres(embed(model, task.retain), task.retain.labels, len(task.classes))
    centres = class_centres(embed(model, task.test), task.test.labels, len(task.classes))
    margin, nearest = margins(z, task.forget.labels, centres, retained)
    return {"cohesion": cohesion(z), "nearest": float(nearest.mean()), "margin": float(margin.mean())}
