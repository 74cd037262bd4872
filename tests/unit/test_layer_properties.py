"""Sums of squared gradients of one layer, for any shape: patches, pairs, and BatchNorm's constants."""

import copy
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, draw, seeds
from torch import Tensor, nn
from torch.nn import functional as F

from cu_helpers.unlearning import layer_squares
from cu_helpers.unlearning.layer_squares import constants, convolution, known, linear, over_pairs, patches
from cu_helpers.unlearning.per_sample import images_at_once

pair = st.tuples(st.integers(1, 3), st.integers(1, 3))


def values(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=draw(seed), dtype=torch.float64)


def conv_of(seed: int, kernel: Any = 3, bias: bool = True, outputs: int = 2, inputs: int = 3, **options: Any) -> Any:
    """A convolution in float64 whose weights come from `seed`."""
    layer = nn.Conv2d(inputs, outputs, kernel, bias=bias, **options).double()
    with torch.no_grad():
        for at, weight in enumerate(layer.parameters()):
            weight.copy_(values(*weight.shape, seed=seed + at))
    return layer


def norm_of(seed: int, channels: int = 2, affine: bool = True) -> nn.BatchNorm2d:
    """A BatchNorm in eval mode that shifts and scales each channel by its own amount."""
    norm = nn.BatchNorm2d(channels, affine=affine).double().eval()
    with torch.no_grad():
        for at, tensor in enumerate(norm.state_dict().values()):
            tensor.copy_(values(*tensor.shape, seed=seed + at).abs() + 0.2)
    return norm


@given(seeds, pair, pair, pair, st.tuples(st.integers(0, 2), st.integers(0, 2)))
@settings(max_examples=FEW)
def test_patches_are_what_unfold_finds_and_the_kernel_sees(
    seed: int, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], padding: tuple[int, int]
) -> None:
    layer = conv_of(seed, kernel, bias=False, stride=stride, dilation=dilation, padding=padding)
    x = values(2, 3, 7, 8, seed=seed + 9)
    found = patches(layer, x)
    unfolded = F.unfold(x, kernel, dilation, padding, stride).transpose(1, 2)  # in the order c, height, width
    expected = unfolded.unflatten(2, (3, -1)).transpose(2, 3).flatten(2)
    assert torch.equal(found, expected)
    flat = layer.weight.permute(0, 2, 3, 1).flatten(1)
    torch.testing.assert_close((found @ flat.T).transpose(1, 2), layer(x).flatten(2))


@given(seeds, st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=FEW)
def test_pairs_sum_to_squared_gradients_that_are_formed_one_by_one(
    seed: int, images: int, places: int, directions: int, outputs: int, k: int
) -> None:
    seen, arriving = values(images, places, k, seed=seed), values(images, places, directions, outputs, seed=seed + 1)
    total = torch.zeros(outputs, k, dtype=torch.float64)
    for image in range(images):
        for row in range(directions):
            total += sum(torch.outer(arriving[image, at, row], seen[image, at]) for at in range(places)).square()
    torch.testing.assert_close(over_pairs(seen, arriving), total)
    nothing = over_pairs(torch.cat([seen, seen], dim=1), torch.cat([arriving, -arriving], dim=1))
    assert (nothing >= 0).all(), "rounding leaves no square below zero"
    torch.testing.assert_close(nothing, torch.zeros_like(total), rtol=0, atol=1e-9)


@given(seeds, st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=FEW)
def test_batchnorms_constants_take_a_convolution_to_its_end(seed: int, bias: bool, behind: bool, affine: bool) -> None:
    layer, norm = conv_of(seed, bias=bias), norm_of(seed + 5, affine=affine) if behind else None
    x = values(2, 3, 5, 5, seed=seed + 9)
    shift, spread, scale = (one[:, None, None] for one in constants(layer, norm))
    bare = F.conv2d(x, layer.weight)
    if norm is None:
        assert torch.equal((bare - shift) * spread, bare)
        assert torch.equal((bare - shift) * scale, bare)
        return
    plain = copy.deepcopy(norm)
    plain.weight = plain.bias = None  # type: ignore[assignment]
    torch.testing.assert_close((bare - shift) * spread, plain(layer(x)))
    end = norm(layer(x)) - (norm.bias[:, None, None] if affine else 0)
    torch.testing.assert_close((bare - shift) * scale, end)


@given(seeds, st.booleans(), st.booleans(), st.integers(1, 4), st.integers(3, 6), st.integers(1, 30))
@settings(max_examples=FEW)
def test_a_convolutions_squares_are_those_of_backpropagation_image_by_image(
    seed: int, bias: bool, behind: bool, directions: int, side: int, at_once: int
) -> None:
    layer, norm = conv_of(seed, bias=bias, inputs=2), norm_of(seed + 5) if behind else None
    x, module = values(3, 2, side, side, seed=seed + 9), nn.Sequential(layer, *([norm] if norm else []))
    arriving = [values(*module(x).shape, seed=seed + 20 + row) for row in range(directions)]
    expected = {name: torch.zeros_like(weight) for name, weight in module.named_parameters()}
    for row in arriving:
        for image, along in zip(x, row, strict=True):
            slopes = torch.autograd.grad((module(image[None])[0] * along).sum(), list(module.parameters()))
            for name, slope in zip(expected, slopes, strict=True):
                expected[name] += slope.square()
    with mock.patch.dict(layer_squares.AT_ONCE, cpu=at_once * layer.weight[0].numel()):
        own, of_norm = convolution(layer, norm, x, arriving)
    found = {f"0.{name}": value for name, value in own.items()} | {f"1.{name}": one for name, one in of_norm.items()}
    assert set(found) == set(expected)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name].detach())


@given(seeds, st.booleans(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=FEW)
def test_a_linear_layers_squares_are_those_of_each_image_and_direction(
    seed: int, bias: bool, images: int, directions: int, inputs: int, outputs: int
) -> None:
    layer, before = nn.Linear(inputs, outputs, bias=bias), values(images, inputs, seed=seed)
    arriving = values(images, directions, outputs, seed=seed + 1)
    found = linear(layer, before, arriving)
    assert set(found) == ({"weight", "bias"} if bias else {"weight"})
    each = [torch.outer(row, x).square() for rows, x in zip(arriving, before, strict=True) for row in rows]
    torch.testing.assert_close(found["weight"], torch.stack(each).sum(dim=0))
    if bias:
        torch.testing.assert_close(found["bias"], arriving.square().flatten(0, 1).sum(dim=0))
    with pytest.raises(ValueError, match="got an input of 3 dimensions; expected one vector a sample"):
        linear(layer, before[None], arriving)


@given(st.integers(1, 2), st.sampled_from(["zeros", "reflect", "circular"]), st.sampled_from([0, 1, "same", "valid"]))
@settings(max_examples=FEW)
def test_a_formula_is_for_convolutions_without_groups_that_zeros_pad(groups: int, mode: Any, padding: Any) -> None:
    layer = nn.Conv2d(4, 4, 3, padding=padding, groups=groups, padding_mode=mode)
    assert known(layer) == (groups == 1 and mode == "zeros" and padding in (0, 1))
    assert known(nn.Linear(2, 2))
    assert not any(known(other) for other in (nn.BatchNorm2d(2), nn.Conv1d(2, 2, 1), nn.LayerNorm(2)))


@given(st.integers(1, 10_000), st.integers(0, 100_000))
@settings(max_examples=FEW)
def test_as_many_images_as_fit_are_taken_at_once_and_one_at_least(one: int, memory: int) -> None:
    found = images_at_once(one, torch.device("cpu"), memory)
    assert found == 1 or found * one <= memory
    assert (found + 1) * one > memory
