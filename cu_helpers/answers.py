"""What a model answers: where forgotten images go, and how sure it is."""

import torch
from torch import Tensor

from .labels import check_labels

BINS = 15


def other_answers(logits: Tensor, labels: Tensor) -> Tensor:
    """The best class (n,) other than each image's own label; logits (n, classes), labels (n,).

    For a forgotten class these are the remaining classes, also for a model that still knows the class.
    Raises ValueError for a label that is no class.
    """
    check_labels(labels, len(logits), logits.shape[1])
    return logits.scatter(1, labels[:, None], -torch.inf).argmax(dim=1)


def shares(answers: Tensor, classes: int) -> Tensor:
    """Share of each class (classes,) among the answers (n,), float64, sum 1. Raises ValueError for none or no class."""
    if len(answers) == 0:
        raise ValueError("there are no answers to count; expected at least one")
    check_labels(answers, len(answers), classes, "answers")
    return torch.bincount(answers, minlength=classes).double() / len(answers)


def total_variation(p: Tensor, q: Tensor) -> float:
    """Half the sum of |p - q| over classes, in percent: the share that would have to move. 0 to 100.

    p, q: shares (classes,) that sum to 1. Raises ValueError if they do not or differ in length.
    """
    for name, one in (("p", p), ("q", q)):
        if one.shape != p.shape or not abs(float(one.sum()) - 1) <= 1e-6 or bool((one < 0).any()):
            raise ValueError(f"{name} is {one.tolist()}; expected shares of the same classes that sum to 1")
    return 50 * float((p - q).abs().sum())


def confidence(logits: Tensor) -> Tensor:
    """The largest softmax probability (n,) of each row of logits (n, classes), float64."""
    return logits.double().softmax(dim=1).max(dim=1).values


def calibration_error(logits: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Expected calibration error in percent (Guo et al. 2017, eq. 3): mean |accuracy - confidence| over bins.

    logits (n, classes), labels (n,). Bins of equal width of the confidence, (0, 1/15], (1/15, 2/15] and so on,
    weighted by their images. Raises ValueError for no images, labels that do not fit, outputs that are not finite, or
    fewer than one bin.
    """
    if len(logits) == 0 or bins < 1:
        raise ValueError(f"{len(logits)} images in {bins} bins; expected at least one of each")
    check_labels(labels, len(logits), logits.shape[1])
    if not bool(logits.isfinite().all()):
        raise ValueError("an output is not finite; look for NaN in the model's weights")
    sure = confidence(logits)
    right = (logits.argmax(dim=1) == labels).double()
    place = (sure * bins).ceil().long().clamp(1, bins) - 1
    excess = torch.zeros(bins, dtype=torch.float64, device=logits.device).index_add_(0, place, right - sure)
    return 100 * float(excess.abs().sum()) / len(logits)
