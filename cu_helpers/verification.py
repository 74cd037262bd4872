"""What a recorded run holds beside its accuracies: the attacks on a model and the audits of its embedding."""

from typing import Any

from .attacks import attack_report
from .audits import audit
from .data import ForgetTask
from .models import EmbeddingClassifier


def verify(
    model: EmbeddingClassifier,
    task: ForgetTask,
    original: EmbeddingClassifier,
    retrained: EmbeddingClassifier,
    seed: int = 0,
) -> dict[str, Any]:
    """`attack_report` and `audit` of one model, as the fields "attack" and "audit" of a record.

    original: the model before unlearning. retrained: the reference of the same task or of one that
    forgets more. seed: draws subsets. No number of either enters a search or a stop rule.
    """
    return {"attack": attack_report(model, task, seed), "audit": audit(model, task, original, retrained, seed)}
