"""The sets of an attack: drawn so that nothing that trains it is scored."""

from dataclasses import replace

import pytest
import torch

from cu_helpers.attack_data import attack_sets, check_disjoint, image_keys
from cu_helpers.data import Dataset, ForgetTask, ImageData, forget_class, forget_samples


@pytest.mark.parametrize("kind", ["samples", "class"])
def test_the_sets_share_nothing_and_a_class_is_in_none_but_its_own(digits: Dataset, kind: str) -> None:
    task = forget_samples(digits, 36, seed=1) if kind == "samples" else forget_class(digits, 3)
    sets = attack_sets(task, seed=0)
    everything = {"members": sets.members, "non_members": sets.non_members, **sets.targets}
    keys = [key for images in everything.values() for key in image_keys(images)]
    assert len(keys) == len(set(keys))
    of_task = {name: set(image_keys(getattr(task, name))) for name in ("forget", "retain", "test")}
    assert set(image_keys(sets.members)) | set(image_keys(sets.targets["held_out"])) == of_task["retain"]
    assert set(image_keys(sets.targets["forgotten"])) == of_task["forget"]
    assert set(image_keys(sets.non_members)) < of_task["test"]
    assert len(sets.members) == len(sets.non_members) == len(task.retain) // 2
    if kind == "class":
        assert (sets.targets["unseen_of_class"].labels == 3).all()
        for name in ("members", "non_members"):
            assert not (everything[name].labels == 3).any()
        assert not (sets.targets["unseen"].labels == 3).any()
    other = attack_sets(task, seed=1)
    assert set(image_keys(other.members)) != set(image_keys(sets.members))


def with_copies(task: ForgetTask) -> ForgetTask:
    """The task with copies in it: forgotten images retained and tested, retained ones tested and doubled."""

    def join(first: ImageData, second: ImageData) -> ImageData:
        return replace(
            first, images=torch.cat([first.images, second.images]), labels=torch.cat([first.labels, second.labels])
        )

    few = torch.arange(5)
    forget, retain = task.forget.select(few), task.retain.select(few)
    return replace(task, retain=join(join(task.retain, forget), retain), test=join(join(task.test, forget), retain))


def test_copies_are_left_out_of_the_draw(digits: Dataset) -> None:
    task = forget_samples(digits, 36, seed=1)
    clean, mixed = attack_sets(task), attack_sets(with_copies(task))
    assert len(mixed.members) == len(clean.members)
    assert len(mixed.targets["unseen"]) == len(clean.targets["unseen"])
    check_disjoint(mixed.members, mixed.non_members, mixed.targets)


def test_too_small_a_task_names_what_it_needs(digits: Dataset) -> None:
    small = replace(digits, train=digits.train.first(50))
    with pytest.raises(ValueError, match=r"39 retained and 1294 test images leave 19 .* so 40 of each"):
        attack_sets(forget_samples(small, 11))


def test_a_test_split_of_copies_alone_is_refused_in_the_same_words(digits: Dataset) -> None:
    task = forget_samples(digits, 36, seed=1)
    with pytest.raises(ValueError, match=r"\d+ retained and 0 test images leave 0 to train the attack"):
        attack_sets(replace(task, test=task.retain.first(50)))
