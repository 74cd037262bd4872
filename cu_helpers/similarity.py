"""How alike two sets of embeddings are: MMD, linear CKA, and the inner structure of a class."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .devices import generator
from .labels import check_labels


def _check(name: str, x: Tensor, least: int) -> None:
    if x.ndim != 2 or len(x) < least:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; expected (n, d) with n >= {least}")
    if not bool(x.isfinite().all()):
        raise ValueError(f"{name} has an entry that is not finite; look for NaN in the model's weights")


@dataclass(frozen=True)
class MmdTest:
    """Squared MMD of two samples, its permutation level and p-value.

    squared: unbiased, so around 0 (and as often below) if both come from one distribution. limit: what 95 % of
    random regroupings of the same rows stay below. p: share of regroupings, the real one counted, that reach it.
    """

    squared: float
    limit: float
    p: float


def rbf_kernel(x: Tensor) -> Tensor:
    """exp(-|x_i - x_j|^2 / (2 s^2)) of all rows of x (n, d), in float64; s: the median distance of two rows.

    The median heuristic of Gretton et al. 2012. If the median is 0 the kernel is its own limit: 1 for equal
    rows, 0 for others.
    """
    x = x.double()
    squared = torch.cdist(x, x).square()
    above = torch.triu_indices(len(x), len(x), 1, device=x.device)
    scale = 2 * squared[above[0], above[1]].median()
    return torch.where(squared == 0, 1.0, torch.exp(-squared / scale))


def squared_mmd(kernel: Tensor, groups: Tensor) -> Tensor:
    """Unbiased squared MMD (Gretton et al. 2012, eq. 3) of several groupings (p,) of the same rows.

    kernel: (n, n). groups: (n, p), in each column 1 for the rows of the first sample and 0 for the second's.
    """
    kernel = kernel - torch.diag(kernel.diagonal())
    first = groups.sum(dim=0)
    second = len(kernel) - first
    towards = kernel @ groups
    within = (groups * towards).sum(dim=0)
    across = ((1 - groups) * towards).sum(dim=0)
    rest = kernel.sum() - within - 2 * across
    return within / (first * (first - 1)) + rest / (second * (second - 1)) - 2 * across / (first * second)


def mmd_test(
    a: Tensor, a_labels: Tensor, b: Tensor, b_labels: Tensor, permutations: int = 200, seed: int = 0
) -> MmdTest:
    """Whether the rows of a (n, d) and of b (m, d) with the same label come from one distribution.

    Squared maximum mean discrepancy with an RBF kernel, class by class, and its mean over classes, weighted by the
    class's rows in a; the regroupings stay within classes. Classes with fewer than two rows in a or b are left
    out. The number depends on n, m and d: read it against `limit`. Raises ValueError if no class has two rows in
    each, if rows differ in length or have no label each, or for no permutation.
    """
    _check("a", a, 2)
    _check("b", b, 2)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"a has shape {tuple(a.shape)} and b {tuple(b.shape)}; expected the same second dimension")
    check_labels(a_labels, len(a), name="a_labels")
    check_labels(b_labels, len(b), name="b_labels")
    if permutations < 1:
        raise ValueError(f"{permutations} regroupings were asked for; expected one or more")
    draw = generator(seed, torch.device("cpu"))
    total, weight = torch.zeros(permutations + 1, dtype=torch.float64, device=a.device), 0
    for label in torch.unique(a_labels):
        first, second = a[a_labels == label], b[b_labels == label]
        n, m = len(first), len(second)
        if min(n, m) < 2:
            continue
        groups = torch.zeros(n + m, permutations + 1, dtype=torch.float64)
        groups[:n, 0] = 1
        for column in range(1, permutations + 1):
            groups[torch.randperm(n + m, generator=draw)[:n], column] = 1
        total += n * squared_mmd(rbf_kernel(torch.cat([first, second])), groups.to(a.device))
        weight += n
    if weight == 0:
        raise ValueError("no class has two rows in a and two in b; expected at least one")
    found = total / weight
    reached = (found >= found[0]).double().mean()
    return MmdTest(float(found[0]), float(found[1:].quantile(0.95)), float(reached))


def _unbiased_hsic(k: Tensor, l: Tensor) -> Tensor:  # noqa: E741
    """Song et al. 2012, eq. 5, for Gram matrices (n, n) whose diagonals are zero."""
    n = len(k)
    whole = k.sum() * l.sum() / ((n - 1) * (n - 2))
    return ((k * l).sum() + whole - 2 * (k.sum(dim=0) @ l.sum(dim=0)) / (n - 2)) / (n * (n - 3))


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Linear centred kernel alignment of two representations x (n, d), y (n, e) of the same n images.

    1 if one is a rotation and scaling of the other; around 0 if they have nothing in common. Kornblith et al. 2019
    with Song et al. 2012's unbiased HSIC: the plain form is near 1 for any two representations when n < d.
    0 if a representation does not vary. Raises ValueError for n < 4 or different n.
    """
    _check("x", x, 4)
    _check("y", y, 4)
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} rows and y {len(y)}; expected the same images in both")
    # Centred first: a common offset changes no HSIC, but it would drown small differences in rounding.
    grams = [(v @ v.T).fill_diagonal_(0) for v in (w.double() - w.double().mean(dim=0) for w in (x, y))]
    spread = _unbiased_hsic(grams[0], grams[0]) * _unbiased_hsic(grams[1], grams[1])
    if spread <= 0:
        return 0.0
    return float(_unbiased_hsic(grams[0], grams[1]) / spread.sqrt())


def pair_cosines(z: Tensor, labels: Tensor) -> Tensor:
    """The cosine of every two different rows of z (n, d, unit norm) that share a label, in a fixed order."""
    first, second = torch.triu_indices(len(z), len(z), 1, device=z.device)
    same = labels[first] == labels[second]
    return (z.double() @ z.double().T)[first[same], second[same]]


def inner_structure(z: Tensor, reference: Tensor, labels: Tensor) -> float:
    """How much of the order of the cosines within each class two embeddings share: Spearman's rho, -1 to 1.

    z, reference: unit-norm embeddings (n, d), (n, e) of the same images. labels: (n,). 1: the images of a class
    that were near each other still are, whatever became of the scale. 0 if the cosines do not vary. Raises
    ValueError for different n, rows without a label each, or fewer than three pairs of one label.
    """
    from scipy import stats  # late: importing it takes longer than the whole package

    _check("z", z, 3)
    _check("reference", reference, 3)
    if len(z) != len(reference):
        raise ValueError(f"z has {len(z)} rows and the reference {len(reference)}; expected the same images in both")
    check_labels(labels, len(z))
    ours, theirs = (pair_cosines(rows, labels).cpu().numpy() for rows in (z, reference))
    if len(ours) < 3:
        raise ValueError(f"only {len(ours)} pairs share a label; expected three or more")
    if ours.std() == 0 or theirs.std() == 0:
        return 0.0
    return float(stats.spearmanr(ours, theirs).statistic)
