"""Scores of one model's outputs and of many models', for any outputs: what they may not see, and plain loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from strategies import FEW, order, rows, seeds
from torch import Tensor

from cu_helpers.attack_scores import THRESHOLDS, logit_score
from cu_helpers.lira import SPREADS, Mask, gaussian_scores, keep, log_confidence, rmia_scores, score_fresh
from cu_helpers.roc import auc, needed_non_members, tpr_at

SCORES = {**THRESHOLDS, "logit": logit_score}


def said(seed: int, count: int = 6, classes: int = 4, spread: float = 3.0) -> tuple[Tensor, Tensor]:
    """Logits (count, classes) and true labels (count,)."""
    return spread * rows(count, classes, seed), order(count * classes, seed)[:count] % classes


@pytest.mark.parametrize("name", SCORES)
@given(seeds, st.integers(2, 6), st.sampled_from([0.1, 3.0, 300.0]))
@settings(max_examples=FEW)
def test_a_score_is_of_its_own_row_whatever_the_classes_are_called(
    name: str, seed: int, classes: int, spread: float
) -> None:
    logits, labels = said(seed, classes=classes, spread=spread)
    straight, rank, names = SCORES[name](logits, labels), order(len(logits), seed), order(classes, seed)
    torch.testing.assert_close(SCORES[name](logits[rank], labels[rank]), straight[rank])
    renamed = torch.empty_like(logits)
    renamed[:, names] = logits  # class c is called names[c]
    torch.testing.assert_close(SCORES[name](renamed, names[labels]), straight, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SCORES)
@given(seeds, st.floats(-50, 50))
@settings(max_examples=FEW)
def test_a_constant_on_all_logits_plays_no_part_and_the_logits_stay(name: str, seed: int, constant: float) -> None:
    logits, labels = said(seed)
    before = logits.clone()
    torch.testing.assert_close(
        SCORES[name](logits + constant, labels), SCORES[name](logits, labels), rtol=1e-7, atol=1e-9
    )
    assert torch.equal(logits, before)


@given(seeds, st.integers(2, 6), st.sampled_from([0.1, 3.0, 300.0, 1e5]))
@settings(max_examples=FEW)
def test_scores_lie_in_their_ranges(seed: int, classes: int, spread: float) -> None:
    logits, labels = said(seed, classes=classes, spread=spread)
    for name in THRESHOLDS:
        assert (SCORES[name](logits, labels) <= 0).all(), name
    slack = 1e-9
    assert (SCORES["confidence"](logits, labels) >= -math.log(classes) - slack).all()
    assert (SCORES["entropy"](logits, labels) >= -math.log(classes) - slack).all()
    assert (SCORES["confidence"](logits, labels) >= SCORES["loss"](logits, labels)).all()


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("wrong", [4, -1, 100])
def test_a_label_that_is_no_class_is_refused_in_one_sentence(name: str, wrong: int) -> None:
    logits, labels = said(0)
    labels[2] = wrong
    with pytest.raises(ValueError, match=rf"labels go from .*{wrong}.*expected whole numbers from 0 to 3"):
        SCORES[name](logits, labels)
    with pytest.raises(ValueError, match=r"labels are torch.float32"):
        SCORES[name](logits, labels.float())


values = st.lists(st.integers(-5, 5).map(float), min_size=2, max_size=12)


@given(values, values, st.sampled_from([0.5, 0.9, 0.99]))
@settings(max_examples=FEW)
def test_auc_turns_with_the_sides_and_sees_order_alone(
    members: list[float], others: list[float], confidence: float
) -> None:
    found, turned = auc(members, others, confidence), auc(others, members, confidence)
    assert (turned.value, turned.low, turned.high) == pytest.approx((1 - found.value, 1 - found.high, 1 - found.low))
    stretched = [[math.exp(value) for value in side] for side in (members, others)]
    assert auc(stretched[0], stretched[1], confidence) == found
    wider = auc(members, others, (1 + confidence) / 2)
    assert wider.low <= found.low
    assert wider.high >= found.high


@given(values, st.lists(st.integers(-5, 5).map(float), min_size=10, max_size=30))
@settings(max_examples=FEW)
def test_more_false_positives_never_find_fewer_members(members: list[float], others: list[float]) -> None:
    found = [tpr_at(members, others, rate) for rate in (0.1, 0.3, 0.6, 0.9)]
    assert [one.value for one in found] == sorted(one.value for one in found)
    assert all(0 <= one.low <= one.value <= one.high <= 1 for one in found)


@given(st.floats(1e-4, 0.999))
@settings(max_examples=FEW)
def test_a_rate_needs_just_so_many_that_one_may_be_false(rate: float) -> None:
    needed = needed_non_members(rate)
    assert needed * rate >= 1 - 1e-6
    assert (needed - 1) * rate < 1


@pytest.mark.parametrize("confidence", [0.0, 1.0, 2.0, -0.5, math.nan])
def test_a_confidence_that_is_no_share_is_refused(confidence: float) -> None:
    for measure in (lambda: auc([1, 2], [0, 1], confidence), lambda: tpr_at([1, 2], [0, 1], 0.5, confidence)):
        with pytest.raises(ValueError, match=r"confidence is .*; expected a share between 0 and 1"):
            measure()


def shadow_world(seed: int, models: int, targets: int) -> tuple[np.ndarray, np.ndarray, Mask, Mask]:
    """phi of an attacked model and of references, and two masks of at least two models for each target."""
    rng = np.random.default_rng(seed)
    kind = rng.permuted(np.arange(models)[:, None].repeat(targets, axis=1) % 3, axis=0)
    return rng.normal(size=targets), rng.normal(size=(models, targets)), kind == 0, kind == 1


@pytest.mark.parametrize("spread", SPREADS)
@given(seeds, st.integers(6, 10), st.integers(1, 5))
@settings(max_examples=FEW)
def test_lira_turns_with_its_masks_and_knows_no_order_of_models_or_targets(
    spread: str, seed: int, models: int, targets: int
) -> None:
    phi, known, first, second = shadow_world(seed, models, targets)
    found = gaussian_scores(phi, known, first, second, spread)
    np.testing.assert_allclose(gaussian_scores(phi, known, second, first, spread), -found, atol=1e-9)
    rank = np.random.default_rng(seed + 1).permutation(models)
    np.testing.assert_allclose(gaussian_scores(phi, known[rank], first[rank], second[rank], spread), found, atol=1e-9)
    place = np.random.default_rng(seed + 2).permutation(targets)
    mixed = gaussian_scores(phi[place], known[:, place], first[:, place], second[:, place], spread)
    np.testing.assert_allclose(mixed, found[place], atol=1e-9)
    moved = gaussian_scores(5 + 2 * phi, 5 + 2 * known, first, second, spread)
    np.testing.assert_allclose(moved, found, atol=1e-7)


@given(seeds, st.integers(6, 9), st.integers(1, 4), st.integers(1, 7), st.sampled_from([1.0, 2.0]))
@settings(max_examples=FEW)
def test_rmia_is_a_share_that_a_larger_gamma_never_raises(
    seed: int, models: int, targets: int, others: int, gamma: float
) -> None:
    phi, known, first, second = shadow_world(seed, models, targets)
    rng = np.random.default_rng(seed + 3)
    world = rng.normal(size=others), rng.normal(size=(models, others))
    found = rmia_scores(phi, known, first, second, *world, gamma)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found * others, np.round(found * others), atol=1e-9)
    assert (rmia_scores(phi, known, first, second, *world, gamma + 0.5) <= found).all()
    np.testing.assert_array_equal(rmia_scores(phi, known, second, first, *world, gamma), found)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_a_population_that_is_not_finite_is_refused(bad: float, side: int) -> None:
    """A comparison with NaN is false: such an image would count against every target."""
    phi, known, first, second = shadow_world(0, 6, 3)
    world = [np.zeros(4), np.zeros((6, 4))]
    world[side].flat[1] = bad
    with pytest.raises(ValueError, match="phi holds NaN or infinite values"):
        rmia_scores(phi, known, first, second, world[0], world[1])


@pytest.mark.parametrize("gamma", [0.0, -1.0, math.nan, math.inf])
def test_a_gamma_that_is_no_ratio_is_refused(gamma: float) -> None:
    phi, known, first, second = shadow_world(0, 6, 3)
    with pytest.raises(ValueError, match=r"gamma is .*; expected a finite number above 0"):
        rmia_scores(phi, known, first, second, np.zeros(4), np.zeros((6, 4)), gamma)


@given(st.floats(-700, 700))
@settings(max_examples=FEW)
def test_log_confidence_is_the_log_of_a_probability(phi: float) -> None:
    assert float(log_confidence(phi)) == pytest.approx(float(stats.logistic.logcdf(phi)), rel=1e-12, abs=1e-300)


@given(seeds, st.integers(1, 8), st.integers(1, 6), st.integers(0, 3))
@settings(max_examples=FEW)
def test_keep_takes_exactly_so_many_of_the_mask(seed: int, targets: int, extra: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.permuted(np.arange(count + extra)[:, None].repeat(targets, axis=1) % 2 == 0, axis=0)
    least = int(mask.sum(axis=0).min())
    kept = keep(mask, min(count, least), np.random.default_rng(seed))
    assert (kept <= mask).all()
    assert (kept.sum(axis=0) == min(count, least)).all()
    np.testing.assert_array_equal(kept, keep(mask, min(count, least), np.random.default_rng(seed)))
    with pytest.raises(ValueError, match=rf"a target has {least} models; expected at least {least + 1}"):
        keep(mask, least + 1, rng)


@given(seeds, st.integers(2, 4))
@settings(max_examples=15)
def test_every_model_is_attacked_by_others_alone_with_equal_numbers(seed: int, pairs: int) -> None:
    rng = np.random.default_rng(seed)
    half = rng.permuted(np.arange(6)[None, :].repeat(pairs, axis=0) % 2 == 0, axis=1)
    first = np.stack([half, ~half], axis=1).reshape(2 * pairs, 6)
    numbers = set()

    def scorer(fresh: int, one: Mask, two: Mask) -> np.ndarray:
        assert not one[[fresh, fresh ^ 1]].any()
        assert not two[[fresh, fresh ^ 1]].any()
        numbers.add((tuple(one.sum(axis=0)), tuple(two.sum(axis=0))))
        return np.full(6, float(fresh))

    found = score_fresh(scorer, first, ~first, seed)
    assert [len(side) for side in found] == [int(first.sum()), int((~first).sum())]
    assert numbers == {((pairs - 1,) * 6, (pairs - 1,) * 6)}
    np.testing.assert_array_equal(found[0], np.nonzero(first)[0])
