"""Newton's step that removes one sample from a fitted model (Sekhari et al. 2021)."""

import torch
from torch import Tensor


def newton_removal(gradient: Tensor, hessian: Tensor, sample_hessian: Tensor, n: int, damping: float) -> Tensor:
    """The step (k,) that takes one of n samples out of a minimum of the mean loss.

    gradient (k,), sample_hessian (k, k): of the sample's own loss; hessian (k, k): of the mean
    loss over all n. With H = (n hessian - sample_hessian) / (n - 1) the step is
    (H + damping I)^-1 gradient / (n - 1). It is exact for a quadratic loss and damping 0.
    """
    rest = (n * hessian - sample_hessian) / (n - 1)
    damped = rest + damping * torch.eye(len(gradient), dtype=gradient.dtype, device=gradient.device)
    step: Tensor = torch.linalg.solve(damped, gradient) / (n - 1)
    return step


def secant_removal(
    gradient: Tensor, data: tuple[Tensor, Tensor], sample: tuple[Tensor, Tensor], n: int, damping: float
) -> Tensor:
    """`newton_removal` with Hessians of rank one, without forming them.

    data, sample: change of gradient dG (k,) and step dw (k,); the Hessian is dG dG' / |dw|_1, as
    in LCODEC's code. Woodbury's identity leaves a system of two unknowns.
    """
    columns = torch.stack([data[0], sample[0]], dim=1).double()
    sizes = torch.stack([data[1].abs().sum(), sample[1].abs().sum()]).double()
    weights = torch.tensor([n, -1.0], device=gradient.device, dtype=torch.float64) / (n - 1)
    weights = torch.where(sizes > 0, weights / sizes, 0.0)  # no step, no curvature
    slope = gradient.double()
    small = torch.eye(2, dtype=torch.float64, device=gradient.device) + columns.T @ columns * weights / damping
    correction = columns @ (weights * torch.linalg.solve(small, columns.T @ slope))
    step: Tensor = (slope / damping - correction / damping**2) / (n - 1)
    return step.to(gradient.dtype)
