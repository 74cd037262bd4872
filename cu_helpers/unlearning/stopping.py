"""When to stop: the paper's Eqs. 8 and 9, on validation images."""

from collections.abc import Callable
from dataclasses import dataclass

from ..data import ForgetTask, ImageData
from ..errors import check_settings, choose
from ..models import EmbeddingClassifier
from ..training import accuracy

RULES = ("paper", "none")
STOP_DATA = ("validation", "test")


@dataclass(frozen=True)
class Stopping:
    """Which stop rule, how often it is checked, and on which images.

    A check forwards images and costs time; the result reports that time apart and inside its
    seconds.
    """

    rule: str = "paper"  # Eq. 8 for a class, Eq. 9 for samples; "none" runs every round
    check_every: int | None = None  # None: after each round (Algorithm 1); N: also after every N batches
    data: str = "validation"  # the paper's D_eval; "test" is the released code's choice, which leaks
    seconds: float | None = None  # also stop after the batch that ends so late on the clock, checks included

    def __post_init__(self) -> None:
        choose("stop rule", self.rule, RULES)
        choose("set to stop on", self.data, STOP_DATA)
        check_settings(self, ["check_every", "seconds"])


@dataclass(frozen=True)
class StopRule:
    """Accuracies, in percent, that decide whether to stop.

    forget: of the images whose accuracy has to fall. reference: the level it has to reach.
    """

    forget: Callable[[EmbeddingClassifier], float]
    reference: Callable[[EmbeddingClassifier], float]


def stop_rule(task: ForgetTask, stopping: Stopping) -> StopRule:
    """The task's rule: stop as soon as forget accuracy <= reference accuracy.

    A class (Eq. 8): accuracy on the class's evaluation images against random guessing, 100 / C.
    Samples (Eq. 9): accuracy on the forget set against accuracy on the evaluation images.
    Raises ValueError if the evaluation images hold none of the forgotten class.
    """
    evaluation: ImageData = task.validation
    if stopping.data == "test":
        evaluation = task.test
    if task.kind == "samples":
        return StopRule(lambda model: accuracy(model, task.forget), lambda model: accuracy(model, evaluation))
    assert task.label is not None
    of_class = evaluation.of_class(task.label)
    if len(of_class) == 0:
        raise ValueError(
            f"the {stopping.data} images hold none of class {task.label}, so Eq. 8 cannot be checked; "
            "use Stopping(rule='none') or a data set that has some"
        )
    guess = 100 / len(task.classes)
    return StopRule(lambda model: accuracy(model, of_class), lambda model: guess)
