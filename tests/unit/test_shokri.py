"""Shokri's attack against the Adversarial Robustness Toolbox and where one attack model a class is needed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from strategies import order, seeds
from torch import Tensor

from cu_helpers.attacks import member_rates
from cu_helpers.shokri import ShokriAttack, shokri_attack


def said(count: int, boost: float, seed: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Outputs that favour the true label by `boost`, and the labels."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=draw)
    logits = torch.randn(count, classes, generator=draw)
    logits[torch.arange(count), labels] += boost
    return logits, labels


@pytest.fixture
def shadows() -> tuple[Tensor, Tensor, Tensor]:
    """Outputs of shadow models for members, then for non-members, their labels, and which is which."""
    (inside, y), (outside, k) = said(300, 5.0, 0), said(600, 2.0, 1)
    return torch.cat([inside, outside]), torch.cat([y, k]), torch.arange(900) < 300


def test_it_decides_as_the_toolboxs_black_box_attack_does_class_by_class(
    shadows: tuple[Tensor, Tensor, Tensor],
) -> None:
    from art.attacks.inference.membership_inference import MembershipInferenceBlackBox
    from art.estimators.classification import BlackBoxClassifier

    logits, labels, inside = shadows
    ours = shokri_attack(logits, labels, inside)
    fresh, truth = said(600, 3.5, 2)
    agree = []
    for label in range(3):
        target = BlackBoxClassifier(lambda x: x, (3,), 3)
        oracle = MembershipInferenceBlackBox(target, attack_model_type="lr")
        members, others = (
            logits[(labels == label) & (inside == kind)].softmax(dim=1).numpy() for kind in (True, False)
        )
        hot = np.eye(3)[label]
        oracle.fit(
            x=members,
            y=np.tile(hot, (len(members), 1)),
            pred=members,
            test_x=others[: len(members)],
            test_y=np.tile(hot, (len(members), 1)),
            test_pred=others[: len(members)],
        )
        of = truth == label
        asked = fresh[of].softmax(dim=1).numpy()
        theirs = oracle.infer(None, np.tile(hot, (len(asked), 1)), pred=asked)[:, 0] == 1
        agree.append(theirs == ours.says_member(fresh[of], truth[of]))
    assert np.concatenate(agree).mean() > 0.93
    assert 0.2 < ours.says_member(fresh, truth).mean() < 0.8, "both answers are given"


def test_one_attack_model_a_class_sees_what_a_single_linear_one_cannot(shadows: tuple[Tensor, Tensor, Tensor]) -> None:
    """Within a class the confidence is one coordinate of the softmax; over all classes it is none."""
    logits, labels, inside = shadows
    attack = shokri_attack(logits, labels, inside)
    (member, y), (other, k) = said(500, 5.0, 3), said(500, 2.0, 4)
    assert attack.says_member(member, y).mean() > attack.says_member(other, k).mean() + 0.4
    single = member_rates(logits[inside], logits[~inside], {"member": member, "other": other})
    assert abs(single["member"] - single["other"]) < 15


def test_shadows_that_know_nothing_teach_nothing() -> None:
    logits, labels = said(900, 3.0, 0)
    attack = shokri_attack(logits, labels, torch.arange(900) % 2 == 0, seed=1)
    found, k = said(2000, 3.0, 5)
    assert 0.2 < attack.says_member(found, k).mean() < 0.8
    again = shokri_attack(logits, labels, torch.arange(900) % 2 == 0, seed=1)
    assert (attack.says_member(found, k) == again.says_member(found, k)).all()


def test_bad_input_is_refused(shadows: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, labels, inside = shadows
    with pytest.raises(ValueError, match=r"class 0 has \d member and \d+ non-member outputs; expected at least 10"):
        shokri_attack(logits, labels, torch.arange(900) < 20)
    broken = logits.clone()
    broken[3, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinite for 1 of 900 images"):
        shokri_attack(broken, labels, inside)
    attack = shokri_attack(logits[labels < 2], labels[labels < 2], inside[labels < 2])
    assert isinstance(attack, ShokriAttack)
    with pytest.raises(ValueError, match=r"no attack model was trained for the classes \[2\]; expected \[0, 1\]"):
        attack.says_member(logits, labels)
    with pytest.raises(ValueError, match="NaN or infinite"):
        attack.says_member(broken[:5], labels[:5].clamp(max=1))


def test_labels_and_kinds_that_do_not_fit_are_refused(shadows: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, labels, inside = shadows
    with pytest.raises(ValueError, match=r"labels are .* of shape \(899,\); expected .* one for each of 900 rows"):
        shokri_attack(logits, labels[1:], inside)
    with pytest.raises(
        ValueError, match=r"inside are torch.bool of shape \(1,\); expected .* one for each of 900 rows"
    ):
        shokri_attack(logits, labels, inside[:1])
    with pytest.raises(ValueError, match=r"labels are .* of shape \(899,\)"):
        shokri_attack(logits, labels, inside).says_member(logits, labels[1:])


@given(seeds)
@settings(max_examples=5)
def test_an_attack_knows_no_order_of_the_asked_outputs_and_repeats(seed: int) -> None:
    logits, labels = said(120, 2.0, seed)
    inside = order(120, seed) % 2 == 0
    attack = shokri_attack(logits, labels, inside, seed=seed)
    fresh, truth = said(30, 2.0, seed + 1)
    rank, before = order(30, seed), fresh.clone()
    found = attack.says_member(fresh, truth)
    assert (attack.says_member(fresh[rank], truth[rank]) == found[rank.numpy()]).all()
    assert (shokri_attack(logits, labels, inside, seed=seed).says_member(fresh, truth) == found).all()
    assert torch.equal(fresh, before)
