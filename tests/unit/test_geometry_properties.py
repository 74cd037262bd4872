"""Directions on the sphere: tangents, pairs of rows and pairs of classes against loops and turned axes."""

import math
from itertools import combinations

import pytest
import torch
from conftest import image_data
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, order, rows, seeds, turn
from torch import Tensor, nn
from torch.nn import functional as F

from cu_helpers.geometry import between_classes, pairwise_cosines, tangent
from cu_helpers.models import build_model


def unit(count: int, dim: int, seed: int) -> Tensor:
    return F.normalize(rows(count, dim, seed), dim=1)


@given(seeds, st.integers(1, 5), st.integers(2, 5), st.floats(-10, 10))
@settings(max_examples=FEW)
def test_a_tangent_part_is_what_stays_without_the_normal(seed: int, count: int, dim: int, along: float) -> None:
    z, gradient = unit(count, dim, seed), rows(count, dim, seed + 1)
    found = tangent(gradient, z)
    for one, at, whole in zip(found.tolist(), z.tolist(), gradient.tolist(), strict=True):
        normal = sum(g * x for g, x in zip(whole, at, strict=True))
        assert one == pytest.approx([g - normal * x for g, x in zip(whole, at, strict=True)], abs=1e-12)
    torch.testing.assert_close((found * z).sum(dim=1), torch.zeros(count, dtype=z.dtype), rtol=0, atol=1e-12)
    torch.testing.assert_close(tangent(found, z), found)
    torch.testing.assert_close(tangent(gradient + along * z, z), found, rtol=1e-9, atol=1e-11)
    axes = turn(dim, seed)
    torch.testing.assert_close(tangent(gradient @ axes, z @ axes), found @ axes)


@given(seeds, st.integers(2, 7), st.integers(2, 5), st.integers(1, 8), st.floats(0.1, 100))
@settings(max_examples=FEW)
def test_pairs_are_of_the_first_rows_each_once_whatever_their_lengths(
    seed: int, count: int, dim: int, most: int, scale: float
) -> None:
    points = rows(count, dim, seed)
    found = pairwise_cosines(points, most)
    some = points[:most].tolist()
    expected = [math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b)) for a, b in combinations(some, 2)]
    dots = [sum(x * y for x, y in zip(a, b, strict=True)) for a, b in combinations(some, 2)]
    assert found.tolist() == pytest.approx([dot / size for dot, size in zip(dots, expected, strict=True)], abs=1e-12)
    longer = points * scale * torch.arange(1, count + 1)[:, None]
    torch.testing.assert_close(pairwise_cosines(longer, most), found, rtol=1e-9, atol=1e-12)
    mixed = pairwise_cosines(points[order(count, seed)]).sort().values
    torch.testing.assert_close(mixed, pairwise_cosines(points).sort().values)


@given(seeds, st.integers(2, 5))
@settings(max_examples=8)
def test_two_images_of_different_classes_have_the_mean_cosine_of_a_double_loop(seed: int, count: int) -> None:
    model = build_model("resnet18", 2, width=4, feature_dim=3, seed=seed).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of the one batch below, so that images are told apart
    model(rows(8, 192, seed).reshape(8, 3, 8, 8).float())
    images = image_data(count, seed=seed, num_classes=2)
    mixed = images.select(order(count, seed))
    with torch.no_grad():
        z = model.eval().encode(images.normalise(images.images)).double()
    pairs = [z[i] @ z[j] for i, j in combinations(range(count), 2) if images.labels[i] != images.labels[j]]
    found = between_classes(model, images)
    assert found == pytest.approx(float(sum(pairs)) / len(pairs), abs=1e-5)
    assert between_classes(model, mixed) == pytest.approx(found, abs=1e-5)
