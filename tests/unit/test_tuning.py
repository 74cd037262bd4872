"""The fair fight: equal budgets, no test image, a score with known values, the right winner."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cu_helpers.data import Dataset, forget_class, forget_samples
from cu_helpers.errors import DataFileError
from cu_helpers.models import EmbeddingClassifier
from cu_helpers.profiles import get_profile
from cu_helpers.tuning import (
    GRIDS,
    Trial,
    at_edge,
    best,
    read_search,
    record_search,
    search,
    search_path,
    searched_with,
    trials_of,
    tuned_settings,
    tuning_sets,
)
from cu_helpers.unlearning import METHODS, FisherSettings, GradientAscentSettings, Stopping


def test_every_method_has_the_same_number_of_trials() -> None:
    counts = {method: len(trials_of(method)) for method in METHODS}
    assert {counts[method] for method in METHODS if method not in ("retrain", "logit_mask", "lcodec")} == {6}
    assert (counts["lcodec"], counts["retrain"], counts["logit_mask"]) == (3, 1, 1)
    for method, grid in GRIDS.items():
        assert all(replace(METHODS[method].settings(), **changes) for changes in trials_of(method))
        assert len(trials_of(method)) == math.prod(len(values) for values in grid.values())


def test_a_search_never_looks_at_the_test_images(digits: Dataset, fitted: EmbeddingClassifier) -> None:
    settings = GradientAscentSettings(max_rounds=1, stopping=Stopping())
    for task in (forget_class(digits, 5), forget_samples(digits, 18)):
        seen = search("gradient_ascent", fitted, fitted, task, settings)
        # Other test images, of wrong labels: nothing that the search knows may change.
        poisoned = replace(task.test, labels=(task.test.labels + 1) % 10, images=torch.zeros_like(task.test.images))
        blind = replace(
            task,
            test=poisoned,
            forget_test=poisoned if task.kind == "class" else None,
            retain_test=poisoned if task.kind == "class" else None,
        )
        again = search("gradient_ascent", fitted, fitted, blind, settings)
        assert [(t.changes, t.metrics, t.score) for t in seen] == [(t.changes, t.metrics, t.score) for t in again]
        assert all(len(images) < len(task.test) for images in tuning_sets(task).values())


def test_a_run_that_diverges_is_a_trial_with_score_zero(
    digits: Dataset, fitted: EmbeddingClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GRIDS, "gradient_ascent", {"learning_rate": (1e-4, 1e300)})
    mild, wild = search(
        "gradient_ascent", fitted, fitted, forget_class(digits, 5), GradientAscentSettings(max_rounds=2)
    )
    assert mild.score > 0.5
    assert (wild.score, wild.metrics) == (0.0, {})
    assert best([mild, wild]) is mild


def trial(score: float, seconds: float, **changes: float) -> Trial:
    return Trial(changes, {"forget": 1.0}, score, seconds, 1, 1)


def test_an_edge_is_named() -> None:
    def tried(*scores: float) -> list[Trial]:
        return [trial(score, 1, rate=rate, alpha=alpha) for (rate, alpha), score in zip(grid, scores, strict=True)]

    grid = [(rate, alpha) for rate in (1e-3, 1e-2, 1e-1) for alpha in (0.1, 0.5)]
    assert at_edge(tried(0.1, 0.2, 0.3, 0.3, 0.4, 0.9)) == ["rate"], "two values have no inside"
    assert at_edge(tried(0.9, 0.2, 0.3, 0.3, 0.4, 0.1)) == ["rate"]
    assert at_edge(tried(0.1, 0.2, 0.9, 0.3, 0.4, 0.1)) == []


def test_the_best_is_the_nearest_then_the_quickest() -> None:
    slow, quick, worse = trial(0.9, 5), trial(0.9, 2), trial(0.8, 1)
    assert best([slow, quick, worse]) is quick


def test_a_recorded_search_gives_the_settings_back(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    profile, task = get_profile("laptop"), forget_class(digits, 5)
    with pytest.raises(DataFileError, match=r"does not hold a recorded search.*record_baselines"):
        read_search(profile, "class", "fisher")
    found = [trial(0.2, 1, alpha=1e-9), trial(0.7, 1, alpha=1e-6)]
    path = record_search(profile, task, "fisher", FisherSettings(), 100, found)
    assert path == search_path(profile, "class", "fisher")
    assert read_search(profile, "class", "fisher") == found
    assert tuned_settings(profile, "class", "fisher") == FisherSettings(alpha=1e-6)
    vit = get_profile("laptop", model="vit_small")
    for other in (vit, get_profile("smoke", model="vit_small")):
        assert tuned_settings(other, "class", "fisher") == FisherSettings(alpha=1e-6), "resnet18's, until then"
        assert searched_with(other, "class", "fisher") == "resnet18"
    record_search(vit, task, "fisher", FisherSettings(), 100, [trial(0.9, 1, alpha=1e-8)])
    for other in (vit, get_profile("smoke", model="vit_small")):
        assert tuned_settings(other, "class", "fisher") == FisherSettings(alpha=1e-8)
        assert searched_with(other, "class", "fisher") == "vit_small"
    assert tuned_settings(vit, "class", "logit_mask") == METHODS["logit_mask"].settings()
    assert tuned_settings(profile, "class", "fisher") == FisherSettings(alpha=1e-6)
    assert tuned_settings(profile, "class", "logit_mask") == METHODS["logit_mask"].settings()
    assert tuned_settings(profile, "class", "retrain") == profile.settings("retrain", "class")
    on_paper = get_profile("paper", "digits")
    assert tuned_settings(on_paper, "class", "fisher") == FisherSettings(alpha=1e-6), "laptop's, until it has its own"
    record_search(on_paper, task, "fisher", FisherSettings(), 100, [trial(0.9, 1, alpha=1e-9)])
    assert tuned_settings(on_paper, "class", "fisher") == FisherSettings(alpha=1e-9)
    assert tuned_settings(profile, "class", "fisher") == FisherSettings(alpha=1e-6)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(DataFileError, match="does not hold a recorded search"):
        read_search(profile, "class", "fisher")
