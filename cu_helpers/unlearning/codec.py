"""The conditional dependence coefficient and the feature selection that rests on it.

Azadkia and Chatterjee 2021: T is 0 for independence and 1 for a function, in the limit of many
samples, and needs no model of the dependence. LCODEC selects weights with it (Mehta et al. 2022).
"""

import torch
from torch import Tensor


def _ranks(y: Tensor) -> tuple[Tensor, Tensor]:
    """R_i = #{j: y_j <= y_i} and L_i = #{j: y_j >= y_i}, as float64 (n,)."""
    ordered = y.sort().values
    at_most = torch.searchsorted(ordered, y, right=True)
    below = torch.searchsorted(ordered, y, right=False)
    return at_most.double(), (len(y) - below).double()


def _distances(z: Tensor) -> Tensor:
    """Squared distances (n, n) between the rows of z (n, d); infinite on the diagonal."""
    # Column by column: no rounding from |a|^2 + |b|^2 - 2ab, which would upset near neighbours.
    total = torch.zeros(len(z), len(z), dtype=z.dtype, device=z.device)
    for column in z.T:
        total += (column[:, None] - column[None, :]).square()
    return total.fill_diagonal_(torch.inf)


def codec2(y: Tensor, z: Tensor) -> float:
    """T(Y, Z): how far Y (n,) is a function of Z (n, d). Azadkia and Chatterjee 2021, section 2.

    T = sum(n min(R_i, R_M(i)) - L_i^2) / sum(L_i (n - L_i)), M(i) the nearest neighbour of i in
    Z, the first of equally near ones. A constant Y gives 0.
    """
    rank, above = _ranks(y)
    n = len(y)
    scale = (above * (n - above)).sum()
    if scale == 0:
        return 0.0
    near = _distances(_columns(z)).argmin(dim=1)
    return float((n * torch.minimum(rank, rank[near]) - above.square()).sum() / scale)


def codec3(y: Tensor, z: Tensor, x: Tensor) -> float:
    """T(Y, Z | X): how far Y (n,) is a function of Z (n, d) and X (n, e), beyond X alone.

    T = sum(min(R_i, R_M(i)) - min(R_i, R_N(i))) / sum(R_i - min(R_i, R_N(i))), N(i) the nearest
    neighbour in X and M(i) in (X, Z). If Y is a function of X already, 0.
    """
    rank, _ = _ranks(y)
    x, z = _columns(x), _columns(z)
    alone = torch.minimum(rank, rank[_distances(x).argmin(dim=1)])
    both = torch.minimum(rank, rank[_distances(torch.cat([x, z], dim=1)).argmin(dim=1)])
    scale = (rank - alone).sum()
    return 0.0 if scale == 0 else float((both - alone).sum() / scale)


def _columns(values: Tensor) -> Tensor:
    return values[:, None] if values.ndim == 1 else values


def foci(y: Tensor, variables: Tensor, limit: int | None = None, memory: int = 256 * 2**20) -> list[int]:
    """Positions of the columns of `variables` (n, m) on which y (n,) depends, strongest first.

    Greedy forward selection: add the column with the largest T(Y, column | chosen) while that is
    above zero (Azadkia and Chatterjee 2021, section 5). Columns are scaled to unit spread;
    constant ones tell nothing and are passed over. limit: at most so many columns. memory: bytes
    for the distances of several columns at once.
    """
    spread = variables.std(dim=0)
    candidates = (spread > 1e-12).nonzero()[:, 0].tolist()
    scaled = variables / spread.clamp(min=1e-12)
    n = len(y)
    rank, above = _ranks(y)
    chosen: list[int] = []
    near = torch.zeros(n, n, dtype=variables.dtype, device=variables.device).fill_diagonal_(torch.inf)
    # With nothing chosen T(Y, Z | X) is codec2: both numerators grow with the same sum.
    alone = above.square().sum() / n
    at_once = max(1, memory // (n * n * variables.element_size()))
    while candidates and (limit is None or len(chosen) < limit):
        sums: list[float] = []
        for part in torch.split(torch.tensor(candidates), at_once):
            columns = scaled[:, part.to(scaled.device)].T
            distances = near + (columns[:, :, None] - columns[:, None, :]).square()
            neighbour = distances.argmin(dim=2)
            sums += torch.minimum(rank, rank[neighbour]).sum(dim=1).tolist()
        best = max(range(len(sums)), key=lambda position: sums[position])
        if sums[best] <= alone:
            break
        column = scaled[:, candidates[best]]
        near = near + (column[:, None] - column[None, :]).square()
        alone = torch.minimum(rank, rank[near.argmin(dim=1)]).sum()
        chosen.append(candidates.pop(best))
    return chosen
