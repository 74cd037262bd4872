"""Filters and neurons of a network: their activations, and where their weights lie."""

import torch
from torch import Tensor, nn

from ..models import EmbeddingClassifier


class Units:
    """A model's filters and neurons: their activations, and where their weights lie."""

    def __init__(self, model: EmbeddingClassifier) -> None:
        self.layers = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        self.places = [(name, unit) for name, layer in self.layers for unit in range(layer.weight.shape[0])]

    def activations(self, model: EmbeddingClassifier, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean output over space (or tokens) of each unit, (b, units), and the logits (b, C)."""
        seen: dict[str, Tensor] = {}

        def keep(name: str, out: Tensor) -> None:
            # Convolutions have their units second, linear layers last.
            seen[name] = out.flatten(2).mean(2) if out.ndim == 4 else out.reshape(len(out), -1, out.shape[-1]).mean(1)

        hooks = [
            layer.register_forward_hook(lambda _m, _x, out, name=name: keep(name, out)) for name, layer in self.layers
        ]
        try:
            logits = model(x)
        finally:
            for hook in hooks:
                hook.remove()
        blank = {name: logits.new_zeros(len(x), layer.weight.shape[0]) for name, layer in self.layers}
        return torch.cat([seen.get(name, blank[name]) for name, _ in self.layers], dim=1), logits

    def rows(self, chosen: list[int]) -> dict[str, Tensor]:
        """Parameter name -> the rows of it that belong to the chosen units, (rows, ...)."""
        layers = dict(self.layers)
        rows: dict[str, list[int]] = {}
        for position in chosen:
            name, unit = self.places[position]
            rows.setdefault(f"{name}.weight", []).append(unit)
            if layers[name].bias is not None:
                rows.setdefault(f"{name}.bias", []).append(unit)
        return {name: torch.tensor(found) for name, found in rows.items()}


def gather(tensors: dict[str, Tensor], rows: dict[str, Tensor]) -> Tensor:
    """The chosen rows of named tensors as one vector (k,)."""
    return torch.cat([tensors[name][index.to(tensors[name].device)].flatten() for name, index in rows.items()])


def scatter(tensors: dict[str, Tensor], rows: dict[str, Tensor], values: Tensor) -> dict[str, Tensor]:
    """Copies of the tensors named in `rows`, with the vector `values` (k,) in the chosen rows."""
    changed, start = {}, 0
    for name, index in rows.items():
        size = len(index) * tensors[name][0].numel()
        part = values[start : start + size].reshape(len(index), *tensors[name].shape[1:])
        changed[name] = tensors[name].index_copy(0, index.to(values.device), part)
        start += size
    return changed


def put(model: EmbeddingClassifier, rows: dict[str, Tensor], values: Tensor) -> None:
    """Write the vector `values` (k,) into the chosen rows of the model's parameters."""
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    with torch.no_grad():
        for name, tensor in scatter(weights, rows, values).items():
            weights[name].copy_(tensor)
