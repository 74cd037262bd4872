"""What property tests draw: small labelled rows, permutations and turns, all from a seed that hypothesis picks."""

import torch
from hypothesis import strategies as st
from torch import Tensor

seeds = st.integers(0, 10_000)
FEW = 30  # examples of a property; each takes milliseconds


def draw(seed: int) -> torch.Generator:
    """torch's generator with this seed."""
    return torch.Generator().manual_seed(seed)


def rows(count: int, dim: int, seed: int) -> Tensor:
    """Normal rows (count, dim), float64."""
    return torch.randn(count, dim, generator=draw(seed), dtype=torch.float64)


def order(count: int, seed: int) -> Tensor:
    """A random order of `count` rows."""
    return torch.randperm(count, generator=draw(seed))


def turn(dim: int, seed: int) -> Tensor:
    """A random orthogonal matrix (dim, dim), float64."""
    return torch.linalg.qr(rows(dim, dim, seed))[0]


def some_of_each(classes: int, count: int, seed: int) -> Tensor:
    """Labels in random order, `count` of each class."""
    return torch.arange(classes).repeat(count)[order(classes * count, seed)]
