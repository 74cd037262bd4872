"""SCRUB: a student that obeys its teacher on retained images only (Kurmanji et al. 2023)."""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data import ForgetTask, ImageData
from ..devices import autocast, generator
from ..errors import check_settings
from ..models import EmbeddingClassifier
from ..training import accuracy, sgd
from .loop import Observer, UnlearningLoop, UnlearningResult
from .stopping import Stopping


@dataclass(frozen=True)
class ScrubSettings:
    """Settings of SCRUB. Defaults: the authors' large-scale CIFAR-10 notebook."""

    learning_rate: float = 5e-4  # authors' notebook
    momentum: float = 0.9  # authors' notebook
    weight_decay: float = 5e-4  # authors' notebook
    max_rounds: int = 3  # authors' notebook: epochs over the retained set
    max_steps: int = 2  # authors' notebook: the first epochs, which also have a pass that pushes away
    temperature: float = 4.0  # authors' notebook: of both softmaxes in the KL
    gamma: float = 0.99  # authors' notebook: weight of the cross-entropy on retained images
    alpha: float = 0.001  # authors' notebook: weight of the KL on retained images
    decay_epochs: tuple[int, ...] = (3, 5, 9)  # authors' notebook: after each, the rate is a tenth
    forget_batch_size: int = 512  # what the authors' loaders really had
    retain_batch_size: int = 256  # what the authors' loaders really had
    rewind: bool = False  # SCRUB+R: hand out the checkpoint whose forgetting is not too good
    precision: str = "auto"
    stopping: Stopping = field(default_factory=lambda: Stopping(rule="none"))  # authors: a fixed length

    def __post_init__(self) -> None:
        check_settings(
            self,
            ["learning_rate", "max_rounds", "temperature", "forget_batch_size", "retain_batch_size"],
            ["momentum", "weight_decay", "max_steps", "gamma", "alpha"],
        )


def distillation_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 * mean over the batch of KL(softmax(teacher / T) || softmax(student / T)), in nats.

    student, teacher: logits (batch, C). The T^2 keeps the gradient's size (Hinton et al. 2015).
    """
    log_p = F.log_softmax(teacher / temperature, dim=1)
    log_q = F.log_softmax(student / temperature, dim=1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


def rewind_images(task: ForgetTask) -> ImageData:
    """Validation images like those to forget: of their class, or all of them for samples."""
    return task.validation if task.label is None else task.validation.of_class(task.label)


def rewind_choice(forget_errors: list[float], validation_error: float) -> int:
    """Position of the checkpoint whose error on the forget set is nearest to `validation_error`.

    Errors in percent, one for each epoch. Of equally near ones the last, which was repaired most.
    """
    distances = [abs(error - validation_error) for error in forget_errors]
    return max(range(len(distances)), key=lambda epoch: (-distances[epoch], epoch))


def scrub(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: ScrubSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Kurmanji et al. 2023, algorithm 1, in place. The teacher is a frozen copy of the original.

    Each of the first `max_steps` epochs starts with a pass over `task.forget` that climbs the KL
    to the teacher; every epoch ends with a pass over `task.retain` that descends
    gamma * CE + alpha * KL. One optimiser serves both. With `rewind`, a checkpoint of each epoch
    is kept, and the one whose forget error is nearest to the final model's error on
    `rewind_images` is handed out (their section 3.3); their notebook clips no gradient and
    averages no weights, and neither does this.
    """
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    model.train()
    draw = generator(seed, task.forget.device)
    optimizer = sgd(model, settings.learning_rate, settings.momentum, settings.weight_decay)
    loop = UnlearningLoop("scrub", model, task, settings.stopping, observer)
    checkpoints: list[dict[str, Tensor]] = []
    errors: list[float] = []

    def logits(images: ImageData, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Student's and teacher's logits, and the labels, of a batch."""
        x, y = images.batch(index)
        with autocast(x.device, settings.precision):
            with torch.no_grad():
                target = teacher(x).float()
            return model(x).float(), target, y

    for epoch in loop.rounds(settings.max_rounds):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * 0.1 ** sum(epoch > after for after in settings.decay_epochs)
        if epoch <= settings.max_steps:
            for index in loop.shuffled(len(task.forget), settings.forget_batch_size, draw, forgets=True):
                student, target, _ = logits(task.forget, index)
                loop.step(optimizer, -distillation_kl(student, target, settings.temperature), len(index))
        for index in loop.shuffled(len(task.retain), settings.retain_batch_size, draw):
            student, target, y = logits(task.retain, index)
            kl = distillation_kl(student, target, settings.temperature)
            loop.step(optimizer, settings.gamma * F.cross_entropy(student, y) + settings.alpha * kl, len(index))
        if settings.rewind:
            checkpoints.append({name: value.clone() for name, value in model.state_dict().items()})
            errors.append(100 - accuracy(model, task.forget))
    if not settings.rewind:
        return loop.result(settings)
    chosen = rewind_choice(errors, 100 - accuracy(model, rewind_images(task)))
    model.load_state_dict(checkpoints[chosen])
    return loop.result(settings, stopped_by="rewind")
