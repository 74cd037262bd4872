"""Chapter 14: features for a linear attack, a mute head, both sides, few shadow models."""

import copy
import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from ..models import EmbeddingClassifier
from . import fakes
from .compare import generator, match, need
from .core import Candidate, exercise

Array = NDArray[np.float64]


def seeing(logits: Tensor) -> Array:
    """The sum of the squared probabilities, (n, 1)."""
    return np.asarray(logits.double().softmax(dim=1).square().sum(dim=1, keepdim=True).numpy())


def _sure(count: int, top: float, draw: torch.Generator, classes: int = 10) -> Tensor:
    """Logits with probability near `top` at a random class."""
    logits = torch.zeros(count, classes)
    odds = math.log(top / (1 - top) * (classes - 1)) + 0.3 * torch.randn(count, generator=draw)
    logits[torch.arange(count), torch.randint(classes, (count,), generator=draw)] = odds
    return logits


@exercise("14-1", seeing)
def check_seeing(f: Candidate, seed: int) -> None:
    """Sure and unsure answers; a linear attack is fitted on one half and judged on the other."""
    draw = generator(seed)
    parts = [_sure(300, top, draw) for top in (0.95, 0.6, 0.95, 0.6)]
    rows = []
    for logits in parts:
        got = f(logits)
        need(got is not None, "Your function returns None: a `return` is missing.")
        made = np.asarray(got, dtype=np.float64)
        need(
            made.ndim == 2 and len(made) == 300,
            f"Your features have shape {made.shape}; expected one row an image, (n, d): `keepdim=True` or `[:, None]`.",
        )
        rows.append(made)
    shuffled = torch.randperm(10, generator=draw)
    same = np.asarray(f(parts[0][:, shuffled]), dtype=np.float64)
    fitted = LogisticRegression(max_iter=1000).fit(np.concatenate(rows[:2]), np.repeat([1, 0], 300))
    members, others = (100 * fitted.predict(made).mean() for made in rows[2:])
    need(
        members > 90 > 10 > others,
        f"The linear attack finds {members:.0f} % of the members and {others:.0f} % of the others. A line through p "
        "cannot see how sure an answer is, whichever class it names: give it a curved, symmetric function of p.",
    )
    need(
        np.allclose(same, rows[0], atol=1e-6), "Your features depend on which class is named: treat all classes alike."
    )


def perfect(model: EmbeddingClassifier) -> EmbeddingClassifier:
    """A copy with a head of zeros."""
    silent = copy.deepcopy(model)
    with torch.no_grad():
        silent.head.weight.zero_()
        silent.head.bias.zero_()
    return silent


@exercise("14-2", perfect)
def check_perfect(f: Candidate, seed: int) -> None:
    """A random model."""
    model, x = fakes.model(seed), fakes.batch(seed)
    before = fakes.state(model)
    silent = f(model)
    need(silent is not None, "Your function returns None: return the changed copy.")
    need(not fakes.changed(model, before), "The model that was passed in has changed: work on `copy.deepcopy`.")
    moved = [name for name in fakes.changed(silent, before) if not name.startswith("head.")]
    need(not moved, f"You changed {', '.join(moved[:2])}; the encoder must stay as it is.")
    with torch.no_grad():
        logits = silent(x)
    need(
        (logits - logits[:1]).abs().max() < 1e-5,
        "The model still says different things of different images, so an attack can read them. Say the same to all.",
    )


def strangeness(scores: Array, known: Array) -> Array:
    """Distance of the scores from the median of the known ones."""
    return np.asarray(np.abs(scores - np.median(known)))


@exercise("14-3", strangeness)
def check_strangeness(f: Candidate, seed: int) -> None:
    """Skewed scores, so that centres differ."""
    draw = np.random.default_rng(seed)
    known = draw.exponential(2.0, 301) + 3
    scores = draw.normal(3.0, 2.0, 50)
    right = strangeness(scores, known)
    got = f(scores, known)
    accepted = (np.mean(known), np.median(known))
    if any(np.allclose(got, np.abs(scores - centre)) for centre in accepted if got is not None):
        return
    match(
        got,
        right,
        {
            "The sign is still in: a score far below is as strange as one far above. Take absolute values.": scores
            - np.median(known),
            "You centre on the scores themselves; what is usual is told by `known`.": np.abs(
                scores - np.median(scores)
            ),
            "The sign is turned: strange scores have to be high.": -right,
            "You take the distance from zero; subtract the median of `known` first.": np.abs(scores),
        },
    )


def area(count: int) -> float:
    """U-LiRA's AUC with both means estimated from `count` models, by simulation."""
    draw = np.random.default_rng(0)
    images = 20_000
    mean_a = draw.normal(1, 1 / math.sqrt(count), images)
    mean_b = draw.normal(0, 1 / math.sqrt(count), images)

    def score(phi: Array) -> Array:
        return np.asarray((phi - mean_b) ** 2 / 2 - (phi - mean_a) ** 2 / 2)

    return _auc(score(draw.normal(1, 1, images)), score(draw.normal(0, 1, images)))


def _auc(high: Array, low: Array) -> float:
    ranks = stats.rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


@exercise("14-4", area)
def check_area(f: Candidate, seed: int) -> None:
    """Counts at which the estimate matters, against a simulation of our own."""
    limit = float(stats.norm.cdf(1 / math.sqrt(2)))
    for count in (2, 50):
        got = f(count)
        need(got is not None, "Your function returns None: a `return` is missing.")
        likely = {}
        if count == 2:
            likely = {
                "You use the true means; estimate each from `count` models.": limit,
                "The signs are turned: an image of kind A should score higher.": 1 - area(count),
                "The spread of a mean of `count` values is 1 / sqrt(count), not 1 / count.": area(count**2),
            }
        match(got, area(count), likely, tolerance=0.012, what=f"area({count})")
