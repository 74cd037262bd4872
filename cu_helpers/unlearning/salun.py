"""SalUn: random labels for the forgotten images, and only their salient weights move (Fan et al. 2024)."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data import ForgetTask, ImageData
from ..devices import autocast, generator
from ..errors import check_settings
from ..models import EmbeddingClassifier
from ..training import sgd
from .gradients import summed_gradient
from .loop import Observer, UnlearningLoop, UnlearningResult
from .stopping import Stopping


@dataclass(frozen=True)
class SalunSettings:
    """Settings of SalUn. Defaults: the authors' released code, for a ResNet-18 on CIFAR-10."""

    kept_share: float = 0.5  # authors' code: share of the weights that may move
    learning_rate: float = 0.013  # authors' code, for a tenth of the images forgotten at random
    momentum: float = 0.9  # authors' code
    weight_decay: float = 5e-4  # authors' code
    batch_size: int = 256  # authors' code
    max_rounds: int = 10  # authors' code: epochs, each over the forgotten and then the retained images
    precision: str = "auto"
    stopping: Stopping = field(default_factory=lambda: Stopping(rule="none"))  # authors: a fixed length

    def __post_init__(self) -> None:
        check_settings(self, ["learning_rate", "batch_size", "max_rounds"], ["momentum", "weight_decay", "kept_share"])
        if not 0 < self.kept_share <= 1:
            raise ValueError(f"SalunSettings: kept_share is {self.kept_share!r}; expected a share above 0, at most 1")


def saliency(model: EmbeddingClassifier, images: ImageData, kept_share: float) -> dict[str, Tensor]:
    """Masks, by weight, of its shape: True for the `kept_share` of weights with the largest |gradient| on `images`.

    The gradient is that of the summed cross-entropy, in eval mode: it ranks the weights as the mean's
    does (Fan et al. 2024, section 4).
    """
    model.eval()
    total = summed_gradient(model, images)
    sizes = torch.cat([value.abs().flatten() for value in total.values()])
    keep = max(1, round(kept_share * len(sizes)))
    threshold = sizes.kthvalue(len(sizes) - keep + 1).values
    return {name: value.abs() >= threshold for name, value in total.items()}


def salun(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: SalunSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Fan et al. 2024 in place: each round relearns `task.forget` with random labels, then `task.retain`.

    The random labels are drawn anew for each batch and may hit the true one, as in the authors'
    code. Weights outside the mask are put back after each step, so that neither momentum nor decay
    moves them.
    """
    draw = generator(seed, task.forget.device)
    loop = UnlearningLoop("salun", model, task, settings.stopping, observer)
    masks = saliency(model, task.forget, settings.kept_share)
    loop.samples_seen += len(task.forget)
    start = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = sgd(model, settings.learning_rate, settings.momentum, settings.weight_decay)
    model.train()

    def step(x: Tensor, y: Tensor) -> None:
        """One step on a batch, then the weights outside the mask as they were."""
        with autocast(x.device, settings.precision):
            loss = F.cross_entropy(model(x).float(), y)
        loop.step(optimizer, loss, len(y))
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.copy_(torch.where(masks[name], weight, start[name]))

    for _ in loop.rounds(settings.max_rounds):
        for index in loop.shuffled(len(task.forget), settings.batch_size, draw, forgets=True):
            x, y = task.forget.batch(index)
            step(x, torch.randint(len(task.classes), y.shape, generator=draw, device=y.device))
        for index in loop.shuffled(len(task.retain), settings.batch_size, draw):
            step(*task.retain.batch(index))
    return loop.result(settings)
