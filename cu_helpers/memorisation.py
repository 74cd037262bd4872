"""How much a training image had to be memorised, and forget sets graded by it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .devices import generator
from .errors import DataFileError
from .labels import check_labels
from .profiles import Profile
from .results import results_folder

GRADES = ("low", "medium", "high")


@dataclass(frozen=True)
class Shadows:
    """Models trained on random parts of the training images, and what each answers on all of them.

    member: (models, n), whether an image was trained on. right: (models, n), whether it is classified correctly.
    """

    member: Tensor
    right: Tensor


def memorisation(shadows: Shadows) -> Tensor:
    """How much likelier each image (n,) is classified correctly by models that saw it, from -1 to 1.

    The subsampled estimate of Feldman and Zhang 2020, eq. 1 and section 2: accuracy among the models whose training
    set holds the image minus accuracy among the others. Raises ValueError if an image is in every set or in none.
    """
    if shadows.member.ndim != 2 or shadows.member.shape != shadows.right.shape:
        raise ValueError(
            f"member has shape {tuple(shadows.member.shape)} and right {tuple(shadows.right.shape)}; "
            "expected (models, n) in both"
        )
    member, right = shadows.member.double(), shadows.right.double()
    inside, outside = member.sum(dim=0), (1 - member).sum(dim=0)
    lacking = ((inside == 0) | (outside == 0)).nonzero()[:, 0].tolist()
    if lacking:
        raise ValueError(
            f"images {lacking[:5]} are in all {len(member)} training sets or in none; expected both; train more models"
        )
    return (member * right).sum(dim=0) / inside - ((1 - member) * right).sum(dim=0) / outside


def graded(scores: Tensor, labels: Tensor, count: int, seed: int = 0) -> dict[str, Tensor]:
    """Three disjoint sets of `count` positions: the lowest scores of each class, its middle ones, and its highest.

    scores, labels: (n,). Zhao et al. 2024 grade all images together. Within classes every set has the same classes:
    else the lowest scores would take most of an easy class away, and Retrain would miss the class and not the images.
    seed: orders equals. Raises ValueError if there are fewer than three times `count` scores, or not one finite
    score and one label an image.
    """
    if not 1 <= count <= len(scores) // 3:
        raise ValueError(f"three sets of {count} images were asked for; expected 1 to {len(scores) // 3} in each")
    check_labels(labels, len(scores))
    if not bool(scores.isfinite().all()):
        raise ValueError("a score is NaN or infinite; expected a finite one for each image, to put them in order")
    shuffled = torch.randperm(len(scores), generator=generator(seed, torch.device("cpu"))).to(scores.device)
    order = shuffled[scores[shuffled].argsort(stable=True)]
    place = torch.empty(len(scores), dtype=torch.float64, device=scores.device)
    for label in torch.unique(labels):
        own = order[labels[order] == label]
        place[own] = (torch.arange(len(own), dtype=torch.float64, device=scores.device) + 0.5) / len(own)
    ranked = shuffled[place[shuffled].argsort(stable=True)]
    middle = (len(scores) - count) // 2
    return {"low": ranked[:count], "medium": ranked[middle : middle + count], "high": ranked[len(ranked) - count :]}


def shadow_path(profile: Profile) -> Path:
    """Where the shadow models of a profile are recorded."""
    return results_folder() / "memorisation" / profile.name / f"{profile.dataset}-{profile.model}-shadows.json"


def graded_path(profile: Profile) -> Path:
    """Where the runs that forget graded sets are recorded."""
    return shadow_path(profile).with_name(f"{profile.dataset}-{profile.model}-graded.json")


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError) as error:
        raise DataFileError(f"{path} cannot be read ({error}); make it with book/record_memorisation.py") from error


def read_shadows(profile: Profile) -> Shadows:
    """The recorded shadow models. Raises DataFileError if there are none."""
    models = _read(shadow_path(profile))["models"]
    rows = {key: [[mark == "1" for mark in one[key]] for one in models] for key in ("member", "right")}
    return Shadows(torch.tensor(rows["member"]), torch.tensor(rows["right"]))


def read_graded(profile: Profile) -> list[dict[str, Any]]:
    """The recorded runs on graded forget sets, each with grade, seed, method, metrics and audit.

    Raises DataFileError if there are none.
    """
    runs: list[dict[str, Any]] = _read(graded_path(profile))["runs"]
    return runs
