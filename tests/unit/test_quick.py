"""The search for speed: which trial it takes, and that no reported seed or test image has a part in it."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from cu_helpers.data import Dataset, ForgetTask
from cu_helpers.models import EmbeddingClassifier, build_model
from cu_helpers.profiles import EVERY_BATCH, get_profile
from cu_helpers.speed import quick, rivals
from cu_helpers.tuning import SEARCH_SEED, Trial, best, read_search, trials_of
from cu_helpers.unlearning import ContrastiveSettings, Stopping


def trial(score: float, images: int) -> Trial:
    return Trial({"omega": images}, {}, score, 1.0, 1, images)


def test_the_trial_with_the_fewest_images_near_the_goal_is_taken_then_the_best() -> None:
    trials = [trial(0.96, 400), trial(0.90, 100), trial(0.94, 200), trial(0.95, 200), trial(0.99, 300)]
    assert quick.chosen(trials, 0.96, 0.03) is trials[3]
    assert quick.chosen(trials, 0.96, 0.06) is trials[1]
    assert quick.chosen(trials, 1.0, 0.005) is None
    assert quick.chosen([trial(0.5, 1)], 0.5, 0) is not None


@pytest.mark.parametrize(("dataset", "kind"), list(quick.QUICK))
def test_the_search_for_speed_has_as_many_trials_as_each_search_and_known_settings(dataset: str, kind: str) -> None:
    profile = get_profile("laptop", dataset)
    trials = trials_of("contrastive", quick.QUICK[dataset, kind])
    assert len(trials) == len(trials_of("contrastive"))
    for changes in trials:
        settings = quick.quick_settings(profile, kind, changes)
        assert settings == replace(profile.settings("contrastive", kind), stopping=Stopping(), **changes)


def test_ours_comes_first_in_its_quick_way() -> None:
    profile = get_profile("laptop", "cifar10")
    choices = [{"given_up": 0.03, "changes": {"omega": 1}}, {"given_up": 0.01, "changes": {"omega": 3}}]
    (method, name, settings), (_, second, slower), (_, third, _), *_ = rivals.variants(profile, "class", choices)
    assert (method, name, second, third) == (
        "contrastive",
        "quick, 0.03 given up",
        "quick, 0.01 given up",
        "as searched",
    )
    assert (settings.omega, slower.omega, settings.stopping) == (1, 3, Stopping())
    (_, name, settings), *_ = rivals.variants(profile, "class")
    assert (name, settings.stopping) == ("checked after every batch", EVERY_BATCH)


def test_the_search_sees_its_own_seed_and_validation_images_alone(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = replace(get_profile("smoke", "digits"), width=4)
    assert quick.quick_search(digits, profile, "class") is None, "no grid for this data set"
    seeds: list[int] = []

    def model(*arguments: Any) -> SimpleNamespace:
        seeds.append(arguments[-1])
        return SimpleNamespace(model=build_model("resnet18", 10, width=4, seed=arguments[-1]))

    def searched(
        method: str,
        original: EmbeddingClassifier,
        retrained: EmbeddingClassifier,
        task: ForgetTask,
        base: ContrastiveSettings,
        seed: int,
        grid: dict[str, tuple[Any, ...]],
    ) -> list[Trial]:
        seeds.extend((seed, task.seed))
        assert (method, base.stopping, grid) == ("contrastive", Stopping(), {"omega": (1,)})
        goal = best(read_search(profile, "class", "contrastive")).score
        return [trial(goal - 0.02, 7), trial(goal - 0.005, 9)]

    monkeypatch.setitem(quick.QUICK, ("digits", "class"), {"omega": (1,)})
    monkeypatch.setattr(quick, "original_model", model)
    monkeypatch.setattr(quick, "retrained_model", model)
    monkeypatch.setattr(quick, "search", searched)
    found = quick.quick_search(digits, profile, "class")
    assert found is not None
    assert set(seeds) == {SEARCH_SEED}
    assert found["chosen"] == [
        {"given_up": 0.03, "changes": {"omega": 7}},
        {"given_up": 0.01, "changes": {"omega": 9}},
    ]
    assert found["goal"] == best(read_search(profile, "class", "contrastive")).score
