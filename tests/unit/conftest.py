"""Fixtures and hypothesis settings shared by the unit tests."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from cu_helpers import data, models, training

# The same examples on every run, and no deadline: a busy machine must not fail a true statement.
settings.register_profile("unit", derandomize=True, deadline=None, database=None, max_examples=100)
settings.load_profile("unit")

CPU = torch.device("cpu")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def image_data(count: int, side: int = 8, num_classes: int = 3, seed: int = 0, augment: bool = False) -> data.ImageData:
    """Random images whose classes differ in brightness, so that a model can learn them."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    centre = 255 * (labels + 0.5) / num_classes
    pixels = centre[:, None, None, None] + rng.normal(0, 20, (count, 3, side, side))
    images = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))
    return data.ImageData(images, torch.from_numpy(labels.astype(np.int64)), MEAN, STD, augment)


def unit_rows(count: int, dim: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    rows = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(rows, dim=1).to(dtype)


def labels(count: int, num_classes: int, seed: int) -> Tensor:
    return torch.randint(num_classes, (count,), generator=torch.Generator().manual_seed(seed))


temperatures = st.floats(-3, 3).map(lambda power: min(max(10.0**power, 1e-3), 1e3))


@pytest.fixture(autouse=True)
def _no_outside_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads or writes the user's own data or cache folder."""
    monkeypatch.delenv("CU_DATA", raising=False)
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    return data.load_dataset("digits", device="cpu")


@pytest.fixture(scope="session")
def tiny_images() -> data.ImageData:
    return image_data(24)


@pytest.fixture
def tiny_model() -> models.EmbeddingClassifier:
    return models.build_model("resnet18", 3, width=4, feature_dim=8, seed=0)


@pytest.fixture
def tiny_settings() -> training.TrainSettings:
    return training.TrainSettings(epochs=2, batch_size=8, learning_rate=0.05, precision="float32")


@pytest.fixture(scope="session")
def fitted(digits: data.Dataset) -> models.EmbeddingClassifier:
    """A narrow network that has learned the digits. Tests must not change it."""
    settings = training.TrainSettings(epochs=20, batch_size=20, learning_rate=0.05, precision="float32")
    return training.train(models.build_model("resnet18", 10, width=8, seed=3), digits.train, settings)
