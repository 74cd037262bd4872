"""The fair fight for any trials: which are tried, which is best and whether at an edge, what a record gives back."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from conftest import image_data
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, seeds

from cu_helpers.data import Dataset, ForgetTask, forget_class, forget_samples
from cu_helpers.errors import DataFileError
from cu_helpers.figures import LABELS
from cu_helpers.profiles import get_profile
from cu_helpers.strips import strip
from cu_helpers.tuning import (
    GRIDS,
    Trial,
    at_edge,
    best,
    read_search,
    record_search,
    search_path,
    searched_with,
    searches,
    trials_of,
    tuned_settings,
    tuning_score,
    tuning_sets,
)
from cu_helpers.unlearning import METHODS

METHODS_TUNED = sorted(GRIDS)
scores = st.integers(0, 10).map(lambda tenth: tenth / 10)
trials = st.lists(
    st.builds(
        Trial,
        changes=st.fixed_dictionaries(
            {"learning_rate": st.sampled_from([1e-3, 3e-3, 1e-2]), "lambda_ul": st.sampled_from([0.5, 1.0])}
        ),
        metrics=st.just({"forget": 1.0}),
        score=scores,
        seconds=st.integers(0, 5).map(float),
        steps=st.integers(0, 9),
        samples_seen=st.integers(0, 99),
    ),
    min_size=1,
    max_size=8,
)
percents = st.floats(0, 100)


@contextmanager
def results() -> Iterator[Path]:
    """A folder of records that begins empty."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, CU_RESULTS=folder):
        yield Path(folder)


def task_of(kind: str) -> ForgetTask:
    data = Dataset("digits", *(image_data(count, seed=count) for count in (18, 9, 12)), ("dark", "grey", "bright"))
    return forget_class(data, 1) if kind == "class" else forget_samples(data, 4)


@given(st.dictionaries(st.sampled_from(["forget", "test", "retain_test"]), st.tuples(percents, percents), min_size=1))
@settings(max_examples=FEW)
def test_a_score_is_one_for_retrain_and_falls_with_each_gap(pairs: dict[str, tuple[float, float]]) -> None:
    measured, reference = ({name: pair[side] for name, pair in pairs.items()} for side in (0, 1))
    found, expected = tuning_score(measured, reference), 1.0
    for a, b in pairs.values():
        expected *= 1 - abs(a - b) / 100
    assert found == pytest.approx(expected)
    assert 0 <= found <= 1
    assert tuning_score(reference, reference) == 1
    assert tuning_score(measured, {**reference, "unasked": 3.0}) == found, "the measured sets alone count"
    for name in pairs:
        assert tuning_score({**measured, name: reference[name]}, reference) >= found


@given(st.sampled_from(sorted(METHODS)))
@settings(max_examples=len(METHODS))
def test_every_combination_of_a_grid_is_tried_once_and_the_first_knob_moves_last(method: str) -> None:
    found, grid = trials_of(method), GRIDS.get(method, {})
    assert all(list(changes) == list(grid) for changes in found)
    values = [tuple(changes.values()) for changes in found]
    assert len(set(values)) == len(values)
    assert set(values) == set(product(*grid.values()))
    ranks = [[grid[name].index(value) for name, value in changes.items()] for changes in found]
    assert ranks == sorted(ranks)


@given(trials)
@settings(max_examples=50)
def test_the_best_is_beaten_by_none_and_only_its_own_values_are_at_an_edge(tried: list[Trial]) -> None:
    found = best(tried)
    assert any(found is one for one in tried)
    for one in tried:
        assert one.score < found.score or (one.score == found.score and one.seconds >= found.seconds)
    edges = at_edge(tried)
    for name, value in found.changes.items():
        others = {one.changes[name] for one in tried}
        outermost = all(other >= value for other in others) or all(other <= value for other in others)
        assert (name in edges) == (outermost and len(others) > 2)
    assert at_edge(tried * 2) == edges


@given(st.lists(st.sampled_from(METHODS_TUNED), min_size=1, max_size=4, unique=True), st.data())
@settings(max_examples=5)
def test_a_strip_is_a_panel_a_method_and_a_dot_a_trial_over_its_main_knob(methods: list[str], data: Any) -> None:
    shown = {
        method: [Trial(changes, {}, data.draw(scores), 1.0, 1, 1) for changes in trials_of(method)]
        for method in methods
    }
    figure = strip(shown)
    assert [title.text for title in figure.layout.annotations] == [LABELS[method] for method in methods]
    for number, (trace, (method, tried)) in enumerate(zip(figure.data, shown.items(), strict=True), start=1):
        knob, *others = GRIDS[method]
        assert list(trace.x) == [trial.changes[knob] for trial in tried]
        assert list(trace.y) == [trial.score for trial in tried]
        for trial, text in zip(tried, trace.text, strict=True):
            assert all(f"{name} {trial.changes[name]}" in text for name in (knob, *others))
        axis = figure.layout["xaxis" if number == 1 else f"xaxis{number}"]
        assert (axis.type, axis.title.text) == ("log", knob.replace("_", " "))
        assert list(axis.tickvals) == sorted(set(GRIDS[method][knob]))


@given(st.sampled_from(["class", "samples"]), seeds)
@settings(max_examples=10)
def test_a_trial_is_measured_on_the_forget_set_and_on_validation_images_alone(kind: str, seed: int) -> None:
    task = task_of(kind)
    found = tuning_sets(task)
    assert found["forget"] is task.forget
    unseen = {name: images for name, images in found.items() if name != "forget"}
    assert set(unseen) == ({"forget_test", "retain_test"} if kind == "class" else {"test"})
    rows = torch.cat([images.images for images in unseen.values()]).flatten(1).tolist()
    assert sorted(rows) == sorted(task.validation.images.flatten(1).tolist())
    if kind == "class":
        assert set(unseen["forget_test"].labels.tolist()) == {task.label}
        assert task.label not in unseen["retain_test"].labels.tolist()
    poisoned = replace(task, test=image_data(9, seed=seed))
    assert torch.equal(tuning_sets(poisoned)[max(unseen)].images, unseen[max(unseen)].images)


@given(trials, st.sampled_from(["class", "samples"]), st.sampled_from(["digits", "cifar10"]))
@settings(max_examples=10)
def test_a_recorded_search_comes_back_and_its_best_changes_the_profiles_settings(
    tried: list[Trial], kind: str, dataset: str
) -> None:
    profile, task = get_profile("laptop", dataset), replace(task_of(kind), dataset=dataset)
    with results() as folder:
        with pytest.raises(DataFileError, match="does not hold a recorded search"):
            read_search(profile, kind, "contrastive")
        assert searches(profile, kind) == {}
        path = record_search(profile, task, "contrastive", profile.settings("contrastive", kind), 100, tried)
        assert path == search_path(profile, kind, "contrastive")
        assert folder in path.parents
        assert read_search(profile, kind, "contrastive") == tried
        assert searches(profile, kind) == {"contrastive": tried}
        found, base = tuned_settings(profile, kind, "contrastive"), profile.settings("contrastive", kind)
        assert found == replace(base, **best(tried).changes)
        other = get_profile("paper", dataset, "resnet34")
        assert searched_with(other, kind, "contrastive") == "resnet18"
        assert read_search(other, kind, "contrastive") == tried, "laptop's ResNet-18 serves who has none"
        with pytest.raises(DataFileError):
            tuned_settings(profile, kind, "salun")
        for untuned in ("retrain", "logit_mask"):
            assert tuned_settings(profile, kind, untuned) == profile.settings(untuned, kind)
