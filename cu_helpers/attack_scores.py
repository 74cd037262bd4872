"""Scores that need one model and no training: higher means more like a member.

All are computed from logits in float64, so that no softmax rounds to 0 or 1 on the way.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .labels import check_labels


def _check(logits: Tensor, labels: Tensor) -> Tensor:
    if logits.ndim != 2 or logits.shape[1] < 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and labels {tuple(labels.shape)}; "
            "expected (n, classes) with two classes or more, and (n,)"
        )
    check_labels(labels, len(logits), logits.shape[1])
    check_finite(logits)
    return logits.double()


def check_finite(logits: Tensor) -> None:
    """Raise ValueError if a model's outputs are no table (n, classes) or not all finite."""
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            f"a model's outputs have shape {tuple(logits.shape)}; expected (n, classes) with two classes or more"
        )
    bad = int((~logits.isfinite()).any(dim=1).sum())
    if bad:
        raise ValueError(
            f"the model's outputs are NaN or infinite for {bad} of {len(logits)} images, so no attack can read them; "
            "look for NaN in its weights"
        )


def log_rest(logits: Tensor, index: Tensor) -> Tensor:
    """log of the summed exponentials of all logits (n, classes) but the one at `index` (n,)."""
    return logits.scatter(1, index[:, None], -torch.inf).logsumexp(dim=1)


def loss_score(logits: Tensor, labels: Tensor) -> Tensor:
    """log p_y, minus the cross-entropy (Yeom et al. 2018). logits (n, classes), labels (n,) -> (n,)."""
    x = _check(logits, labels)
    return x.log_softmax(dim=1).gather(1, labels[:, None])[:, 0]


def confidence_score(logits: Tensor, labels: Tensor) -> Tensor:
    """log of the largest probability, whatever its class (Salem et al. 2019, their third attack).

    logits (n, classes), labels (n,) -> (n,).
    """
    return _check(logits, labels).log_softmax(dim=1).max(dim=1).values


def entropy_score(logits: Tensor, labels: Tensor) -> Tensor:
    """sum_i p_i log p_i, minus the entropy of the prediction; the label plays no part (Salem et al. 2019).

    logits (n, classes), labels (n,) -> (n,).
    """
    log_p = _check(logits, labels).log_softmax(dim=1)
    return (log_p.exp() * log_p).sum(dim=1)


def modified_entropy_score(logits: Tensor, labels: Tensor) -> Tensor:
    """(1 - p_y) log p_y + sum_{i != y} p_i log(1 - p_i), minus Song and Mittal's (2021) modified entropy.

    It is 0 for a sure and right answer and falls without bound for a sure and wrong one, where
    plain entropy sees no difference.
    """
    x = _check(logits, labels)
    log_p = x.log_softmax(dim=1)
    # 1 - p cancels only for the largest p; there it is the sum of the others, which does not.
    top = x.argmax(dim=1)
    others = log_rest(x, top) - x.logsumexp(dim=1)
    log_not = torch.log1p(-log_p.exp().scatter(1, top[:, None], 0)).scatter(1, top[:, None], others[:, None])
    own = labels[:, None]
    true_part = log_not.gather(1, own).exp() * log_p.gather(1, own)
    wrong = (log_p.exp() * log_not).scatter(1, own, 0)
    return true_part[:, 0] + wrong.sum(dim=1)


def logit_score(logits: Tensor, labels: Tensor) -> Tensor:
    """log(p_y / (1 - p_y)): the confidence on a scale where it is nearly normal (Carlini et al. 2022, section VI-A).

    logits (n, classes), labels (n,) -> (n,).
    """
    x = _check(logits, labels)
    return x.gather(1, labels[:, None])[:, 0] - log_rest(x, labels)


Score = Callable[[Tensor, Tensor], Tensor]

THRESHOLDS: dict[str, Score] = {
    "loss": loss_score,
    "confidence": confidence_score,
    "entropy": entropy_score,
    "modified_entropy": modified_entropy_score,
}
