"""Gradients of single samples, many at once, by torch.func, and the sums of their squares."""

import copy

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..models import EmbeddingClassifier
from .layerwise import Directions, LayerwiseSquares, works_for


class PerSampleGradients:
    """Per-sample gradients of a linear function of the logits, for a model in eval mode.

    In eval mode a sample's logits depend on that sample alone, also through BatchNorm. The model
    is copied: vmap cannot ask for channels-last memory, so the copy keeps plain layout.
    """

    def __init__(self, model: EmbeddingClassifier) -> None:
        self.model = copy.deepcopy(model).eval()
        self.model.to(memory_format=torch.contiguous_format)
        if hasattr(self.model.backbone, "memory_format"):
            self.model.backbone.memory_format = torch.contiguous_format
        self.weights = {name: value.detach() for name, value in self.model.named_parameters()}
        self.buffers = dict(self.model.named_buffers())

    def __call__(self, x: Tensor, directions: Tensor) -> dict[str, Tensor]:
        """d(direction_i . logits(x_i)) / dw for each i: name -> (b, *shape of w).

        x: normalised images (b, 3, h, w). directions: (b, C).
        """

        def along(weights: dict[str, Tensor], image: Tensor, direction: Tensor) -> Tensor:
            logits: Tensor = functional_call(self.model, (weights, self.buffers), (image[None],))
            return logits[0] @ direction

        # vmap has no batching rule for the CPU's fused attention.
        with sdpa_kernel(SDPBackend.MATH):
            found: dict[str, Tensor] = vmap(grad(along), in_dims=(None, 0, 0))(self.weights, x.contiguous(), directions)
        return found


class VmapSquares:
    """The same sums as `LayerwiseSquares`, for any model whose operations torch.func knows."""

    memory = 128 * 2**20  # bytes at once on a CPU, whose caches make larger chunks slower

    def __init__(self, model: EmbeddingClassifier) -> None:
        self.gradients = PerSampleGradients(model)

    def bytes_of_one(self, x: Tensor, rows: int) -> int:
        """How many bytes an image x (1, 3, h, w) takes: its gradient and the squares. Directions take turns."""
        return 8 * sum(weight.numel() for weight in self.gradients.weights.values())

    def __call__(self, x: Tensor, directions: Directions) -> dict[str, Tensor]:
        """See `LayerwiseSquares`: x (b, 3, h, w), directions (b, C) -> (b, r, C), name -> tensor of w's shape."""
        with torch.no_grad():
            rows = directions(self.gradients.model(x))
        total = {name: torch.zeros_like(weight) for name, weight in self.gradients.weights.items()}
        for row in rows.unbind(dim=1):
            for name, gradient in self.gradients(x, row).items():
                total[name] += gradient.square_().sum(dim=0)
        return total


def squared_gradients(model: EmbeddingClassifier, x: Tensor) -> LayerwiseSquares | VmapSquares:
    """Layer by layer where `works_for` says so, else by torch.func, which needs room for whole gradients.

    x: normalised images (b, 3, h, w).
    """
    return LayerwiseSquares(model, x) if works_for(model, x) else VmapSquares(model)


def images_at_once(one: int, device: torch.device, memory: int) -> int:
    """How many images of `one` bytes each fit into `memory` bytes, or a quarter of a GPU's free memory; at least 1."""
    if device.type == "cuda":
        memory = torch.cuda.mem_get_info(device)[0] // 4
    return max(1, memory // one)
