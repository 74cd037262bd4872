"""Answers, verdicts and probes for any labels: plain loops, bounds, and one sentence for what does not fit."""

import math

import numpy as np
import pytest
import torch
from conftest import unit_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier
from strategies import FEW, draw, order, rows, seeds, some_of_each, turn

from cu_helpers.answers import calibration_error, confidence, other_answers, shares, total_variation
from cu_helpers.calibration import LEAST_POWER, advantage, calibration_verdict, distance_verdict
from cu_helpers.probes import (
    centre_accuracy,
    class_neighbours,
    class_probe,
    few_shot_centres,
    label_neighbours,
    label_probe,
    nearest_centre,
    two_sample_auc,
)

labelled = st.lists(st.integers(0, 3), min_size=1, max_size=20).map(torch.tensor)


@given(seeds, labelled)
@settings(max_examples=FEW)
def test_the_other_answer_is_the_best_that_is_not_the_own(seed: int, labels: torch.Tensor) -> None:
    logits = rows(len(labels), 4, seed)
    for row, label, found in zip(logits.tolist(), labels.tolist(), other_answers(logits, labels).tolist(), strict=True):
        assert found != label
        assert row[found] == max(value for c, value in enumerate(row) if c != label)
    assert torch.equal(other_answers(logits + 7, labels), other_answers(logits, labels))


@given(labelled, labelled, labelled)
@settings(max_examples=FEW)
def test_shares_sum_to_one_and_their_distance_is_a_distance(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> None:
    p, q, r = (shares(one, 5) for one in (a, b, c))
    assert p.tolist() == pytest.approx([a.tolist().count(label) / len(a) for label in range(5)])
    assert 0 <= total_variation(p, q) <= 100 + 1e-9
    assert total_variation(p, q) == total_variation(q, p)
    assert total_variation(p, p) == 0
    assert total_variation(p, r) <= total_variation(p, q) + total_variation(q, r) + 1e-9
    names = order(5, len(a))
    assert total_variation(p[names], q[names]) == pytest.approx(total_variation(p, q))


@given(seeds, labelled, st.integers(1, 20))
@settings(max_examples=FEW)
def test_the_calibration_error_is_a_loop_over_bins(seed: int, labels: torch.Tensor, bins: int) -> None:
    logits = 2 * rows(len(labels), 4, seed)
    sure, right = confidence(logits).tolist(), (logits.argmax(dim=1) == labels).tolist()
    total = 0.0
    for place in range(bins):
        inside = [i for i, value in enumerate(sure) if place / bins < value <= (place + 1) / bins]
        if inside:
            gap = np.mean([right[i] for i in inside]) - np.mean([sure[i] for i in inside])
            total += len(inside) * abs(float(gap)) / len(labels)
    found = calibration_error(logits, labels, bins)
    assert found == pytest.approx(100 * total, abs=1e-9)
    assert 0 <= found <= 100
    rank = order(len(labels), seed)
    assert calibration_error(logits[rank], labels[rank], bins) == pytest.approx(found, abs=1e-9)


def test_what_is_no_answer_is_refused_in_one_sentence() -> None:
    logits, far = rows(3, 4, 0), torch.tensor([0, 1, 4])
    for make in (lambda: other_answers(logits, far), lambda: shares(far, 4), lambda: calibration_error(logits, far)):
        with pytest.raises(ValueError, match=r"go from 0 to 4; expected whole numbers from 0 to 3"):
            make()
    with pytest.raises(ValueError, match=r"answers go from -1"):
        shares(torch.tensor([-1, 0]), 4)
    for bad in (math.nan, math.inf):
        broken = logits.clone()
        broken[0, 0] = bad
        with pytest.raises(ValueError, match="not finite"):
            calibration_error(broken, far - far)
    with pytest.raises(ValueError, match=r"q is .*; expected shares"):
        total_variation(torch.tensor([0.5, 0.5]), torch.tensor([math.nan, 0.5]))


@given(st.floats(-100, 100), st.floats(-100, 100))
@settings(max_examples=100)
def test_an_attack_works_only_where_it_has_power_over_both(forgotten: float, held_out: float) -> None:
    found = calibration_verdict(forgotten, held_out)
    assert found.works == (held_out >= LEAST_POWER and forgotten >= held_out / 2)
    assert found.words.startswith("works" if found.works else "broken")
    assert not calibration_verdict(math.nan, held_out).works
    assert not calibration_verdict(forgotten, math.nan).works


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=6))
@settings(max_examples=100)
def test_a_verdict_turns_with_the_sign_of_the_gaps(gaps: list[float]) -> None:
    turned = {"remembers": "over-forgets", "over-forgets": "remembers"}
    found = distance_verdict(gaps)
    assert distance_verdict([-gap for gap in gaps]) == turned.get(found, found)
    if min(gaps) < 0 < max(gaps) and abs(sum(gaps)) < 1e-9:
        assert found == f"not told apart ({len(gaps)} seeds)"


@given(st.floats(0, 1))
@settings(max_examples=FEW)
def test_an_advantage_lies_within_100_points_and_turns_with_the_sides(area: float) -> None:
    assert -100 <= advantage(area) <= 100
    assert advantage(1 - area) == pytest.approx(-advantage(area), abs=1e-9)


@given(seeds)
@settings(max_examples=4)
def test_probes_know_no_names_and_repeat_with_their_seed(seed: int) -> None:
    labels = some_of_each(3, 7, seed)
    x = unit_rows(21, 4, seed)
    x[labels == 2] += torch.tensor([1.0, 0, 0, 0])
    names = torch.tensor([5, 0, 9])
    renamed, before = names[labels], x.clone()
    for read in (class_probe, class_neighbours):
        found = read(x, labels, 2, seed)
        assert 0 <= found <= 100
        assert read(x, labels, 2, seed) == found
    # Folds are drawn class by class in the order of the names, so only a probe of one class against the rest is equal.
    assert class_probe(x, renamed, 9, seed) == class_probe(x, labels, 2, seed)
    held = (unit_rows(9, 4, seed + 1), order(9, seed) % 3)
    for read_all in (label_probe, label_neighbours):
        (found,) = read_all(x, labels, held)
        assert read_all(x, labels, held, held) == [found, found], "each set is scored for itself"
        assert found * 9 / 100 == pytest.approx(round(found * 9 / 100))
    assert torch.equal(x, before)


@given(seeds)
@settings(max_examples=8)
def test_neighbours_vote_as_scikit_learn_says_and_turn_with_the_space(seed: int) -> None:
    labels, x = some_of_each(3, 5, seed), unit_rows(15, 4, seed)
    held, truth = unit_rows(10, 4, seed + 1), order(10, seed) % 3
    oracle = KNeighborsClassifier(5, metric="cosine", algorithm="brute").fit(x.numpy(), labels.numpy())
    expected = 100 * float(np.mean(oracle.predict(held.numpy()) == truth.numpy()))
    assert label_neighbours(x, labels, (held, truth)) == [pytest.approx(expected)]
    turned = turn(4, seed)
    assert label_neighbours(x @ turned, labels, (held @ turned, truth)) == [pytest.approx(expected)]


@given(seeds, st.floats(0.5, 3))
@settings(max_examples=4)
def test_two_samples_are_told_apart_in_percent_whatever_the_scale(seed: int, scale: float) -> None:
    a, b = rows(10, 3, seed), rows(12, 3, seed + 1)
    found = two_sample_auc(a, b, seed)
    assert 0 <= found <= 100
    assert two_sample_auc(a, b, seed) == found
    assert two_sample_auc(scale * a + 1, scale * b + 1, seed) == pytest.approx(found, abs=1e-6), "columns are scaled"
    far = a + torch.tensor([50.0, 0, 0])
    assert two_sample_auc(far, b, seed) == 100


@given(seeds, st.integers(1, 4), st.integers(2, 4))
@settings(max_examples=FEW)
def test_the_nearest_centre_is_the_largest_cosine(seed: int, shots: int, classes: int) -> None:
    labels, z = some_of_each(classes, 4, seed), unit_rows(4 * classes, 5, seed)
    centres = few_shot_centres(z, labels, classes, shots, draw(seed))
    assert centres.norm(dim=1).tolist() == pytest.approx([1.0] * classes)
    for row, found in zip(z, nearest_centre(z, centres).tolist(), strict=True):
        assert float(row @ centres[found]) == pytest.approx(max(float(row @ centre) for centre in centres))
    accuracy = centre_accuracy((z, labels), None, (z, labels), classes, shots, draws=3, seed=seed)
    assert 0 <= accuracy <= 100
    assert centre_accuracy((z, labels), None, (z, labels), classes, shots, draws=3, seed=seed) == accuracy


def test_probes_refuse_what_does_not_fit() -> None:
    x, labels = unit_rows(12, 4, 0), torch.arange(12) % 2
    with pytest.raises(ValueError, match=r"no image has the label 7; expected one of \[0, 1\]"):
        class_neighbours(x, labels, 7)
    with pytest.raises(ValueError, match=r"expected two groups or more"):
        class_probe(x, labels, 7)
    with pytest.raises(ValueError, match=r"a has shape \(12, 4\) and b \(12, 3\)"):
        two_sample_auc(x, x[:, :3])
    with pytest.raises(ValueError, match=r"labels go from 0 to 1; expected whole numbers from 0 to 0"):
        few_shot_centres(x, labels, 1, 2, draw(0))
    with pytest.raises(ValueError, match=r"labels go from 0 to 1"):
        centre_accuracy((x, labels), None, (x, labels), 1)
