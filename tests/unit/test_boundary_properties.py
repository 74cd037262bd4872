"""Attacks, noise and extra classes on a linear model, whose gradient is known: every step by loops in float64."""

import copy
from typing import Any

import pytest
import torch
from conftest import MEAN, STD, image_data
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, draw, order, rows, seeds
from torch import Tensor, nn

from cu_helpers.data import ImageData
from cu_helpers.models import build_model
from cu_helpers.unlearning import BoundaryShrinkSettings, UnsirSettings
from cu_helpers.unlearning.boundary_expansion import WidenedClassifier
from cu_helpers.unlearning.boundary_shrink import fgsm, nearest_labels
from cu_helpers.unlearning.unsir import learn_noise

SIDE = 3
PIXELS = 3 * SIDE * SIDE
BLIND = 5  # the pixel that the model does not look at


def linear_model(seed: int, size: float = 1.0) -> Any:
    """Three logits that are linear in the normalised pixels."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 3))
    with torch.no_grad():
        model[1].weight.copy_(size * rows(3, PIXELS, seed) / 4)
        model[1].weight[:, BLIND] = 0
    return model.eval().requires_grad_(False)


def images_of(count: int, seed: int) -> ImageData:
    return image_data(count, side=SIDE, seed=seed).select(order(count, seed))


def logits_of(model: Any, pixels: Tensor) -> Tensor:
    """Logits (b, 3) in float64 of uint8 images, normalised by hand."""
    mean, std = (torch.tensor(value).double().reshape(3, 1, 1) for value in (MEAN, STD))
    x = ((pixels / 255.0 - mean) / std).flatten(1)
    return x @ model[1].weight.double().T + model[1].bias.double()


@given(seeds, st.integers(2, 6), st.sampled_from([0.01, 0.1, 0.5]))
@settings(max_examples=FEW)
def test_an_attack_moves_each_pixel_up_its_slope_and_stops_at_black_and_white(
    seed: int, count: int, epsilon: float
) -> None:
    model, images = linear_model(seed), images_of(count, seed)
    index = order(count, seed + 1)[: count - 1]
    before = images.images.clone()
    found = fgsm(model, images, index, epsilon)
    assert found.dtype == torch.uint8
    assert torch.equal(images.images, before)
    for row, at in zip(found, index.tolist(), strict=True):
        p = logits_of(model, before[at : at + 1])[0].softmax(dim=0)
        p[images.labels[at]] -= 1
        slope = (p @ model[1].weight.double()).tolist()  # of the cross-entropy; the positive 1 / std keeps its sign
        for new, old, rise in zip(row.flatten().tolist(), before[at].flatten().tolist(), slope, strict=True):
            step = 0 if rise == 0 else 255 * epsilon * (1 if rise > 0 else -1)
            if rise == 0 or abs(rise) > 1e-6:
                assert abs(new - min(255, max(0, old + step))) <= 0.501, "rounded to a whole value"
        assert row.flatten()[BLIND] == before[at].flatten()[BLIND]
    rank = order(len(index), seed)
    assert torch.equal(fgsm(model, images, index[rank], epsilon), found[rank]), "no image sees another"


@given(seeds, st.integers(2, 6), st.booleans(), st.sampled_from([0.01, 0.3]))
@settings(max_examples=FEW)
def test_the_nearest_label_is_the_best_after_the_attack_and_another_if_asked(
    seed: int, count: int, excluded: bool, epsilon: float
) -> None:
    model, images = linear_model(seed), images_of(count, seed)
    index, chosen = order(count, seed + 1), BoundaryShrinkSettings(epsilon=epsilon, exclude_label=excluded)
    found = nearest_labels(model, images, index, chosen)
    logits = logits_of(model, fgsm(model, images, index, epsilon)).tolist()
    for label, row, at in zip(found.tolist(), logits, index.tolist(), strict=True):
        own = int(images.labels[at])
        allowed = [other for other in range(3) if not (excluded and other == own)]
        assert label == max(allowed, key=lambda other: row[other])
    free = nearest_labels(model, images, index, BoundaryShrinkSettings(epsilon=epsilon))
    moved = free != images.labels[index]
    assert torch.equal(free[moved], nearest_labels(model, images, index, chosen)[moved])


@given(seeds, st.integers(0, 2), st.integers(1, 6), st.integers(1, 8))
@settings(max_examples=FEW)
def test_noise_begins_normal_climbs_the_loss_and_moves_nothing_of_the_model(
    seed: int, label: int, size: int, steps: int
) -> None:
    model = linear_model(seed, size=2.0).train()
    before, state = copy.deepcopy(model.state_dict()), draw(seed)
    chosen = UnsirSettings(
        noise_size=size, noise_steps=steps, noise_learning_rate=0.01, noise_penalty=0, precision="float32"
    )
    noise = learn_noise(model, label, (3, SIDE, SIDE), chosen, state)
    start = torch.randn(size, 3, SIDE, SIDE, generator=draw(seed))
    assert not noise.requires_grad
    assert float((noise - start).abs().max()) <= 0.01 * steps * 1.1, "Adam's steps are no longer than its rate"
    assert torch.equal(noise.flatten(1)[:, BLIND], start.flatten(1)[:, BLIND])
    for old, new in zip(start, noise, strict=True):
        losses = [-model(one[None])[0].log_softmax(dim=0)[label] for one in (old, new)]
        assert losses[1] > losses[0]
    assert torch.equal(learn_noise(model, label, (3, SIDE, SIDE), chosen, draw(seed)), noise)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    penalised = UnsirSettings(
        noise_size=size, noise_steps=steps, noise_learning_rate=0.01, noise_penalty=1e4, precision="float32"
    )
    short = learn_noise(model, label, (3, SIDE, SIDE), penalised, draw(seed))
    assert short.norm() < start.norm()


@given(seeds, st.integers(2, 4))
@settings(max_examples=6)
def test_an_extra_class_leaves_the_first_logits_and_starts_as_xavier_would(seed: int, classes: int) -> None:
    model = build_model("resnet18", classes, width=4, feature_dim=200, seed=seed).eval()
    widened = WidenedClassifier(model, draw(seed)).eval()
    x = rows(2, 192, seed).reshape(2, 3, 8, 8).float()
    found = widened(x)
    assert found.shape == (2, classes + 1)
    assert torch.equal(found[:, :-1], model(x))
    weight = widened.extra.weight.detach()[0].double()
    expected = weight @ model.encode(x).detach().double().clamp(min=0).T
    torch.testing.assert_close(found[:, -1].double(), expected, rtol=1e-4, atol=1e-6)
    assert float(weight.std()) == pytest.approx((2 / (200 + classes + 1)) ** 0.5, rel=0.3)
    assert torch.equal(WidenedClassifier(model, draw(seed)).extra.weight, widened.extra.weight)
    assert not torch.equal(WidenedClassifier(model, draw(seed + 1)).extra.weight, widened.extra.weight)
