"""LCODEC: a Newton step on the few weights a sample's loss depends on (Mehta et al. 2022)."""

import copy
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.func import functional_call, hessian
from torch.nn import functional as F

from ..data import ForgetTask, ImageData
from ..devices import generator
from ..errors import check_settings, choose
from ..models import EmbeddingClassifier
from ..training import accuracy
from .codec import foci
from .gradients import summed_gradient
from .loop import Observer, UnlearningLoop, UnlearningResult
from .newton import newton_removal, secant_removal
from .stopping import Stopping
from .units import Units, gather, put, scatter

HESSIANS = ("secant", "exact")


@dataclass(frozen=True)
class LcodecSettings:
    """Settings of LCODEC. Defaults: the authors' released code, its CIFAR-10 script."""

    perturbations: int = 1000  # released code: noisy copies of each sample, for the selection
    perturbation_scale: float = 0.1  # released code: their noise, in normalised pixel units
    max_units: int | None = None  # released code: none; the selection ends by itself
    damping: float = 0.01  # released code's CIFAR script (lambda; its command line has 0.001)
    epsilon: float = 0.1  # released code: of (epsilon, delta)-certified removal
    delta: float = 0.01  # released code
    hessian_lipschitz: float = 0.25  # released code (M)
    loss_lipschitz: float = 1.0  # released code (L)
    add_noise: bool = True  # released code; False leaves the certificate's noise out
    secant_rate: float = 1e-3  # released code: the step over which curvature is measured
    hessian: str = "secant"  # released code: rank one; "exact" is for small models alone
    max_drop: float = (
        5.0  # released code: undo a step that leaves validation accuracy so far, in points, below the start
    )
    stopping: Stopping = field(default_factory=lambda: Stopping(rule="none"))  # released code: every sample, once

    def __post_init__(self) -> None:
        choose("Hessian", self.hessian, HESSIANS)
        check_settings(self, ["perturbations", "perturbation_scale", "max_units", "damping", "epsilon", "delta"])
        check_settings(self, ["hessian_lipschitz", "loss_lipschitz", "secant_rate", "max_drop"])
        if self.perturbations < 3:
            raise ValueError(f"LcodecSettings: perturbations is {self.perturbations}; expected 3 or more neighbours")
        if self.delta >= 1:
            raise ValueError(f"LcodecSettings: delta is {self.delta!r}; expected a share below 1")

    def noise_deviation(self, n: int) -> float:
        """Standard deviation of the certificate's noise for one removal out of n (Sekhari et al. 2021).

        sigma = gamma / epsilon * sqrt(2 ln(1.25 / delta)), gamma = 2 M L^2 / (n^2 lambda^3).
        """
        gamma = 2 * self.hessian_lipschitz * self.loss_lipschitz**2 / (n**2 * self.damping**3)
        return gamma / self.epsilon * math.sqrt(2 * math.log(1.25 / self.delta))


def mean_gradient(model: EmbeddingClassifier, images: ImageData) -> dict[str, Tensor]:
    """Gradient of the mean cross-entropy over `images`, by parameter name and of its shape, in the model's own mode."""
    return summed_gradient(model, images, len(images))


def secant(model: EmbeddingClassifier, images: ImageData, rate: float) -> tuple[dict[str, Tensor], ...]:
    """Gradient g of the mean loss, its change over the step -rate * g, and that step, by name and of its shape."""
    before = mean_gradient(model, images)
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in moved.named_parameters():
            weight.sub_(rate * before[name])
    after = mean_gradient(moved, images)
    change = {name: after[name] - before[name] for name in before}
    return before, change, {name: -rate * value for name, value in before.items()}


def exact_hessian(model: EmbeddingClassifier, images: ImageData, rows: dict[str, Tensor]) -> Tensor:
    """Hessian (k, k) of the mean cross-entropy over `images` in the chosen rows. For small k and few images."""
    weights = {name: value.detach() for name, value in model.named_parameters()}
    x, y = images.batch(torch.arange(len(images), device=images.device))

    def loss(values: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, weights | scatter(weights, rows, values), (x,)), y)

    return hessian(loss)(gather(weights, rows))  # type: ignore[no-any-return]


def select(
    model: EmbeddingClassifier, units: Units, x: Tensor, y: Tensor, settings: LcodecSettings, draw: torch.Generator
) -> dict[str, Tensor]:
    """The rows of the units on which the loss of noisy copies of x (1, 3, h, w) depends."""
    activations, losses = [], []
    with torch.no_grad():
        for part in torch.split(torch.arange(settings.perturbations), 256):
            noise = torch.randn(len(part), *x.shape[1:], generator=draw, device=x.device)
            seen, logits = units.activations(model, x + settings.perturbation_scale * noise)
            activations.append(seen)
            losses.append(F.cross_entropy(logits, y.expand(len(part)), reduction="none"))
    return units.rows(foci(torch.cat(losses), torch.cat(activations), settings.max_units))


def lcodec(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: LcodecSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Mehta et al. 2022, algorithm 1, in place: for each forgotten sample select, step, add noise.

    The weights are those of the filters and neurons that FOCI finds; the step is Sekhari et
    al.'s removal with Hessians of rank one. The authors take the data set's rank-one Hessian from
    gradients saved at the last two training epochs; here it is measured on the trained model, so
    that any model will do. Their Python loop over candidates and their dense solve become tensor
    operations and a 2 x 2 solve, with the same result. The last history row tells how many steps
    were undone. Cost grows with samples x units x perturbations^2: hundreds of samples take hours
    on a CPU.
    """
    model.eval()
    draw = generator(seed, task.forget.device)
    loop = UnlearningLoop("lcodec", model, task, settings.stopping, observer)
    loop.remedy = "set a larger damping"
    units = Units(model)
    weights = dict(model.named_parameters())
    _, change, step = secant(model, task.train, settings.secant_rate)
    loop.samples_seen += 2 * len(task.train)
    best = accuracy(model, task.validation)
    remaining = len(task.train)
    loop.extra["undone"] = 0
    for index in loop.batches(len(task.forget), 1, 1, draw, forgets=True):
        sample = task.forget.select(index)
        rows = select(model, units, *sample.batch(torch.zeros_like(index)), settings, draw)
        loop.samples_seen += settings.perturbations + 2
        if not rows:
            continue
        slope, sample_change, sample_step = secant(model, sample, settings.secant_rate)
        now = gather({name: weight.detach() for name, weight in weights.items()}, rows)
        if settings.hessian == "exact":
            update = newton_removal(
                gather(slope, rows),
                exact_hessian(model, task.train, rows),
                exact_hessian(model, sample, rows),
                remaining,
                settings.damping,
            )
        else:
            update = secant_removal(
                gather(slope, rows),
                (gather(change, rows), gather(step, rows)),
                (gather(sample_change, rows), gather(sample_step, rows)),
                remaining,
                settings.damping,
            )
        if settings.add_noise:
            noise = torch.randn(len(update), generator=draw, device=update.device)
            update = update + settings.noise_deviation(remaining) * noise
        put(model, rows, now + update)
        loop.count_step(update.norm(), 0)
        reached = accuracy(model, task.validation)
        if not reached >= best - settings.max_drop:
            put(model, rows, now)
            loop.extra["undone"] += 1
        else:
            remaining -= 1
    return loop.result(settings)
