"""Sums of squared per-sample gradients of one layer, from what enters it and what backpropagation brings to it."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# How many numbers are formed at once before they are squared and added up. A CPU is quicker
# while they stay in its caches, a GPU with few large products.
AT_ONCE = {"cpu": 2**21}
ELSEWHERE = 2**26


class NoFormulaError(ValueError):
    """A model has weights in a layer that no formula here is for."""


def known(layer: nn.Module) -> bool:
    """Whether a formula fits: linear layers, and convolutions without groups that are padded with zeros."""
    if type(layer) is nn.Conv2d:
        return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return type(layer) is nn.Linear


def patches(layer: nn.Conv2d, before: Tensor) -> Tensor:
    """What the kernel sees at each place of the output: (b, places, k) from (b, c, h, w), k in order height, width, c.

    In this order, which `F.unfold` does not have, whole pixels of a channels-last image are copied.
    """
    assert not isinstance(layer.padding, str)  # `known` has asked
    (high, wide), (down, right), (far, side) = layer.kernel_size, layer.stride, layer.dilation
    above, beside = layer.padding
    x = F.pad(before.permute(0, 2, 3, 1), (0, 0, beside, beside, above, above))
    rows, columns = x.shape[1] - far * (high - 1), x.shape[2] - side * (wide - 1)
    moved = [
        x[:, i * far : i * far + rows : down, j * side : j * side + columns : right]
        for i in range(high)
        for j in range(wide)
    ]
    return torch.cat(moved, dim=3).flatten(1, 2)


def over_pairs(seen: Tensor, arriving: Tensor) -> Tensor:
    """Sum over images and directions of G_oj^2 with G_oj = sum_l arriving_lo seen_lj, no G ever formed: (o, k).

    (sum_l a_l x_l)^2 = sum_l sum_m (a_l a_m) (x_l x_m), where l < m counts twice: the first factor is summed over
    directions, and one product sums over images. With few places this is less work. A G far smaller than its terms
    loses digits: the error is about float's precision times the sum of |a|^2 |x|^2.
    seen: `patches` (b, places, k). arriving: (b, places, r, o), for each of r directions.
    """
    total = seen.new_zeros(arriving.shape[3], seen.shape[2])
    for place in range(seen.shape[1]):
        products = (arriving[:, place : place + 1] * arriving[:, place:]).sum(dim=2)  # (b, places from here, o)
        products[:, 1:] *= 2
        total.addmm_(products.flatten(0, 1).T, (seen[:, place : place + 1] * seen[:, place:]).flatten(0, 1))
    return total.clamp_(min=0)  # rounding can leave a square just below zero


def constants(layer: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor, Tensor]:
    """BatchNorm in eval mode by channel, each (o,): shift, spread and scale; 0, 1 and 1 without one.

    It takes shift off the convolution without its bias, and times spread normalises the rest. scale is the whole
    factor from the convolution to the end.
    """
    if norm is None:
        ones = torch.ones_like(layer.weight[:, 0, 0, 0])
        return torch.zeros_like(ones), ones, ones
    assert norm.running_mean is not None
    assert norm.running_var is not None
    shift = norm.running_mean if layer.bias is None else norm.running_mean - layer.bias.detach()
    spread = (norm.running_var + norm.eps).rsqrt()
    return shift, spread, spread if norm.weight is None else spread * norm.weight.detach()


def convolution(
    layer: nn.Conv2d, norm: nn.BatchNorm2d | None, before: Tensor, arriving: list[Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Squares for a convolution, and for the BatchNorm behind it if there is one: name -> tensor of the weight's shape.

    before: what entered the convolution (b, c, h, w). arriving: for each direction, what backpropagation brings to
    the output, of the BatchNorm if there is one: (b, o, high, wide). The second dictionary is empty without a
    BatchNorm that has weights.
    """
    weight = layer.weight.detach().permute(0, 2, 3, 1)  # in the order of the patches
    flat = weight.flatten(1)
    shift, spread, scale = constants(layer, norm)
    rows, (images, outputs, *size) = len(arriving), arriving[0].shape
    places, k = math.prod(size), flat.shape[1]
    few = places <= 2 * rows
    most = AT_ONCE.get(before.device.type, ELSEWHERE)
    group = max(1, most // (k * (places if few else max(places, rows * outputs))))
    squares, of_scale, of_shift = flat.new_zeros(flat.shape), torch.zeros_like(shift), torch.zeros_like(shift)
    for start in range(0, images, group):
        part = slice(start, start + group)
        # Side by side as channels, which keeps a channels-last layout without a transposed copy.
        beside = torch.cat([one[part] for one in arriving], dim=1).flatten(2).transpose(1, 2)
        by_row, seen = torch.unflatten(beside, 2, (rows, outputs)), patches(layer, before[part])
        summed = by_row.sum(dim=1)  # (b, r, o): a bias's gradient for each image and direction
        of_shift += summed.square().sum(dim=(0, 1))
        if not few:
            gradients = torch.unflatten(torch.bmm(beside.transpose(1, 2), seen), 1, (rows, outputs))
        if norm is not None:
            if not few and k < places:  # what the line below gives, with fewer products
                along = (gradients * flat).sum(dim=3) - shift * summed
            else:
                along = (by_row * (seen @ flat.T - shift)[:, :, None]).sum(dim=1)
            of_scale += (along * spread).square().sum(dim=(0, 1))
        squares += over_pairs(seen, by_row) if few else gradients.square_().sum(dim=(0, 1))
    squares = (squares * scale.square()[:, None]).view(weight.shape).permute(0, 3, 1, 2)
    found = {"weight": squares} if layer.bias is None else {"weight": squares, "bias": of_shift * scale.square()}
    affine = norm is not None and norm.affine
    return found, {"weight": of_scale, "bias": of_shift} if affine else {}


def linear(layer: nn.Linear, before: Tensor, arriving: Tensor) -> dict[str, Tensor]:
    """Squares for a linear layer: name -> tensor of the weight's shape. An outer product's square is that of squares.

    before: what entered it (b, k). arriving: (b, r, o) for r directions. Raises NoFormulaError for other inputs.
    """
    if before.ndim != 2:
        raise NoFormulaError(f"a linear layer got an input of {before.ndim} dimensions; expected one vector a sample")
    squared = arriving.square().sum(dim=1)
    found = {"weight": squared.T @ before.square()}
    if layer.bias is not None:
        found["bias"] = squared.sum(dim=0)
    return found
