"""Scores of one model's outputs against their definitions in sixty decimal digits, also where a softmax rounds."""

from decimal import Decimal, localcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, order, rows, seeds
from torch import Tensor

from cu_helpers.attack_scores import (
    check_finite,
    confidence_score,
    entropy_score,
    log_rest,
    logit_score,
    loss_score,
    modified_entropy_score,
)

spreads = st.sampled_from([0.01, 1.0, 10.0, 300.0])
dtypes = st.sampled_from([torch.float64, torch.float32])


def exactly(logits: list[float], label: int) -> dict[str, float]:
    """The five definitions for one row, with nothing lost: 1 - p is the sum of the other probabilities."""
    with localcontext() as context:
        context.prec = 60
        sizes = [Decimal(x).exp() for x in logits]
        p = [size / sum(sizes) for size in sizes]
        rest = [sum(sizes[:i] + sizes[i + 1 :]) / sum(sizes) for i in range(len(sizes))]
        others = [i for i in range(len(p)) if i != label]
        return {
            "loss": float(p[label].ln()),
            "confidence": float(max(p).ln()),
            "entropy": float(sum(q * q.ln() for q in p)),
            "modified": float(rest[label] * p[label].ln() + sum(p[i] * rest[i].ln() for i in others)),
            "logit": float(p[label].ln() - rest[label].ln()),
        }


def said(seed: int, classes: int, spread: float, dtype: torch.dtype) -> tuple[Tensor, Tensor, list[dict[str, float]]]:
    """Logits (4, classes), true labels (4,), and what `exactly` makes of each row."""
    logits, labels = (spread * rows(4, classes, seed)).to(dtype), order(4 * classes, seed)[:4] % classes
    pairs = zip(logits.tolist(), labels.tolist(), strict=True)
    return logits, labels, [exactly(row, label) for row, label in pairs]


@given(seeds, st.integers(2, 5), spreads, dtypes)
@settings(max_examples=FEW)
def test_the_loss_and_the_logit_score_are_logs_of_p_and_of_its_odds(
    seed: int, classes: int, spread: float, dtype: torch.dtype
) -> None:
    logits, labels, truth = said(seed, classes, spread, dtype)
    loss, odds = loss_score(logits, labels), logit_score(logits, labels)
    assert loss.dtype == odds.dtype == torch.float64
    assert loss.tolist() == pytest.approx([one["loss"] for one in truth], rel=1e-9, abs=1e-12)
    assert odds.tolist() == pytest.approx([one["logit"] for one in truth], rel=1e-9, abs=1e-12)


@given(seeds, st.integers(2, 5), spreads, dtypes)
@settings(max_examples=FEW)
def test_confidence_and_entropy_are_of_the_prediction_whatever_the_label(
    seed: int, classes: int, spread: float, dtype: torch.dtype
) -> None:
    logits, labels, truth = said(seed, classes, spread, dtype)
    confidence, entropy = confidence_score(logits, labels), entropy_score(logits, labels)
    assert confidence.tolist() == pytest.approx([one["confidence"] for one in truth], rel=1e-9, abs=1e-12)
    assert entropy.tolist() == pytest.approx([one["entropy"] for one in truth], rel=1e-9, abs=1e-12)
    other = (labels + 1) % classes
    assert torch.equal(confidence_score(logits, other), confidence)
    assert torch.equal(entropy_score(logits, other), entropy)


@given(seeds, st.integers(2, 5), spreads, dtypes)
@settings(max_examples=FEW)
def test_modified_entropy_is_its_definition_also_where_p_rounds_to_one(
    seed: int, classes: int, spread: float, dtype: torch.dtype
) -> None:
    logits, labels, truth = said(seed, classes, spread, dtype)
    found = modified_entropy_score(logits, labels)
    assert found.tolist() == pytest.approx([one["modified"] for one in truth], rel=1e-8, abs=1e-12)


@given(seeds, st.floats(0.5, 20), st.floats(1, 5))
@settings(max_examples=FEW)
def test_modified_entropy_falls_with_sureness_where_it_is_wrong_and_rises_where_it_is_right(
    seed: int, size: float, more: float
) -> None:
    noise = rows(1, 4, seed)[0] / 10
    for sure in (0, 1):
        levels = torch.stack([noise.index_fill(0, torch.tensor([sure]), at) for at in (size, size + more)])
        wrong = modified_entropy_score(levels, torch.tensor([2, 2]))
        right = modified_entropy_score(levels, torch.tensor([sure, sure]))
        assert wrong[1] < wrong[0]
        assert right[1] > right[0]
        plain = entropy_score(levels, torch.tensor([sure, 2]))
        assert plain[1] > plain[0], "plain entropy rewards both"


@given(seeds, st.integers(2, 6), st.sampled_from([1.0, 50.0]))
@settings(max_examples=FEW)
def test_the_rest_is_a_log_sum_over_all_others(seed: int, classes: int, spread: float) -> None:
    logits, index = spread * rows(5, classes, seed), order(5 * classes, seed)[:5] % classes
    before = logits.clone()
    found = log_rest(logits, index)
    for row, own, value in zip(logits.tolist(), index.tolist(), found.tolist(), strict=True):
        with localcontext() as context:
            context.prec = 60
            others = sum(Decimal(x).exp() for i, x in enumerate(row) if i != own)
            assert value == pytest.approx(float(Decimal(others).ln()), rel=1e-9, abs=1e-12)
    assert torch.equal(logits, before)


@given(st.integers(1, 6), st.integers(2, 4), st.sets(st.integers(0, 5), max_size=4), st.sampled_from(["nan", "inf"]))
@settings(max_examples=FEW)
def test_outputs_that_are_not_finite_are_counted_by_image(count: int, classes: int, places: set[int], bad: str) -> None:
    logits = rows(count, classes, 0)
    broken = [place for place in places if place < count]
    logits[broken] = -float(bad)  # every class of an image, which still is one image
    if not broken:
        check_finite(logits)
        return
    with pytest.raises(ValueError, match=rf"NaN or infinite for {len(broken)} of {count} images"):
        check_finite(logits)


@given(st.sampled_from([(4,), (4, 1), (4, 3, 2), ()]))
@settings(max_examples=FEW)
def test_what_is_no_table_of_classes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"outputs have shape .*expected \(n, classes\) with two classes or more"):
        check_finite(torch.zeros(shape))
    for score in (loss_score, confidence_score, entropy_score, modified_entropy_score, logit_score):
        with pytest.raises(ValueError, match="two classes or more"):
            score(torch.zeros(shape), torch.zeros(4, dtype=torch.int64))
        with pytest.raises(ValueError, match=r"labels \(3,\)"):
            score(torch.zeros(4, 3), torch.zeros(3, dtype=torch.int64))
