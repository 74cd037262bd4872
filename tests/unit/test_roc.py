"""AUC and TPR at a low FPR against definitions by loops, scikit-learn, scipy and known distributions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from cu_helpers.roc import auc, needed_non_members, tpr_at

# Few values, so that ties are common.
samples = st.lists(st.integers(0, 6).map(float), min_size=2, max_size=12)


@given(samples, samples)
def test_auc_is_the_share_of_ordered_pairs(members: list[float], others: list[float]) -> None:
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in members for b in others]
    found = auc(members, others)
    assert found.value == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
    truth = [1] * len(members) + [0] * len(others)
    assert found.value == pytest.approx(roc_auc_score(truth, members + others), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_auc_of_two_normals_is_known_and_its_interval_covers_it() -> None:
    """The AUC of N(d, 1) against N(0, 1) is Phi(d / sqrt 2); 95 % intervals hold it in 95 of 100 draws."""
    rng, truth, hits = np.random.default_rng(0), stats.norm.cdf(1 / math.sqrt(2)), 0
    for _ in range(400):
        found = auc(rng.normal(1, 1, 40), rng.normal(0, 1, 200))
        hits += found.low <= truth <= found.high
    assert 0.92 < hits / 400 < 0.98


def test_aucs_interval_is_as_wide_as_a_bootstraps() -> None:
    rng = np.random.default_rng(1)
    members, others = rng.normal(0.7, 1, 60), rng.normal(0, 2, 300)
    again = [auc(rng.choice(members, 60), rng.choice(others, 300)).value for _ in range(500)]
    found = auc(members, others)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(np.std(again), rel=0.15)


@given(samples, st.lists(st.integers(0, 6).map(float), min_size=10, max_size=30), st.sampled_from([0.1, 0.2, 0.5]))
def test_tpr_is_the_best_of_all_thresholds_that_keep_the_rate(
    members: list[float], others: list[float], rate: float
) -> None:
    best = 0.0
    for threshold in [-1.0, *members, *others]:
        if sum(other > threshold for other in others) <= rate * len(others) + 1e-9:
            best = max(best, sum(member > threshold for member in members) / len(members))
    assert tpr_at(members, others, rate).value == pytest.approx(best, abs=1e-12)


def test_tpr_of_two_normals_is_known() -> None:
    rng = np.random.default_rng(2)
    found = tpr_at(rng.normal(2, 1, 20_000), rng.normal(0, 1, 50_000), 0.01)
    truth = stats.norm.sf(stats.norm.isf(0.01) - 2)
    assert found.value == pytest.approx(truth, abs=0.02)


def test_tprs_interval_is_the_beta_quantiles() -> None:
    members = [0.0] * 30 + [10.0] * 6
    found = tpr_at(members, list(range(10)), 0.1)  # one of ten may lie above: the threshold is 8
    assert found.value == 6 / 36
    assert found.low == pytest.approx(stats.beta.ppf(0.025, 6, 31))
    assert found.high == pytest.approx(stats.beta.ppf(0.975, 7, 30))
    nothing = tpr_at([0.0] * 36, list(range(10)), 0.1)
    assert (nothing.low, nothing.high) == pytest.approx((0.0, 1 - 0.025 ** (1 / 36)))


@pytest.mark.parametrize(("rate", "needed"), [(0.01, 100), (0.001, 1000), (0.003, 334), (0.5, 2)])
def test_a_rate_that_the_counts_do_not_allow_is_refused_with_the_number_needed(rate: float, needed: int) -> None:
    assert needed_non_members(rate) == needed
    others = np.arange(needed, dtype=float)
    assert tpr_at([1e9], others, rate).value == 1
    message = rf"false-positive rate of {100 * rate:g} % needs {needed} non-members or more.*; there are {needed - 1}"
    with pytest.raises(ValueError, match=message):
        tpr_at([1e9], others[1:], rate)


def test_bad_scores_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1 of 3 member scores are NaN or infinite; expected finite"):
        auc([0.0, math.nan, 1.0], [0.0, 1.0])
    with pytest.raises(ValueError, match=r"1 of 2 non-member scores are NaN or infinite"):
        tpr_at([0.0], [0.0, math.inf], 0.5)
    with pytest.raises(ValueError, match=r"member scores have shape \(1,\); expected a list of at least 2"):
        auc([0.0], [0.0, 1.0])
    with pytest.raises(ValueError, match=r"rate is 0; expected a share between 0 and 1"):
        tpr_at([0.0], [0.0], 0)
