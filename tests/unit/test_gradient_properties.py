"""What methods read off a network's gradients, against backpropagation image by image, in loops and in float64."""

import copy
from typing import Any

import torch
from conftest import MEAN, STD, image_data
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import draw, order, seeds
from torch import Tensor, nn
from torch.nn import functional as F

from cu_helpers.data import ImageData
from cu_helpers.unlearning.gradients import summed_gradient
from cu_helpers.unlearning.lcodec import exact_hessian, mean_gradient, secant
from cu_helpers.unlearning.salun import saliency
from cu_helpers.unlearning.ssd import importance
from cu_helpers.unlearning.units import gather

SOME = 12  # examples of a property that differentiates a network


def network(seed: int) -> Any:
    """A convolution with BatchNorm and a head: all that these functions ask of a model, in milliseconds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        conv, norm = nn.Conv2d(3, 4, 5, stride=2), nn.BatchNorm2d(4)  # from 6 x 6 pixels to one place
        model = nn.Sequential(conv, norm, nn.Tanh(), nn.Flatten(), nn.Linear(4, 3))
        norm.running_mean, norm.running_var = torch.randn(4), torch.rand(4) + 0.5
    return model.eval()


def images_of(count: int, seed: int) -> ImageData:
    return image_data(count, side=6, seed=seed).select(order(count, seed))


def one_by_one(model: nn.Module, images: ImageData) -> dict[str, list[Tensor]]:
    """Each image's gradient of its cross-entropy, by weight, in float64, with the pixels normalised by hand."""
    exact = copy.deepcopy(model).double()
    mean, std = (torch.tensor(value).double().reshape(3, 1, 1) for value in (MEAN, STD))
    found: dict[str, list[Tensor]] = {name: [] for name, _ in exact.named_parameters()}
    for image, label in zip(images.images, images.labels, strict=True):
        exact.zero_grad()
        logits = exact(((image / 255.0 - mean) / std)[None])[0]
        (logits.logsumexp(dim=0) - logits[label]).backward()
        for name, weight in exact.named_parameters():
            assert weight.grad is not None
            found[name].append(weight.grad.clone())
    return found


def close(found: dict[str, Tensor], expected: dict[str, Tensor], rtol: float = 1e-4) -> None:
    assert list(found) == list(expected)
    atol = 1e-5 * max(float(value.abs().max()) for value in expected.values())
    for name, value in found.items():
        torch.testing.assert_close(value.double(), expected[name], rtol=rtol, atol=atol)


@given(seeds, st.integers(1, 8), st.integers(1, 20))
@settings(max_examples=SOME)
def test_a_sum_of_gradients_is_image_by_image_and_adds_up(seed: int, count: int, divisor: int) -> None:
    model, images = network(seed), images_of(count, seed)
    single = one_by_one(model, images)
    total = {name: torch.stack(of).sum(dim=0) for name, of in single.items()}
    close(summed_gradient(model, images), total)
    close(summed_gradient(model, images, divisor), {name: of / divisor for name, of in total.items()})
    close(mean_gradient(model, images), {name: torch.stack(of).mean(dim=0) for name, of in single.items()})
    assert all(weight.grad is None for weight in model.parameters()), "nothing is left behind on the model"


@given(seeds, st.integers(257, 300))
@settings(max_examples=4)
def test_more_images_than_a_batch_holds_are_all_in_the_sum(seed: int, count: int) -> None:
    model, images = network(seed), images_of(count, seed)
    halves = [summed_gradient(model, images.select(part)) for part in torch.arange(count).split(150)]
    whole = {name: sum(half[name] for half in halves).double() for name in halves[0]}
    close(summed_gradient(model, images), whole)


@given(seeds, st.integers(2, 8))
@settings(max_examples=SOME)
def test_a_gradient_is_taken_in_the_mode_that_the_model_is_in(seed: int, count: int) -> None:
    model, images = network(seed), images_of(count, seed)
    training = copy.deepcopy(model).train()
    loss = F.cross_entropy(training(images.normalise(images.images)), images.labels)
    expected = dict(
        zip(dict(model.named_parameters()), torch.autograd.grad(loss, list(training.parameters())), strict=True)
    )
    found = mean_gradient(copy.deepcopy(model).train(), images)
    close(found, {name: value.double() for name, value in expected.items()}, rtol=1e-3)
    assert not torch.allclose(found["4.weight"], mean_gradient(model, images)["4.weight"], rtol=1e-2)


@given(seeds, st.integers(1, 6), st.sampled_from([1e-3, 1e-2, 0.1]))
@settings(max_examples=SOME)
def test_a_secant_is_the_change_of_the_gradient_over_one_descent_step(seed: int, count: int, rate: float) -> None:
    model, images = network(seed), images_of(count, seed)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradient, change, step = secant(model, images, rate)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    mean = {name: torch.stack(of).mean(dim=0) for name, of in one_by_one(model, images).items()}
    close(gradient, mean)
    close(step, {name: -rate * of for name, of in mean.items()})
    moved = copy.deepcopy(model).double()
    with torch.no_grad():
        for name, weight in moved.named_parameters():
            weight -= rate * mean[name]
    there = {name: torch.stack(of).mean(dim=0) for name, of in one_by_one(moved, images).items()}
    for name, value in change.items():
        torch.testing.assert_close(value.double(), there[name] - mean[name], rtol=1e-2, atol=1e-6)


@given(seeds, st.integers(1, 6), st.integers(0, 2), st.integers(0, 3))
@settings(max_examples=SOME)
def test_a_hessian_is_symmetric_and_each_column_a_difference_of_gradients(
    seed: int, count: int, unit: int, filter_: int
) -> None:
    model, images = network(seed), images_of(count, seed)
    rows = {"4.weight": torch.tensor([unit]), "4.bias": torch.tensor([unit]), "1.weight": torch.tensor([filter_])}
    found = exact_hessian(model, images, rows)
    torch.testing.assert_close(found, found.T, rtol=1e-4, atol=1e-6)
    places = [(name, int(rows[name][0]), at) for name in rows for at in range(4 if name == "4.weight" else 1)]
    assert found.shape == (len(places), len(places))
    for column, (name, row, at) in enumerate(places):
        ends = []
        for sign in (1, -1):
            exact = copy.deepcopy(model).double()
            with torch.no_grad():
                exact.get_parameter(name)[row].view(-1)[at] += sign * 1e-4
            single = one_by_one(exact, images)
            ends.append(gather({key: torch.stack(of).mean(dim=0) for key, of in single.items()}, rows))
        slope = (ends[0] - ends[1]) / 2e-4
        torch.testing.assert_close(found[:, column].double(), slope, rtol=1e-3, atol=1e-5)


@given(seeds, st.integers(1, 6), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
@settings(max_examples=SOME)
def test_the_salient_weights_are_the_largest_and_a_larger_share_keeps_them(
    seed: int, count: int, share: float, other: float
) -> None:
    model, images = network(seed).train(), images_of(count, seed)
    total = {
        name: torch.stack(of).sum(dim=0).abs() for name, of in one_by_one(copy.deepcopy(model).eval(), images).items()
    }
    masks = saliency(model, images, share)
    assert {name: mask.shape for name, mask in masks.items()} == {name: of.shape for name, of in total.items()}
    flat, sizes = (torch.cat([of[name].flatten() for name in total]) for of in (masks, total))
    wanted = max(1, round(share * len(flat)))
    tied = sizes >= 0.999 * sizes.sort(descending=True).values[wanted - 1]
    assert wanted <= int(flat.sum()) <= max(wanted, int(tied.sum())), "more only where some are equal"
    assert sizes[flat].min() >= 0.999 * sizes[~flat].max() if not flat.all() else share > 0.9
    less, more = (saliency(model, images, min(share, other)), saliency(model, images, max(share, other)))
    assert all((more[name] | ~less[name]).all() for name in masks)


@given(seeds, st.integers(1, 7), st.integers(1, 4))
@settings(max_examples=SOME)
def test_importance_is_the_mean_of_squares_over_batches_as_drawn(seed: int, count: int, size: int) -> None:
    model, images = network(seed).train(), images_of(count, seed)
    found = importance(model, images, size, draw(seed))
    single = one_by_one(copy.deepcopy(model).eval(), images)
    parts = torch.randperm(count, generator=draw(seed)).split(size)
    for name, of in single.items():
        squares = [torch.stack([of[at] for at in part.tolist()]).mean(dim=0).square() for part in parts]
        expected = torch.stack(squares).mean(dim=0)
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-3, atol=1e-5 * float(expected.max()))
        assert (found[name] >= 0).all()
    torch.testing.assert_close(importance(model, images, 1, draw(seed)), importance(model, images, 1, draw(seed + 1)))
