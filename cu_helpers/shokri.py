"""The attack of Shokri et al. (2017): shadow models teach one attack model a class."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .attack_scores import check_finite
from .attacks import attack_features, fit_attack
from .labels import check_labels

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

LEAST_OF_CLASS = 10  # members and non-members of a class among the shadow models' outputs


@dataclass(frozen=True)
class ShokriAttack:
    """One attack model for each class, and what it reads."""

    of_class: "dict[int, Pipeline]"
    features: str

    def says_member(self, logits: Tensor, labels: Tensor) -> NDArray[np.bool_]:
        """Whether each output (n, classes) of a model, with its true label (n,), looks like a member's.

        Raises ValueError for an output that is not finite or a class without an attack model.
        """
        check_finite(logits)
        check_labels(labels, len(logits))
        rows, classes = attack_features(logits, self.features), labels.numpy()
        unknown = sorted(set(classes.tolist()) - set(self.of_class))
        if unknown:
            raise ValueError(f"no attack model was trained for the classes {unknown}; expected {sorted(self.of_class)}")
        found = np.zeros(len(rows), dtype=bool)
        for label in np.unique(classes):
            of = classes == label
            found[of] = self.of_class[int(label)].predict(rows[of]) == 1
        return found


def shokri_attack(
    logits: Tensor,
    labels: Tensor,
    inside: Tensor,
    features: str = "softmax",
    seed: int = 0,
) -> ShokriAttack:
    """Train one logistic regression for each class on what shadow models say (Shokri et al. 2017, section 5).

    logits: outputs (n, classes) of shadow models. labels: the images' true labels, (n,). inside: bool
    (n,), whether the image was in the training data of the model that said it. The outputs of
    several shadow models stand one below the other; within a class the larger of both kinds is cut by `seed` to
    the size of the smaller. features: as in `attacks.membership_inference`.
    Raises ValueError for a class with fewer than `LEAST_OF_CLASS` outputs of a kind, outputs that
    are not finite, or labels or `inside` that are not one for each output.
    """
    check_finite(logits)
    check_labels(labels, len(logits))
    check_labels(inside, len(logits), name="inside")
    rows, classes, known = attack_features(logits, features), labels.numpy(), inside.numpy()
    draw = np.random.default_rng(seed)
    fitted = {}
    for label in np.unique(classes):
        kinds = [rows[(classes == label) & (known == kind)] for kind in (True, False)]
        size = min(len(of) for of in kinds)
        if size < LEAST_OF_CLASS:
            raise ValueError(
                f"class {label} has {len(kinds[0])} member and {len(kinds[1])} non-member outputs; expected at least "
                f"{LEAST_OF_CLASS} of each, so train more shadow models"
            )
        members, others = (of[np.sort(draw.permutation(len(of))[:size])] for of in kinds)
        fitted[int(label)] = fit_attack(members, others, "logistic", seed)
    return ShokriAttack(fitted, features)
