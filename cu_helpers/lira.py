"""Attacks that compare one model with many: LiRA, U-LiRA and RMIA, as functions of arrays.

phi is `attack_scores.logit_score`, the logit-scaled confidence in the true label. Rows are models,
columns are targets: phi (models, n), masks bool (models, n), all scores (n,), higher for members.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
SPREADS = ("each", "shared")


def _check_finite(*phi: Array) -> None:
    if not all(np.isfinite(values).all() for values in phi):
        raise ValueError("phi holds NaN or infinite values; look for NaN in the models' outputs")


def _check(observed: ArrayLike, references: ArrayLike, first: Mask, second: Mask, least: int) -> tuple[Array, Array]:
    seen, known = np.asarray(observed, dtype=np.float64), np.asarray(references, dtype=np.float64)
    shapes = {"references": known.shape, "first": first.shape, "second": second.shape}
    if known.ndim != 2 or len(set(shapes.values())) > 1 or seen.shape != known.shape[1:]:
        raise ValueError(
            f"observed has shape {seen.shape}, "
            + ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            + "; expected (n,) and three times (models, n)"
        )
    _check_finite(seen, known)
    if (first & second).any():
        raise ValueError("a model is in both masks for one target; expected two masks that exclude each other")
    for name, mask in (("first", first), ("second", second)):
        counts = mask.sum(axis=0)
        if counts.min() < least:
            raise ValueError(
                f"target {int(counts.argmin())} has {int(counts.min())} reference models in the {name} mask; "
                f"expected at least {least}, so train more shadow models"
            )
    return seen, known


def _mean(values: Array, mask: Mask) -> Array:
    return np.asarray(np.where(mask, values, 0).sum(axis=0) / mask.sum(axis=0))


def _deviation(values: Array, mask: Mask, shared: bool) -> Array:
    """Standard deviation around each column's mean in the mask: of the column, or pooled over all."""
    squares = np.where(mask, (values - _mean(values, mask)) ** 2, 0)
    count = mask.sum(axis=0)
    if shared:
        variance = np.full(values.shape[1], squares.sum() / (count - 1).sum())
    else:
        variance = squares.sum(axis=0) / (count - 1)
    return np.asarray(np.sqrt(np.maximum(variance, 1e-12)))


def gaussian_scores(
    observed: ArrayLike, references: ArrayLike, first: Mask, second: Mask, spread: str = "each"
) -> Array:
    """log N(phi; mean and spread of the first kind) - log N(phi; those of the second), for each target.

    observed: phi of the attacked model, (n,). references: phi of the reference models. first,
    second: which of them serve for which target. With models trained on the target as the first kind
    and models never trained on it as the second this is LiRA (Carlini et al. 2022, algorithm 1);
    with models that learned and then unlearned it as the first, U-LiRA (Kurmanji et al. 2023; Hayes
    et al. 2024).

    spread: "each" fits a standard deviation to each target and needs two models of each kind;
    "shared" pools one over all targets for each kind, which few models need.
    Raises ValueError for shapes that do not fit, masks that overlap, too few models for a target or
    a value that is not finite.
    """
    from scipy import stats  # late: importing it takes longer than the whole package

    if spread not in SPREADS:
        raise ValueError(f"spread is {spread!r}; expected 'each' or 'shared'")
    seen, known = _check(observed, references, first, second, least=2)
    terms = [
        stats.norm.logpdf(seen, _mean(known, mask), _deviation(known, mask, spread == "shared"))
        for mask in (first, second)
    ]
    return np.asarray(terms[0] - terms[1])


def log_confidence(phi: ArrayLike) -> Array:
    """log p_y from phi = log(p_y / (1 - p_y))."""
    return np.asarray(-np.logaddexp(0, -np.asarray(phi, dtype=np.float64)))


def _log_mean(log_p: Array, mask: Mask) -> Array:
    return np.asarray(np.logaddexp.reduce(np.where(mask, log_p, -np.inf), axis=0) - np.log(mask.sum(axis=0)))


def rmia_scores(
    observed: ArrayLike,
    references: ArrayLike,
    first: Mask,
    second: Mask,
    population: ArrayLike,
    population_references: ArrayLike,
    gamma: float = 1.0,
) -> Array:
    """The share of population images z for which (p(x|theta) / p(x)) / (p(z|theta) / p(z)) >= gamma.

    RMIA (Zarifzadeh et al. 2024), online form: p(x|theta) is the confidence in the true
    label, and p(x) its mean over reference models, both kinds weighing half. observed, references,
    first, second: phi and masks as in `gaussian_scores`, one model of each kind or more. population (m,),
    population_references (models, m): phi of images that no model was trained on. gamma: 1 is what
    the authors' code has. Raises ValueError as `gaussian_scores` does, also for the population, or for a gamma
    that is not above 0.
    """
    seen, known = _check(observed, references, first, second, least=1)
    z, z_known = np.asarray(population, dtype=np.float64), np.asarray(population_references, dtype=np.float64)
    if z.ndim != 1 or len(z) == 0 or z_known.shape != (len(known), len(z)):
        raise ValueError(
            f"population has shape {z.shape} and population_references {z_known.shape}; "
            f"expected (m,) and ({len(known)}, m) with m >= 1"
        )
    _check_finite(z, z_known)
    if not 0 < gamma < np.inf:
        raise ValueError(f"gamma is {gamma!r}; expected a finite number above 0")
    known, z_known = log_confidence(known), log_confidence(z_known)
    log_p = np.logaddexp(_log_mean(known, first), _log_mean(known, second)) - np.log(2)
    ratio = log_confidence(seen) - log_p
    z_ratio = log_confidence(z) - _log_mean(z_known, np.ones_like(z_known, dtype=bool))
    return np.asarray((ratio[:, None] - z_ratio[None, :] >= np.log(gamma)).mean(axis=1))


def keep(mask: Mask, count: int, draw: np.random.Generator) -> Mask:
    """A mask with `count` True in each column, drawn from those of `mask` (models, n).

    Raises ValueError if a column has fewer.
    """
    least = int(mask.sum(axis=0).min())
    if least < count:
        raise ValueError(f"a target has {least} models; expected at least {count}")
    order = np.where(mask, draw.random(mask.shape), np.inf).argsort(axis=0).argsort(axis=0)
    return np.asarray(order < count)


Scorer = Callable[[int, Mask, Mask], Array]  # fresh model, first, second -> scores (n,)


def score_fresh(scorer: Scorer, first: Mask, second: Mask, seed: int = 0) -> tuple[Array, Array]:
    """Attack every model with all others: scores of its targets of the first kind and of the second.

    Rows 2j and 2j + 1 were trained on complementary halves; neither is a reference for the other,
    so that the attacked model is fresh. Every scored target has the same number of reference models
    of a kind, chosen by `seed` among those there are. Without that, a target would tell its kind by
    the number of the models that are left, and even Retrain would not be at chance.
    Raises ValueError for an odd number of models.
    """
    models = len(first)
    if models % 2:
        raise ValueError(f"there are {models} models; expected pairs of complementary halves")
    others = []
    for fresh in range(models):
        rest = np.ones((models, 1), dtype=bool)
        rest[[fresh, fresh ^ 1]] = False
        others.append((first & rest, second & rest))
    counts = [min(int(pair[kind].sum(axis=0).min()) for pair in others) for kind in (0, 1)]
    draw = np.random.default_rng(seed)
    found: tuple[list[Array], list[Array]] = ([], [])
    for fresh, pair in enumerate(others):
        scores = scorer(fresh, keep(pair[0], counts[0], draw), keep(pair[1], counts[1], draw))
        found[0].append(scores[first[fresh]])
        found[1].append(scores[second[fresh]])
    return np.concatenate(found[0]), np.concatenate(found[1])
