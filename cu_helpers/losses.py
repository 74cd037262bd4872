"""The contrastive unlearning losses of the paper: Eq. 5 (samples), Eq. 6 (a class), Eq. 11 (a queue)."""

import math

import torch
from torch import Tensor

TEMPERATURE_RANGE = (1e-3, 1e3)
REDUCTIONS = ("mean", "sum")
PUSH_WEIGHTS = ("paper", "released")


def _check_embeddings(
    forget_z: Tensor, retain_z: Tensor, temperature: float, reduction: str, other: str = "retain_z"
) -> None:
    for name, z in (("forget_z", forget_z), (other, retain_z)):
        if z.ndim != 2 or not z.is_floating_point() or z.shape[0] == 0:
            raise ValueError(
                f"{name} is {z.dtype} of shape {tuple(z.shape)}; expected floats of shape (batch, dim) with batch >= 1"
            )
    if forget_z.shape[1] != retain_z.shape[1]:
        raise ValueError(
            f"forget_z has shape {tuple(forget_z.shape)} and {other} {tuple(retain_z.shape)}; "
            "expected the same embedding dimension in both"
        )
    check_temperature(temperature)
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; expected 'mean' or 'sum'")


def _check_labels(name: str, labels: Tensor, z: Tensor) -> None:
    if labels.shape != z.shape[:1] or labels.is_floating_point():
        raise ValueError(
            f"{name} is {labels.dtype} of shape {tuple(labels.shape)}; "
            f"expected whole numbers of shape ({z.shape[0]},), one label for each embedding"
        )


def check_temperature(temperature: float) -> None:
    """Raise ValueError unless the temperature lies in [1e-3, 1e3]."""
    low, high = TEMPERATURE_RANGE
    if not low <= temperature <= high:
        raise ValueError(f"temperature is {temperature!r}; expected a number from {low:g} to {high:g}")


def _similarities(forget_z: Tensor, retain_z: Tensor, temperature: float) -> Tensor:
    """s_ij = z_i . z_j / tau, (anchors, retained), in float32 or better."""
    dtype = torch.promote_types(torch.promote_types(forget_z.dtype, retain_z.dtype), torch.float32)
    # Autocast would round the product to bfloat16, three digits: too coarse once divided by a small tau.
    with torch.autocast(forget_z.device.type, enabled=False):
        return forget_z.to(dtype) @ retain_z.to(dtype).T / temperature


def _reduce(per_anchor: Tensor, reduction: str) -> Tensor:
    return per_anchor.mean() if reduction == "mean" else per_anchor.sum()


def _log_sum_exp(s: Tensor, chosen: Tensor) -> Tensor:
    """log of the sum of exp over the chosen entries of each row of s; log of the row's length where none is."""
    some = chosen.any(dim=1)
    # A row of -inf alone would have the gradient NaN: it keeps s here, and torch.where drops it below.
    value = s.masked_fill(~chosen & some[:, None], -torch.inf).logsumexp(dim=1)
    return torch.where(some, value, math.log(s.shape[1]))


def sample_unlearning_loss(
    forget_z: Tensor,
    forget_y: Tensor,
    retain_z: Tensor,
    retain_y: Tensor,
    temperature: float = 0.7,
    reduction: str = "mean",
    push_weight: str = "paper",
) -> Tensor:
    """Contrastive unlearning loss for forgetting samples (paper, Eq. 5).

    For an anchor i with positives P (retained, same label) and negatives N (retained, other
    labels), and s_ij = z_i . z_j / tau:

        L_i = -(1/|N|) * sum_{a in N} s_ia + log sum_{p in P} exp(s_ip)

    forget_z: anchors, (B, dim), unit norm. forget_y: their labels, (B,). retain_z, retain_y: the
    retained batch, (R, dim) and (R,). temperature: tau, from 1e-3 to 1e3. reduction: "sum" is
    the paper's; "mean" divides by B, as the released code does. push_weight: the factor on the
    log-sum: "paper" has 1; "released" has R/|N|, as in the authors' code, which sums the
    log-denominator over all R columns. Returns a scalar in float32 or better.

    An anchor without positives takes Eq. 6's term, log|N| in place of the log-sum: the paper's
    own rule for an empty positive set. An anchor without negatives contributes zero.
    Raises ValueError for shapes that do not fit, a temperature out of range or an unknown option.
    """
    _check_embeddings(forget_z, retain_z, temperature, reduction)
    _check_labels("forget_y", forget_y, forget_z)
    _check_labels("retain_y", retain_y, retain_z)
    if push_weight not in PUSH_WEIGHTS:
        raise ValueError(f"push_weight is {push_weight!r}; expected 'paper' or 'released'")

    s = _similarities(forget_z, retain_z, temperature)
    positive = forget_y[:, None] == retain_y[None, :]
    negatives = (~positive).sum(dim=1)
    some = negatives.clamp(min=1)
    pull = s.masked_fill(positive, 0).sum(dim=1) / some

    # Without positives every entry is a negative: the row's length is |N|, and the released factor is 1.
    push = _log_sum_exp(s, positive)
    if push_weight == "released":
        push = push * len(retain_y) / some
    return _reduce(torch.where(negatives > 0, push - pull, 0), reduction)


def class_unlearning_loss(
    forget_z: Tensor, retain_z: Tensor, temperature: float = 0.7, reduction: str = "mean"
) -> Tensor:
    """Contrastive unlearning loss for forgetting a class (paper, Eq. 6).

    Every retained embedding is a negative: L_i = -(1/R) * sum_a s_ia + log R. The log R is
    the paper's inner |N|; it is constant and has no gradient.

    forget_z: anchors, (B, dim), unit norm. retain_z: retained batch, (R, dim), none of the
    forgotten class. temperature: tau, from 1e-3 to 1e3. reduction: "sum" is the paper's, "mean"
    divides by B. Returns a scalar in float32 or better. Raises ValueError for shapes that do
    not fit, a temperature out of range or an unknown reduction.
    """
    _check_embeddings(forget_z, retain_z, temperature, reduction)
    s = _similarities(forget_z, retain_z, temperature)
    # A number of Python's: a tensor made here would be copied to a GPU, and each step would wait for it.
    return _reduce(math.log(len(retain_z)) - s.mean(dim=1), reduction)


def queue_unlearning_loss(
    forget_z: Tensor,
    forget_y: Tensor,
    queue_z: Tensor,
    queue_y: Tensor,
    temperature: float = 0.7,
    reduction: str = "mean",
) -> Tensor:
    """Contrastive unlearning loss against a queue of retained embeddings (paper, Eq. 11).

    With s_ij = z_i . z_j / tau, and Eq. 11's signs, where z+ is what an anchor is pulled *to*:

        L_i = -log( sum_{z+: other labels} exp(s_i+) / sum_{z-: same label} exp(s_i-) )

    forget_z: anchors, (B, dim), unit norm. forget_y: their labels, (B,). queue_z, queue_y: the
    queue's embeddings, (K, dim), and labels, (K,). temperature: tau, from 1e-3 to 1e3. reduction:
    "mean" divides by B, "sum" does not. Returns a scalar in float32 or better.

    An anchor without z- has the number of z+ as its denominator. An anchor without z+ contributes
    zero. Raises ValueError for shapes that do not fit, a temperature out of range
    or an unknown reduction.
    """
    _check_embeddings(forget_z, queue_z, temperature, reduction, "queue_z")
    _check_labels("forget_y", forget_y, forget_z)
    _check_labels("queue_y", queue_y, queue_z)
    s = _similarities(forget_z, queue_z, temperature)
    same = forget_y[:, None] == queue_y[None, :]
    # Without z- every entry is a z+, so that a row's length is their number.
    per_anchor = _log_sum_exp(s, same) - _log_sum_exp(s, ~same)
    return _reduce(torch.where((~same).any(dim=1), per_anchor, 0), reduction)
