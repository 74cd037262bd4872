"""A step of contrastive unlearning, for any batch: what is drawn, what the loss sees, what stays frozen, what lags."""

import copy
import math

import pytest
import torch
from conftest import MEAN, STD, image_data
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, draw, order, rows, seeds
from torch import Tensor, nn
from torch.nn import functional as F

from cu_helpers.data import Dataset, ForgetTask, ImageData, forget_class
from cu_helpers.models import EmbeddingClassifier, build_model
from cu_helpers.unlearning import ContrastiveQueueSettings, ContrastiveSettings
from cu_helpers.unlearning.contrastive import freeze_batch_norm, retained_batch, unlearning_loss
from cu_helpers.unlearning.contrastive_queue import full_queue
from cu_helpers.unlearning.queue import key_encoder, momentum_update


def network(seed: int) -> EmbeddingClassifier:
    """A narrow ResNet whose BatchNorms have statistics of their own."""
    model = build_model("resnet18", 3, width=4, feature_dim=5, seed=seed).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # the statistics of the one batch below, so that images are told apart
    with torch.no_grad():
        model(rows(16, 192, seed).reshape(16, 3, 8, 8).float())
    for norm in norms:
        norm.num_batches_tracked.fill_(seed)
    return model


def task_of(seed: int, count: int = 18) -> ForgetTask:
    data = [image_data(count, seed=seed + part) for part in range(3)]
    return forget_class(Dataset("tiny", *data, ("dark", "grey", "bright")), 1)


def positions(found: Tensor, images: ImageData) -> list[int]:
    """Which image of `images` each normalised one is, none of them twice there."""
    mean, std = (torch.tensor(value).reshape(3, 1, 1) for value in (MEAN, STD))
    known = (images.images / 255 - mean) / std
    return [int((known - one).abs().amax(dim=(1, 2, 3)).argmin()) for one in found]


@given(seeds, st.integers(2, 9), st.integers(1, 12), st.integers(0, 4))
@settings(max_examples=FEW)
def test_the_first_rows_come_in_order_and_begin_anew_without_a_draw(
    seed: int, retained: int, size: int, repeat: int
) -> None:
    images, chance = image_data(retained, seed=seed).select(order(retained, seed)), draw(seed)
    state = chance.get_state()
    x, y = retained_batch(images, size, repeat, ContrastiveSettings(retained="first"), chance)
    expected = [(repeat * size + at) % retained for at in range(size)]
    assert positions(x, images) == expected
    assert y.tolist() == [int(images.labels[at]) for at in expected]
    assert torch.equal(chance.get_state(), state)


@given(seeds, st.integers(2, 5), st.integers(1, 6))
@settings(max_examples=FEW)
def test_random_rows_are_retained_ones_with_their_labels_and_all_have_their_turn(
    seed: int, retained: int, size: int
) -> None:
    images, chance = image_data(retained, seed=seed).select(order(retained, seed)), draw(seed)
    seen: list[int] = []
    for repeat in range(60):
        x, y = retained_batch(images, size, repeat, ContrastiveSettings(), chance)
        chosen = positions(x, images)
        assert len(chosen) == size
        assert y.tolist() == [int(images.labels[at]) for at in chosen]
        seen += chosen
    assert set(seen) == set(range(retained))
    x, y = retained_batch(images, size, 0, ContrastiveSettings(), draw(seed))
    assert positions(x, images) == seen[:size], "the generator alone decides"


def eq5_and_6(z_u: Tensor, y_u: Tensor, z_r: Tensor, y_r: Tensor, kind: str, tau: float, released: bool) -> float:
    """Both losses by loops: the mean over anchors of a log-sum or a log-number minus a mean similarity."""
    total = 0.0
    for z, y in zip(z_u.tolist(), y_u.tolist(), strict=True):
        s = [sum(a * b for a, b in zip(z, other, strict=True)) / tau for other in z_r.tolist()]
        same = [kind == "samples" and label == y for label in y_r.tolist()]
        others = [value for value, alike in zip(s, same, strict=True) if not alike]
        if not others:
            continue
        push = math.log(sum(math.exp(v) for v, alike in zip(s, same, strict=True) if alike) or len(s))
        weight = len(s) / len(others) if released else 1
        total += weight * push - sum(others) / len(others)
    return total / len(z_u)


@given(
    seeds,
    st.sampled_from(["class", "samples"]),
    st.booleans(),
    st.sampled_from(["paper", "released"]),
    st.sampled_from([0.1, 0.7, 5.0]),
)
@settings(max_examples=FEW)
def test_the_unlearning_loss_is_eq_5_or_6_of_what_its_settings_let_through(
    seed: int, kind: str, clamped: bool, weight: str, tau: float
) -> None:
    z_u, z_r = F.normalize(rows(3, 4, seed), dim=1), F.normalize(rows(5, 4, seed + 1), dim=1)
    y_u, y_r = order(3, seed) % 2, order(5, seed) % 2
    chosen = ContrastiveSettings(temperature=tau, clamp_embeddings=clamped, push_weight=weight)
    left, right = (z.clamp(min=0) if clamped else z for z in (z_u, z_r))
    expected = eq5_and_6(left, y_u, right, y_r, kind, tau, kind == "samples" and weight == "released")
    before = z_u.clone(), z_r.clone()
    assert float(unlearning_loss(z_u, y_u, z_r, y_r, kind, chosen)) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert torch.equal(before[0], z_u), "not clamped in place"
    assert torch.equal(before[1], z_r)


@given(seeds, st.sampled_from(["class", "samples"]), st.booleans())
@settings(max_examples=FEW)
def test_detached_retained_embeddings_get_no_gradient_and_anchors_the_same(seed: int, kind: str, clamped: bool) -> None:
    slopes, losses = [], []
    for detached in (False, True):
        z_u, z_r = rows(3, 4, seed).requires_grad_(), rows(5, 4, seed + 1).requires_grad_()
        chosen = ContrastiveSettings(detach_retained=detached, clamp_embeddings=clamped)
        loss = unlearning_loss(z_u, torch.zeros(3).long(), z_r, order(5, seed) % 2, kind, chosen)
        loss.backward()
        slopes.append((z_u.grad, z_r.grad))
        losses.append(loss)
    assert losses[0] == losses[1]
    assert torch.equal(slopes[0][0], slopes[1][0])
    assert slopes[0][1].abs().sum() > 0
    assert slopes[1][1] is None


@given(seeds, st.booleans())
@settings(max_examples=6)
def test_frozen_batchnorms_keep_their_statistics_and_nothing_else_is_frozen(seed: int, training: bool) -> None:
    model = network(seed).train(training)
    freeze_batch_norm(model)
    for module in model.modules():
        assert module.training == (training and not isinstance(module, nn.BatchNorm2d))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = rows(4, 192, seed).reshape(4, 3, 8, 8).float()
    torch.testing.assert_close(model(x)[:2], model(x[:2]), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@given(seeds, st.floats(0, 1))
@settings(max_examples=10)
def test_the_key_encoder_moves_its_share_of_the_way_and_the_query_stays(seed: int, momentum: float) -> None:
    query, key = network(seed), key_encoder(network(seed + 1))
    assert not any(module.training for module in key.modules())
    assert not any(weight.requires_grad for weight in key.parameters())
    old, theirs = ({n: v.clone() for n, v in model.state_dict().items()} for model in (key, query))
    momentum_update(key, query, momentum)
    for name, value in key.state_dict().items():
        if value.is_floating_point():
            exact = momentum * old[name].double() + (1 - momentum) * theirs[name].double()
            torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=1e-6)
        else:
            assert value == theirs[name] == seed, "a count of batches is copied"
        assert torch.equal(query.state_dict()[name], theirs[name])
    for end, expected in ((1.0, key.state_dict()), (0.0, theirs)):
        at_end = copy.deepcopy(key)
        momentum_update(at_end, query, end)
        floats = [name for name, value in theirs.items() if value.is_floating_point()]
        assert all(torch.equal(at_end.state_dict()[name], expected[name]) for name in floats)


@given(seeds, st.integers(1, 14))
@settings(max_examples=10)
def test_a_full_queue_holds_keys_of_different_retained_images_beside_their_labels(seed: int, size: int) -> None:
    key, task = key_encoder(network(seed)), task_of(seed)
    chosen = ContrastiveQueueSettings(queue_size=size, precision="float32")
    if size > len(task.retain):
        with pytest.raises(ValueError, match=f"queue_size is {size} and {len(task.retain)} images are retained"):
            full_queue(key, task, chosen, draw(seed))
        return
    z, y = full_queue(key, task, chosen, draw(seed)).contents()
    with torch.no_grad():
        known = key.encode(task.retain.normalise(task.retain.images))
    nearest = (z[:, None] - known).norm(dim=2).min(dim=1)
    assert len(set(nearest.indices.tolist())) == len(z) == size
    assert float(nearest.values.max()) < 1e-4
    assert torch.equal(y, task.retain.labels[nearest.indices])
