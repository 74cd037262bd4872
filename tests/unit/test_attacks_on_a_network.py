"""The attacks on a network that was trained until it knew its images by heart; `test_attacks` trains none."""

import pytest
import torch
from conftest import MEAN, STD
from torch import Tensor

from cu_helpers import attacks, training
from cu_helpers.attack_scores import THRESHOLDS
from cu_helpers.attacks import attack_report, membership_inference
from cu_helpers.data import Dataset, ImageData, forget_samples
from cu_helpers.models import EmbeddingClassifier, build_model
from cu_helpers.roc import auc


def noise(count: int, seed: int) -> ImageData:
    """Random pixels with random labels: nothing about them can be known but by heart."""
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 3, 8, 8), generator=draw).to(torch.uint8)
    return ImageData(pixels, torch.randint(3, (count,), generator=draw), MEAN, STD)


SEEN = noise(80, 0)
NOISE = Dataset("noise", SEEN, noise(60, 1), noise(1300, 2), ("a", "b", "c"))


@pytest.fixture(scope="module")
def memoriser() -> EmbeddingClassifier:
    """A network that has learned `SEEN` by heart. Tests must not change it."""
    settings = training.TrainSettings(epochs=40, batch_size=20, learning_rate=0.05, precision="float32")
    return training.train(build_model("resnet18", 3, width=8, feature_dim=16, seed=1), SEEN, settings)


@pytest.mark.parametrize(("features", "attack_model"), [("sorted_softmax", "logistic"), ("softmax", "mlp")])
def test_the_attack_finds_what_a_model_memorised_and_not_what_it_never_saw(
    memoriser: EmbeddingClassifier, features: str, attack_model: str
) -> None:
    assert training.accuracy(memoriser, SEEN) > 95
    assert training.accuracy(memoriser, NOISE.test) < 45, "a third is chance"
    odd = torch.arange(1, 80, 2)
    targets = {
        "held_out": SEEN.select(odd),
        "never": noise(600, 3),
        "unseen": NOISE.test.select(torch.arange(700, 1300)),
    }
    non_members = NOISE.test.first(700)
    rates = membership_inference(memoriser, SEEN.select(odd - 1), non_members, targets, 0, features, attack_model)
    assert rates["held_out"] > rates["unseen"] + 20
    assert abs(rates["never"] - rates["unseen"]) < 10
    assert set(rates) == set(targets)


def test_losses_find_what_was_memorised_and_not_what_was_never_seen(memoriser: EmbeddingClassifier) -> None:
    def score(images: ImageData, name: str) -> Tensor:
        return THRESHOLDS[name](attacks.outputs(memoriser, images), images.labels)

    for name in THRESHOLDS:
        unseen = score(NOISE.test, name)
        assert auc(score(SEEN, name), unseen).low > 0.6
        never = auc(score(noise(600, 3), name), unseen)
        assert never.low - 0.02 < 0.5 < never.high + 0.02


def test_a_report_finds_that_nothing_was_forgotten_and_leaves_the_network_alone(
    memoriser: EmbeddingClassifier,
) -> None:
    task = forget_samples(NOISE, 20, seed=1)
    weights = {name: value.clone() for name, value in memoriser.state_dict().items()}
    report = attack_report(memoriser, task, seed=2)
    assert report["thresholds"]["loss"]["forgotten"]["auc"]["value"] > 0.75, "the samples are members still"
    assert all(torch.equal(value, weights[name]) for name, value in memoriser.state_dict().items())
    assert not memoriser.training
