"""The attack on one model's outputs: what it sees, whom it calls members, and what its report holds."""

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, order, rows, seeds
from torch import Tensor

from cu_helpers.attack_data import LEAST
from cu_helpers.attack_scores import THRESHOLDS
from cu_helpers.attacks import (
    FEATURES,
    RATES,
    VARIANTS,
    AttackOutputs,
    attack_features,
    fit_attack,
    member_rates,
    report_of,
)
from cu_helpers.roc import auc, needed_non_members, tpr_at

sizes = st.integers(LEAST, LEAST + 15)


def sure(count: int, seed: int, size: float = 2.0, classes: int = 3) -> Tensor:
    """Logits (count, classes), float32, of a model that is `size` surer of a random class than of the others."""
    logits = rows(count, classes, seed) / 4
    return logits.scatter_add(1, order(count, seed)[:, None] % classes, torch.full((count, 1), size).double()).float()


@given(seeds, st.integers(1, 5), st.integers(2, 5), st.sampled_from([0.1, 3.0, 100.0]))
@settings(max_examples=FEW)
def test_an_attack_sees_a_softmax_the_same_sorted_or_the_logits(
    seed: int, count: int, classes: int, spread: float
) -> None:
    logits = (spread * rows(count, classes, seed)).float()
    found = {name: attack_features(logits, name) for name in FEATURES}
    assert all(of.dtype == np.float64 and of.shape == (count, classes) for of in found.values())
    assert np.array_equal(attack_features(logits), found["softmax"]), "what the paper's attack is read as"
    for row, p, ranked, plain in zip(logits.tolist(), *(found[name] for name in FEATURES), strict=True):
        parts = [math.exp(x - max(row)) for x in row]
        assert p.tolist() == pytest.approx([part / sum(parts) for part in parts], rel=1e-12, abs=1e-300)
        assert ranked.tolist() == sorted(p.tolist(), reverse=True)
        assert plain.tolist() == row


@given(st.text("abcdef_", min_size=1, max_size=8))
@settings(max_examples=FEW)
def test_other_features_and_attack_models_are_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(ValueError, match=f"unknown attack features '{name}'; expected one of: logits, softmax"):
        attack_features(torch.zeros(2, 3), name)
    with pytest.raises(ValueError, match=f"unknown attack model '{name}'; expected one of: logistic, mlp"):
        fit_attack(np.zeros((2, 3)), np.zeros((2, 3)), name)


@given(seeds, st.floats(-1e3, 1e3), st.floats(0.1, 1e3))
@settings(max_examples=FEW)
def test_an_attack_knows_members_on_either_side_whatever_the_scale(seed: int, shift: float, scale: float) -> None:
    members, others = (rows(25, 2, seed + side).clamp(-2, 2).numpy() + 10 * side for side in (0, 1))
    attack = fit_attack(shift + scale * members, shift + scale * others)
    assert attack.predict(shift + scale * members).tolist() == [1] * 25
    assert attack.predict(shift + scale * others).tolist() == [0] * 25
    turned = fit_attack(shift + scale * others, shift + scale * members)
    assert turned.predict(shift + scale * members).tolist() == [0] * 25


@given(seeds, sizes, st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=FEW)
def test_rates_are_shares_of_each_target_and_add_up_whatever_the_order(seed: int, size: int, a: int, b: int) -> None:
    members, others = sure(size, seed, 2.0), sure(size, seed + 1, 1.5)
    first, second = sure(a, seed + 2, 2.0), sure(b, seed + 3, 1.5)
    both = torch.cat([first, second])
    targets = {"first": first, "second": second, "both": both, "mixed": both[order(a + b, seed)]}
    found = member_rates(members, others, targets, seed, "sorted_softmax")
    assert list(found) == list(targets)
    assert found["first"] * a / 100 == pytest.approx(round(found["first"] * a / 100)), "whole images"
    assert found["both"] * (a + b) == pytest.approx(found["first"] * a + found["second"] * b)
    assert found["mixed"] == pytest.approx(found["both"])
    assert member_rates(members, others, targets, seed + 1, "sorted_softmax") == found, "sets of one size: no draw"
    alone = member_rates(members, others, {"second": second}, seed, "sorted_softmax")
    assert alone["second"] == found["second"]


@given(seeds, sizes, st.integers(0, 20), st.booleans())
@settings(max_examples=FEW)
def test_who_is_like_members_is_called_a_member_however_many_there_are(
    seed: int, size: int, more: int, turned: bool
) -> None:
    members, others = sure(size + more * turned, seed, 30.0), sure(size + more * (not turned), seed + 1, 0.0)
    targets = {"like members": sure(7, seed + 2, 30.0), "like others": sure(9, seed + 3, 0.0)}
    found = member_rates(members, others, targets, seed, "sorted_softmax")
    assert found == {"like members": 100.0, "like others": 0.0}
    assert member_rates(members, others, targets, seed, "sorted_softmax") == found
    assert member_rates(others, members, targets, seed, "sorted_softmax") == {"like members": 0.0, "like others": 100.0}


@given(st.integers(0, LEAST - 1), sizes, st.booleans())
@settings(max_examples=FEW)
def test_too_few_of_either_kind_are_refused(few: int, many: int, turned: bool) -> None:
    sides = sure(few, 0), sure(many, 1)
    words = f"{few} members and {many} non-members" if not turned else f"{many} members and {few} non-members"
    with pytest.raises(ValueError, match=f"there are {words} to train the attack; expected at least {LEAST}"):
        member_rates(*(sides[::-1] if turned else sides), {})


@given(st.sampled_from(["members", "non_members", "targets"]), st.integers(0, LEAST - 1))
@settings(max_examples=FEW)
def test_outputs_that_are_not_finite_are_refused_wherever_they_are(where: str, place: int) -> None:
    said = {"members": sure(LEAST, 0), "non_members": sure(LEAST, 1), "targets": sure(LEAST, 2)}
    said[where][place, 1] = torch.nan
    with pytest.raises(ValueError, match=f"NaN or infinite for 1 of {LEAST} images"):
        member_rates(said["members"], said["non_members"], {"all": said["targets"]})


@given(seeds, st.booleans(), st.integers(8, 130))
@settings(max_examples=5)
def test_a_report_is_every_score_and_every_attack_on_the_right_sides(seed: int, of_class: bool, unseen: int) -> None:
    counts = {"forgotten": 9, "held_out": 12, "unseen": unseen} | ({"unseen_of_class": 101} if of_class else {})
    targets = {name: sure(count, seed + at, at + 1.0) for at, (name, count) in enumerate(counts.items())}
    labels = {name: order(count, seed) % 3 for name, count in counts.items()}
    said = AttackOutputs(sure(LEAST, seed + 5, 3.0), sure(LEAST + 1, seed + 6), targets, labels)
    found = report_of(said, seed)
    assert found["counts"] == {"members": LEAST, "non_members": LEAST + 1, **counts}
    assert found["seed"] == seed
    for name, score in THRESHOLDS.items():
        of = {target: score(logits, labels[target]).numpy() for target, logits in targets.items()}
        against = {"forgotten": "unseen_of_class" if of_class else "unseen", "held_out": "unseen"}
        assert set(found["thresholds"][name]) == set(against)
        for target, other in against.items():
            one = found["thresholds"][name][target]
            assert one["auc"] == asdict(auc(of[target], of[other]))
            allowed = [rate for rate in RATES if counts[other] >= needed_non_members(rate)]
            assert one["tpr_at"] == {f"{rate:g}": asdict(tpr_at(of[target], of[other], rate)) for rate in allowed}
    assert set(found["member_rates"]) == {f"{features}, {attack}" for features, attack in VARIANTS}
    for features, attack in VARIANTS:
        rates = member_rates(said.members, said.non_members, targets, seed, features, attack)
        assert found["member_rates"][f"{features}, {attack}"] == rates
