"""The attacks on recorded shadow models in a made-up world where every stage's truth is known."""

import numpy as np
import pytest

from cu_helpers.roc import auc
from cu_helpers.shadow_attacks import (
    SHADOW_ATTACKS,
    graded,
    lira_power,
    memorisation,
    rmia,
    shadow_table,
    shokri_rates,
    u_lira,
)
from cu_helpers.shadow_runs import ShadowRecords
from cu_helpers.shadows import shadow_design

IMAGES, CLASSES = 60, 3


@pytest.fixture(scope="module")
def records() -> ShadowRecords:
    """40 models. The second half of the images is memorised, the first half is not.

    Training raises a memorised image's phi by 2. "retrain" undoes this, "remembers" does nothing,
    and "over" lowers what it forgets below what never was trained on.
    """
    rng = np.random.default_rng(0)
    trained, forgets = (mask.numpy() for mask in shadow_design(IMAGES, 40, 6, seed=0))
    labels = np.arange(IMAGES) % CLASSES
    hard = 2.0 * (np.arange(IMAGES) >= IMAGES // 2)
    difficulty = rng.normal(0, 2, IMAGES)
    effect = {"original": (1, 1), "retrain": (1, 0), "remembers": (1, 1), "over": (1, -1)}
    phi, population, logits, accuracy = {}, {}, {}, {}
    shown = np.stack(
        [np.concatenate([forgets[k].nonzero()[0], rng.permutation((~trained[k]).nonzero()[0])[:6]]) for k in range(40)]
    )
    for stage, (kept, gone) in effect.items():
        raised = hard * (kept * (trained & ~forgets) + gone * forgets)
        phi[stage] = difficulty + raised + rng.normal(0, 0.7, trained.shape)
        population[stage] = rng.normal(0, 2, (40, 25))
        outputs = rng.normal(0, 0.3, (*shown.shape, CLASSES))
        for k in range(40):
            outputs[k, np.arange(12), labels[shown[k]]] += 1.5 + raised[k, shown[k]]
        logits[stage] = outputs
        accuracy[stage] = {"forget": np.full(40, 80.0), "never": np.full(40, 70.0)}
    return ShadowRecords(trained, forgets, labels, shown, phi, population, logits, accuracy, {})


def test_u_lira_finds_what_remains_and_is_at_chance_on_retrain(records: ShadowRecords) -> None:
    found = {stage: auc(*u_lira(records, stage)) for stage in records.phi}
    assert len(u_lira(records, "over")[0]) == 40 * 6
    assert len(u_lira(records, "over")[1]) == 40 * 30
    assert abs(found["retrain"].value - 0.5) < 0.06
    for stage in ("original", "remembers", "over"):
        assert found[stage].low > 0.65
    assert auc(*lira_power(records)).value > 0.75


def test_over_forgetting_hides_from_attacks_that_look_for_members(records: ShadowRecords) -> None:
    """U-LiRA learns on which side the forgotten images lie; a threshold and RMIA expect them above."""
    assert auc(*SHADOW_ATTACKS["threshold on phi"](records, "over")).value < 0.5
    assert auc(*rmia(records, "over")).value < 0.4
    assert auc(*rmia(records, "remembers")).value > 0.6


def test_memorisation_and_its_grades(records: ShadowRecords) -> None:
    found = memorisation(records)
    assert found[IMAGES // 2 :].mean() > found[: IMAGES // 2].mean() + 0.2
    p = 1 / (1 + np.exp(-records.phi["original"][:, 40]))
    inside = records.trained[:, 40]
    assert found[40] == pytest.approx(p[inside].mean() - p[~inside].mean())
    least, most = graded(records, "remembers", groups=2)
    assert least.value < most.low, "nothing raises the confidence in the least memorised half"
    assert most.value > 0.8


def test_shokris_rates_follow_the_confidence(records: ShadowRecords) -> None:
    rates = shokri_rates(records)
    assert rates["original"][0] > rates["original"][1] + 20
    assert rates["remembers"][0] > rates["remembers"][1] + 20
    assert abs(rates["retrain"][0] - rates["retrain"][1]) < 10
    assert rates["over"][0] < rates["over"][1]


def test_the_table_has_every_stage(records: ShadowRecords) -> None:
    lines = shadow_table(records).split("\n")
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| Original", "| Retrain", "| remembers", "| over"]
    assert str(auc(*u_lira(records, "over"))) in lines[-1]
    assert lines[2].endswith("| 80.0 | 70.0 |")
