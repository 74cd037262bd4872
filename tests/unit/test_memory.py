"""A GPU whose memory is too small: batches are halved, and it is said. torch's own error is raised by a stub."""

import sys
import warnings
import weakref
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from conftest import image_data
from torch import Tensor

from cu_helpers import experiments, training
from cu_helpers.checkpoints import load_model
from cu_helpers.data import Dataset, ForgetTask, forget_class, forget_samples
from cu_helpers.errors import DeviceMemoryError
from cu_helpers.inference import predict_logits
from cu_helpers.memory import SmallerBatchWarning, batch_words, half, halved, until_it_fits
from cu_helpers.models import EmbeddingClassifier, ModelConfig, build_model
from cu_helpers.training import TrainedModel, TrainSettings
from cu_helpers.unlearning import (
    METHODS,
    ContrastiveSettings,
    FinetuneSettings,
    RetrainSettings,
    ScrubSettings,
    Stopping,
    unlearn,
)
from cu_helpers.unlearning.fisher import fisher_diagonal
from cu_helpers.unlearning.layerwise import Directions, LayerwiseSquares
from cu_helpers.unlearning.per_sample import VmapSquares

NO_RULE = Stopping(rule="none")


def small_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """A model that runs out of memory for more than `most` images; the sizes that were asked of it."""
    asked: list[int] = []
    real = EmbeddingClassifier.encode

    def encode(self: EmbeddingClassifier, x: Tensor) -> Tensor:
        asked.append(len(x))
        if len(x) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return real(self, x)

    monkeypatch.setattr(EmbeddingClassifier, "encode", encode)
    return asked


def same(a: EmbeddingClassifier, b: EmbeddingClassifier) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.fixture(scope="module")
def tasks() -> dict[str, ForgetTask]:
    images = image_data(48)
    dataset = Dataset("digits", images, image_data(12, seed=1), image_data(12, seed=2), ("a", "b", "c"))
    return {"class": forget_class(dataset, 1), "samples": forget_samples(dataset, 16)}


# The rule itself


def test_the_size_is_halved_until_it_fits_and_each_time_it_is_said() -> None:
    tried = []

    def attempt(size: int) -> str:
        tried.append(size)
        if size > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return f"made with {size}"

    with pytest.warns(SmallerBatchWarning) as told:
        assert until_it_fits(attempt, 40, half, "work", "{} images".format) == ("made with 5", 5)
    assert tried == [40, 20, 10, 5]
    assert [str(one.message) for one in told] == [
        f"work: {size} images does not fit into the GPU's memory; going on with {size // 2} images"
        for size in (40, 20, 10)
    ]


def test_what_did_not_fit_is_freed_before_the_next_attempt() -> None:
    """An error holds its frames, and these hold the tensors: a retry inside the handler would have both."""
    gone: list[weakref.ref[Tensor]] = []

    def attempt(size: int) -> bool:
        if gone:
            return gone[0]() is None
        large = torch.zeros(size)
        gone.append(weakref.ref(large))
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.warns(SmallerBatchWarning):
        assert until_it_fits(attempt, 8, half, "work") == (True, 4)


def test_a_single_image_that_does_not_fit_is_told_in_one_sentence() -> None:
    def attempt(_: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory\nand many lines")

    with pytest.warns(SmallerBatchWarning), pytest.raises(DeviceMemoryError) as caught:
        until_it_fits(attempt, 2, half, "work", "{} images".format)
    assert str(caught.value).startswith("work: the GPU's memory is too small even for 1 images; use a narrower model")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: device-side assert"), ValueError("bad"), MemoryError()])
def test_other_errors_pass_and_are_not_tried_again(error: Exception) -> None:
    tried = []

    def attempt(size: int) -> None:
        tried.append(size)
        raise error

    with pytest.raises(type(error)) as caught:
        until_it_fits(attempt, 8, half, "work")
    assert caught.value is error
    assert tried == [8]


@dataclass(frozen=True)
class Inner:
    batch_size: int = 5
    epochs: int = 8


@dataclass(frozen=True)
class Outer:
    forget_batch_size: int = 1
    retain_batch_size: int = 12
    rounds: int = 6
    own_batch_size: int | None = None
    inner: Inner = field(default_factory=Inner)


def test_every_batch_size_is_halved_and_nothing_else() -> None:
    assert halved(Outer()) == Outer(1, 6, 6, None, Inner(2, 8))
    assert halved(Outer(1, 1, 6, None, Inner(1, 8))) is None
    assert batch_words(Outer()) == "forget_batch_size 1, retain_batch_size 12, batch_size 5"


def test_all_settings_with_a_batch_size_can_be_halved() -> None:
    for name, method in METHODS.items():
        settings = method.settings()
        has = any(key.endswith("batch_size") and value for key, value in vars(settings).items()) or name == "retrain"
        assert (halved(settings) is not None) == has, name


# What it is used for


@pytest.mark.parametrize("method", ["contrastive", "finetune", "scrub", "retrain"])
def test_unlearning_starts_over_with_half_the_batch(
    method: str, tasks: dict[str, ForgetTask], tiny_model: EmbeddingClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {
        "contrastive": ContrastiveSettings(batch_size=8, max_rounds=1, precision="float32", stopping=NO_RULE),
        "finetune": FinetuneSettings(batch_size=16, max_rounds=1, precision="float32", stopping=NO_RULE),
        "scrub": ScrubSettings(
            forget_batch_size=4, retain_batch_size=16, max_rounds=1, max_steps=1, precision="float32"
        ),
        "retrain": RetrainSettings(TrainSettings(epochs=1, batch_size=16, precision="float32")),
    }
    small = halved(given[method])
    before = [value.clone() for value in tiny_model.state_dict().values()]
    expected = unlearn(method, tiny_model, tasks["class"], small, seed=3)
    small_memory(monkeypatch, 8)
    with pytest.warns(SmallerBatchWarning, match=f"^{method}: .*batch_size 16|^contrastive: batch_size 8 does not"):
        found = unlearn(method, tiny_model, tasks["class"], given[method], seed=3)
    assert same(found.model, expected.model), "the run is that of the smaller batch, from the first step on"
    assert found.settings == small, "and the result says so"
    assert (found.steps, found.samples_seen) == (expected.steps, expected.samples_seen)
    assert all(torch.equal(a, b) for a, b in zip(before, tiny_model.state_dict().values(), strict=True))


@pytest.mark.parametrize(("kind", "size"), [("class", 64), ("samples", 128)])
def test_a_batch_size_left_to_the_task_is_halved_too(
    kind: str, size: int, tasks: dict[str, ForgetTask], tiny_model: EmbeddingClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_memory(monkeypatch, 16)  # 16 forgotten and 16 retained images in one forward are too many
    settings = ContrastiveSettings(max_rounds=1, omega=1, precision="float32", stopping=NO_RULE)
    with pytest.warns(SmallerBatchWarning) as told:
        found = unlearn("contrastive", tiny_model, tasks[kind], settings)
    assert f"batch_size {size} does not fit into the GPU's memory; going on with batch_size {size // 2}" in str(
        told[0].message
    )
    assert found.settings == replace(settings, batch_size=8)


def test_a_record_tells_the_batch_that_was_used_and_its_curve_begins_once(
    tasks: dict[str, ForgetTask], tiny_model: EmbeddingClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "retrain_step_seconds", lambda *_: 1.0)
    small_memory(monkeypatch, 12)
    profile = experiments.Profile("smoke", "digits", width=4, feature_dim=8)
    settings = ContrastiveSettings(batch_size=8, max_rounds=2, omega=1, precision="float32", stopping=NO_RULE)
    original = TrainedModel(tiny_model, 1.0, "key", loaded=True)
    words = (profile, tasks["class"], original, "contrastive", 0, "Table 2")
    with pytest.warns(SmallerBatchWarning):
        _, run = experiments.unlearning_run(*words, settings=settings, curve=["forget"])
    with pytest.warns(SmallerBatchWarning):
        history = experiments.trace("contrastive", original, tasks["class"], settings)
    assert run["settings"]["contrastive"].batch_size == 4
    assert [row["steps"] for row in run["curve"]] == [0, 4, 8]
    assert [row["round"] for row in history] == [0, 1, 2]


def test_training_starts_over_and_its_notes_say_so(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config, images = ModelConfig("resnet18", 3, 3, 4, 8), image_data(24)
    settings = TrainSettings(epochs=1, batch_size=16, learning_rate=0.05, precision="float32")
    small = training.load_or_train(config, images, replace(settings, batch_size=8), 1, tmp_path / "small")
    small_memory(monkeypatch, 8)
    with pytest.warns(SmallerBatchWarning, match="batch_size 16 does not fit .* going on with batch_size 8"):
        found = training.load_or_train(config, images, settings, 1, tmp_path / "asked")
    assert same(found.model, small.model)
    assert found.key != small.key, "the cache knows it by what was asked for"
    (path,) = (tmp_path / "asked").glob("*.safetensors")
    assert load_model(path)[1]["settings"]["batch_size"] == 8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert training.load_or_train(config, images, settings, 1, tmp_path / "asked").loaded


def test_evaluation_goes_on_with_smaller_batches_and_the_same_answers(
    tiny_model: EmbeddingClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = image_data(23)
    whole = predict_logits(tiny_model, images, "float32")
    asked = small_memory(monkeypatch, 6)
    with pytest.warns(SmallerBatchWarning, match="evaluation: 23 images at once does not fit"):
        parts = predict_logits(tiny_model, images, "float32")
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
    assert asked == [23, 11, 5, 5, 5, 5, 3], "what fitted once is kept to"


@pytest.mark.parametrize("way", [LayerwiseSquares, VmapSquares])
def test_the_fisher_information_counts_each_image_once(
    way: type[LayerwiseSquares | VmapSquares], tiny_model: EmbeddingClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = image_data(7)
    whole = fisher_diagonal(tiny_model, images)
    real, asked = way.__call__, []

    def limited(self: Any, x: Tensor, directions: Directions) -> dict[str, Tensor]:
        asked.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, x, directions)

    monkeypatch.setattr(way, "__call__", limited)
    if way is VmapSquares:
        monkeypatch.setattr(
            sys.modules["cu_helpers.unlearning.fisher"], "squared_gradients", lambda model, x: VmapSquares(model)
        )
    with pytest.warns(SmallerBatchWarning, match="fisher: 5 images at once does not fit"):
        parts = fisher_diagonal(tiny_model, images, chunk=5)
    assert asked[-5:] == [5, 2, 2, 2, 1], "after the one image on which the formulas are tried"
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-8)


def test_a_method_without_batches_says_that_nothing_smaller_is_left(
    tasks: dict[str, ForgetTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_memory(monkeypatch, 0)
    model = build_model("resnet18", 3, width=4, feature_dim=8, seed=0)
    with pytest.raises(DeviceMemoryError, match="fisher: the GPU's memory is too small even for a single image"):
        unlearn("fisher", model, tasks["class"])
