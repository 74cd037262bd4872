"""Comparing an answer with what is right and with what is often written instead."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .core import Mistake


def need(condition: object, message: str) -> None:
    """Raise Mistake with `message` unless the condition holds."""
    if not condition:
        raise Mistake(message)


def numbers(value: Any, what: str = "Your function's answer") -> Tensor:
    """A number, list, array or tensor as float64 on the CPU. Raises Mistake, naming what came instead."""
    need(value is not None, "Your function returns None: a `return` is missing.")
    if isinstance(value, Tensor):
        return value.detach().cpu().double()
    try:
        return torch.from_numpy(np.array(value, dtype=np.float64))
    except (TypeError, ValueError):
        raise Mistake(f"{what} is a {type(value).__name__}; expected numbers.") from None


def close(got: Tensor, want: Tensor, tolerance: float) -> bool:
    """Whether two float64 tensors agree in shape and to the tolerance, absolute and relative."""
    return got.shape == want.shape and torch.allclose(got, want, rtol=tolerance, atol=tolerance)


def match(
    got: Any,
    want: Any,
    likely: Mapping[str, Any] | None = None,
    tolerance: float = 1e-6,
    what: str = "Your function's answer",
) -> None:
    """Raise Mistake unless got agrees with want. likely: message -> the value which that mistake gives."""
    found, right = numbers(got, what), numbers(want)
    if close(found, right, tolerance):
        return
    for message, value in (likely or {}).items():
        if close(found, numbers(value), tolerance):
            raise Mistake(message)
    need(
        found.shape == right.shape,
        f"{what} has shape {tuple(found.shape)}; expected {tuple(right.shape)}.",
    )
    need(found.isfinite().all(), f"{what} is not finite.")
    where = int((found - right).abs().argmax()) if found.ndim else 0
    raise Mistake(f"{what} is {found.flatten()[where]:.6g} where {right.flatten()[where]:.6g} is right.")


def choose(got: Any, right: str, wrong: Mapping[str, str]) -> None:
    """Raise Mistake unless the choice is the right one. wrong: every other choice -> why it is not right."""
    choices = sorted([right, *wrong])
    need(got is not None, "Your function returns None: a `return` is missing.")
    need(got in choices, f"Your function returns {got!r}; choose one of {', '.join(choices)}.")
    need(got == right, wrong.get(got, ""))


def generator(seed: int) -> torch.Generator:
    """A source of random numbers on the CPU."""
    return torch.Generator().manual_seed(seed)


def unit_rows(count: int, dim: int, draw: torch.Generator) -> Tensor:
    """Random embeddings (count, dim), float64, of unit norm."""
    return F.normalize(torch.randn(count, dim, generator=draw, dtype=torch.float64), dim=1)


def contrastive_case(
    seed: int, anchors: int = 5, retained: int = 24, classes: int = 3, dim: int = 6
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """forget_z, forget_y, retain_z, retain_y in which every anchor has positives and negatives."""
    draw = generator(seed)
    z = unit_rows(anchors + retained, dim, draw)
    y = torch.arange(anchors) % classes
    rest = torch.cat([torch.arange(classes), torch.randint(classes, (retained - classes,), generator=draw)])
    return z[:anchors], y, z[anchors:], rest
