"""Which images train an attack and which it judges: drawn so that nothing is on both sides."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from .data import ForgetTask, ImageData
from .splits import balanced_split

LEAST = 20  # of each kind: with fewer, ten features separate any two sets
MOST = 5000  # of each set that attack_sets draws, so that a report takes seconds


@dataclass(frozen=True)
class AttackSets:
    """Disjoint sets for one attack: members and non_members train it, targets are scored."""

    members: ImageData
    non_members: ImageData
    targets: dict[str, ImageData]


def image_keys(images: ImageData) -> list[bytes]:
    """A key for each image: equal pixels and label, equal key (but for a chance of 2^-128)."""
    rows, labels = images.images.cpu().numpy(), images.labels.cpu().numpy()
    return [
        hashlib.blake2b(row.tobytes() + int(label).to_bytes(8, "little", signed=True), digest_size=16).digest()
        for row, label in zip(rows, labels, strict=True)
    ]


def _without(images: ImageData, seen: set[bytes]) -> ImageData:
    """The images whose key is not in `seen`, each once; their keys are added to `seen`."""
    kept = []
    for position, key in enumerate(image_keys(images)):
        if key not in seen:
            seen.add(key)
            kept.append(position)
    if len(kept) == len(images):
        return images
    return images.select(torch.tensor(kept, dtype=torch.int64, device=images.device))


def attack_sets(task: ForgetTask, seed: int = 0) -> AttackSets:
    """Draw the sets of the paper's attack so that nothing that trains it is scored.

    members: of task.retain. non_members: of task.test, as many. Targets: "forgotten" (task.forget),
    "held_out" (other retained images) and "unseen" (other test images), at most `MOST` each. All
    draws keep the shares of the classes.

    For a class, members, non-members, held_out and unseen leave the class out: with it among the
    non-members alone, the attack would learn to know the class. A fourth target,
    "unseen_of_class", holds its test images.

    A test image with an exact copy in the training split was trained on, and a retained image with
    a copy in the forget set would train the attack on a target: both are left out.
    Raises ValueError if fewer than `LEAST` members or non-members are left.
    """
    seen = set(image_keys(task.forget))
    retain = _without(task.retain, seen)
    test = _without(task.test if task.retain_test is None else task.retain_test, seen)
    size = min(len(retain) // 2, len(test) // 2, MOST)
    if size < LEAST:
        raise ValueError(
            f"{len(retain)} retained and {len(test)} test images leave {size} to train the attack and as many to "
            f"score; expected at least {LEAST}, so {2 * LEAST} of each"
        )
    members, held_out = _halves(retain, size, seed)
    non_members, unseen = _halves(test, size, seed)
    targets = {"forgotten": _some(task.forget, seed), "held_out": held_out, "unseen": unseen}
    if task.forget_test is not None:
        targets["unseen_of_class"] = _some(_without(task.forget_test, seen), seed)
    return AttackSets(members, non_members, targets)


def _halves(images: ImageData, size: int, seed: int) -> tuple[ImageData, ImageData]:
    """`size` images for training the attack, and at most MOST of the others."""
    chosen, rest = balanced_split(images.labels, size, seed)
    return images.select(chosen), _some(images.select(rest), seed)


def _some(images: ImageData, seed: int) -> ImageData:
    """At most MOST images, with the shares of the classes kept."""
    if len(images) <= MOST:
        return images
    return images.select(balanced_split(images.labels, MOST, seed)[0])


def check_disjoint(members: ImageData, non_members: ImageData, targets: Mapping[str, ImageData]) -> None:
    """Raise ValueError if an image (equal pixels and label) is on both sides, or trains the attack and is scored."""
    trains = {"members": set(image_keys(members)), "non-members": set(image_keys(non_members))}
    both = len(trains["members"] & trains["non-members"])
    if both:
        raise ValueError(f"{both} images are among the members and the non-members; expected two sets that share none")
    for name, images in targets.items():
        if len(images) == 0:
            raise ValueError(f"the target {name!r} is empty; expected at least one image")
        keys = set(image_keys(images))
        for kind, known in trains.items():
            if keys & known:
                raise ValueError(
                    f"{len(keys & known)} images of the target {name!r} are among the {kind} that train the attack; "
                    "expected none (attack_sets draws disjoint sets)"
                )
