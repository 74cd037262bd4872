"""Whole-set inference against one image at a time, and what it leaves behind."""

import pytest
import torch
from conftest import CPU, image_data
from torch import Tensor, nn

from cu_helpers import data, inference, models


def test_logits_and_embeddings_equal_one_image_at_a_time(
    tiny_model: models.EmbeddingClassifier, tiny_images: data.ImageData
) -> None:
    tiny_model.eval()
    logits = inference.predict_logits(tiny_model, tiny_images, "float32")
    embeddings = inference.embed(tiny_model, tiny_images, "float32")
    assert logits.shape == (24, 3)
    assert embeddings.shape == (24, 8)
    for row in range(len(tiny_images)):
        x, _ = tiny_images.batch(torch.tensor([row]))
        with torch.no_grad():
            torch.testing.assert_close(logits[row], tiny_model(x)[0])
            torch.testing.assert_close(embeddings[row], tiny_model.encode(x)[0])
    exact = inference.exact_embeddings(tiny_model, tiny_images)
    assert (exact.dtype, exact.device) == (torch.float64, CPU)
    assert torch.equal(exact, embeddings.double())
    exact.requires_grad_()  # no inference tensor: a chapter may ask for gradients


@pytest.mark.parametrize("batch_size", [1, 5, 23, 24, 100, None])
def test_the_batch_size_changes_neither_rows_nor_order(
    tiny_model: models.EmbeddingClassifier, tiny_images: data.ImageData, batch_size: int | None
) -> None:
    whole = inference.run(tiny_model, tiny_images, tiny_model, "float32", len(tiny_images))
    cut = inference.run(tiny_model, tiny_images, tiny_model, "float32", batch_size)
    torch.testing.assert_close(cut, whole)


def test_batches_are_as_large_as_asked_and_normalised(
    tiny_model: models.EmbeddingClassifier, tiny_images: data.ImageData
) -> None:
    seen: list[Tensor] = []

    def look(x: Tensor) -> Tensor:
        seen.append(x.clone())
        return x.flatten(1)

    rows = inference.run(tiny_model, tiny_images, look, batch_size=10)
    assert [len(x) for x in seen] == [10, 10, 4]
    torch.testing.assert_close(rows, tiny_images.normalise(tiny_images.images).flatten(1))


def test_every_modules_mode_is_put_back(tiny_model: models.EmbeddingClassifier, tiny_images: data.ImageData) -> None:
    tiny_model.train()
    frozen = [module for module in tiny_model.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in frozen:
        module.eval()
    modes = [module.training for module in tiny_model.modules()]
    during: list[bool] = []

    def look(x: Tensor) -> Tensor:
        during.extend(module.training for module in tiny_model.modules())
        return x.flatten(1)

    inference.run(tiny_model, tiny_images, look)
    assert not any(during)
    assert [module.training for module in tiny_model.modules()] == modes
    assert any(modes)
    assert not all(modes)


def test_the_mode_is_put_back_after_an_error(
    tiny_model: models.EmbeddingClassifier, tiny_images: data.ImageData
) -> None:
    def fail(_: Tensor) -> Tensor:
        raise RuntimeError("stopped on purpose")

    tiny_model.train()
    with pytest.raises(RuntimeError, match="stopped on purpose"):
        inference.run(tiny_model, tiny_images, fail)
    assert all(module.training for module in tiny_model.modules())


def test_the_model_and_its_running_statistics_are_untouched(
    tiny_model: models.EmbeddingClassifier, tiny_images: data.ImageData
) -> None:
    tiny_model.train()
    before = {name: value.clone() for name, value in tiny_model.state_dict().items()}
    inference.embed(tiny_model, tiny_images)
    for name, value in tiny_model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_rows_are_float32_and_may_enter_a_gradient(
    tiny_model: models.EmbeddingClassifier, tiny_images: data.ImageData, precision: str
) -> None:
    embeddings = inference.embed(tiny_model, tiny_images, precision)
    assert embeddings.dtype == torch.float32
    assert not embeddings.requires_grad
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(24))
    weight = torch.ones(8, requires_grad=True)
    (embeddings * weight).pow(2).sum().backward()  # chapters do this with recorded embeddings
    assert weight.grad is not None


def test_bfloat16_is_near_float32(tiny_model: models.EmbeddingClassifier, tiny_images: data.ImageData) -> None:
    exact, rounded = (inference.embed(tiny_model, tiny_images, name) for name in ("float32", "bfloat16"))
    assert not torch.equal(exact, rounded)
    assert (exact * rounded).sum(dim=1).min() > 0.999


def test_no_images_are_refused(tiny_model: models.EmbeddingClassifier) -> None:
    empty = image_data(3).first(0)
    assert empty.device == CPU
    with pytest.raises(ValueError, match="there are no images to run the model on; expected at least one"):
        inference.predict_logits(tiny_model, empty)
