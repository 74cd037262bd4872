"""The attacks of `lira` and `shokri` on recorded shadow models, stage by stage: U-LiRA and its company."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from . import markdown
from .figures import LABELS
from .lira import Array, Mask, gaussian_scores, rmia_scores, score_fresh
from .roc import Estimate, auc, tpr_at
from .shadow_runs import ShadowRecords
from .shokri import shokri_attack

Pair = tuple[Array, Array]  # scores of forgotten images, and of images never trained on


def u_lira(records: ShadowRecords, stage: str) -> Pair:
    """U-LiRA's scores of a stage: was x unlearned, or never trained on? Every model is attacked with all others.

    The first kind of reference is models that learned x and then, at this stage, had it in their
    forget set; the second kind never trained on x and unlearned other images. For "original" the
    first kind are plain members: that is LiRA.
    """
    phi = records.phi[stage]

    def scorer(fresh: int, first: Mask, second: Mask) -> Array:
        return gaussian_scores(phi[fresh], phi, first, second, spread="shared")

    return score_fresh(scorer, records.forgets, ~records.trained)


def rmia(records: ShadowRecords, stage: str) -> Pair:
    """RMIA's scores of a stage, with the kinds of `u_lira`."""
    phi, population = records.phi[stage], records.population[stage]

    def scorer(fresh: int, first: Mask, second: Mask) -> Array:
        # Population images were in no model's training data, but the attacked model is no reference.
        rest = np.arange(len(phi)) != fresh
        return rmia_scores(phi[fresh], phi[rest], first[rest], second[rest], population[fresh], population[rest])

    return score_fresh(scorer, records.forgets, ~records.trained)


def threshold(records: ShadowRecords, stage: str) -> Pair:
    """One threshold on phi for all images, for comparison."""
    phi = records.phi[stage]
    return phi[records.forgets], phi[~records.trained]


SHADOW_ATTACKS: Mapping[str, Callable[[ShadowRecords, str], Pair]] = {
    "threshold on phi": threshold,
    "RMIA": rmia,
    "U-LiRA": u_lira,
}


def lira_power(records: ShadowRecords) -> Pair:
    """LiRA on the shadow models as they were trained: all members against all non-members."""
    phi = records.phi["original"]
    return score_fresh(
        lambda fresh, first, second: gaussian_scores(phi[fresh], phi, first, second, spread="each"),
        records.trained,
        ~records.trained,
    )


def presence_effect(records: ShadowRecords) -> NDArray[np.float64]:
    """How much each image's own presence raises the confidence in its label, from -1 to 1, (n,).

    The difference of the mean p_y over the original models that were trained on it and over those
    that were not: memorisation (Feldman and Zhang 2020) with a probability in place of a right answer.
    """
    p = 1 / (1 + np.exp(-records.phi["original"]))
    inside = np.where(records.trained, p, 0).sum(axis=0) / records.trained.sum(axis=0)
    outside = np.where(records.trained, 0, p).sum(axis=0) / (~records.trained).sum(axis=0)
    return np.asarray(inside - outside)


def graded(records: ShadowRecords, stage: str, groups: int = 3) -> list[Estimate]:
    """AUC of U-LiRA on the images of each group, from the least to the largest `presence_effect`.

    The effect is read from the original models, all of them: a description of the images, not
    something that the attack uses.
    """
    order = presence_effect(records).argsort()
    found = []
    for group in np.array_split(order, groups):
        part = replace(
            records,
            trained=records.trained[:, group],
            forgets=records.forgets[:, group],
            phi={stage: records.phi[stage][:, group]},
        )
        found.append(auc(*u_lira(part, stage)))
    return found


def shokri_rates(records: ShadowRecords) -> dict[str, tuple[float, float]]:
    """Stage -> percent of forgotten, and of never trained images, that Shokri's attack calls members.

    The attack models learn from what the original shadow models of one half of the pairs say, and
    judge every stage of the other half's, and the other way round.
    """
    models, size = len(records.trained), records.shown.shape[1] // 2
    labels = torch.from_numpy(records.labels[records.shown])
    inside = (torch.arange(2 * size) < size).expand(models, -1)
    of_half = torch.arange(models) < 2 * (models // 4)
    said = {stage: torch.from_numpy(of) for stage, of in records.logits.items()}
    calls = {stage: torch.zeros(models, 2 * size) for stage in said}
    for teachers in (of_half, ~of_half):
        taught = said["original"][teachers].flatten(0, 1)
        attack = shokri_attack(taught, labels[teachers].flatten(), inside[teachers].flatten())
        for stage, logits in said.items():
            found = attack.says_member(logits[~teachers].flatten(0, 1), labels[~teachers].flatten())
            calls[stage][~teachers] = torch.from_numpy(found).float().reshape(-1, 2 * size)
    return {stage: (100 * float(of[:, :size].mean()), 100 * float(of[:, size:].mean())) for stage, of in calls.items()}


def shadow_table(records: ShadowRecords) -> str:
    """A Markdown table: each stage's AUC by every attack with its 95 % interval, and U-LiRA's TPR at low FPR."""
    head = ["stage", *[f"AUC, {name}" for name in SHADOW_ATTACKS]]
    head += ["U-LiRA: TPR at 1 % FPR (%)", "at 0.1 % FPR (%)", "accuracy on forgotten (%)", "on never trained (%)"]
    rows = []
    for stage in records.phi:
        scores = {name: attack(records, stage) for name, attack in SHADOW_ATTACKS.items()}
        cells = [LABELS.get(stage, stage), *[str(auc(*pair)) for pair in scores.values()]]
        for rate in (0.01, 0.001):
            found = tpr_at(*scores["U-LiRA"], rate)
            cells.append(f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]")
        cells += [f"{records.accuracy[stage][of].mean():.1f}" for of in ("forget", "never")]
        rows.append(cells)
    return markdown.table(head, rows)
