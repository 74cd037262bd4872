"""What simple classifiers read from frozen embeddings: a linear probe, neighbours, class centres.

scikit-learn is imported late: that takes longer than the whole package.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .devices import generator
from .geometry import class_centres
from .labels import check_labels

if TYPE_CHECKING:
    from sklearn.model_selection import StratifiedKFold
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import Pipeline

FOLDS = 5
NEIGHBOURS = 5


def _probe() -> "Pipeline":
    """Logistic regression on columns of unit spread; class weights make up for unequal counts."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))


def _voters() -> "KNeighborsClassifier":
    """The five nearest rows by cosine, with a vote each."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(NEIGHBOURS, metric="cosine")


def _plain(x: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels as scikit-learn takes them, or a ValueError that says what does not fit."""
    if x.ndim != 2 or labels.shape != x.shape[:1]:
        raise ValueError(
            f"embeddings are {tuple(x.shape)} and labels {tuple(labels.shape)}; expected (n, d) and one label a row"
        )
    if not bool(x.isfinite().all()):
        raise ValueError("an embedding is not finite; look for NaN in the model's weights")
    return x.double().cpu().numpy(), labels.cpu().numpy()


def _folds(labels: np.ndarray, seed: int) -> "StratifiedKFold":
    """Shuffled folds with the same share of each label, or a ValueError if a label is too rare for them."""
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2 or counts.min() < FOLDS:
        raise ValueError(
            f"the groups have {', '.join(map(str, counts))} images; expected two groups or more of at least {FOLDS}, "
            "one for each fold of the cross-validation"
        )
    from sklearn.model_selection import StratifiedKFold

    return StratifiedKFold(FOLDS, shuffle=True, random_state=seed)


def class_probe(x: Tensor, labels: Tensor, label: int, seed: int = 0) -> float:
    """How well a linear probe tells class `label` from all others: balanced accuracy in percent.

    x: frozen embeddings (n, d). labels: (n,). seed: draws the five folds; each image is scored by
    a probe that was not fitted on it. 50 is chance. Alain and Bengio 2017 for the idea. Raises ValueError for
    fewer than five images on a side or an embedding that is not finite.
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import cross_val_predict

    rows, all_labels = _plain(x, labels)
    own = all_labels == label
    guesses = cross_val_predict(_probe(), rows, own, cv=_folds(own, seed))
    return 100 * float(balanced_accuracy_score(own, guesses))


def label_probe(x: Tensor, labels: Tensor, *held_out: tuple[Tensor, Tensor]) -> list[float]:
    """Accuracy in percent of a linear probe of the labels, fitted on x and scored on each held-out set.

    x: frozen embeddings (n, d) with labels (n,). held_out: (embeddings, labels) of images that the probe
    is not fitted on. Raises ValueError for shapes that do not fit or an embedding that is not finite.
    """
    probe = _probe().fit(*_plain(x, labels))
    return [100 * float(probe.score(*_plain(*one))) for one in held_out]


def two_sample_auc(a: Tensor, b: Tensor, seed: int = 0) -> float:
    """How well a linear probe tells the rows of a (n, d) from those of b (m, d): AUC in percent.

    50 means that it cannot: the classifier two-sample test of Lopez-Paz and Oquab 2017, with the AUC in the
    accuracy's place, since n and m differ. Each row is scored by a probe that was not fitted on it; the
    AUC is the mean over the five folds. Below 50 is chance. Raises ValueError for fewer than five rows on a side or
    rows that differ in length.
    """
    from sklearn.metrics import roc_auc_score

    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"a has shape {tuple(a.shape)} and b {tuple(b.shape)}; expected (n, d) and (m, d)")
    side = torch.cat([torch.zeros(len(a)), torch.ones(len(b))]).long()
    rows, sides = _plain(torch.cat([a, b]), side)
    areas = []
    for fitted, scored in _folds(sides, seed).split(rows, sides):
        scores = _probe().fit(rows[fitted], sides[fitted]).decision_function(rows[scored])
        areas.append(roc_auc_score(sides[scored], scores))
    return 100 * float(np.mean(areas))


def class_neighbours(x: Tensor, labels: Tensor, label: int, seed: int = 0) -> float:
    """Share in percent of the images of class `label` whose nearest neighbours vote for it.

    x: frozen embeddings (n, d). labels: (n,), of all classes. The five nearest by cosine among the images of the
    other folds have a vote each. Raises ValueError as `class_probe` does.
    """
    from sklearn.model_selection import cross_val_predict

    rows, all_labels = _plain(x, labels)
    own = all_labels == label
    if not own.any():
        raise ValueError(f"no image has the label {label}; expected one of {sorted(set(all_labels.tolist()))}")
    guesses = cross_val_predict(_voters(), rows, all_labels, cv=_folds(all_labels, seed))
    return 100 * float(np.mean(guesses[own] == label))


def label_neighbours(x: Tensor, labels: Tensor, *held_out: tuple[Tensor, Tensor]) -> list[float]:
    """Accuracy in percent of the vote of the five nearest rows of x, by cosine, on each held-out set.

    x (n, d), labels (n,) and held_out as in `label_probe`. Raises ValueError for fewer than five rows.
    """
    if len(x) < NEIGHBOURS:
        raise ValueError(f"{len(x)} images can vote; expected {NEIGHBOURS} or more")
    voters = _voters().fit(*_plain(x, labels))
    return [100 * float(voters.score(*_plain(*one))) for one in held_out]


def nearest_centre(z: Tensor, centres: Tensor) -> Tensor:
    """The class (n,) whose centre (classes, d) has the largest cosine with each embedding z (n, d)."""
    return (z @ centres.T).argmax(dim=1)


def few_shot_centres(
    z: Tensor, labels: Tensor, classes: int, shots: int, draw: torch.Generator, centres: Tensor | None = None
) -> Tensor:
    """Unit-norm centres (classes, d) from at most `shots` random embeddings z (n, d) of each class.

    centres: what stands for a class that has no row in z; None means zeros. Raises ValueError for shots < 1 or a label
    that is not from 0 to classes - 1.
    """
    if shots < 1:
        raise ValueError(f"{shots} images for each centre were asked for; expected one or more")
    check_labels(labels, len(z), classes)
    order = torch.randperm(len(z), generator=draw, device=draw.device)
    kept = torch.cat([order[labels[order] == label][:shots] for label in range(classes)])
    made = class_centres(z[kept], labels[kept], classes)
    if centres is None:
        return made
    there = torch.bincount(labels, minlength=classes)[:, None] > 0
    return torch.where(there, made, centres)


def centre_accuracy(
    known: tuple[Tensor, Tensor],
    few: tuple[Tensor, Tensor] | None,
    held_out: tuple[Tensor, Tensor],
    classes: int,
    shots: int = 5,
    draws: int = 20,
    seed: int = 0,
) -> float:
    """Accuracy in percent, with the head bypassed, of the nearest class centre on `held_out`.

    known, few, held_out: (embeddings (n, d), labels (n,)). With `few`, the centres of its classes come from
    `shots` of its images and all other centres from all of `known`: an attacker who has a few images of a
    forgotten class (Ha et al. 2026). Without it every centre comes from `shots` images of `known`. Mean over
    `draws` random choices of these images.
    """
    z, labels = known
    whole = None if few is None else class_centres(z, labels, classes)
    few_z, few_labels = known if few is None else few
    draw = generator(seed, z.device)
    held_z, held_labels = held_out
    hits = [
        (nearest_centre(held_z, few_shot_centres(few_z, few_labels, classes, shots, draw, whole)) == held_labels)
        for _ in range(draws)
    ]
    return 100 * float(torch.stack(hits).double().mean())
