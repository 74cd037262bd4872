"""Boundary Shrink and Boundary Expansion, and the logit mask, against plain steps."""

import copy

import pytest
import torch
from torch.nn import functional as F

from cu_helpers.data import Dataset, ForgetTask, forget_class
from cu_helpers.devices import generator
from cu_helpers.inference import embed, predict_logits
from cu_helpers.models import EmbeddingClassifier, build_model
from cu_helpers.training import accuracy
from cu_helpers.unlearning import BoundaryExpansionSettings, BoundaryShrinkSettings, unlearn
from cu_helpers.unlearning.boundary_expansion import WidenedClassifier
from cu_helpers.unlearning.boundary_shrink import fgsm, nearest_labels

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def task(digits: Dataset) -> ForgetTask:
    return forget_class(digits, 5)


@pytest.fixture
def model(fitted: EmbeddingClassifier) -> EmbeddingClassifier:
    return fitted


def test_the_attack_steps_in_pixels(model: EmbeddingClassifier, task: ForgetTask) -> None:
    index = torch.arange(6)
    original = task.forget.images[index]
    epsilon = 0.1
    attacked = fgsm(model, task.forget, index, epsilon)
    assert attacked.dtype == torch.uint8
    moved = attacked.int() - original.int()
    assert moved.abs().max() <= round(255 * epsilon)
    inside = (attacked > 0) & (attacked < 255)
    assert set(moved[inside].abs().tolist()) <= {0, 25, 26}, "25.5 rounds to one side or the other"
    # The sign is that of the loss: checked by finite differences on the pixels that weigh most.
    pixels = original[:1].double() / 255
    labels = task.forget.labels[:1]
    plain = copy.deepcopy(model).double()

    def loss(values: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(v).double().reshape(1, 3, 1, 1) for v in (task.forget.mean, task.forget.std))
        return F.cross_entropy(plain((values - mean) / std), labels)

    gradient = torch.autograd.functional.jacobian(loss, pixels)
    for position in gradient.abs().flatten().argsort(descending=True)[:5].tolist():
        bump = torch.zeros_like(pixels).flatten()
        bump[position] = 1e-4
        slope = (loss(pixels + bump.view_as(pixels)) - loss(pixels - bump.view_as(pixels))).item()
        step = moved[0].flatten()[position].item()
        value = original[0].flatten()[position].item()
        wall = (slope > 0 and value == 255) or (slope < 0 and value == 0)
        assert wall or slope * step > 0
    before = F.cross_entropy(predict_logits(model, task.forget), task.forget.labels)
    everything = fgsm(model, task.forget, torch.arange(len(task.forget)), epsilon)
    with torch.no_grad():
        after = F.cross_entropy(model(task.forget.normalise(everything)), task.forget.labels)
    assert after > before + 0.2


def test_the_nearest_label_may_be_kept_out(model: EmbeddingClassifier, task: ForgetTask) -> None:
    index = torch.arange(len(task.forget))
    weak = BoundaryShrinkSettings(epsilon=1e-6)
    assert (nearest_labels(model, task.forget, index, weak) == 5).all(), "a step of nothing leaves the label"
    other = nearest_labels(model, task.forget, index, BoundaryShrinkSettings(epsilon=1e-6, exclude_label=True))
    second = predict_logits(model, task.forget, "float32").argsort(dim=1)[:, -2]
    assert torch.equal(other, second)


def test_shrink_takes_a_plain_step_to_the_nearest_labels(model: EmbeddingClassifier, task: ForgetTask) -> None:
    settings = BoundaryShrinkSettings(learning_rate=0.1, batch_size=18, max_rounds=1, precision="float32")
    ours = unlearn("boundary_shrink", model, task, settings, seed=4)
    index = torch.randperm(18, generator=generator(4, CPU))
    plain = copy.deepcopy(model)
    nearest = nearest_labels(plain, task.forget, index, settings)
    assert (nearest != 5).any()
    plain.train()
    F.cross_entropy(plain(task.forget.batch(index)[0]), nearest).backward()  # type: ignore[no-untyped-call]
    for after, start in zip(ours.model.parameters(), plain.parameters(), strict=True):
        assert start.grad is not None
        assert torch.allclose(after, start - 0.1 * start.grad, atol=1e-5)
    assert (ours.steps, ours.samples_seen, ours.stopped_by) == (1, 18, "rounds")


def test_the_widened_head_leaves_the_first_logits_alone(model: EmbeddingClassifier, task: ForgetTask) -> None:
    x = task.retain.batch(torch.arange(9))[0]
    widened = WidenedClassifier(copy.deepcopy(model), generator(0, CPU)).eval()
    with torch.no_grad():
        logits = widened(x)
        assert logits.shape == (9, 11)
        assert torch.equal(logits[:, :10], model(x))
        assert torch.equal(logits[:, 10], widened.extra(F.relu(model.encode(x)))[:, 0])
    assert widened.extra.bias.item() == 0
    wide = WidenedClassifier(build_model("resnet18", 10, width=4, feature_dim=4000, seed=0), generator(0, CPU))
    assert wide.extra.weight.std().item() == pytest.approx((2 / 4011) ** 0.5, rel=0.05), "Xavier-normal"
    settings = BoundaryExpansionSettings(learning_rate=0.05, max_rounds=2, precision="float32")
    pruned = unlearn("boundary_expansion", model, task, settings).model
    assert pruned.head.weight.shape == (10, 128)
    assert predict_logits(pruned, task.test).shape == (len(task.test), 10)


def test_expansion_takes_a_plain_step_to_the_extra_label(model: EmbeddingClassifier, task: ForgetTask) -> None:
    settings = BoundaryExpansionSettings(learning_rate=0.1, batch_size=18, max_rounds=1, precision="float32")
    ours = unlearn("boundary_expansion", model, task, settings, seed=4).model
    draw = generator(4, CPU)
    widened = WidenedClassifier(copy.deepcopy(model), draw).train()
    index = torch.randperm(18, generator=draw)
    loss = F.cross_entropy(widened(task.forget.batch(index)[0]), torch.full((18,), 10))
    loss.backward()  # type: ignore[no-untyped-call]
    for after, start in zip(ours.parameters(), widened.model.parameters(), strict=True):
        assert start.grad is not None
        assert torch.allclose(after, start - 0.1 * start.grad, atol=1e-5)
    mutant = F.cross_entropy(widened(task.forget.batch(index)[0]), torch.full((18,), 5))
    assert mutant < loss, "the true label is the easier one, so that the step above is not towards it"


def test_a_mask_scores_like_forgetting_and_forgets_nothing(model: EmbeddingClassifier, task: ForgetTask) -> None:
    masked = unlearn("logit_mask", model, task)
    assert accuracy(masked.model, task.forget) == 0
    assert torch.equal(embed(masked.model, task.train), embed(model, task.train))
    kept = [label for label in range(10) if label != 5]
    ours, theirs = (predict_logits(m, task.test, "float32")[:, kept] for m in (masked.model, model))
    assert torch.equal(ours, theirs)
    assert (masked.steps, masked.samples_seen) == (0, 0)
