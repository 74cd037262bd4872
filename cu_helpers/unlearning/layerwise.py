"""Sums of squared per-sample gradients, layer by layer, with one forward pass for all directions."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..models import EmbeddingClassifier
from .folding import NotFoldedError, fold_batch_norms
from .layer_squares import convolution, known, linear

# Logits (b, C) -> the directions (b, r, C) in which they are differentiated.
Directions = Callable[[Tensor], Tensor]


class NoFormulaError(ValueError):
    """A model has weights in a layer that no formula here is for."""


class LayerwiseSquares:
    """Squared derivatives of linear functions of the logits, summed over images and functions.

    The model is in eval mode: a sample's logits depend on that sample alone, also through BatchNorm, which becomes
    a part of the convolution in front of it. Layers with weights are such convolutions, without groups, and linear
    layers that see one vector a sample: all of a ResNet, not those of a vision transformer. Each is used once in a
    forward pass, and its output is not changed in place. What backpropagation brings to a layer's output, with what
    entered the layer, gives the gradient of its weights for each sample (Goodfellow 2015, arXiv 1510.01799, for
    linear layers).
    """

    memory = 512 * 2**20  # bytes at once on a CPU: large batches repay the many small steps

    def __init__(self, model: EmbeddingClassifier, x: Tensor) -> None:
        """x: normalised images (b, 3, h, w), to see which layer follows which. Raises NoFormulaError.

        The error comes for a layer with weights that is of another kind, or if BatchNorm can't be folded.
        """
        # No weight asks for its own gradient, so that a backward pass does half of its work.
        try:
            self.model, self.original, self.norms = fold_batch_norms(model, x)
        except NotFoldedError as error:
            raise NoFormulaError(str(error)) from error
        self.seen: dict[str, tuple[Tensor, Tensor]] = {}
        for name, layer in self.model.named_modules():
            if list(layer.parameters(recurse=False)) or isinstance(layer, nn.BatchNorm2d):
                if not known(layer):
                    raise NoFormulaError(f"no formula for the weights of {name}, a {type(layer).__name__}")
                layer.register_forward_hook(partial(self._remember, name))

    def _remember(self, name: str, layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self.seen[name] = (inputs[0].detach(), output)

    def bytes_of_one(self, x: Tensor, rows: int) -> int:
        """About how many bytes an image with `rows` directions takes; x: one image (1, 3, h, w)."""
        with torch.no_grad():
            self.model(x)
        outputs = sum(output.numel() for _, output in self.seen.values())
        self.seen.clear()
        return 4 * outputs * (rows + 3)  # what arrives for each direction, and what the graph keeps

    def __call__(self, x: Tensor, directions: Directions) -> dict[str, Tensor]:
        """sum over i and j of (d(row_ij . logits(x_i)) / dw)^2: name -> tensor of w's shape.

        x: normalised images (b, 3, h, w). directions: gives the rows (b, r, C) for the logits (b, C), as constants.
        Raises ValueError for a linear layer that sees more than one vector a sample.
        """
        try:
            return self._summed(x, directions)
        finally:
            self.seen.clear()  # also after an error: a batch that did not fit must not stay in memory

    def _summed(self, x: Tensor, directions: Directions) -> dict[str, Tensor]:
        with torch.enable_grad():
            logits = self.model(x.detach().requires_grad_())
            outputs = [output for _, output in self.seen.values()]
            arrived = [
                torch.autograd.grad(logits, outputs, row, retain_graph=True)
                for row in directions(logits.detach()).unbind(dim=1)
            ]
        found: dict[str, Tensor] = {}
        for place, (name, (before, _)) in enumerate(self.seen.items()):
            layer, of_layer = self.original[name], [row[place] for row in arrived]
            if isinstance(layer, nn.Conv2d):
                norm = self.norms.get(name)
                behind = self.original[norm] if norm else None
                assert behind is None or isinstance(behind, nn.BatchNorm2d)
                squares, of_norm = convolution(layer, behind, before, of_layer)
                found |= {f"{norm}.{weight}": value for weight, value in of_norm.items()}
            else:
                assert isinstance(layer, nn.Linear)
                squares = linear(layer, before, torch.stack(of_layer, dim=1))
            found |= {f"{name}.{weight}": value for weight, value in squares.items()}
        return found
