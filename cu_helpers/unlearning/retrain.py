"""Retrain: train anew on the retained images. Exact, slow, and the reference of every table."""

from dataclasses import dataclass, field

from ..data import ForgetTask
from ..errors import NonFiniteError
from ..models import EmbeddingClassifier
from ..training import TrainSettings, train
from .loop import Observer, UnlearningLoop, UnlearningResult
from .stopping import Stopping


@dataclass(frozen=True)
class RetrainSettings:
    """How to retrain: training has the settings that trained the original model, for a fair reference."""

    training: TrainSettings = field(default_factory=TrainSettings)


def retrain(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: RetrainSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """A new model of the same architecture, trained on `task.retain` alone (paper, section 3).

    The weights of `model` are not used. seed draws the initial weights and the batches. The
    history has one row, and there is no stop rule. Raises NonFiniteError if the training diverges.
    """
    loop = UnlearningLoop("retrain", model, task, Stopping(rule="none"), observer)
    fresh = model.config.build(seed)
    loop.model = fresh
    losses: list[float] = []
    try:
        train(fresh, task.retain, settings.training, seed, lambda epoch, loss: losses.append(loss))
    except NonFiniteError as error:
        raise NonFiniteError(f"retrain: {error}", model) from error
    epochs, batch = settings.training.epochs, settings.training.batch_size
    loop.count(steps=epochs * -(-len(task.retain) // batch), samples=epochs * len(task.retain), loss=losses[-1])
    return loop.result(settings, stopped_by="finished")
