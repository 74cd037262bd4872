"""Digits, splits, forget tasks and ImageData. The file readers have their own tests in test_sources.py."""

import itertools
from collections import Counter

import pytest
import torch
from conftest import CPU, MEAN, STD, image_data
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cu_helpers import data, models, training
from cu_helpers.splits import balanced_split


def parts(dataset: data.Dataset) -> list[data.ImageData]:
    return [dataset.train, dataset.validation, dataset.test]


def rows(images: data.ImageData) -> list[bytes]:
    """Every image with its label as bytes: content to compare, whatever the index arithmetic says."""
    return [
        image.numpy().tobytes() + bytes([label])
        for image, label in zip(images.images, images.labels.tolist(), strict=True)
    ]


# Digits


def test_digits_have_the_promised_shape_and_type(digits: data.Dataset) -> None:
    assert digits.name == "digits"
    assert digits.classes == tuple("0123456789")
    sizes = [len(part) for part in parts(digits)]
    assert sum(sizes) == 1797
    assert sizes[1] == round((1797 - sizes[0]) / 5)
    for part in parts(digits):
        assert part.images.dtype == torch.uint8
        assert part.images.shape == (len(part), 3, 32, 32)
        assert part.labels.dtype == torch.int64
        assert part.labels.unique().tolist() == list(range(10))
        assert part.images.min() == 0
        assert 240 <= part.images.max() <= 255  # the brightest scan pixel, 16, is smoothed a little
        assert part.device == CPU
        assert not part.augment


def test_digits_hold_every_scan_of_scikit_learn_once_with_its_label(digits: data.Dataset) -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # Linear interpolation to four times the size: the mean of the middle 2x2 of a 4x4 patch is 7/8 of the
    # scan's own pixel and 1/16 of each neighbour, along rows and then along columns.
    blur = torch.diag(torch.full((8,), 7 / 8)) + sum(torch.diag(torch.full((7,), 1 / 16), d) for d in (-1, 1))
    blur[0, 0] = blur[7, 7] = 15 / 16
    blur = blur.double()
    expected = (blur @ torch.from_numpy(bunch.images) @ blur * 255 / 16).flatten(1)
    images = torch.cat([part.images for part in parts(digits)])
    labels = torch.cat([part.labels for part in parts(digits)])
    middle = images[:, 0].double().reshape(-1, 8, 4, 8, 4)[:, :, 1:3, :, 1:3].mean(dim=(2, 4)).flatten(1)
    distance, scan = torch.cdist(middle, expected, p=float("inf")).min(dim=1)
    assert distance.max() <= 0.5  # rounding to uint8
    assert sorted(scan.tolist()) == list(range(1797))
    assert torch.equal(labels, torch.from_numpy(bunch.target)[scan])
    assert torch.equal(images[:, 0], images[:, 1])
    assert torch.equal(images[:, 0], images[:, 2])


def test_normalised_digits_have_zero_mean_and_unit_spread(digits: data.Dataset) -> None:
    x = digits.train.normalise(digits.train.images)
    assert x.mean().item() == pytest.approx(0, abs=0.05)
    assert x.std().item() == pytest.approx(1, abs=0.05)


def test_digits_leave_a_gap_between_train_and_test_accuracy(digits: data.Dataset) -> None:
    """A model that knows every training image by heart still errs on others, so there is something to forget."""
    model = models.build_model("resnet18", 10, width=8, seed=0)
    training.train(model, digits.train, training.TrainSettings(40, 32, 0.05))
    train, test = (training.accuracy(model, part) for part in (digits.train, digits.test))
    assert train >= 99
    assert train - test >= 5


# Validation and size


def test_validation_is_a_class_balanced_fifth_apart_from_test(digits: data.Dataset) -> None:
    held_out = torch.cat([digits.validation.labels, digits.test.labels])
    for label in range(10):
        of_label = int((held_out == label).sum())
        assert abs(int((digits.validation.labels == label).sum()) - of_label / 5) <= 1


def test_validation_and_test_are_the_same_at_every_load_and_for_every_task(digits: data.Dataset) -> None:
    torch.manual_seed(123)  # the global generator must have no say
    again = data.load_dataset("digits", device="cpu")
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(again, part).images, getattr(digits, part).images)
        assert torch.equal(getattr(again, part).labels, getattr(digits, part).labels)
    tasks = [data.forget_class(digits, label, seed) for label, seed in ((0, 0), (5, 3))]
    tasks += [data.forget_samples(digits, count, seed) for count, seed in ((1, 0), (60, 7))]
    tasks += [data.forget_samples(digits, 10, first=True), data.forget_class(digits.with_train(100), 5)]
    for task in tasks:
        assert task.validation is digits.validation
        assert task.test is digits.test


def test_loading_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    dataset = data.load_dataset("digits", device="cpu")
    data.forget_samples(dataset.with_train(50), 10)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("count", [10, 11, 37, 150, 179])
def test_with_train_draws_exactly_so_many_of_each_class(digits: data.Dataset, count: int) -> None:
    small = digits.with_train(count)
    assert len(small.train) == count < len(digits.train)
    share = count / len(digits.train)
    for label in range(10):
        drawn, there = int((small.train.labels == label).sum()), int((digits.train.labels == label).sum())
        assert drawn >= 1
        assert abs(drawn - share * there) <= 1
    assert not Counter(rows(small.train)) - Counter(rows(digits.train))
    assert torch.equal(small.train.images, digits.with_train(count).train.images)
    assert small.test is digits.test
    assert small.validation is digits.validation


def test_with_test_draws_test_images_alone(digits: data.Dataset) -> None:
    small = digits.with_test(101)
    assert len(small.test) == 101
    assert set(small.test.labels.bincount(minlength=10).tolist()) == {10, 11}
    assert not Counter(rows(small.test)) - Counter(rows(digits.test))
    assert small.train is digits.train
    assert small.validation is digits.validation
    with pytest.raises(ValueError, match="9 test images of digits were asked for; expected 10"):
        digits.with_test(9)


def test_with_train_and_with_test_of_everything_change_nothing(digits: data.Dataset) -> None:
    assert digits.with_train(None) is digits.with_test(None) is digits
    assert digits.with_test(len(digits.test)) is digits
    assert digits.with_train(len(digits.train)) is digits


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=8).flatmap(
        lambda sizes: st.tuples(st.just(sizes), st.integers(len(sizes), sum(sizes)), st.integers(0, 99))
    )
)
def test_a_balanced_split_is_exact_complete_and_even(drawn: tuple[list[int], int, int]) -> None:
    sizes, count, seed = drawn
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    chosen, rest = balanced_split(labels, count, seed)
    assert len(chosen) == count
    assert sorted([*chosen.tolist(), *rest.tolist()]) == list(range(len(labels)))
    assert chosen.tolist() == sorted(chosen.tolist())
    assert rest.tolist() == sorted(rest.tolist())
    taken = labels[chosen].bincount(minlength=len(sizes)).tolist()
    assert min(taken) >= 1
    # One row more or less changes a class's share by 1/size: no two classes differ by more.
    for (a, n), (b, m) in itertools.combinations(zip(taken, sizes, strict=True), 2):
        assert abs(a / n - b / m) <= 1 / min(n, m) + 1e-12


@pytest.mark.parametrize("count", [0, 9, 1797, 10**6])
def test_with_train_refuses_a_size_that_cannot_be(digits: data.Dataset, count: int) -> None:
    with pytest.raises(ValueError, match=rf"{count} training images of digits .* expected 10 \(one per class\) to"):
        digits.with_train(count)


# Forgetting a class


@pytest.mark.parametrize("label", [0, 5, 9])
def test_forget_class_cuts_train_and_test_by_the_class(digits: data.Dataset, label: int) -> None:
    task = data.forget_class(digits, label, seed=4)
    assert (task.kind, task.dataset, task.label, task.seed) == ("class", "digits", label, 4)
    assert task.classes == digits.classes
    assert task.train is digits.train
    expected = [i for i, y in enumerate(digits.train.labels.tolist()) if y == label]
    assert task.forget_index.tolist() == expected
    assert torch.equal(task.forget.images, digits.train.images[expected])
    assert set(task.forget.labels.tolist()) == {label}
    assert label not in task.retain.labels.tolist()
    assert sorted(rows(task.forget) + rows(task.retain)) == sorted(rows(digits.train))
    assert task.forget_test is not None
    assert task.retain_test is not None
    assert set(task.forget_test.labels.tolist()) == {label}
    assert label not in task.retain_test.labels.tolist()
    assert sorted(rows(task.forget_test) + rows(task.retain_test)) == sorted(rows(digits.test))


@pytest.mark.parametrize("label", [-1, 10, 99])
def test_forget_class_refuses_a_label_that_is_not_there(digits: data.Dataset, label: int) -> None:
    with pytest.raises(ValueError, match=rf"label {label} is not in digits's training images; expected one of 0 to 9"):
        data.forget_class(digits, label)


@pytest.mark.parametrize("label", [True, 5.0, "5", None])
def test_forget_class_refuses_a_label_that_is_no_whole_number(digits: data.Dataset, label: object) -> None:
    with pytest.raises(ValueError, match=rf"label is {label!r}; expected a whole number"):
        data.forget_class(digits, label)  # type: ignore[arg-type]


def test_forget_class_refuses_to_leave_nothing(digits: data.Dataset) -> None:
    only = data.Dataset("digits", digits.train.of_class(3), digits.validation, digits.test, digits.classes)
    with pytest.raises(ValueError, match="every training image has label 3: nothing would be retained"):
        data.forget_class(only, 3)


# Forgetting samples


@pytest.mark.parametrize("count", [1, 60, 179])
def test_forget_samples_is_disjoint_and_complete(digits: data.Dataset, count: int) -> None:
    task = data.forget_samples(digits, count, seed=1)
    assert (task.kind, task.label, task.seed) == ("samples", None, 1)
    assert task.forget_test is None
    assert task.retain_test is None
    index = task.forget_index.tolist()
    assert len(set(index)) == count == len(task.forget)
    kept = sorted(set(range(len(digits.train))) - set(index))
    assert torch.equal(task.forget.images, digits.train.images[index])
    assert torch.equal(task.forget.labels, digits.train.labels[index])
    assert torch.equal(task.retain.images, digits.train.images[kept])
    assert torch.equal(task.retain.labels, digits.train.labels[kept])
    assert sorted(rows(task.forget) + rows(task.retain)) == sorted(rows(digits.train))


def test_other_seeds_draw_other_samples_and_the_same_seed_the_same(digits: data.Dataset) -> None:
    drawn = [set(data.forget_samples(digits, 60, seed).forget_index.tolist()) for seed in range(6)]
    for one, other in itertools.combinations(drawn, 2):
        assert len(one & other) < 40  # two draws of 60 in 180 share 20 on average, with a standard deviation of 3
    assert drawn[2] == set(data.forget_samples(digits, 60, 2).forget_index.tolist())


def test_the_draw_favours_no_image(digits: data.Dataset) -> None:
    n, draws = len(digits.train), 200
    times = torch.zeros(n, dtype=torch.float64)
    for seed in range(draws):
        times[data.forget_samples(digits, n // 3, seed).forget_index] += 1
    share = (n // 3) / n
    spread = (draws * share * (1 - share)) ** 0.5
    assert (times - draws * share).abs().max() < 5 * spread
    assert times.std().item() == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize("seed", [0, 3])
def test_first_takes_the_first_rows_whatever_the_seed(digits: data.Dataset, seed: int) -> None:
    task = data.forget_samples(digits, 7, seed, first=True)
    assert task.forget_index.tolist() == list(range(7))
    assert torch.equal(task.retain.images, digits.train.images[7:])


@pytest.mark.parametrize("count", [0, -3, 1797, 5000])
def test_forget_samples_refuses_a_count_that_cannot_be(digits: data.Dataset, count: int) -> None:
    with pytest.raises(
        ValueError, match=rf"{count} images were asked to be forgotten; expected 1 to {len(digits.train) - 1}"
    ):
        data.forget_samples(digits, count)


@pytest.mark.parametrize("count", [True, 2.0, "2"])
def test_forget_samples_refuses_a_count_that_is_no_whole_number(digits: data.Dataset, count: object) -> None:
    with pytest.raises(ValueError, match=rf"count is {count!r}; expected a whole number"):
        data.forget_samples(digits, count)  # type: ignore[arg-type]


# ImageData


def test_a_batch_is_the_named_rows_normalised() -> None:
    images = image_data(6)
    x, y = images.batch(torch.tensor([4, 1, 4]))
    assert y.tolist() == [images.labels[i].item() for i in (4, 1, 4)]
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    for position, row in enumerate((4, 1, 4)):
        for channel in range(3):
            expected = (images.images[row, channel].double() / 255 - MEAN[channel]) / STD[channel]
            torch.testing.assert_close(x[position, channel].double(), expected, rtol=0, atol=1e-5)


def test_select_copies_and_keeps_the_rest() -> None:
    images = image_data(9, augment=True)
    picked = images.select(torch.tensor([8, 0]))
    assert torch.equal(picked.images, images.images[[8, 0]])
    assert (picked.mean, picked.std, picked.augment) == (MEAN, STD, True)
    picked.images.zero_()
    assert images.images[8].any()
    assert len(images.of_class(1)) == 3
    assert len(images.of_class(7)) == 0
    assert [len(images.first(count)) for count in (0, 4, 9, 100)] == [0, 4, 9, 9]
    assert torch.equal(images.first(4).images, images.images[:4])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64), "images are torch.float32 of shape"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), r"shape \(2, 1, 8, 8\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), r"shape \(3, 8, 8\)"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(2), "labels are torch.float32"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), r"shape \(3,\); .* \(2,\)"),
    ],
)
def test_image_data_refuses_other_types_and_shapes(images: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data.ImageData(images, labels, MEAN, STD)


def test_an_unknown_data_set_is_refused_with_the_list() -> None:
    with pytest.raises(
        ValueError, match="unknown data set 'mnist'; expected one of: cifar10, cifar100, digits, mini_imagenet, svhn"
    ):
        data.load_dataset("mnist")


def test_a_gradient_reaches_pixels_that_were_looked_at_in_inference_mode() -> None:
    images = image_data(4)
    with torch.inference_mode():
        images.batch(torch.arange(2))
    pixels = images.images.float().requires_grad_()
    images.normalise(pixels).sum().backward()  # type: ignore[no-untyped-call]
    assert pixels.grad is not None
    assert torch.allclose(pixels.grad[0, :, 0, 0] * 255, 1 / torch.tensor(images.std))
