"""LiRA, U-LiRA and RMIA against direct computation, loops and worlds whose answer is known."""

import math
import statistics

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cu_helpers.lira import gaussian_scores, keep, log_confidence, rmia_scores, score_fresh
from cu_helpers.roc import auc

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def case(models: int = 9, targets: int = 5, seed: int = 0) -> tuple[Array, Array, Mask, Mask]:
    """phi of an attacked model and of references, and two masks with three models or more in each column."""
    rng = np.random.default_rng(seed)
    first = np.zeros((models, targets), dtype=bool)
    second = first.copy()
    for column in range(targets):
        order = rng.permutation(models)
        cut = 3 + column % 2
        first[order[:cut], column] = True
        second[order[cut : cut + 3], column] = True
    return rng.normal(1, 2, targets), rng.normal(0, 2, (models, targets)), first, second


def log_normal(x: float, mean: float, deviation: float) -> float:
    return math.log(statistics.NormalDist(mean, deviation).pdf(x))


def test_scores_are_the_log_ratio_of_two_normals() -> None:
    seen, known, first, second = case()
    for column, score in enumerate(gaussian_scores(seen, known, first, second)):
        terms = []
        for mask in (first, second):
            sample = known[mask[:, column], column].tolist()
            terms.append(log_normal(seen[column], statistics.mean(sample), statistics.stdev(sample)))
        assert score == pytest.approx(terms[0] - terms[1], rel=1e-9)


def test_a_shared_spread_pools_what_is_left_around_each_targets_mean() -> None:
    seen, known, first, second = case()
    found = gaussian_scores(seen, known, first, second, spread="shared")
    moments = []
    for mask in (first, second):
        columns = [known[mask[:, column], column] for column in range(len(seen))]
        squares = sum(((of - of.mean()) ** 2).sum() for of in columns)
        moments.append(([of.mean() for of in columns], math.sqrt(squares / sum(len(of) - 1 for of in columns))))
    for column, score in enumerate(found):
        terms = [log_normal(seen[column], means[column], deviation) for means, deviation in moments]
        assert score == pytest.approx(terms[0] - terms[1], rel=1e-9)
    assert np.abs(found - gaussian_scores(seen, known, first, second)).max() > 0.1, "each has its own"


def test_rmia_is_its_definition_by_loops() -> None:
    seen, known, first, second = case(seed=3)
    rng = np.random.default_rng(4)
    z, z_known = rng.normal(0, 2, 7), rng.normal(0, 2, (len(known), 7))

    def p(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    for gamma in (1.0, 1.7):
        found = rmia_scores(seen, known, first, second, z, z_known, gamma)
        for column, score in enumerate(found):
            kinds = [[p(value) for value in known[mask[:, column], column]] for mask in (first, second)]
            p_x = 0.5 * (sum(kinds[0]) / len(kinds[0]) + sum(kinds[1]) / len(kinds[1]))
            wins = 0
            for place in range(7):
                p_z = sum(p(value) for value in z_known[:, place]) / len(z_known)
                wins += (p(seen[column]) / p_x) / (p(z[place]) / p_z) >= gamma
            assert score == pytest.approx(wins / 7)
    assert (rmia_scores(seen, known, first, second, z, z_known) >= found).all(), "a larger gamma asks for more"


def test_log_confidence_keeps_its_tails() -> None:
    assert log_confidence([0.0, -800.0, 800.0]).tolist() == pytest.approx([math.log(0.5), -800.0, 0.0])


def world(shift: float, seed: int, models: int = 40, targets: int = 60) -> tuple[Array, Mask, Mask]:
    """phi of models in pairs of complementary halves; training on a target raises its phi by `shift`."""
    rng = np.random.default_rng(seed)
    first = np.zeros((models, targets), dtype=bool)
    for row in range(0, models, 2):
        first[row, rng.permutation(targets)[: targets // 2]] = True
        first[row + 1] = ~first[row]
    difficulty = rng.normal(0, 3, targets)
    return difficulty + shift * first + rng.normal(0, 1, first.shape), first, ~first


def test_lira_sees_through_the_targets_difficulty_and_a_threshold_does_not() -> None:
    phi, first, second = world(1.5, seed=0)
    positive, negative = score_fresh(lambda k, a, b: gaussian_scores(phi[k], phi, a, b), first, second)
    assert len(positive) == len(negative) == 40 * 30
    best = stats.norm.cdf(1.5 / math.sqrt(2))  # with means and spread known
    found = auc(positive, negative)
    assert best - 0.06 < found.value < best + 0.02
    assert auc(phi[first], phi[second]).value < 0.7
    population = np.random.default_rng(9).normal(0, 1, (len(phi), 200))
    rmia = score_fresh(lambda k, a, b: rmia_scores(phi[k], phi, a, b, population[k], population), first, second)
    assert auc(*rmia).value > 0.75


def test_without_an_effect_every_attack_is_at_chance() -> None:
    """Over many worlds: a leave-one-out that counted models unevenly would be off by more than its error."""
    found = []
    for seed in range(12):
        phi, first, second = world(0.0, seed)
        found.append(auc(*score_fresh(lambda k, a, b, f=phi: gaussian_scores(f[k], f, a, b, "shared"), first, second)))
    values = [one.value for one in found]
    assert abs(np.mean(values) - 0.5) < 3 * np.std(values) / math.sqrt(len(values)) + 1e-3


def few_forget(seed: int) -> tuple[Array, Mask, Mask]:
    """No effect at all, 60 targets, and only three or four models of the first kind for each."""
    rng = np.random.default_rng(seed)
    phi, half, _ = world(0.0, seed)
    first = np.zeros_like(half)
    for column in range(half.shape[1]):
        first[rng.choice(half[:, column].nonzero()[0], 4, replace=False), column] = True
    return phi, first, ~half


def test_few_models_of_one_kind_are_at_chance_too_and_an_uneven_count_would_not_be() -> None:
    even, uneven = [], []
    for seed in range(12):
        phi, first, second = few_forget(seed)
        even.append(
            auc(*score_fresh(lambda k, a, b, f=phi: gaussian_scores(f[k], f, a, b, "shared"), first, second)).value
        )
        kinds: tuple[list[Array], list[Array]] = ([], [])
        for k in range(len(phi)):
            rest = np.ones((len(phi), 1), dtype=bool)
            rest[[k, k ^ 1]] = False
            scores = gaussian_scores(phi[k], phi, first & rest, second & rest, "shared")
            kinds[0].append(scores[first[k]])
            kinds[1].append(scores[second[k]])
        uneven.append(auc(np.concatenate(kinds[0]), np.concatenate(kinds[1])).value)
    error = np.std(even) / math.sqrt(len(even))
    assert abs(np.mean(even) - 0.5) < 3 * error + 1e-3
    assert np.mean(uneven) < np.mean(even) - 0.005, "the mutant: as many models as are left"


def test_keep_draws_from_the_mask_alone() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((10, 30)) < 0.6
    mask[:4] = True
    found = keep(mask, 4, rng)
    assert (found.sum(axis=0) == 4).all()
    assert not (found & ~mask).any()
    with pytest.raises(ValueError, match=r"a target has \d models; expected at least 11"):
        keep(mask, 11, rng)


def test_bad_input_is_refused() -> None:
    seen, known, first, second = case()
    with pytest.raises(ValueError, match=r"observed has shape \(4,\), references \(9, 5\)"):
        gaussian_scores(seen[:4], known, first, second)
    with pytest.raises(ValueError, match=r"second \(8, 5\); expected \(n,\) and three times"):
        gaussian_scores(seen, known, first, second[:8])
    with pytest.raises(ValueError, match=r"in both masks for one target"):
        gaussian_scores(seen, known, first, first)
    few = first.copy()
    few[first[:, 2].nonzero()[0][1:], 2] = False
    with pytest.raises(ValueError, match=r"target 2 has 1 reference models in the first mask; expected at least 2"):
        gaussian_scores(seen, known, few, second)
    broken = known.copy()
    broken[0, 0] = math.inf
    with pytest.raises(ValueError, match="NaN or infinite"):
        gaussian_scores(seen, broken, first, second)
    with pytest.raises(ValueError, match="spread is 'global'"):
        gaussian_scores(seen, known, first, second, "global")
    with pytest.raises(ValueError, match=r"population has shape \(3,\) and population_references \(9, 2\)"):
        rmia_scores(seen, known, first, second, np.zeros(3), np.zeros((9, 2)))
    with pytest.raises(ValueError, match="there are 3 models; expected pairs"):
        score_fresh(lambda k, a, b: seen, first[:3], second[:3])
