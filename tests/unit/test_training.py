"""Training, its schedule and its seeds, accuracy, augmentation, and the cache of trained models."""

import ast
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CPU, image_data
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import cu_helpers
from cu_helpers import data, models, training
from cu_helpers.checkpoints import load_model
from cu_helpers.devices import generator
from cu_helpers.errors import NonFiniteError
from cu_helpers.models import EmbeddingClassifier, ModelConfig, build_model
from cu_helpers.training import TrainSettings, accuracy, load_or_train, rotate_and_crop, train

CONFIG = ModelConfig("resnet18", 3, 3, 4, 8)


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return all(torch.equal(first[key], second[key]) for key in first)


# Training


@pytest.mark.parametrize(("name", "learning_rate"), [("resnet18", 0.05), ("vit_small", 1e-3)])
def test_a_small_set_is_learnt_by_heart(name: str, learning_rate: float) -> None:
    """Noise with random labels: nothing but memory can get them right."""
    draw = generator(1, CPU)
    pixels = torch.randint(256, (24, 3, 16, 16), generator=draw, dtype=torch.uint8)
    images = data.ImageData(pixels, torch.randint(3, (24,), generator=draw), (0.5, 0.5, 0.5), (0.29, 0.29, 0.29))
    model = build_model(name, 3, width=8, feature_dim=16, seed=0)
    assert accuracy(model, images) < 70
    settings = TrainSettings.for_model(name, epochs=90, batch_size=8, learning_rate=learning_rate)
    trained = train(model, images, settings)
    assert trained is model
    assert not any(module.training for module in trained.modules())
    assert accuracy(trained, images) == 100


def test_the_same_seed_gives_the_same_weights(tiny_images: data.ImageData, tiny_settings: TrainSettings) -> None:
    def trained(seed: int) -> EmbeddingClassifier:
        return train(build_model("resnet18", 3, width=4, feature_dim=8, seed=0), tiny_images, tiny_settings, seed)

    first = trained(1)
    torch.rand(17)  # the global generator must have no say
    assert same_weights(first, trained(1))
    assert not same_weights(first, trained(2))


def test_training_leaves_the_global_generator_and_the_images_alone(tiny_settings: TrainSettings) -> None:
    images = image_data(12, augment=True)
    before, labels = images.images.clone(), images.labels.clone()
    model = build_model("resnet18", 3, width=4, feature_dim=8, seed=0)
    state = torch.get_rng_state()
    train(model, images, tiny_settings)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images.images, before)
    assert torch.equal(images.labels, labels)


def test_one_epoch_sees_every_image_once_in_a_new_order(
    tiny_model: EmbeddingClassifier, tiny_settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = image_data(21)
    seen: list[list[int]] = []
    real = data.ImageData.batch

    def look(self: data.ImageData, index: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(index.tolist())
        return real(self, index)

    monkeypatch.setattr(data.ImageData, "batch", look)
    train(tiny_model, images, replace(tiny_settings, epochs=2))
    assert [len(index) for index in seen] == [8, 8, 5, 8, 8, 5]
    first, second = ([row for index in part for row in index] for part in (seen[:3], seen[3:]))
    assert sorted(first) == sorted(second) == list(range(21))
    assert first != second != list(range(21))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_learning_rate_follows_a_cosine_to_zero(
    optimizer: str, tiny_model: EmbeddingClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "SGD" if optimizer == "sgd" else "AdamW"
    rates: list[float] = []
    real: Any = getattr(torch.optim, name)

    class Watched(real):  # type: ignore[misc, valid-type]
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, name, Watched)
    settings = TrainSettings(epochs=3, batch_size=8, learning_rate=0.04, optimizer=optimizer)
    train(tiny_model, image_data(20), settings)
    steps = 3 * 3
    expected = [0.04 * (1 + math.cos(math.pi * step / steps)) / 2 for step in range(steps)]
    assert rates == pytest.approx(expected, rel=1e-6)


def test_a_step_is_the_gradient_of_the_cross_entropy(tiny_model: EmbeddingClassifier) -> None:
    """One batch, one epoch, no momentum or decay: the weights move by exactly -lr * gradient."""
    images = image_data(8)
    model = tiny_model.double()
    model.train()
    x, y = images.batch(torch.arange(8))
    logits = model(x.double())
    loss = -logits.log_softmax(dim=1)[torch.arange(8), y].mean()
    gradient = torch.autograd.grad(loss, list(model.parameters()))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    single = build_model("resnet18", 3, width=4, feature_dim=8, seed=0)
    losses: list[tuple[int, float]] = []
    settings = TrainSettings(1, 8, 0.1, momentum=0, weight_decay=0, precision="float32")
    train(single, images, settings, on_epoch=lambda epoch, value: losses.append((epoch, value)))
    assert losses == [(1, pytest.approx(loss.item(), rel=1e-4))]
    for start, slope, end in zip(before, gradient, single.parameters(), strict=True):
        torch.testing.assert_close(end.double(), start - 0.1 * slope, rtol=1e-3, atol=1e-5)


def test_each_epoch_reports_its_mean_loss(tiny_model: EmbeddingClassifier, tiny_images: data.ImageData) -> None:
    calls: list[tuple[int, float]] = []
    settings = TrainSettings(4, 8, 0.05)
    train(tiny_model, tiny_images, settings, on_epoch=lambda epoch, loss: calls.append((epoch, loss)))
    assert [epoch for epoch, _ in calls] == [1, 2, 3, 4]
    assert calls[-1][1] < calls[0][1]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_loss_that_is_not_finite_stops_the_training(
    optimizer: str, tiny_model: EmbeddingClassifier, tiny_images: data.ImageData
) -> None:
    with torch.no_grad():
        tiny_model.head.weight.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="training loss is nan in epoch 1; lower learning_rate"):
        train(tiny_model, tiny_images, TrainSettings(5, 8, 0.1, optimizer=optimizer))


def test_a_learning_rate_that_blows_up_is_reported(
    tiny_model: EmbeddingClassifier, tiny_images: data.ImageData
) -> None:
    with pytest.raises(NonFiniteError, match=r"training loss is .* lower learning_rate \(now 1e\+38\)"):
        train(tiny_model, tiny_images, TrainSettings(5, 8, 1e38, precision="float32"))


def test_an_empty_training_set_is_refused(tiny_model: EmbeddingClassifier, tiny_images: data.ImageData) -> None:
    with pytest.raises(ValueError, match="the training set is empty; expected at least one image"):
        train(tiny_model, tiny_images.first(0))


def test_one_image_in_the_last_batch_trains(tiny_model: EmbeddingClassifier) -> None:
    train(tiny_model, image_data(9, side=32), TrainSettings(1, 8, 0.01))


def test_vit_takes_adam_and_resnets_sgd() -> None:
    vit = TrainSettings.for_model("vit_small", epochs=3)
    assert (vit.optimizer, vit.learning_rate, vit.weight_decay, vit.epochs) == ("adam", 3e-4, 0.0, 3)
    assert TrainSettings.for_model("vit_small", optimizer="sgd").optimizer == "sgd"
    assert TrainSettings.for_model("resnet50") == TrainSettings()
    assert (TrainSettings().optimizer, TrainSettings().momentum) == ("sgd", 0.9)


@pytest.mark.parametrize("field", ["epochs", "batch_size", "learning_rate"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_settings_that_cannot_be_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"TrainSettings: {field} is {value!r}; expected a finite number above 0"):
        TrainSettings(**{field: value})  # type: ignore[arg-type]


def test_an_unknown_optimizer_or_precision_is_refused(
    tiny_model: EmbeddingClassifier, tiny_images: data.ImageData
) -> None:
    with pytest.raises(ValueError, match="unknown optimizer 'rmsprop'; expected one of: adam, sgd"):
        TrainSettings(optimizer="rmsprop")
    with pytest.raises(ValueError, match="unknown precision 'half'"):
        train(tiny_model, tiny_images, TrainSettings(precision="half"))


def names_in(source: Path) -> set[str]:
    """Every name that the code uses; comments and docstrings do not count."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.alias):
            names.update(node.name.split("."))
    return names


def test_nothing_in_the_package_uses_a_data_loader(tmp_path: Path) -> None:
    sources = sorted(Path(cu_helpers.__file__).parent.rglob("*.py"))
    assert {"training.py", "contrastive.py"} <= {source.name for source in sources}
    for source in sources:
        assert not {"DataLoader", "dataloader"} & names_in(source), source
    (tmp_path / "one.py").write_text('"""No DataLoader."""\nfrom torch.utils.data import DataLoader\n')
    (tmp_path / "two.py").write_text("x = torch.utils.data.DataLoader([])\n")
    assert all("DataLoader" in names_in(tmp_path / name) for name in ("one.py", "two.py"))


# Accuracy


def test_accuracy_equals_a_loop(tiny_model: EmbeddingClassifier, tiny_images: data.ImageData) -> None:
    tiny_model.eval()
    hits = 0
    for row in range(len(tiny_images)):
        x, y = tiny_images.batch(torch.tensor([row]))
        with torch.no_grad():
            logits = tiny_model(x)[0].tolist()
        hits += logits.index(max(logits)) == y.item()
    assert accuracy(tiny_model, tiny_images, "float32") == pytest.approx(100 * hits / len(tiny_images), abs=1e-12)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=24))
def test_accuracy_counts_hits_in_percent(answers: list[int]) -> None:
    """A model that always says 1: its accuracy is the share of ones."""
    model = build_model("resnet18", 3, width=1, feature_dim=2, seed=0)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    images = replace(image_data(len(answers)), labels=torch.tensor(answers))
    assert accuracy(model, images) == pytest.approx(100 * answers.count(1) / len(answers), abs=1e-12)


# Rotation and crop


def coloured(count: int = 5, side: int = 12) -> Tensor:
    """Image i is all i, so a mix of images or a border of another colour would show."""
    return torch.arange(count, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(count, 3, side, side).contiguous()


@pytest.mark.parametrize("side", [12, 32, 84])
def test_rotation_and_crop_keep_shape_colours_and_order(side: int) -> None:
    x = coloured(side=side)
    y = rotate_and_crop(x, generator(0, CPU))
    assert y.shape == x.shape
    torch.testing.assert_close(y, x)


def test_rotation_and_crop_change_each_image_in_its_own_way_and_repeat() -> None:
    ramp = torch.linspace(0, 1, 32).expand(1, 3, 32, 32).contiguous()
    x = ramp.repeat(4, 1, 1, 1)
    y = rotate_and_crop(x, generator(0, CPU))
    assert torch.equal(y, rotate_and_crop(x, generator(0, CPU)))
    assert not torch.equal(y, rotate_and_crop(x, generator(1, CPU)))
    for i in range(4):
        assert not torch.allclose(y[i], x[i], atol=1e-3)
        for j in range(i):
            assert not torch.allclose(y[i], y[j], atol=1e-3)
    assert y.min() >= 0
    assert y.max() <= 1


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], None]:
    """Fix the random numbers of rotate_and_crop, which lie in [0, 1): the angle's, then the shift's."""

    def fix(angle: float, shift: float) -> None:
        def rand(*size: int, generator: object, device: torch.device) -> Tensor:
            return torch.full(size, angle if len(size) == 1 else shift, device=device)

        monkeypatch.setattr(torch, "rand", rand)

    return fix


def test_a_draw_in_the_middle_changes_nothing(draws: Callable[[float, float], None]) -> None:
    x = torch.randn(3, 3, 16, 16, generator=generator(0, CPU))
    draws(0.5, 0.5)
    torch.testing.assert_close(rotate_and_crop(x, generator(0, CPU)), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("draw", "pixels"), [(1.0, 2), (0.0, -2), (0.75, 1)])
def test_the_crop_moves_by_at_most_an_eighth_of_the_side(
    draws: Callable[[float, float], None], draw: float, pixels: int
) -> None:
    x = torch.randn(2, 3, 16, 16, generator=generator(0, CPU))
    draws(0.5, draw)
    y = rotate_and_crop(x, generator(0, CPU))
    inside = slice(max(0, -pixels), 16 - max(0, pixels))
    moved = slice(max(0, pixels), 16 - max(0, -pixels))
    torch.testing.assert_close(y[:, :, inside, inside], x[:, :, moved, moved], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("draw", "degrees"), [(1.0, 15), (0.0, -15), (0.8, 9)])
def test_the_rotation_is_at_most_fifteen_degrees(
    draws: Callable[[float, float], None], draw: float, degrees: float
) -> None:
    """A ramp along x, turned about the image's centre, is a ramp along the turned direction."""
    side = 33
    centred = torch.arange(side) - (side - 1) / 2
    x = centred.expand(1, 3, side, side).contiguous()
    draws(draw, 0.5)
    y = rotate_and_crop(x, generator(0, CPU))[0, 0]
    angle = math.radians(degrees)
    expected = math.cos(angle) * centred[None, :] - math.sin(angle) * centred[:, None]
    middle = slice(8, side - 8)  # away from the reflected border
    torch.testing.assert_close(y[middle, middle], expected[middle, middle], rtol=0, atol=1e-3)


@pytest.mark.parametrize("augment", [False, True])
def test_only_a_set_that_asks_for_it_is_augmented_and_only_in_training(
    augment: bool, tiny_model: EmbeddingClassifier, tiny_settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def count(x: Tensor, _: torch.Generator) -> Tensor:
        calls.append(len(x))
        return x

    monkeypatch.setattr(training, "rotate_and_crop", count)
    images = image_data(16, augment=augment)
    train(tiny_model, images, replace(tiny_settings, epochs=1))
    accuracy(tiny_model, images)
    assert calls == ([8, 8] if augment else [])


# Load or train


@pytest.fixture
def never_train(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def fix() -> None:
        def fail(*_: object, **__: object) -> None:
            raise AssertionError("trained again")

        monkeypatch.setattr(training, "train", fail)

    return fix


def test_the_second_call_loads_the_very_same_weights(
    tmp_path: Path, tiny_images: data.ImageData, tiny_settings: TrainSettings, never_train: Callable[[], None]
) -> None:
    first = load_or_train(CONFIG, tiny_images, tiny_settings, 1, tmp_path)
    assert not first.loaded
    assert first.seconds > 0
    assert not any(module.training for module in first.model.modules())
    never_train()
    second = load_or_train(CONFIG, tiny_images, tiny_settings, 1, tmp_path)
    assert second.loaded
    assert (second.key, second.seconds) == (first.key, first.seconds)
    assert same_weights(first.model, second.model)
    assert not any(module.training for module in second.model.modules())
    weight = second.model.backbone.stem[0].weight  # type: ignore[index, union-attr]
    assert weight.is_contiguous(memory_format=models.memory_format(CONFIG.width))


def test_it_is_the_same_training_as_by_hand(
    tmp_path: Path, tiny_images: data.ImageData, tiny_settings: TrainSettings
) -> None:
    by_hand = build_model("resnet18", 3, width=4, feature_dim=8, seed=4)
    train(by_hand, tiny_images, tiny_settings, 4)
    assert same_weights(by_hand, load_or_train(CONFIG, tiny_images, tiny_settings, 4, tmp_path).model)


def test_the_key_changes_with_everything_that_changes_the_result(
    tmp_path: Path, tiny_images: data.ImageData, tiny_settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "train", lambda model, *_: model)
    keys = {}

    def add(why: str, config: ModelConfig, images: data.ImageData, settings: TrainSettings, seed: int) -> None:
        trained = load_or_train(config, images, settings, seed, tmp_path)
        assert not trained.loaded, why
        keys[why] = trained.key

    add("as it is", CONFIG, tiny_images, tiny_settings, 0)
    add("seed", CONFIG, tiny_images, tiny_settings, 1)
    for field, value in (("name", "resnet34"), ("num_classes", 4), ("width", 5), ("feature_dim", 9)):
        add(field, replace(CONFIG, **{field: value}), tiny_images, tiny_settings, 0)  # type: ignore[arg-type]
    changes: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 9,
        "learning_rate": 0.06,
        "momentum": 0.8,
        "weight_decay": 0.0,
        "optimizer": "adam",
        "precision": "bfloat16",
    }
    assert set(changes) == set(TrainSettings.__dataclass_fields__)
    for field, value in changes.items():
        add(field, CONFIG, tiny_images, replace(tiny_settings, **{field: value}), 0)
    add("images", CONFIG, image_data(24, seed=1), tiny_settings, 0)
    add("fewer images", CONFIG, tiny_images.first(23), tiny_settings, 0)
    add("augment", CONFIG, replace(tiny_images, augment=True), tiny_settings, 0)
    monkeypatch.setattr(torch, "__version__", "99.0")
    add("torch", CONFIG, tiny_images, tiny_settings, 0)
    assert len(set(keys.values())) == len(keys)


def test_the_key_does_not_change_with_what_does_not_matter(
    tmp_path: Path, tiny_images: data.ImageData, tiny_settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "train", lambda model, *_: model)
    key = load_or_train(CONFIG, tiny_images, tiny_settings, 0, tmp_path).key
    assert load_or_train(CONFIG, tiny_images, tiny_settings, 0, tmp_path / "elsewhere").key == key
    # "auto" is the precision that it resolves to.
    monkeypatch.setattr("cu_helpers.devices._cpu_has_bfloat16", lambda: False)
    assert load_or_train(CONFIG, tiny_images, replace(tiny_settings, precision="auto"), 0, tmp_path).loaded
    monkeypatch.setattr("cu_helpers.devices._cpu_has_bfloat16", lambda: True)
    assert not load_or_train(CONFIG, tiny_images, replace(tiny_settings, precision="auto"), 0, tmp_path).loaded


def test_without_a_folder_the_cache_folder_is_used(
    tmp_path: Path, tiny_images: data.ImageData, tiny_settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "mine"))
    trained = load_or_train(CONFIG, tiny_images, tiny_settings)
    names = sorted(path.name for path in (tmp_path / "mine").iterdir() if path.is_file())
    assert names == [f"resnet18-{trained.key}.json", f"resnet18-{trained.key}.safetensors"]


@pytest.mark.parametrize("keep", [0, 50, 5000])
def test_a_truncated_file_in_the_cache_is_trained_anew(
    tmp_path: Path, tiny_images: data.ImageData, tiny_settings: TrainSettings, keep: int
) -> None:
    first = load_or_train(CONFIG, tiny_images, tiny_settings, 0, tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:keep])
    again = load_or_train(CONFIG, tiny_images, tiny_settings, 0, tmp_path)
    assert not again.loaded
    assert same_weights(first.model, again.model)
    assert same_weights(load_model(path, CONFIG)[0], first.model)
    assert load_or_train(CONFIG, tiny_images, tiny_settings, 0, tmp_path).loaded


def test_a_training_that_breaks_off_leaves_nothing_in_the_cache(
    tmp_path: Path, tiny_images: data.ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NonFiniteError):
        load_or_train(CONFIG, tiny_images, TrainSettings(2, 8, 1e38, precision="float32"), 0, tmp_path)
    assert [path for path in tmp_path.rglob("*.*") if path.is_file()] == []


def test_the_notes_say_how_it_was_trained(
    tmp_path: Path, tiny_images: data.ImageData, tiny_settings: TrainSettings
) -> None:
    trained = load_or_train(CONFIG, tiny_images, tiny_settings, 2, tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    _, notes = load_model(path)
    assert notes["seed"] == 2
    assert notes["seconds"] == trained.seconds
    assert notes["settings"]["epochs"] == tiny_settings.epochs
    assert notes["settings"]["precision"] == "float32"
    assert notes["device"] == "cpu"
