"""Sums of squared per-sample gradients, layer by layer, with one forward pass for all directions."""

import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models import EmbeddingClassifier


def covers(model: nn.Module) -> bool:
    """Whether every weight of `model` lies in a layer that this module has a formula for.

    These are convolutions without groups, BatchNorm with running statistics, and linear layers: all layers of the
    ResNets, not those of a vision transformer. A linear layer must see one vector a sample, which shows in use alone.
    """

    def known(layer: nn.Module) -> bool:
        if isinstance(layer, nn.Conv2d):
            return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return isinstance(layer, nn.Linear) or (isinstance(layer, nn.BatchNorm2d) and layer.track_running_stats)

    return all(known(layer) for layer in model.modules() if list(layer.parameters(recurse=False)))


def _image_by_image(patches: Tensor, arriving: Tensor) -> Tensor:
    """sum over i and j of G_ij^2 with G_ij = arriving_ij patches_i^T; see `_convolution` for the shapes."""
    cotangents = arriving.flatten(3).flatten(1, 2)  # (b, r * channels, places)
    gradients = patches.new_empty(cotangents.shape[1], patches.shape[1])
    total = torch.zeros_like(gradients)
    # A batched product of such shapes is up to eight times slower on a CPU.
    for patch, cotangent in zip(patches, cotangents, strict=True):
        torch.mm(cotangent, patch.T, out=gradients)
        total.addcmul_(gradients, gradients)
    return total.view(arriving.shape[1], -1, patches.shape[1]).sum(dim=0)


def _over_pairs(patches: Tensor, arriving: Tensor) -> Tensor:
    """The same sum with the square written out over pairs of places, which never holds a single G_ij.

    (sum_l a_l x_l)^2 = sum_l sum_m (a_l a_m) (x_l x_m): the first factor is summed over directions, and one product
    sums over images. With few places this is less work, with one place the square of an outer product.
    """
    a = arriving.flatten(3)  # (b, r, channels, places)
    pairs = torch.einsum("brol,brom->oblm", a, a).flatten(1)
    products = torch.einsum("bkl,bkm->blmk", patches, patches).flatten(0, 2)
    return (pairs @ products).clamp_(min=0)  # rounding can leave a square just below zero


def _convolution(layer: nn.Conv2d, before: Tensor, arriving: Tensor) -> dict[str, Tensor]:
    """Squares for a convolution, whose gradient for an image and a direction is a matrix product over the places."""
    assert not isinstance(layer.padding, str)  # `covers` has asked
    rows = arriving.shape[1]
    patches = F.unfold(before, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # (b, k, places)
    weight = _over_pairs(patches, arriving) if patches.shape[2] <= 2 * rows else _image_by_image(patches, arriving)
    found = {"weight": weight.view_as(layer.weight)}
    if layer.bias is not None:
        found["bias"] = arriving.flatten(3).sum(dim=3).square().sum(dim=(0, 1))
    return found


def _batch_norm(layer: nn.BatchNorm2d, before: Tensor, arriving: Tensor) -> dict[str, Tensor]:
    """Squares for BatchNorm in eval mode, which scales and shifts each channel by constants."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    scale = (layer.running_var + layer.eps).rsqrt()
    normal = (before - layer.running_mean[:, None, None]) * scale[:, None, None]
    weight = (arriving * normal[:, None]).sum(dim=(3, 4))
    return {"weight": weight.square().sum(dim=(0, 1)), "bias": arriving.sum(dim=(3, 4)).square().sum(dim=(0, 1))}


def _linear(layer: nn.Linear, before: Tensor, arriving: Tensor) -> dict[str, Tensor]:
    """Squares for a linear layer: the square of an outer product is the outer product of squares."""
    if before.ndim != 2:
        raise ValueError(f"a linear layer got an input of {before.ndim} dimensions; expected one vector a sample")
    squared = arriving.square().sum(dim=1)
    found = {"weight": squared.T @ before.square()}
    if layer.bias is not None:
        found["bias"] = squared.sum(dim=0)
    return found


class LayerwiseSquares:
    """Squared derivatives of linear functions of the logits, summed over images and functions.

    The model is in eval mode: a sample's logits depend on that sample alone, also through BatchNorm. Its layers
    must be those that `covers` knows, each used once in a forward pass, and no layer's output changed in place.
    What backpropagation brings to a layer's output, with what entered the layer, gives the gradient of its
    weights for each sample (Goodfellow 2015, arXiv 1510.01799, for linear layers).
    """

    def __init__(self, model: EmbeddingClassifier) -> None:
        # No weight asks for its own gradient, so that a backward pass does half of its work.
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.layers = {n: m for n, m in self.model.named_modules() if list(m.parameters(recurse=False))}
        self.seen: dict[str, tuple[Tensor, Tensor]] = {}
        for name, layer in self.layers.items():
            layer.register_forward_hook(partial(self._remember, name))

    def _remember(self, name: str, layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self.seen[name] = (inputs[0].detach(), output)

    def bytes_of_one(self, x: Tensor, rows: int) -> int:
        """About how many bytes an image with `rows` directions takes; x: one image (1, 3, h, w)."""
        with torch.no_grad():
            self.model(x)
        outputs = sum(output.numel() for _, output in self.seen.values())
        self.seen.clear()
        return 4 * outputs * (rows + 2)  # what arrives for each direction, and what the graph keeps

    def __call__(self, x: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """sum over i and j of (d(rows_ij . logits(x_i)) / dw)^2: name -> tensor of w's shape.

        x: normalised images (b, 3, h, w). rows: directions (b, r, C). Raises ValueError for a linear layer that sees
        more than one vector a sample.
        """
        try:
            return self._summed(x, rows)
        finally:
            self.seen.clear()  # also after an error: a batch that did not fit must not stay in memory

    def _summed(self, x: Tensor, rows: Tensor) -> dict[str, Tensor]:
        with torch.enable_grad():
            logits = self.model(x.detach().requires_grad_())
            outputs = [output for _, output in self.seen.values()]
            arrived = [
                torch.autograd.grad(logits, outputs, rows[:, j], retain_graph=True) for j in range(rows.shape[1])
            ]
        found: dict[str, Tensor] = {}
        for place, (name, (before, _)) in enumerate(self.seen.items()):
            layer, arriving = self.layers[name], torch.stack([row[place] for row in arrived], dim=1)
            if isinstance(layer, nn.Conv2d):
                squares = _convolution(layer, before, arriving)
            elif isinstance(layer, nn.BatchNorm2d):
                squares = _batch_norm(layer, before, arriving)
            else:
                assert isinstance(layer, nn.Linear)
                squares = _linear(layer, before, arriving)
            found |= {f"{name}.{weight}": value for weight, value in squares.items()}
        return found
