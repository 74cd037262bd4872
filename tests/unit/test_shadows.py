"""Shadow models: the design's counts, training all at once against one by one, and the records."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import image_data

from cu_helpers import shadow_runs
from cu_helpers.attack_scores import logit_score
from cu_helpers.attacks import outputs
from cu_helpers.data import Dataset
from cu_helpers.errors import DataFileError, NonFiniteError
from cu_helpers.models import ModelConfig
from cu_helpers.shadow_runs import ShadowSettings, read_shadows, record_shadow, shadow_path
from cu_helpers.shadows import (
    TRAINERS,
    shadow_design,
    shadow_task,
    train_all_at_once,
    train_one_by_one,
    training_seconds,
)
from cu_helpers.training import TrainSettings
from cu_helpers.unlearning import FinetuneSettings, Stopping

CONFIG = ModelConfig("resnet18", 3, 3, 4, 8)
SETTINGS = TrainSettings(epochs=2, batch_size=8, learning_rate=1e-3, precision="float32")


@pytest.mark.parametrize(("images", "shadows", "forgotten"), [(180, 40, 18), (24, 8, 3), (24, 4, 6), (24, 2, 12)])
def test_every_image_is_in_half_of_the_models_and_equally_often_forgotten(
    images: int, shadows: int, forgotten: int
) -> None:
    trained, forgets = shadow_design(images, shadows, forgotten, seed=1)
    assert (trained[::2] ^ trained[1::2]).all(), "pairs are complements"
    assert (trained.sum(dim=1) == images // 2).all()
    assert (forgets.sum(dim=1) == forgotten).all()
    assert (forgets.sum(dim=0) == shadows * forgotten // images).all()
    assert not (forgets & ~trained).any()
    assert torch.equal(trained, shadow_design(images, shadows, forgotten, seed=1)[0])
    if shadows > 2:
        assert not torch.equal(trained, shadow_design(images, shadows, forgotten, seed=2)[0])


@pytest.mark.parametrize(("images", "shadows", "forgotten"), [(180, 40, 20), (180, 32, 18), (24, 8, 0), (25, 8, 3)])
def test_a_design_that_does_not_come_out_even_is_refused(images: int, shadows: int, forgotten: int) -> None:
    with pytest.raises(ValueError, match=rf"{shadows} shadow models that forget {forgotten} of {images} images do not"):
        shadow_design(images, shadows, forgotten)


def test_a_shadows_task_is_its_row_of_the_design(digits: Dataset) -> None:
    trained, forgets = shadow_design(180, 20, 9, seed=3)
    task = shadow_task(digits, trained[4], forgets[4])
    assert torch.equal(task.forget.images, digits.train.images[forgets[4]])
    assert torch.equal(task.retain.labels, digits.train.labels[trained[4] & ~forgets[4]])
    assert torch.equal(task.train.images[task.forget_index], task.forget.images)
    assert (len(task.train), len(task.forget), len(task.retain)) == (90, 9, 81)
    with pytest.raises(ValueError, match="90 positions were named"):
        shadow_task(digits, trained[4], trained[4])


@pytest.mark.parametrize("width", [4, 16])
def test_all_at_once_takes_the_steps_of_one_by_one(width: int) -> None:
    """Both layouts; over four small steps, before rounding has been amplified by kinks."""
    images = image_data(24)
    trained, _ = shadow_design(24, 4, 6)
    config = replace(CONFIG, width=width)
    pairs = zip(*(TRAINERS[way](config, images, trained, SETTINGS, 5) for way in TRAINERS), strict=True)
    starts = train_one_by_one(config, images, trained, replace(SETTINGS, epochs=1, learning_rate=1e-12), 5)
    for start, (one, other) in zip(starts, pairs, strict=True):
        apart = moved = 0.0
        for name, value in one.state_dict().items():
            apart = max(apart, (value - other.state_dict()[name]).abs().max().item())
            if "running" not in name:
                moved = max(moved, (value - start.state_dict()[name]).abs().max().item())
        assert apart < 2e-2 * moved
        assert not other.training
        x, _ = images.batch(torch.arange(24))
        with torch.no_grad():
            assert (one(x) - other(x)).abs().max() < 1e-3


def test_models_of_a_stack_do_not_feel_each_other() -> None:
    images = image_data(24)
    trained, _ = shadow_design(24, 4, 6)
    alone = train_all_at_once(CONFIG, images, trained[:1], SETTINGS, 5)[0]
    among = train_all_at_once(CONFIG, images, trained, SETTINGS, 5)[0]
    for a, b in zip(alone.parameters(), among.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_what_a_stack_cannot_train_is_refused() -> None:
    images = image_data(24)
    trained, _ = shadow_design(24, 4, 6)
    uneven = trained.clone()
    uneven[0, trained[0].nonzero()[0, 0]] = False
    with pytest.raises(ValueError, match=r"the rows hold \[11, 12\] images .* needs equally many"):
        train_all_at_once(CONFIG, images, uneven, SETTINGS)
    with pytest.raises(ValueError, match="the optimizer is adam"):
        train_all_at_once(CONFIG, images, trained, replace(SETTINGS, optimizer="adam"))
    with pytest.raises(ValueError, match="images that are not augmented"):
        train_all_at_once(CONFIG, replace(images, augment=True), trained, SETTINGS)
    with pytest.raises(NonFiniteError, match="lower learning_rate"):
        train_all_at_once(CONFIG, images, trained, replace(SETTINGS, learning_rate=1e20, epochs=4))


def test_both_ways_are_timed() -> None:
    trained, _ = shadow_design(24, 4, 6)
    found = training_seconds(CONFIG, image_data(24), trained, SETTINGS, repeats=1)
    assert set(found) == set(TRAINERS)
    assert all(0 < seconds < 60 for seconds in found.values())


SMALL = ShadowSettings(
    shadows=4, forgotten=6, width=4, training=SETTINGS, validation=6, population=5, methods=("finetune",)
)
METHODS = {"finetune": FinetuneSettings(max_rounds=1, batch_size=8, stopping=Stopping(rule="none"))}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole small experiment, recorded once."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CU_RESULTS", str(folder))
        for row, model in enumerate(train_one_by_one(CONFIG, SMALL_DATA.train, TRAINED, SETTINGS)):
            record_shadow("smoke", SMALL_DATA, row, model, SMALL, METHODS)
    return folder


SMALL_DATA = Dataset("tiny", image_data(24), image_data(12, seed=1), image_data(12, seed=2), ("a", "b", "c"))
TRAINED, FORGETS = shadow_design(24, 4, 6)


def test_records_come_back_as_what_the_models_say(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_RESULTS", str(recorded))
    found = read_shadows("smoke", "tiny")
    assert np.array_equal(found.trained, TRAINED.numpy())
    assert np.array_equal(found.forgets, FORGETS.numpy())
    assert set(found.phi) == {"original", "retrain", "finetune"}
    original = train_one_by_one(CONFIG, SMALL_DATA.train, TRAINED, SETTINGS)[2]
    logits = outputs(original, SMALL_DATA.train)
    assert found.phi["original"][2] == pytest.approx(logit_score(logits, SMALL_DATA.train.labels).numpy(), abs=1e-3)
    assert found.population["original"].shape == (4, 5)
    shown = found.shown[2]
    assert set(shown[:6]) == set(FORGETS[2].nonzero()[:, 0].tolist())
    assert not TRAINED[2, shown[6:]].any()
    assert found.logits["original"][2] == pytest.approx(logits[shown].numpy(), abs=2e-3)
    right = (logits.argmax(dim=1) == SMALL_DATA.train.labels)[~TRAINED[2]].double().mean().item()
    assert found.accuracy["original"]["never"][2] == pytest.approx(100 * right)
    assert not np.allclose(found.phi["retrain"], found.phi["original"])
    assert found.about["settings"]["shadows"] == 4


def test_what_does_not_belong_together_is_refused(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_RESULTS", str(recorded))
    with pytest.raises(DataFileError, match=r"holds no shadow models of digits; make them with book/record_shadows"):
        read_shadows("smoke", "digits")
    runs = [json.loads(shadow_path("smoke", "tiny", row).read_text(encoding="utf-8")) for row in range(4)]
    with pytest.raises(ValueError, match=r"3 of 4 shadow models are recorded"):
        shadow_runs.gather(runs[:3])
    runs[1]["settings"] = {**runs[1]["settings"], "width": 5}
    with pytest.raises(ValueError, match="their settings differ"):
        shadow_runs.gather(runs)
    path = shadow_path("smoke", "tiny", 0)
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[: len(whole) // 2], encoding="utf-8")
    with pytest.raises(DataFileError, match="cannot be used together"):
        read_shadows("smoke", "tiny")
    path.write_text(whole, encoding="utf-8")
