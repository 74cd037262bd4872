"""Sums of squared per-sample gradients, layer by layer, with one forward pass for all directions."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..models import EmbeddingClassifier
from .folding import fold_batch_norms
from .layer_squares import NoFormulaError, convolution, known, linear

# Logits (b, C) -> the directions (b, r, C) in which they are differentiated.
Directions = Callable[[Tensor], Tensor]


class LayerwiseSquares:
    """Squared derivatives of linear functions of the logits, summed over images and functions.

    The model is in eval mode: a sample's logits depend on that sample alone, also through BatchNorm, which becomes
    a part of the convolution in front of it. The weights must lie in linear layers that see one vector a sample,
    and in convolutions without groups, with or without a BatchNorm behind them: all layers of a ResNet, not those of
    a vision transformer. Each is used once in a forward pass; `works_for` tells whether a model is of this kind.
    What backpropagation brings to a layer's output, with what entered the layer, gives the gradient of its weights
    for each sample (Goodfellow 2015, arXiv 1510.01799, for linear layers).
    """

    memory = 512 * 2**20  # bytes at once on a CPU: large batches repay the many small steps

    def __init__(self, model: EmbeddingClassifier, x: Tensor) -> None:
        """x: normalised images (b, 3, h, w), to see which layer follows which.

        Raises NoFormulaError for a layer of another kind that has weights.
        """
        # No weight asks for its own gradient, so that a backward pass does half of its work.
        self.model, self.original, self.norms = fold_batch_norms(model, x)
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
        outputs = sum(output.numel() * output.element_size() for _, output in self.seen.values())
        self.seen.clear()
        return outputs * (rows + 3)  # what arrives for each direction, and what the graph keeps

    def __call__(self, x: Tensor, directions: Directions) -> dict[str, Tensor]:
        """sum over i and j of (d(row_ij . logits(x_i)) / dw)^2: name -> tensor of w's shape.

        x: normalised images (b, 3, h, w). directions: gives the rows (b, r, C), one at least, for the logits (b, C),
        as constants. Raises NoFormulaError for a linear layer whose input is not one vector a sample.
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


def works_for(model: EmbeddingClassifier, x: Tensor) -> bool:
    """Whether `LayerwiseSquares` gives what backpropagation gives: tried with one image and direction, in float64.

    This also tells what the kinds of layers do not: one that is used twice, one whose output something else reads
    or changes in place, weights that are used past their layer. x: normalised images (b, 3, h, w).
    """
    # On the CPU, since not every device has float64; without noise of rounding, a wrong formula can't hide.
    exact, image = copy.deepcopy(model).to("cpu", torch.float64).eval().requires_grad_(), x[:1].to("cpu", torch.float64)
    with torch.enable_grad():
        logits = exact(image)
        row = torch.linspace(-1, 1, logits.shape[1], dtype=torch.float64)
        weights = dict(exact.named_parameters())
        expected = torch.autograd.grad(logits[0] @ row, list(weights.values()), allow_unused=True)
    try:
        found = LayerwiseSquares(exact, image)(image, lambda _: row[None, None])
    except NoFormulaError:
        return False
    if found.keys() != weights.keys() or any(gradient is None for gradient in expected):
        return False
    squares = dict(zip(weights, (gradient.square() for gradient in expected), strict=True))
    least = 1e-12 * max(float(value.norm()) for value in squares.values())
    return all(float((found[n] - squares[n]).norm()) <= 1e-6 * float(squares[n].norm()) + least for n in squares)
