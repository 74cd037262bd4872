"""Draws of images for any labels, counts and seeds: exact, complete, disjoint, repeatable, in proportion."""

from dataclasses import replace

import pytest
import torch
from conftest import image_data
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, order, rows, seeds
from torch import Tensor

from cu_helpers.attack_data import attack_sets, check_disjoint, image_keys
from cu_helpers.checkpoints import fingerprint
from cu_helpers.data import Dataset, ImageData, forget_class, forget_samples, forget_these
from cu_helpers.memorisation import Shadows, graded, memorisation
from cu_helpers.shadows import shadow_design, shadow_task
from cu_helpers.splits import balanced_split
from cu_helpers.views import draw_from, joined, like

label_lists = st.lists(st.integers(0, 3), min_size=1, max_size=24).map(torch.tensor)


def images_of(labels: Tensor, seed: int = 0) -> ImageData:
    """Random images with these labels; no two are alike."""
    return replace(image_data(len(labels), side=4, seed=seed), labels=labels)


def noise(count: int, seed: int) -> ImageData:
    return images_of(torch.arange(count) % 3, seed)


TINY = Dataset("noise", noise(90, 0), noise(9, 1), noise(96, 2), ("a", "b", "c"))


@given(label_lists, st.integers(-3, 30), seeds)
@settings(max_examples=50)
def test_a_split_has_the_asked_size_or_is_refused(labels: Tensor, count: int, seed: int) -> None:
    if not 0 <= count <= len(labels):
        with pytest.raises(ValueError, match=rf"{count} of {len(labels)} rows were asked for; expected 0 to"):
            balanced_split(labels, count, seed)
        return
    chosen, rest = balanced_split(labels, count, seed)
    assert len(chosen) == count
    assert sorted([*chosen.tolist(), *rest.tolist()]) == list(range(len(labels)))
    assert all(torch.equal(a, b) for a, b in zip(balanced_split(labels, count, seed), (chosen, rest), strict=True))
    for label in torch.unique(labels):
        own = int((labels == label).sum())
        assert abs(int((labels[chosen] == label).sum()) - count * own / len(labels)) < len(torch.unique(labels))


@given(label_lists, st.integers(1, 30), seeds)
@settings(max_examples=FEW)
def test_random_images_are_different_and_in_order(labels: Tensor, count: int, seed: int) -> None:
    images = images_of(labels)
    drawn = draw_from(images, count, seed)
    keys = image_keys(images)
    places = [keys.index(key) for key in image_keys(drawn)]
    assert len(drawn) == min(count, len(images))
    assert places == sorted(set(places))
    assert image_keys(draw_from(images, count, seed)) == image_keys(drawn)
    with pytest.raises(ValueError, match="0 images were to be drawn"):
        draw_from(images, 0, seed)


@given(label_lists, label_lists, seeds)
@settings(max_examples=50)
def test_a_likeness_has_the_proportions_or_is_refused(labels: Tensor, offered: Tensor, seed: int) -> None:
    wanted, there = (torch.bincount(one, minlength=4) for one in (labels, offered))
    if bool((there < wanted).any()):
        with pytest.raises(ValueError, match="expected as many of each class to compare with"):
            like(labels, offered, seed)
        return
    found = like(labels, offered, seed)
    assert len(set(found.tolist())) == len(found)
    counts = torch.bincount(offered[found], minlength=4)
    times = len(found) // len(labels)
    assert torch.equal(counts, times * wanted)
    assert bool((there < (times + 1) * wanted).any()), "one more of each would not be there"
    assert torch.equal(like(labels, offered, seed), found)


def test_nothing_has_no_proportions() -> None:
    with pytest.raises(ValueError, match="there are no labels whose proportions could be drawn"):
        like(torch.tensor([], dtype=torch.int64), torch.tensor([0, 1]))


@given(label_lists, label_lists)
@settings(max_examples=FEW)
def test_joined_sets_stand_one_after_the_other(a: Tensor, b: Tensor) -> None:
    first, second = images_of(a, 1), images_of(b, 2)
    assert image_keys(joined(first, second)) == image_keys(first) + image_keys(second)


@given(st.integers(1, 40), seeds)
@settings(max_examples=20)
def test_a_task_is_a_cut_of_the_training_images(count: int, seed: int) -> None:
    before = fingerprint(TINY.train)
    for task in (forget_samples(TINY, count, seed), forget_class(TINY, count % 3, seed)):
        mask = torch.zeros(90, dtype=torch.bool)
        mask[task.forget_index] = True
        assert image_keys(task.forget) == image_keys(TINY.train.select(mask))
        assert image_keys(task.retain) == image_keys(TINY.train.select(~mask))
        assert task.seed == seed
    again = forget_these(TINY, forget_samples(TINY, count, seed).forget_index[order(count, seed)], seed)
    assert image_keys(again.forget) == image_keys(forget_samples(TINY, count, seed).forget), "the order of names"
    assert fingerprint(TINY.train) == before


@pytest.mark.parametrize("index", [torch.tensor([1.0]), torch.tensor([[1]]), torch.ones(90, dtype=torch.bool)])
def test_positions_are_whole_numbers_in_a_list(index: Tensor) -> None:
    with pytest.raises(ValueError, match=r"the positions are .*; expected whole numbers of shape \(n,\)"):
        forget_these(TINY, index)


@given(st.sampled_from(["class", "samples"]), st.integers(0, 2), seeds)
@settings(max_examples=10)
def test_an_attacks_sets_share_nothing(kind: str, label: int, seed: int) -> None:
    task = forget_class(TINY, label) if kind == "class" else forget_samples(TINY, 5 + label, seed)
    try:
        sets = attack_sets(task, seed)
    except ValueError as refused:
        assert "expected at least 20" in str(refused)  # noqa: PT017
        return
    check_disjoint(sets.members, sets.non_members, sets.targets)
    everything = [key for one in (sets.members, sets.non_members, *sets.targets.values()) for key in image_keys(one)]
    assert len(everything) == len(set(everything))
    again = attack_sets(task, seed)
    assert image_keys(again.members) == image_keys(sets.members)


@given(st.integers(0, 9), st.integers(0, 47), st.integers(1, 255), st.integers(1, 2))
@settings(max_examples=FEW)
def test_a_key_changes_with_every_pixel_and_label(image: int, pixel: int, change: int, shift: int) -> None:
    images = noise(10, 0)
    pixels, labels = images.images.clone(), images.labels.clone()
    pixels.view(10, -1)[image, pixel] += change
    labels[image] += shift
    for changed in (replace(images, images=pixels), replace(images, labels=labels)):
        differ = [old != new for old, new in zip(image_keys(images), image_keys(changed), strict=True)]
        assert differ == [place == image for place in range(10)]
        assert fingerprint(changed) != fingerprint(images)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), seeds)
@settings(max_examples=20)
def test_a_design_is_even_and_its_tasks_are_its_rows(forgotten: int, turns: int, repeats: int, seed: int) -> None:
    images = 2 * forgotten * turns
    shadows = 2 * turns * repeats
    trained, forgets = shadow_design(images, shadows, forgotten, seed)
    assert (forgets <= trained).all()
    assert (forgets.sum(dim=1) == forgotten).all()
    assert (trained.sum(dim=0) * 2 == shadows).all()
    assert (forgets.sum(dim=0) == repeats).all()
    assert (trained[0::2] ^ trained[1::2]).all()
    again = shadow_design(images, shadows, forgotten, seed)
    assert torch.equal(again[0], trained)
    assert torch.equal(again[1], forgets)
    if images <= 90 and turns > 1:  # with one turn a model forgets all that it saw, which is no task
        task = shadow_task(replace(TINY, train=TINY.train.first(images)), trained[0], forgets[0])
        assert image_keys(task.forget) == image_keys(TINY.train.first(images).select(forgets[0]))
        assert len(task.retain) == images // 2 - forgotten


@given(st.integers(2, 8), st.integers(1, 10), seeds)
@settings(max_examples=FEW)
def test_memorisation_is_a_difference_of_two_shares_by_a_loop(models: int, images: int, seed: int) -> None:
    member = torch.stack([order(models, seed + i) % 2 == 0 for i in range(images)], dim=1)
    right = rows(models, images, seed) > 0
    found = memorisation(Shadows(member, right))
    for i in range(images):
        inside = [float(right[m, i]) for m in range(models) if member[m, i]]
        outside = [float(right[m, i]) for m in range(models) if not member[m, i]]
        assert float(found[i]) == pytest.approx(sum(inside) / len(inside) - sum(outside) / len(outside))
    rank = order(models, seed)
    torch.testing.assert_close(memorisation(Shadows(member[rank], right[rank])), found)
    torch.testing.assert_close(memorisation(Shadows(member, ~right)), -found)
    torch.testing.assert_close(memorisation(Shadows(~member, right)), -found)


@given(label_lists.filter(lambda labels: len(labels) >= 3), seeds)
@settings(max_examples=FEW)
def test_graded_sets_are_disjoint_and_know_only_the_order_within_a_class(labels: Tensor, seed: int) -> None:
    scores = rows(len(labels), 1, seed)[:, 0]
    count = len(labels) // 3
    found = graded(scores, labels, count, seed)
    places = torch.cat(list(found.values())).tolist()
    assert len(places) == len(set(places)) == 3 * count
    moved = graded(scores.exp() + 10 * labels, labels, count, seed)
    assert all(torch.equal(found[grade], moved[grade]) for grade in found), "an easier class changes nothing"
    for label in torch.unique(labels):
        low, high = (scores[found[grade]][labels[found[grade]] == label] for grade in ("low", "high"))
        assert len(low) == 0 or len(high) == 0 or low.max() <= high.min()


def test_scores_that_do_not_fit_are_refused() -> None:
    labels = torch.arange(9) % 3
    with pytest.raises(ValueError, match=r"labels are .* of shape \(8,\); expected one label, one for each of 9 rows"):
        graded(torch.zeros(9), labels[:8], 2)
    with pytest.raises(ValueError, match="a score is NaN or infinite"):
        graded(torch.full((9,), torch.nan), labels, 2)
    with pytest.raises(ValueError, match=r"member has shape \(2, 9\) and right \(3, 9\)"):
        memorisation(Shadows(torch.ones(2, 9), torch.ones(3, 9)))
