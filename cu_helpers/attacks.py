"""The paper's membership inference attack (section 5.1), and a report of what needs one model alone."""

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .attack_data import LEAST, AttackSets, attack_sets, check_disjoint
from .attack_scores import THRESHOLDS, check_finite
from .data import ForgetTask, ImageData
from .errors import choose
from .inference import predict_logits
from .models import EmbeddingClassifier
from .roc import auc, needed_non_members, tpr_at

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FEATURES = ("softmax", "sorted_softmax", "logits")
ATTACK_MODELS = ("logistic", "mlp")
# What attack_report fits. The paper names neither features nor attack model; the first is our reading.
VARIANTS = (("softmax", "logistic"), ("logits", "logistic"), ("sorted_softmax", "logistic"), ("softmax", "mlp"))
RATES = (0.01, 0.001)  # false-positive rates of the report; the second only where the counts allow it


def attack_features(logits: Tensor, features: str = "softmax") -> NDArray[np.float64]:
    """What the attack model sees of outputs (n, classes): their softmax, the same sorted, or themselves."""
    choose("attack features", features, FEATURES)
    if features == "logits":
        return logits.double().numpy()
    p = logits.double().softmax(dim=1)
    return (p.sort(dim=1, descending=True).values if features == "sorted_softmax" else p).numpy()


def fit_attack(
    members: NDArray[np.float64], non_members: NDArray[np.float64], attack_model: str = "logistic", seed: int = 0
) -> "Pipeline":
    """A classifier that says 1 for members, fitted on rows of features (n, d) with unit spread.

    attack_model: "logistic" (scikit-learn's, with its default regularisation) or "mlp": 64 hidden
    units as in Shokri et al. 2017, at most 100 L-BFGS steps. A hundred members are too few for the
    passes of stochastic gradients of their code: the attack then depends on the seed.
    """
    # Late: importing scikit-learn takes longer than the whole package.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

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


@dataclass(frozen=True)
class AttackOutputs:
    """What one model says of `AttackSets`: logits (n, classes), and the targets' labels (n,), on the CPU."""

    members: Tensor
    non_members: Tensor
    targets: dict[str, Tensor]
    labels: dict[str, Tensor]


def attack_outputs(model: EmbeddingClassifier, sets: AttackSets) -> AttackOutputs:
    """Run a model once over all sets of an attack."""
    return AttackOutputs(
        outputs(model, sets.members),
        outputs(model, sets.non_members),
        {name: outputs(model, images) for name, images in sets.targets.items()},
        {name: images.labels.cpu() for name, images in sets.targets.items()},
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
    said = attack_outputs(model, AttackSets(members, non_members, targets))
    return member_rates(said.members, said.non_members, said.targets, seed, features, attack_model)


def attack_report(model: EmbeddingClassifier, task: ForgetTask, seed: int = 0) -> dict[str, Any]:
    """Every attack that needs this model alone, as plain numbers for a record.

    counts: images in each set of `attack_sets`. member_rates: "features, attack model" -> target ->
    percent called members, for each of `VARIANTS`. thresholds: score -> target -> auc and tpr_at
    ("0.01" and, with 1,000 non-members or more, "0.001"), each with value, low and high. There
    "forgotten" is scored as members against unseen test images, for a class against those of the
    same class; "held_out" against unseen: what the score can tell of this model at all. A rate that
    the counts do not allow is left out.
    """
    return report_of(attack_outputs(model, attack_sets(task, seed)), seed)


def report_of(said: AttackOutputs, seed: int = 0) -> dict[str, Any]:
    """`attack_report` from what the model said already."""
    against = {"forgotten": "unseen_of_class" if "unseen_of_class" in said.targets else "unseen", "held_out": "unseen"}
    thresholds: dict[str, Any] = {}
    for score, function in THRESHOLDS.items():
        of = {name: function(logits, said.labels[name]).numpy() for name, logits in said.targets.items()}
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
    counts = {"members": len(said.members), "non_members": len(said.non_members)}
    return {
        "seed": seed,
        "counts": counts | {name: len(of) for name, of in said.targets.items()},
        "member_rates": {
            f"{features}, {attack_model}": member_rates(
                said.members, said.non_members, said.targets, seed, features, attack_model
            )
            for features, attack_model in VARIANTS
        },
        "thresholds": thresholds,
    }
