"""Profiles: names, defaults, the paper's tables, and the environment variable."""

import pytest

from cu_helpers.data import load_dataset
from cu_helpers.profiles import PROFILES, get_profile
from cu_helpers.unlearning import METHODS, RetrainSettings


def test_the_name_comes_from_the_argument_then_the_variable_then_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CU_PROFILE", raising=False)
    assert get_profile().name == "laptop"
    monkeypatch.setenv("CU_PROFILE", "smoke")
    assert get_profile().name == "smoke"
    assert get_profile("paper").name == "paper"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tiny",), "unknown profile 'tiny'; expected one of: laptop, paper, smoke"),
        (("smoke", "mnist"), "unknown data set 'mnist'"),
        (("smoke", "digits", "vgg"), "unknown model 'vgg'"),
    ],
)
def test_unknown_names_list_what_exists(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_profile(*arguments)


@pytest.mark.parametrize("dataset", ["digits", "cifar10", "svhn"])
@pytest.mark.parametrize("name", PROFILES)
def test_retrain_trains_as_the_original_did(name: str, dataset: str) -> None:
    profile = get_profile(name, dataset)
    for kind in ("class", "samples"):
        assert profile.settings("retrain", kind) == RetrainSettings(profile.training)
    assert profile.config(10).width == profile.width


def test_paper_has_the_papers_sizes() -> None:
    profile = get_profile("paper", "cifar10")
    assert (profile.width, profile.feature_dim, profile.train_images) == (64, 128, None)
    assert (profile.label, profile.count, len(profile.sample_seeds)) == (5, 500, 5)


def test_mini_imagenet_takes_table_7() -> None:
    profile = get_profile("paper", "mini_imagenet", "resnet50")
    assert profile.feature_dim == 512
    for kind in ("class", "samples"):
        settings = profile.settings("contrastive", kind)
        assert (settings.batch_size, settings.learning_rate, settings.temperature) == (128, 1e-4, 0.7)


def test_a_method_without_settings_of_its_own_takes_its_defaults() -> None:
    profile = get_profile("smoke", "cifar10")
    for name, method in METHODS.items():
        for kind in method.tasks:
            assert isinstance(profile.settings(name, kind), method.settings)
    assert profile.settings("contrastive", "class") == METHODS["contrastive"].settings()
    with pytest.raises(ValueError, match="unknown method 'scrubb'"):
        profile.settings("scrubb", "class")


def test_vit_trains_with_adam() -> None:
    profile = get_profile("laptop", "cifar10", "vit_small")
    assert profile.training.optimizer == "adam"
    assert profile.training.epochs == get_profile("laptop", "cifar10").training.epochs


def test_vit_on_digits_trains_long_enough_to_learn_so_few_images() -> None:
    training = get_profile("laptop", "digits", "vit_small").training
    assert (training.optimizer, training.epochs, training.learning_rate) == ("adam", 150, 1e-3)
    assert get_profile("smoke", "digits", "vit_small").training.epochs == get_profile("smoke", "digits").training.epochs


def test_shrink_keeps_the_asked_number_balanced() -> None:
    digits = load_dataset("digits", device="cpu")
    assert get_profile("laptop").shrink(digits) is digits
    assert len(get_profile("smoke").shrink(digits).test) == 320
    few = digits.with_train(50)
    assert few.train.labels.bincount().tolist() == [5] * 10
