"""Eqs. 8 and 9 on models whose accuracy is known, and on which images they look."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from cu_helpers.data import Dataset, ForgetTask, forget_class, forget_samples
from cu_helpers.unlearning.stopping import Stopping, stop_rule


class Oracle(nn.Module):
    """Names the label of every image that it was shown, and class 0 for all others."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[bytes, int] = {}

    def learn(self, images: Tensor, labels: Tensor) -> None:
        for image, label in zip(images, labels.tolist(), strict=True):
            self.known[image.numpy().tobytes()] = label

    def forward(self, x: Tensor) -> Tensor:
        named = [self.known.get(image.contiguous().numpy().tobytes(), 0) for image in x]
        return nn.functional.one_hot(torch.tensor(named), 10).float()


def knowing(*parts: tuple[object, int]) -> Oracle:
    """A model that is right on the first `count` images of each set, and says 0 elsewhere."""
    model = Oracle()
    for part, count in parts:
        first = part.first(count)  # type: ignore[attr-defined]
        model.learn(first.normalise(first.images), first.labels)
    return model


def share(task_set: object, count: int) -> float:
    """Accuracy in percent of `knowing` on a set of which it knows the first `count`."""
    labels = task_set.labels  # type: ignore[attr-defined]
    return 100 * (count + int((labels[count:] == 0).sum())) / len(labels)


def test_equation_9_compares_forgotten_with_validation_images(digits: Dataset) -> None:
    task = forget_samples(digits, 20, seed=3)
    model = knowing((task.forget, 10), (task.validation, 100), (task.test, 1000))
    rule = stop_rule(task, Stopping())
    assert rule.forget(model) == pytest.approx(share(task.forget, 10))  # type: ignore[arg-type]
    assert rule.reference(model) == pytest.approx(share(task.validation, 100))  # type: ignore[arg-type]
    leaking = stop_rule(task, Stopping(data="test"))
    assert leaking.reference(model) == pytest.approx(share(task.test, 1000))  # type: ignore[arg-type]


def test_equation_8_compares_the_class_with_a_guess(digits: Dataset) -> None:
    task = forget_class(digits, 5)
    of_class, in_test = task.validation.of_class(5), task.test.of_class(5)
    model = knowing((of_class, 3), (in_test, len(in_test)))
    rule = stop_rule(task, Stopping())
    assert rule.forget(model) == pytest.approx(100 * 3 / len(of_class))  # type: ignore[arg-type]
    assert rule.reference(model) == 10.0  # type: ignore[arg-type]
    assert stop_rule(task, Stopping(data="test")).forget(model) == 100.0  # type: ignore[arg-type]


def test_validation_without_the_class_cannot_stop(digits: Dataset) -> None:
    task: ForgetTask = forget_class(digits, 5)
    without = replace(task, validation=task.validation.select(task.validation.labels != 5))
    with pytest.raises(ValueError, match=r"the validation images hold none of class 5, so Eq\. 8 cannot be checked"):
        stop_rule(without, Stopping())
