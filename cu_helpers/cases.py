"""Random embeddings on which chapters 03, 04 and 06 hold a shown loss against the package's."""

import torch
from torch import Tensor
from torch.nn import functional as F


def random_case(
    anchors: int, retained: int, classes: int, dim: int = 8, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Unit vectors with random labels, as the losses take them.

    forget_z (anchors, dim) and forget_y (anchors,), then retain_z (retained, dim) and retain_y (retained,).
    """
    draw = torch.Generator().manual_seed(seed)
    z = F.normalize(torch.randn(anchors + retained, dim, generator=draw, dtype=dtype), dim=1)
    y = torch.randint(classes, (anchors + retained,), generator=draw)
    return z[:anchors], y[:anchors], z[anchors:], y[anchors:]


def random_pair(anchors: int, retained: int, dim: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The embeddings of `random_case` alone: forget_z (anchors, dim), retain_z (retained, dim), float64."""
    forget_z, _, retain_z, _ = random_case(anchors, retained, 1, dim, seed=seed)
    return forget_z, retain_z
