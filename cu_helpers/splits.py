"""Fixed, class-balanced splits, the same for every task and every seed."""

import torch
from torch import Tensor

from .devices import generator

SPLIT_SEED = 20240119


def balanced_split(labels: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of `count` of the rows labelled `labels` (n,), the same share of each class, and of the rest, both
    ascending: (count,) and (n - count,).

    Every class has at least one row if `count` is no smaller than the number of classes.
    Raises ValueError unless 0 <= count <= n.
    """
    if not 0 <= count <= len(labels):
        raise ValueError(f"{count} of {len(labels)} rows were asked for; expected 0 to {len(labels)}")
    order = torch.randperm(len(labels), generator=generator(seed, torch.device("cpu")))
    shuffled = labels.cpu()[order]
    # Rows are taken by how far down their own class they stand, so every class is used up at the same rate.
    place = torch.empty(len(labels), dtype=torch.float64)
    for label in torch.unique(shuffled):
        members = order[shuffled == label]
        place[members] = torch.arange(len(members), dtype=torch.float64) / len(members)
    chosen = place.argsort(stable=True)[:count].sort().values
    rest = torch.ones(len(labels), dtype=torch.bool)
    rest[chosen] = False
    return chosen.to(labels.device), rest.nonzero()[:, 0].to(labels.device)
