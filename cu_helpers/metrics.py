"""What is measured: accuracies of a task, gaps to Retrain, the unlearn score, intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from .data import ForgetTask
from .errors import check_confidence
from .inference import predict_logits
from .models import EmbeddingClassifier
from .training import accuracy


def evaluate(model: EmbeddingClassifier, task: ForgetTask) -> dict[str, float]:
    """Accuracies in percent on every reported set of a task (paper, section 5.1).

    Both kinds: forget, retain (training images) and test. A class adds forget_test and
    retain_test (D_ts^u and D_ts^r). Samples add unlearn_score. Validation images take no part.
    """
    measured = {name: accuracy(model, images) for name, images in (("forget", task.forget), ("retain", task.retain))}
    # One pass over the test images serves its two parts as well.
    hits = predict_logits(model, task.test).argmax(dim=1) == task.test.labels
    measured["test"] = percent(hits)
    if task.label is not None:
        forgotten = task.test.labels == task.label
        measured |= {"forget_test": percent(hits[forgotten]), "retain_test": percent(hits[~forgotten])}
    if task.kind == "samples":
        measured["unlearn_score"] = unlearn_score(measured["test"], measured["forget"])
    return measured


def percent(hits: Tensor) -> float:
    """Share of True among `hits`, a bool tensor of any shape, in percent."""
    return 100 * hits.double().mean().item()


def unlearn_score(test: float, forget: float) -> float:
    """|test accuracy - forget accuracy|, in points (paper, section 5.1). Zero is the paper's goal."""
    return abs(test - forget)


def gaps(measured: Mapping[str, float], reference: Mapping[str, float]) -> dict[str, float]:
    """Signed differences measured - reference, in points, for the names that both have.

    With Retrain as the reference, zero is the goal; the sign tells on which side a method is.
    Raises ValueError if they share no name.
    """
    shared = [name for name in measured if name in reference]
    if not shared:
        raise ValueError(f"nothing to compare: {sorted(measured)} and {sorted(reference)} share no name")
    return {name: measured[name] - reference[name] for name in shared}


def tug_of_war(measured: Mapping[str, float], reference: Mapping[str, float], names: Sequence[str]) -> float:
    """Product of 1 - |gap| / 100 over the named accuracies (percent): 1 is Retrain, 0 is far away.

    ToW of Zhao et al. 2024, section 3, with the sets that are named. Raises ValueError for no name, or one
    that a side lacks.
    """
    if not names:
        raise ValueError("no accuracy is named; expected at least one, such as forget")
    lacking = [name for name in names if name not in measured or name not in reference]
    if lacking:
        raise ValueError(f"{', '.join(lacking)} is not measured on both sides; expected it among both accuracies")
    return math.prod(1 - abs(measured[name] - reference[name]) / 100 for name in names)


@dataclass(frozen=True)
class Interval:
    """A mean and its two-sided Student-t confidence interval; half is its half-width.

    One value alone has no spread: half is NaN then, and `str` says so.
    """

    mean: float
    half: float
    count: int

    @property
    def low(self) -> float:
        """The lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """The upper end."""
        return self.mean + self.half

    def __str__(self) -> str:
        if math.isnan(self.half):
            return f"{self.mean:.1f} (one run)"
        return f"{self.mean:.1f} ± {self.half:.1f}"


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean and t-interval of independent runs, such as one value per seed.

    For paired comparisons pass the differences of each pair. Raises ValueError for no values, a
    value that is not finite, or a confidence outside (0, 1).
    """
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"values are {list(values)!r}; expected one finite number or more")
    check_confidence(confidence)
    from scipy import stats  # late: importing it takes longer than the whole package

    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Interval(mean, math.nan, 1)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    quantile = float(stats.t.ppf((1 + confidence) / 2, count - 1))
    return Interval(mean, quantile * math.sqrt(variance / count), count)
