"""Chapter 03: Eq. 5 by hand, its gradient at the retained embeddings, safe batch sizes."""

import math

import torch
from torch import Tensor

from ..losses import sample_unlearning_loss
from .compare import contrastive_case, match
from .core import Candidate, exercise


def loss_with_loops(forget_z: Tensor, forget_y: Tensor, retain_z: Tensor, retain_y: Tensor, tau: float) -> float:
    """Eq. 5 as a sum over anchors."""
    return float(sample_unlearning_loss(forget_z, forget_y, retain_z, retain_y, tau, "sum"))


@exercise("03-1", loss_with_loops)
def check_loops(f: Candidate, seed: int) -> None:
    """A random case in which every anchor has positives and negatives."""
    z_u, y_u, z_r, y_r = case = contrastive_case(seed)
    tau = 0.4
    same = y_u[:, None] == y_r[None, :]
    s = z_u @ z_r.T / tau
    right = sample_unlearning_loss(*case, tau, "sum")
    swapped = s.masked_fill(same, -torch.inf).logsumexp(dim=1) - (s * same).sum(dim=1) / same.sum(dim=1)
    unaveraged = s.masked_fill(~same, -torch.inf).logsumexp(dim=1) * (~same).sum(dim=1) - (s * ~same).sum(dim=1)
    everyone = s.logsumexp(dim=1) - (s * ~same).sum(dim=1) / (~same).sum(dim=1)
    match(
        f(*case, tau),
        right,
        {
            "The temperature is missing: divide each dot product by tau.": sample_unlearning_loss(*case, 1.0, "sum"),
            "You return the mean over anchors; the sum was asked for.": right / len(z_u),
            "The sign is turned: Eq. 5 has a minus in front.": -right,
            "Positives and negatives are swapped: the denominator holds the anchor's own class.": swapped.sum(),
            "You sum over the negatives; divide each anchor's sum by their number |N|.": unaveraged.sum(),
            "Your denominator runs over all retained embeddings; Eq. 5's holds the positives alone.": everyone.sum(),
        },
        tolerance=1e-9,
    )


def retained_gradient(
    forget_z: Tensor, forget_y: Tensor, retain_z: Tensor, retain_y: Tensor, temperature: float = 0.7
) -> Tensor:
    """Gradient (R, dim) of the mean form of Eq. 5 by the retained embeddings."""
    leaf = retain_z.clone().requires_grad_()
    loss = sample_unlearning_loss(forget_z, forget_y, leaf, retain_y, temperature)
    return torch.autograd.grad(loss, leaf)[0]


@exercise("03-2", retained_gradient)
def check_retained_gradient(f: Candidate, seed: int) -> None:
    """A random case at a temperature that is not the default."""
    z_u, y_u, z_r, y_r = case = contrastive_case(seed)
    tau = 0.4
    right = retained_gradient(*case, tau)
    positive = y_u[:, None] == y_r[None, :]
    q = (z_u @ z_r.T / tau).masked_fill(~positive, -torch.inf).softmax(dim=1)
    match(
        f(*case, tau),
        right,
        {
            "Divide by the number of anchors: the loss is a mean over them.": right * len(z_u),
            "The factor 1 / temperature is missing: s is a dot product divided by it.": right * tau,
            "The sign is turned: a positive's weight is +q, a negative's -1/|N|.": -right,
            "You have the push alone: the negatives' -1/|N| is missing.": q.T @ z_u / tau / len(z_u),
        },
        tolerance=1e-9,
    )


def safe_batch(classes: int, share: float) -> int:
    """The smallest retained batch that misses a class with at most probability `share`."""
    return math.ceil(math.log(share) / math.log(1 - 1 / classes))


@exercise("03-3", safe_batch)
def check_safe_batch(f: Candidate, seed: int) -> None:
    """Numbers of classes and shares, one of each drawn."""
    drawn = 5 + seed % 17
    for classes, share in ((10, 1e-3), (100, 1e-3), (drawn, 0.02)):
        exact = math.log(share) / math.log(1 - 1 / classes)
        match(
            f(classes, share),
            math.ceil(exact),
            {
                "You round down: the batch is then just too small.": math.floor(exact),
                "You did not round: a batch is a whole number, rounded up.": exact,
                "You solved (1/C)^R = share; an image misses the class with probability 1 - 1/C.": math.ceil(
                    math.log(share) / math.log(1 / classes)
                ),
                "The fraction is upside down.": math.ceil(1 / exact),
            },
            tolerance=1e-9,
            what=f"safe_batch({classes}, {share:g})",
        )
