"""Eqs. 8 and 9 on any model and task: which images count, what they are held against, what is left for a rewind."""

from dataclasses import replace

import pytest
import torch
from conftest import image_data
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, order, rows, seeds
from torch import nn

from cu_helpers.data import Dataset, ForgetTask, ImageData, forget_class, forget_samples
from cu_helpers.unlearning.scrub import rewind_images
from cu_helpers.unlearning.stopping import Stopping, stop_rule

NAMES = ("dark", "grey", "bright", "white")
sets = st.sampled_from(["validation", "test"])


def task_of(kind: str, seed: int, amount: int = 1) -> ForgetTask:
    """Forget a class or some samples of four classes; the sets differ in size and in their images."""
    parts = [image_data(count, side=4, num_classes=4, seed=seed + count) for count in (20, 13, 11)]
    data = Dataset("tiny", *parts, NAMES)
    return forget_class(data, amount, seed) if kind == "class" else forget_samples(data, amount, seed)


def model_of(seed: int) -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
    with torch.no_grad():
        model[1].weight.copy_(rows(4, 48, seed) / 5)
    return model


def right(model: nn.Module, images: ImageData, of: int | None = None) -> float:
    """Percent of images, of one class or of all, whose largest logit is their label's: image by image."""
    hits = []
    for image, label in zip(images.images, images.labels.tolist(), strict=True):
        if of is None or label == of:
            logits = model(images.normalise(image[None]))[0].tolist()
            hits.append(logits.index(max(logits)) == label)
    return 100 * sum(hits) / len(hits)


@given(seeds, st.integers(0, 3), sets)
@settings(max_examples=FEW)
def test_a_class_is_held_against_a_guess_on_unseen_images_of_it(seed: int, label: int, where: str) -> None:
    task, model = task_of("class", seed, label), model_of(seed)
    rule = stop_rule(task, Stopping(data=where))
    seen = task.validation if where == "validation" else task.test
    assert rule.forget(model) == pytest.approx(right(model, seen, label))  # type: ignore[arg-type]
    assert rule.reference(model) == 100 / 4  # type: ignore[arg-type]
    other = stop_rule(replace(task, **{"test" if where == "validation" else "validation": seen}), Stopping(data=where))
    assert other.forget(model) == rule.forget(model), "the other set is not looked at"  # type: ignore[arg-type]


@given(seeds, st.integers(1, 15), sets)
@settings(max_examples=FEW)
def test_samples_are_held_against_unseen_images_and_the_model_keeps_its_mode(seed: int, count: int, where: str) -> None:
    task, model = task_of("samples", seed, count), model_of(seed).train()
    rule = stop_rule(task, Stopping(data=where))
    seen = task.validation if where == "validation" else task.test
    assert rule.forget(model) == pytest.approx(right(model, task.forget))  # type: ignore[arg-type]
    assert rule.reference(model) == pytest.approx(right(model, seen))  # type: ignore[arg-type]
    assert model.training
    mixed = replace(task, forget=task.forget.select(order(count, seed)))
    assert stop_rule(mixed, Stopping(data=where)).forget(model) == pytest.approx(rule.forget(model))  # type: ignore[arg-type]


@given(seeds, st.integers(0, 3), sets)
@settings(max_examples=FEW)
def test_a_class_that_no_unseen_image_has_cannot_be_checked(seed: int, label: int, where: str) -> None:
    task = task_of("class", seed, label)
    seen = task.validation if where == "validation" else task.test
    without = replace(task, **{where: seen.select(seen.labels != label)})
    with pytest.raises(ValueError, match=f"the {where} images hold none of class {label}, so Eq. 8 cannot be checked"):
        stop_rule(without, Stopping(data=where))
    stop_rule(without, Stopping(data="test" if where == "validation" else "validation"))


@given(seeds, st.sampled_from(["class", "samples"]), st.integers(1, 3))
@settings(max_examples=FEW)
def test_a_rewind_looks_at_validation_images_like_the_forgotten(seed: int, kind: str, amount: int) -> None:
    task = task_of(kind, seed, amount)
    found = rewind_images(task)
    alike = [at for at, y in enumerate(task.validation.labels.tolist()) if kind == "samples" or y == amount]
    assert torch.equal(found.images, task.validation.images[alike])
    assert torch.equal(found.labels, task.validation.labels[alike])
