"""BatchNorm in eval mode as a part of the convolution in front of it."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..models import EmbeddingClassifier


def norms_behind(model: nn.Module, x: Tensor) -> dict[str, str]:
    """Convolution's name -> name of the BatchNorm that its output enters, in one forward pass of x (b, 3, h, w)."""
    names = {module: name for name, module in model.named_modules()}
    outputs: dict[int, tuple[str, Tensor]] = {}
    found: dict[str, str] = {}

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            outputs[id(output)] = names[module], output  # kept alive, so that no other tensor gets its id
        elif id(inputs[0]) in outputs and getattr(module, "running_mean", None) is not None:
            found[outputs[id(inputs[0])][0]] = names[module]

    hooks = [m.register_forward_hook(note) for m in names if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def fold_batch_norms(
    model: EmbeddingClassifier, x: Tensor
) -> tuple[EmbeddingClassifier, dict[str, nn.Module], dict[str, str]]:
    """A frozen copy of `model` in eval mode with each BatchNorm folded into the convolution in front of it.

    In eval mode BatchNorm scales and shifts each channel by constants, and a convolution can do that with weights
    and a bias of its own. x: normalised images (b, 3, h, w), to see which layer follows which.
    Returns the copy, in which an identity has the BatchNorm's place; all layers as they were, by name; and the names
    of convolutions with those of their BatchNorm. The logits stay the same if nothing but the BatchNorm looks at a
    convolution's output, which is not checked here.
    """
    folded = copy.deepcopy(model).eval().requires_grad_(False)
    layers: dict[str, nn.Module] = dict(folded.named_modules())
    norms = norms_behind(folded, x)
    for convolution, norm in norms.items():
        first, second = layers[convolution], layers[norm]
        assert isinstance(first, nn.Conv2d)
        assert isinstance(second, nn.BatchNorm2d)
        both = fuse_conv_bn_eval(first, second)
        for name, layer in ((convolution, both.requires_grad_(False)), (norm, nn.Identity())):
            parent, _, leaf = name.rpartition(".")
            setattr(folded.get_submodule(parent), leaf, layer)
    return folded, layers, norms
