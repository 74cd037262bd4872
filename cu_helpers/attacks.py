"""The paper's membership inference attack (section 5.1), and a report of what needs one model alone."""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from .attack_scores import THRESHOLDS, check_finite
from .data import ForgetTask, ImageData
from .errors import choose
from .inference import predict_logits
from .models import EmbeddingClassifier
from .roc import auc, needed_non_members, tpr_at
from .splits import balanced_split

FEATURES = ("softmax", "sorted_softmax", "logits")
ATTACK_MODELS = ("logistic", "mlp")
LEAST = 20  # of each kind: with fewer, ten features separate any two sets
MOST = 5000  # of each set that attack_sets draws, so that a report takes seconds
# What attack_report fits. The paper names neither features nor attack model; the first is our reading.
VARIANTS = (("softmax", "logistic"), ("logits", "logistic"), ("sorted_softmax", "logistic"), ("softmax", "mlp"))
RATES = (0.01, 0.001)  # false-positive rates of the report; the second only where the counts allow it


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
    return images if len(kept) == len(images) else images.select(torch.tensor(kept, device=images.device))


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


def attack_features(logits: Tensor, features: str = "softmax") -> NDArray[np.float64]:
    """What the attack model sees of outputs (n, classes): their softmax, the same sorted, or themselves."""
    choose("attack features", features, FEATURES)
    if features == "logits":
        return logits.double().numpy()
    p = logits.double().softmax(dim=1)
    return (p.sort(dim=1, descending=True).values if features == "sorted_softmax" else p).numpy()


def fit_attack(
    members: NDArray[np.float64], non_members: NDArray[np.float64], attack_model: str = "logistic", seed: int = 0
) -> Pipeline:
    """A classifier that says 1 for members, fitted on rows of features (n, d) with unit spread.

    attack_model: "logistic" (scikit-learn's, with its default regularisation) or "mlp": 64 hidden
    units as in Shokri et al. 2017, at most 100 L-BFGS steps. A hundred members are too few for the
    passes of stochastic gradients of their code: the attack then depends on the seed.
    """
    choose("attack model", attack_model, ATTACK_MODELS)
    classifier: Any = LogisticRegression(max_iter=1000)
    if attack_model == "mlp":
        classifier = MLPClassifier((64,), solver="lbfgs", alpha=0.01, max_iter=100, random_state=seed)
    attack = make_pipeline(StandardScaler(), classifier)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of steps is part of the attack
        attack.fit(np.concatenate([members, non_members]), np.repeat([1, 0], [len(members), len(non_members)]))
    return attack


def member_rates(
    members: Tensor,
    non_members: Tensor,
    targets: Mapping[str, Tensor],
    seed: int = 0,
    features: str = "softmax",
    attack_model: str = "logistic",
) -> dict[str, float]:
    """The attack on logits (n, classes): percent of each target that it calls members.

    Of the larger of the two training sets as many as the smaller has are drawn by `seed`.
    Raises ValueError for logits that are not finite or fewer than `LEAST` rows of a kind.
    """
    for logits in (members, non_members, *targets.values()):
        check_finite(logits)
    size = min(len(members), len(non_members))
    if size < LEAST:
        raise ValueError(
            f"there are {len(members)} members and {len(non_members)} non-members to train the attack; "
            f"expected at least {LEAST} of each"
        )
    draw = np.random.default_rng(seed)
    rows = [attack_features(of[np.sort(draw.permutation(len(of))[:size])], features) for of in (members, non_members)]
    attack = fit_attack(rows[0], rows[1], attack_model, seed)
    return {
        name: 100 * float(attack.predict(attack_features(logits, features)).mean()) for name, logits in targets.items()
    }


def outputs(model: EmbeddingClassifier, images: ImageData) -> Tensor:
    """Logits (n, classes) on the CPU, in float32 everywhere: bfloat16's ties would blur the scores."""
    return predict_logits(model, images, "float32").cpu()


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


def membership_inference(
    model: EmbeddingClassifier,
    members: ImageData,
    non_members: ImageData,
    targets: dict[str, ImageData],
    seed: int = 0,
    features: str = "softmax",
    attack_model: str = "logistic",
) -> dict[str, float]:
    """The paper's attack (section 5.1): percent of each target set that it calls members.

    One attack model is trained on the outputs of `model` for members (retained images) and as many
    non-members (test images), and says of each target image which it is. This is not Shokri's
    attack, which trains shadow models and one attack model a class. members, non_members: the
    larger is cut by `seed` to the size of the smaller. features: one of `FEATURES`. attack_model:
    one of `ATTACK_MODELS`. The paper names neither.

    A rate means something only beside the same rate on the original and on the retrained model.
    Raises ValueError if sets overlap (see `check_disjoint`), for fewer than `LEAST` images of a
    kind, or for a model whose outputs are not finite.
    """
    check_disjoint(members, non_members, targets)
    scored = {name: outputs(model, images) for name, images in targets.items()}
    return member_rates(outputs(model, members), outputs(model, non_members), scored, seed, features, attack_model)


def attack_report(model: EmbeddingClassifier, task: ForgetTask, seed: int = 0) -> dict[str, Any]:
    """Every attack that needs this model alone, as plain numbers for a record.

    counts: images in each set of `attack_sets`. member_rates: "features, attack model" -> target ->
    percent called members, for each of `VARIANTS`. thresholds: score -> target -> auc and tpr_at
    ("0.01" and, with 1,000 non-members or more, "0.001"), each with value, low and high. There
    "forgotten" is scored as members against unseen test images, for a class against those of the
    same class; "held_out" against unseen: what the score can tell of this model at all. A rate that
    the counts do not allow is left out.
    """
    sets = attack_sets(task, seed)
    members, non_members = outputs(model, sets.members), outputs(model, sets.non_members)
    logits = {name: outputs(model, images) for name, images in sets.targets.items()}
    labels = {name: images.labels.cpu() for name, images in sets.targets.items()}
    against = {"forgotten": "unseen_of_class" if "unseen_of_class" in logits else "unseen", "held_out": "unseen"}
    thresholds: dict[str, Any] = {}
    for score, function in THRESHOLDS.items():
        of = {name: function(logits[name], labels[name]).numpy() for name in logits}
        thresholds[score] = {
            target: {
                "auc": asdict(auc(of[target], of[other])),
                "tpr_at": {
                    f"{rate:g}": asdict(tpr_at(of[target], of[other], rate))
                    for rate in RATES
                    if len(of[other]) >= needed_non_members(rate)
                },
            }
            for target, other in against.items()
        }
    counts = {"members": len(members), "non_members": len(non_members)}
    return {
        "seed": seed,
        "counts": counts | {name: len(of) for name, of in logits.items()},
        "member_rates": {
            f"{features}, {attack_model}": member_rates(members, non_members, logits, seed, features, attack_model)
            for features, attack_model in VARIANTS
        },
        "thresholds": thresholds,
    }
