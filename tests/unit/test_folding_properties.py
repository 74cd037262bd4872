"""A BatchNorm as a part of the convolution in front of it: the same logits, and the same squared gradients."""

import copy

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, draw, seeds
from torch import Tensor, nn

from cu_helpers.models import EmbeddingClassifier, build_model
from cu_helpers.unlearning.folding import fold_batch_norms, norms_behind
from cu_helpers.unlearning.layerwise import LayerwiseSquares, works_for
from cu_helpers.unlearning.per_sample import VmapSquares, squared_gradients


def values(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=draw(seed), dtype=torch.float64)


def with_statistics(seed: int) -> tuple[EmbeddingClassifier, Tensor]:
    """A narrow ResNet whose BatchNorms have statistics and gains of their own, and three images."""
    model = build_model("resnet18", 3, width=4, feature_dim=6, seed=seed).train()
    for number, module in enumerate(model.modules()):
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of the one batch below, so that images are told apart
            module.weight.data += values(module.num_features, seed=seed + number).clamp(-2, 2) / 4
            module.bias.data += values(module.num_features, seed=seed + number + 1) / 4
    with torch.no_grad():
        model(values(16, 3, 8, 8, seed=seed + 1).float())
    return model, values(3, 3, 8, 8, seed=seed).float()


@given(seeds)
@settings(max_examples=6)
def test_a_folded_copy_says_the_same_without_a_batchnorm_and_the_model_stays(seed: int) -> None:
    model, x = with_statistics(seed)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded, layers, norms = fold_batch_norms(model, x)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    other = values(2, 3, 8, 8, seed=seed + 1).float()
    expected = copy.deepcopy(model).eval()(other).detach()
    torch.testing.assert_close(folded(other), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not any(weight.requires_grad for weight in folded.parameters())
    of_kind = {
        kind: {name for name, one in layers.items() if isinstance(one, kind)} for kind in (nn.Conv2d, nn.BatchNorm2d)
    }
    assert set(norms) == of_kind[nn.Conv2d]
    assert sorted(norms.values()) == sorted(of_kind[nn.BatchNorm2d])
    assert norms_behind(copy.deepcopy(model).eval(), x) == norms
    assert not any(module._forward_hooks for module in model.modules()), "no hook is left"


@given(seeds, st.integers(1, 3))
@settings(max_examples=6)
def test_both_ways_of_squaring_agree_and_a_layer_without_a_formula_takes_the_other(seed: int, directions: int) -> None:
    model, x = with_statistics(seed)
    rows = values(3, directions, 3, seed=seed + 2).float()
    quick, general = squared_gradients(model, x), VmapSquares(model)
    assert isinstance(quick, LayerwiseSquares)
    found, expected = quick(x, lambda logits: rows), general(x, lambda logits: rows)
    assert set(found) == set(expected) == {name for name, _ in model.named_parameters()}
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-2, atol=1e-4 * float(expected[name].max()))
    model.backbone.stem[0] = nn.Conv2d(3, 4, 3, 1, 1, bias=False, padding_mode="circular")  # type: ignore[operator,union-attr]
    assert isinstance(squared_gradients(model, x), VmapSquares)


@given(seeds, st.floats(1e-3, 3))
@settings(max_examples=FEW)
def test_a_convolution_that_something_else_reads_too_is_found_out(seed: int, share: float) -> None:
    class Peeking(nn.Module):
        def __init__(self, share: float) -> None:
            super().__init__()
            self.conv, self.norm, self.share = nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), share
            for number, tensor in enumerate((*self.conv.parameters(), *self.norm.buffers())):
                tensor.data.copy_(values(*tensor.shape, seed=seed + number).abs() + 0.2)

        def forward(self, x: Tensor) -> Tensor:
            out = self.conv(x)
            return (self.norm(out) + self.share * out).mean(dim=(2, 3))

    x = values(2, 3, 5, 5, seed=seed + 9).float()
    assert not works_for(Peeking(share), x)  # type: ignore[arg-type]
    assert works_for(Peeking(0), x)  # type: ignore[arg-type]
