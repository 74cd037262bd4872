"""Memorisation against loops and a case worked by hand; graded sets; forgetting named images."""

import json
from pathlib import Path

import pytest
import torch

from cu_helpers.data import Dataset, forget_samples, forget_these
from cu_helpers.errors import DataFileError
from cu_helpers.memorisation import Shadows, graded, memorisation, read_graded, read_shadows, shadow_path
from cu_helpers.profiles import get_profile


def test_memorisation_by_hand_and_by_loops() -> None:
    member = torch.tensor([[1, 1, 0], [1, 0, 1], [0, 1, 1], [0, 0, 1]]).bool()
    right = torch.tensor([[1, 1, 0], [1, 0, 1], [1, 1, 1], [1, 0, 0]]).bool()
    # Right in every model; right exactly in the models that saw it; two of three with it, none without it.
    assert memorisation(Shadows(member, right)).tolist() == pytest.approx([0, 1, 2 / 3])
    draw = torch.Generator().manual_seed(0)
    member, right = (torch.rand(20, 7, generator=draw) < 0.6 for _ in range(2))
    for image, score in enumerate(memorisation(Shadows(member, right)).tolist()):
        inside = [bool(right[m, image]) for m in range(20) if member[m, image]]
        outside = [bool(right[m, image]) for m in range(20) if not member[m, image]]
        assert score == pytest.approx(sum(inside) / len(inside) - sum(outside) / len(outside))
    member[:, 3] = True
    with pytest.raises(ValueError, match=r"images \[3\] are in all 20"):
        memorisation(Shadows(member, right))


def test_a_model_that_memorises_scores_one_and_one_that_generalises_zero() -> None:
    member = torch.rand(30, 40, generator=torch.Generator().manual_seed(0)) < 0.7
    assert memorisation(Shadows(member, member)).tolist() == pytest.approx([1.0] * 40)
    assert memorisation(Shadows(member, torch.ones_like(member))).abs().max() == 0


def test_graded_sets_are_disjoint_and_in_order() -> None:
    scores = torch.rand(30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sets = graded(scores, 6)
    ordered = scores.sort().values
    assert sorted(scores[sets["low"]].tolist()) == ordered[:6].tolist()
    assert sorted(scores[sets["medium"]].tolist()) == ordered[12:18].tolist()
    assert sorted(scores[sets["high"]].tolist()) == ordered[24:].tolist()
    assert len(set(torch.cat(list(sets.values())).tolist())) == 18
    ties = [set(graded(torch.zeros(30), 6, seed)["low"].tolist()) for seed in (0, 0, 1)]
    assert ties[0] == ties[1] != ties[2], "the seed draws among equals"
    with pytest.raises(ValueError, match="expected 1 to 10 in each"):
        graded(scores, 11)


def test_named_images_are_forgotten(digits: Dataset) -> None:
    index = torch.tensor([7, 3, 100])
    task = forget_these(digits, index)
    assert task.forget_index.tolist() == [3, 7, 100]
    assert torch.equal(task.forget.images, digits.train.images[[3, 7, 100]])
    assert len(task.retain) == len(digits.train) - 3
    drawn = forget_samples(digits, 5, seed=4)
    assert torch.equal(forget_these(digits, drawn.forget_index.flip(0)).forget.labels, drawn.forget.labels)
    for wrong in ([1, 1], [-1], [len(digits.train)], list(range(len(digits.train))), []):
        with pytest.raises(ValueError, match="different positions from 0 to 179"):
            forget_these(digits, torch.tensor(wrong, dtype=torch.int64))


def test_records_are_read_back_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    profile = get_profile("laptop")
    with pytest.raises(DataFileError, match=r"make it with book/record_memorisation\.py"):
        read_shadows(profile)
    with pytest.raises(DataFileError, match=r"record_memorisation\.py"):
        read_graded(profile)
    path = shadow_path(profile)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"models": [{"member": "101", "right": "110"}, {"member": "010", "right": "001"}]}))
    found = read_shadows(profile)
    assert found.member.tolist() == [[True, False, True], [False, True, False]]
    assert memorisation(found).tolist() == [1, -1, -1]
