"""Geometry and similarity of embeddings: turns, orders and names that must not count, and plain loops."""

import math

import pytest
import torch
from conftest import unit_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from strategies import FEW, order, rows, seeds, some_of_each, turn
from torch import Tensor

from cu_helpers.geometry import class_centres, cohesion, margins
from cu_helpers.similarity import inner_structure, linear_cka, mmd_test, pair_cosines, rbf_kernel, squared_mmd


@given(seeds, st.integers(1, 8), st.integers(1, 5))
@settings(max_examples=FEW)
def test_centres_are_unit_means_by_a_loop(seed: int, count: int, classes: int) -> None:
    z, labels = unit_rows(count, 4, seed), order(classes * count, seed)[:count] % classes
    centres = class_centres(z, labels, classes)
    for label in range(classes):
        own = [row for row, its in zip(z, labels.tolist(), strict=True) if its == label]
        mean = torch.stack(own).mean(dim=0) if own else torch.zeros(4, dtype=z.dtype)
        torch.testing.assert_close(centres[label], mean / mean.norm().clamp(min=1e-12))


@given(seeds, st.integers(2, 8))
@settings(max_examples=FEW)
def test_cohesion_is_the_mean_of_all_pairs_whatever_the_order_and_the_axes(seed: int, count: int) -> None:
    z = unit_rows(count, 4, seed)
    pairs = [float(z[i] @ z[j]) for i in range(count) for j in range(count) if i != j]
    assert cohesion(z) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
    assert cohesion(z[order(count, seed)] @ turn(4, seed)) == pytest.approx(cohesion(z), abs=1e-12)


@given(seeds, st.integers(1, 6), st.integers(2, 5))
@settings(max_examples=FEW)
def test_margins_equal_a_loop_and_turn_with_everything(seed: int, count: int, classes: int) -> None:
    z, own, others = unit_rows(count, 4, seed), unit_rows(classes, 4, seed + 1), unit_rows(classes, 4, seed + 2)
    labels = order(classes * count, seed)[:count] % classes
    found, nearest = margins(z, labels, own, others)
    for i, label in enumerate(labels.tolist()):
        best = max(float(z[i] @ others[c]) for c in range(classes) if c != label)
        assert float(nearest[i]) == pytest.approx(best, abs=1e-12)
        assert float(found[i]) == pytest.approx(float(z[i] @ own[label]) - best, abs=1e-12)
    turned = turn(4, seed)
    torch.testing.assert_close(margins(z @ turned, labels, own @ turned, others @ turned)[0], found)


@pytest.mark.parametrize("wrong", [3, -1])
def test_a_label_without_a_centre_is_refused_in_one_sentence(wrong: int) -> None:
    z, centres = unit_rows(3, 4, 0), unit_rows(3, 4, 1)
    for make in (lambda y: class_centres(z, y, 3), lambda y: margins(z, y, centres, centres)):
        with pytest.raises(ValueError, match=rf"labels go from .*{wrong}.*; expected whole numbers from 0 to 2"):
            make(torch.tensor([0, 1, wrong]))
        with pytest.raises(ValueError, match=r"labels .* of shape \(2,\); expected .* one for each of 3 rows"):
            make(torch.tensor([0, 1]))


@given(seeds, st.integers(2, 8), st.integers(1, 4))
@settings(max_examples=FEW)
def test_the_kernel_is_symmetric_between_0_and_1_and_knows_no_scale(seed: int, count: int, dim: int) -> None:
    x = rows(count, dim, seed)
    kernel = rbf_kernel(x)
    torch.testing.assert_close(kernel, kernel.T)
    assert ((kernel >= 0) & (kernel <= 1)).all()
    assert (kernel.diagonal() == 1).all()
    torch.testing.assert_close(rbf_kernel(3 * x + 1), kernel, rtol=1e-6, atol=1e-8)
    rank = order(count, seed)
    torch.testing.assert_close(rbf_kernel(x[rank]), kernel[rank][:, rank])


@given(seeds, st.integers(2, 5), st.integers(2, 5))
@settings(max_examples=FEW)
def test_squared_mmd_is_three_means_of_pairs_and_turns_with_the_samples(seed: int, n: int, m: int) -> None:
    kernel = rbf_kernel(rows(n + m, 3, seed))
    first = order(n + m, seed)[:n].tolist()
    second = [i for i in range(n + m) if i not in first]
    groups = torch.tensor([[float(i in first)] for i in range(n + m)], dtype=torch.float64)

    def mean(a: list[int], b: list[int]) -> float:
        pairs = [float(kernel[i, j]) for i in a for j in b if i != j]
        return sum(pairs) / len(pairs)

    expected = mean(first, first) + mean(second, second) - 2 * mean(first, second)
    assert squared_mmd(kernel, groups).tolist() == pytest.approx([expected])
    assert squared_mmd(kernel, 1 - groups).tolist() == pytest.approx([expected])


def two_samples(seed: int, shift: float = 0.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    labels = some_of_each(2, 5, seed)
    return rows(10, 3, seed), labels, rows(10, 3, seed + 1) + shift, labels[order(10, seed)]


@given(seeds, st.sampled_from([0.0, 2.0]))
@settings(max_examples=20)
def test_mmd_is_of_the_rows_of_a_class_and_not_of_their_order_or_axes(seed: int, shift: float) -> None:
    a, y, b, k = two_samples(seed, shift)
    found = mmd_test(a, y, b, k, permutations=19, seed=seed)
    assert 1 / 20 <= found.p <= 1
    assert found.p * 20 == pytest.approx(round(found.p * 20))
    first, second, turned = order(10, seed + 1), order(10, seed + 2), turn(3, seed)
    mixed = mmd_test(a[first] @ turned, y[first], b[second] @ turned, k[second], 19, seed)
    assert mixed.squared == pytest.approx(found.squared, abs=1e-9)
    other_side = mmd_test(b, k, a, y, 19, seed)
    assert other_side.squared == pytest.approx(found.squared, abs=1e-9), "classes are as large on both sides"
    assert mmd_test(a, 5 - y, b, 5 - k, 19, seed).squared == pytest.approx(found.squared, abs=1e-9)
    assert mmd_test(a, y, b, k, 19, seed) == found


@given(seeds, st.integers(4, 12), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=FEW)
def test_cka_is_symmetric_and_sees_neither_turns_nor_scales_nor_a_common_order(
    seed: int, count: int, d: int, e: int
) -> None:
    x, y = rows(count, d, seed), rows(count, e, seed + 1)
    found, rank = linear_cka(x, y), order(count, seed)
    close = {"abs": 1e-6, "rel": 1e-6}
    assert linear_cka(y, x) == pytest.approx(found, **close)
    assert linear_cka(x[rank], y[rank]) == pytest.approx(found, **close)
    assert linear_cka(0.5 * x @ turn(d, seed) + 2, y @ turn(e, seed) - 1) == pytest.approx(found, **close)


@given(seeds, st.integers(5, 12))
@settings(max_examples=FEW)
def test_a_representation_is_aligned_with_its_own_image(seed: int, count: int) -> None:
    x = rows(count, 3, seed)
    assert linear_cka(x, 2 * x @ turn(3, seed)) == pytest.approx(1, abs=1e-8)


@given(seeds, st.integers(2, 8), st.integers(1, 3))
@settings(max_examples=FEW)
def test_inner_structure_is_spearmans_rho_of_the_pairs_by_a_loop(seed: int, count: int, classes: int) -> None:
    count = max(count, 3 * classes)
    z, other = unit_rows(count, 4, seed), unit_rows(count, 5, seed + 1)
    labels = torch.arange(count) % classes
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count) if labels[i] == labels[j]]
    ours, theirs = ([float(v[i] @ v[j]) for i, j in pairs] for v in (z, other))
    assert pair_cosines(z, labels).tolist() == pytest.approx(ours)
    found = inner_structure(z, other, labels)
    assert found == pytest.approx(float(spearmanr(ours, theirs).statistic), abs=1e-9)
    assert -1 - 1e-9 <= found <= 1 + 1e-9
    rank = order(count, seed)
    assert inner_structure(z[rank] @ turn(4, seed), other[rank], labels[rank]) == pytest.approx(found, abs=1e-9)
    assert inner_structure(z, z @ turn(4, seed), labels) == pytest.approx(1, abs=1e-6)


def test_labels_that_do_not_fit_the_rows_are_refused() -> None:
    z = unit_rows(6, 4, 0)
    few = torch.tensor([0, 1, 0])
    for make in (lambda: mmd_test(z, few, z, torch.zeros(6)), lambda: mmd_test(z, torch.zeros(6), z, few)):
        with pytest.raises(ValueError, match=r"labels .* of shape \(3,\); expected .* one for each of 6 rows"):
            make()
    with pytest.raises(ValueError, match=r"labels .* of shape \(3,\); expected .* one for each of 6 rows"):
        inner_structure(z, z, few)
    with pytest.raises(ValueError, match=r"0 regroupings were asked for; expected one or more"):
        mmd_test(z, torch.zeros(6), z, torch.zeros(6), permutations=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_rows_that_are_not_finite_are_refused(bad: float) -> None:
    z = unit_rows(6, 4, 0)
    broken = z.clone()
    broken[1, 2] = bad
    zeros = torch.zeros(6)
    for make in (
        lambda: mmd_test(broken, zeros, z, zeros),
        lambda: mmd_test(z, zeros, broken, zeros),
        lambda: linear_cka(broken, z),
        lambda: linear_cka(z, broken),
        lambda: inner_structure(z, broken, zeros),
    ):
        with pytest.raises(ValueError, match="not finite"):
            make()
