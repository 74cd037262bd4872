"""Models on disk: the way there and back, damaged and foreign files, the cache folder and fingerprints."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import image_data
from safetensors import safe_open
from safetensors.torch import save_file

from cu_helpers import checkpoints
from cu_helpers.checkpoints import cache_folder, fingerprint, load_model, save_model
from cu_helpers.errors import CheckpointError
from cu_helpers.models import EmbeddingClassifier, build_model


@pytest.fixture
def saved(tiny_model: EmbeddingClassifier, tmp_path: Path) -> Path:
    path = tmp_path / "kept" / "model.safetensors"
    save_model(tiny_model, path, {"seed": 3, "settings": {"epochs": 2}})
    return path


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vit_small"])
def test_a_model_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    model = build_model(name, 3, width=4, feature_dim=8, seed=7)
    path = tmp_path / "model.safetensors"
    save_model(model, str(path))
    loaded, notes = load_model(path, model.config)
    assert loaded.config == model.config
    assert notes["config"]["name"] == name
    before, after = model.state_dict(), loaded.state_dict()
    assert list(before) == list(after)
    for key in before:
        assert torch.equal(before[key], after[key]), key
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(model.eval()(x), loaded.eval()(x))


def test_a_channels_last_model_comes_back(tiny_model: EmbeddingClassifier, tmp_path: Path) -> None:
    tiny_model.to(memory_format=torch.channels_last)
    save_model(tiny_model, tmp_path / "model.safetensors")
    loaded, _ = load_model(tmp_path / "model.safetensors")
    for key, value in tiny_model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key]), key


def test_the_notes_are_in_both_files(saved: Path, tiny_model: EmbeddingClassifier) -> None:
    _, notes = load_model(saved)
    beside = json.loads(saved.with_suffix(".json").read_text())
    assert beside == notes
    assert notes["seed"] == 3
    assert notes["settings"] == {"epochs": 2}
    assert notes["config"] == {"name": "resnet18", "num_classes": 3, "in_channels": 3, "width": 4, "feature_dim": 8}
    assert notes["versions"]["torch"] == torch.__version__
    assert set(notes["versions"]) == {"python", "torch", "torchvision", "cu_helpers"}
    assert sorted(path.name for path in saved.parent.iterdir()) == ["model.json", "model.safetensors"]


def test_loading_leaves_the_global_generator_alone(saved: Path) -> None:
    """Else a chapter would draw other numbers when its model comes from the cache."""
    state = torch.get_rng_state()
    load_model(saved)
    assert torch.equal(torch.get_rng_state(), state)


# A write that fails


def test_a_failing_write_leaves_the_old_pair_and_nothing_else(
    saved: Path, tiny_model: EmbeddingClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in saved.parent.iterdir()}

    def half(_: object, aside: Path, metadata: object) -> None:
        Path(aside).write_bytes(b"half a file")
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoints, "save_file", half)
    with pytest.raises(OSError, match="no space left on device"):
        save_model(tiny_model, saved, {"seed": 99})
    assert {path.name: path.read_bytes() for path in saved.parent.iterdir()} == before


def test_notes_that_json_cannot_hold_write_nothing(tiny_model: EmbeddingClassifier, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_model(tiny_model, tmp_path / "model.safetensors", {"tensor": torch.zeros(1)})
    assert list(tmp_path.iterdir()) == []


# Files that cannot be used


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "does not exist; train the model first or correct the path" in refusal(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 8, 100, 0.5, -1])
def test_a_truncated_file_is_named(saved: Path, keep: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    assert "is truncated or was not written by cu_helpers" in refusal(saved)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"description": "not json"},
        {"description": "[1, 2]"},
        {"description": '{"config": {"name": "resnet18"}}'},
        {"description": '{"seed": 3}'},
    ],
)
def test_a_foreign_file_is_named(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
    assert "was not written by cu_helpers" in refusal(path)


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    assert "was not written by cu_helpers" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "resnet34"), ("num_classes", 10), ("in_channels", 1), ("width", 16), ("feature_dim", 128)],
)
def test_another_architecture_is_refused(
    saved: Path, tiny_model: EmbeddingClassifier, field: str, value: str | int
) -> None:
    expected = replace(tiny_model.config, **{field: value})
    message = refusal(saved, expected=expected)
    assert f"holds {tiny_model.config.describe()}; expected {expected.describe()}" in message


@pytest.mark.parametrize(("field", "value"), [("width", 8), ("name", "resnet152"), ("width", "wide"), ("width", 0)])
def test_weights_that_do_not_fit_the_named_architecture_are_refused(saved: Path, field: str, value: str | int) -> None:
    with safe_open(saved, "pt") as file:
        notes = json.loads(file.metadata()["description"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    notes["config"][field] = value
    save_file(weights, saved, metadata={"description": json.dumps(notes)})
    assert "does not fit the" in refusal(saved)


# The cache folder and fingerprints


def test_cu_cache_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("CU_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "cu_helpers"


def test_equal_data_have_equal_fingerprints() -> None:
    assert fingerprint(image_data(6)) == fingerprint(image_data(6))
    backwards = image_data(6).select(torch.arange(5, -1, -1)).select(torch.arange(5, -1, -1))
    assert fingerprint(backwards) == fingerprint(image_data(6))


def test_any_change_changes_the_fingerprint() -> None:
    images = image_data(6)
    pixel = images.images.clone()
    pixel[5, 2, 7, 7] ^= 1
    label = images.labels.clone()
    label[5] += 1
    changed = [
        images,
        replace(images, images=pixel),
        replace(images, labels=label),
        replace(images, mean=(0.4, 0.5, 0.61)),
        replace(images, std=(0.2, 0.25, 0.31)),
        replace(images, augment=True),
        replace(images, images=images.images.reshape(6, 3, 4, 16)),
        images.first(5),
        images.select(torch.arange(5, -1, -1)),
    ]
    assert len({fingerprint(one) for one in changed}) == len(changed)
