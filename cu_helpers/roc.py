"""How well a score separates members from non-members: AUC, and true positives at few false ones.

A score is a number for each image, higher for members. Everything here takes two lists of scores
and knows nothing of models.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import check_confidence

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A share in [0, 1] and its two-sided confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def _scores(name: str, scores: ArrayLike, least: int) -> Scores:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or len(values) < least:
        raise ValueError(f"{name} scores have shape {values.shape}; expected a list of at least {least}")
    if not np.isfinite(values).all():
        raise ValueError(
            f"{int((~np.isfinite(values)).sum())} of {len(values)} {name} scores are NaN or infinite; "
            "expected finite numbers, so look for NaN in the model's outputs"
        )
    return values


def auc(members: ArrayLike, non_members: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The chance that a random member scores above a random non-member, ties counting half.

    0.5 is no knowledge, below 0.5 the scores point the wrong way. The interval is DeLong's
    (DeLong et al. 1988), the normal one with the variance of both samples, cut off at 0 and 1. A
    perfect separation has no variance, so its interval has no width, however few the scores.
    Raises ValueError for fewer than two scores of a kind, one that is not finite, or a confidence
    outside (0, 1).
    """
    check_confidence(confidence)
    from scipy import stats  # late: importing it takes longer than the whole package

    positive, negative = _scores("member", members, 2), _scores("non-member", non_members, 2)
    m, n = len(positive), len(negative)
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    # Placements: the share of the other sample that lies below (above) each score.
    below = (ranks[:m] - stats.rankdata(positive)) / n
    above = 1 - (ranks[m:] - stats.rankdata(negative)) / m
    value = float(below.mean())
    half = float(stats.norm.ppf((1 + confidence) / 2) * math.sqrt(below.var(ddof=1) / m + above.var(ddof=1) / n))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def needed_non_members(rate: float) -> int:
    """How many non-members a false-positive rate needs, so that one of them may be a false positive.

    Raises ValueError unless the rate lies between 0 and 1.
    """
    if not 0 < rate < 1:
        raise ValueError(f"the false-positive rate is {rate!r}; expected a share between 0 and 1, such as 0.01")
    return math.ceil(1 / rate - 1e-9)


def tpr_at(members: ArrayLike, non_members: ArrayLike, rate: float, confidence: float = 0.95) -> Estimate:
    """The share of members above a threshold that at most `rate` of the non-members exceed.

    rate: the false-positive rate, such as 0.01. The threshold is the lowest score that leaves
    floor(rate * n) non-members or fewer above it; ties at the threshold count as non-members.

    The interval is Clopper and Pearson's (1934), exact for a given threshold. That the threshold is
    itself estimated, from the few highest non-members, is not in it; a bootstrap would not mend
    this, since it is not valid for the outermost of few scores.
    Raises ValueError for too few non-members (the message says how many are needed), a rate
    or confidence outside (0, 1), or a score that is not finite.
    """
    check_confidence(confidence)
    needed = needed_non_members(rate)
    positive, negative = _scores("member", members, 1), _scores("non-member", non_members, 1)
    if len(negative) < needed:
        raise ValueError(
            f"a false-positive rate of {100 * rate:g} % needs {needed} non-members or more, so that one may be "
            f"a false positive; there are {len(negative)}"
        )
    from scipy import stats  # late: importing it takes longer than the whole package

    allowed = math.floor(rate * len(negative) + 1e-9)
    threshold = np.sort(negative)[-(allowed + 1)]
    found = int((positive > threshold).sum())
    interval = stats.binomtest(found, len(positive)).proportion_ci(confidence, method="exact")
    return Estimate(found / len(positive), float(interval.low), float(interval.high))
