"""MMD, CKA and inner structure against loops, invariances and laws that are known."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from cu_helpers import similarity


def rows(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def no_label(x: Tensor) -> Tensor:
    return torch.zeros(len(x), dtype=torch.int64)


def mmd_by_loops(a: Tensor, b: Tensor) -> float:
    pooled = torch.cat([a, b])
    n, m = len(a), len(b)
    distances = sorted(math.dist(p, q) for i, p in enumerate(pooled.tolist()) for q in pooled.tolist()[:i])
    width = distances[(len(distances) - 1) // 2]

    def k(p: Tensor, q: Tensor) -> float:
        return math.exp(-(math.dist(p.tolist(), q.tolist()) ** 2) / (2 * width**2))

    within_a = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_b = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_a + within_b - 2 * sum(k(p, q) for p in a for q in b) / (n * m)


def test_mmd_equals_loops_class_by_class() -> None:
    a, b = rows(7, 3, 0), rows(5, 3, 1) + 0.5
    found = similarity.mmd_test(a, no_label(a), b, no_label(b))
    assert found.squared == pytest.approx(mmd_by_loops(a, b), abs=1e-12)
    c, d = rows(4, 3, 2), rows(6, 3, 3)
    both = similarity.mmd_test(
        torch.cat([a, c]), torch.tensor([0] * 7 + [4] * 4), torch.cat([b, d]), torch.tensor([0] * 5 + [4] * 6)
    )
    assert both.squared == pytest.approx((7 * mmd_by_loops(a, b) + 4 * mmd_by_loops(c, d)) / 11, abs=1e-12)


def test_regroupings_are_what_they_say() -> None:
    """Each column of `groups` is a grouping of its own: its value is the MMD of the two groups."""
    x = rows(9, 2, 0)
    kernel = similarity.rbf_kernel(x)
    groups = torch.zeros(9, 3, dtype=torch.float64)
    chosen = [torch.randperm(9, generator=torch.Generator().manual_seed(s))[:4] for s in range(3)]
    for column, at in enumerate(chosen):
        groups[at, column] = 1
    found = similarity.squared_mmd(kernel, groups)
    for column, at in enumerate(chosen):
        rest = [i for i in range(9) if i not in at.tolist()]
        assert found[column].item() == pytest.approx(mmd_by_loops(x[at], x[rest]), abs=1e-12)


def test_mmd_keeps_its_level_and_sees_a_shift() -> None:
    def test(seed: int, shift: float) -> similarity.MmdTest:
        a, b = rows(30, 4, seed) + shift, rows(40, 4, 100 + seed)
        return similarity.mmd_test(a, no_label(a), b, no_label(b))

    same = [test(seed, 0.0) for seed in range(60)]
    assert sum(one.p <= 0.05 for one in same) <= 9, "a level of 5 % is passed by 3 of 60 on average"
    assert sum(one.squared > one.limit for one in same) <= 9
    assert abs(sum(one.squared for one in same) / 60) < 2e-3, "unbiased: around zero"
    assert all(one.p < 0.01 and one.squared > one.limit for one in (test(seed, 1.0) for seed in range(10)))


def test_mmd_is_of_classes_and_not_of_their_shares() -> None:
    """Unequal class shares alone are no difference; a pooled test would see one."""
    labels_a, labels_b = torch.arange(40) % 4 // 3, torch.arange(60) % 4 // 2
    a, b = rows(40, 2, 0) + 8 * labels_a[:, None], rows(60, 2, 1) + 8 * labels_b[:, None]
    assert similarity.mmd_test(a, labels_a, b, labels_b).p > 0.05
    assert similarity.mmd_test(a, no_label(a), b, no_label(b)).p < 0.05


def test_a_collapsed_set_has_a_kernel_still() -> None:
    a, b = torch.ones(6, 3), torch.ones(4, 3)
    assert similarity.mmd_test(a, no_label(a), b, no_label(b)).squared == 0
    b = torch.cat([b[:2], -b[:2]])
    kernel = similarity.rbf_kernel(torch.cat([a, b]))
    assert set(kernel.unique().tolist()) == {0.0, 1.0}


def hsic_by_loops(k: Tensor, l: Tensor) -> float:  # noqa: E741
    """The U-statistic that the unbiased HSIC is: the mean of h over all ordered quadruples of different rows."""
    n = len(k)
    total = count = 0.0
    for i in range(n):
        for j in range(n):
            for q in range(n):
                for r in range(n):
                    if len({i, j, q, r}) == 4:
                        total += float(k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q]))
                        count += 1
    return total / count


def test_cka_equals_its_u_statistic() -> None:
    x, y = rows(6, 3, 0), rows(6, 4, 1)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    expected = hsic_by_loops(k, l) / math.sqrt(hsic_by_loops(k, k) * hsic_by_loops(l, l))
    assert similarity.linear_cka(x, y) == pytest.approx(expected, abs=1e-10)


def test_cka_knows_rotations_scalings_and_offsets_only() -> None:
    x = rows(30, 5, 0)
    turn = torch.linalg.qr(rows(5, 5, 1)).Q
    assert similarity.linear_cka(x, 3 * x @ turn + 7) == pytest.approx(1)
    assert similarity.linear_cka(x, x @ torch.diag(torch.tensor([9.0, 1, 1, 1, 0], dtype=torch.float64))) < 0.8
    assert similarity.linear_cka(x, torch.ones(30, 2)) == 0


def test_cka_of_unrelated_representations_is_around_zero_also_if_wide() -> None:
    found = [similarity.linear_cka(rows(20, 128, s), rows(20, 128, 50 + s)) for s in range(20)]
    assert abs(sum(found) / 20) < 0.05

    def plain(x: Tensor, y: Tensor) -> float:
        x, y = x - x.mean(dim=0), y - y.mean(dim=0)
        return float((x.T @ y).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()))

    assert plain(rows(20, 128, 0), rows(20, 128, 50)) > 0.5, "the plain form would call them alike"


def test_inner_structure_equals_loops() -> None:
    labels = torch.tensor([0, 0, 1, 1, 0, 1, 1, 0])
    z, reference = F.normalize(rows(8, 4, 0), dim=1), F.normalize(rows(8, 6, 1), dim=1)
    pairs = [(i, j) for i in range(8) for j in range(i + 1, 8) if labels[i] == labels[j]]
    ours, theirs = ([float(one[i] @ one[j]) for i, j in pairs] for one in (z, reference))
    assert similarity.inner_structure(z, reference, labels) == pytest.approx(stats.spearmanr(ours, theirs).statistic)


def test_a_common_direction_keeps_the_structure_and_a_shuffle_loses_it() -> None:
    """What Eq. 6 alone would do: all images of a class move the same way, and stay in order among themselves."""
    labels = torch.zeros(40, dtype=torch.int64)
    direction = F.normalize(rows(1, 8, 5), dim=1)
    # Around an axis at right angles to the direction, as an original model's class is.
    around = torch.eye(8, dtype=torch.float64)[0] - (torch.eye(8, dtype=torch.float64)[0] @ direction[0]) * direction
    spread = rows(40, 8, 0)
    spread = spread - (spread @ direction.T) * direction
    z = F.normalize(3 * around + 0.2 * spread, dim=1)
    moved = F.normalize(z + 5 * direction, dim=1)
    assert similarity.inner_structure(moved, z, labels) > 0.95
    assert (moved @ moved.T).min() > (z @ z.T).min(), "the scale is another, the order is the same"
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert abs(similarity.inner_structure(moved[order], z, labels)) < 0.2
    assert similarity.inner_structure(z[:1].expand(40, -1), z, labels) == 0


def test_bad_input_is_refused_in_one_sentence() -> None:
    x = rows(8, 3, 0)
    with pytest.raises(ValueError, match="the same second dimension"):
        similarity.mmd_test(x, no_label(x), x[:, :2], no_label(x))
    with pytest.raises(ValueError, match="n >= 2"):
        similarity.mmd_test(x[:1], no_label(x[:1]), x, no_label(x))
    with pytest.raises(ValueError, match="no class has two rows"):
        similarity.mmd_test(x, torch.arange(8), x, torch.arange(8))
    with pytest.raises(ValueError, match="the same images in both"):
        similarity.linear_cka(x, x[:-1])
    with pytest.raises(ValueError, match="not finite"):
        similarity.linear_cka(x * torch.nan, x)
    with pytest.raises(ValueError, match="the same images in both"):
        similarity.inner_structure(x, x[:-1], no_label(x))
    with pytest.raises(ValueError, match="three or more"):
        similarity.inner_structure(x, x, torch.arange(8))
