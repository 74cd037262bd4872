"""What the package does many at a time, against the same thing one by one, with equal results."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..data import ImageData
from ..devices import autocast
from ..inference import run
from ..models import EmbeddingClassifier, ModelConfig
from ..shadows import train_all_at_once, train_one_by_one
from ..training import TrainSettings
from ..unlearning.fisher import fisher_diagonal
from .clock import in_turns, random_images, random_model, ratio, seconds

EVALUATED = 256  # images in a batch of an evaluation on a CPU


def fisher_loop(model: EmbeddingClassifier, images: ImageData) -> dict[str, Tensor]:
    """`fisher_diagonal` by one backward pass for each image and label, as in a textbook; name -> weight's shape."""
    model.eval()
    weights = dict(model.named_parameters())
    total = {name: torch.zeros_like(value) for name, value in weights.items()}
    for position in range(len(images)):
        x, _ = images.batch(torch.tensor([position], device=images.device))
        log_p = model(x).log_softmax(dim=1)[0]
        for label in range(len(log_p)):
            gradients = torch.autograd.grad(log_p[label], list(weights.values()), retain_graph=True)
            for name, gradient in zip(weights, gradients, strict=True):
                total[name] += log_p[label].exp().detach() * gradient.square()
    return {name: value / len(images) for name, value in total.items()}


def bare_backward_passes(model: EmbeddingClassifier, x: Tensor) -> None:
    """A yardstick for an exact sum: a forward pass of x (b, 3, h, w), and C - 1 backward passes to it.

    The whole batch goes at once, no weight's gradient is formed, and nothing is squared or added up. BatchNorm is
    not folded here.
    """
    logits = model(x.requires_grad_())
    for label in range(logits.shape[1] - 1):
        torch.autograd.grad(logits[:, label].sum(), x, retain_graph=True)


def fisher(width: int, count: int, device: torch.device, repeats: int) -> dict[str, Any]:
    """The Fisher information's diagonal of `count` images, vectorised against the loop.

    bare_times_faster: what `bare_backward_passes` alone takes, against the loop.
    """
    model, images = random_model("resnet18", width, device).eval(), random_images(count, 10, 0, device)
    frozen, x = random_model("resnet18", width, device).eval().requires_grad_(False), images.normalise(images.images)
    found = in_turns(
        {
            "vectorised": lambda: seconds(lambda: fisher_diagonal(model, images), device),
            "loop": lambda: seconds(lambda: fisher_loop(model, images), device),
            "backward": lambda: seconds(lambda: bare_backward_passes(frozen, x), device),
        },
        repeats,
    )
    ours, theirs = fisher_diagonal(model, images), fisher_loop(model, images)
    apart = max(float((ours[name] - theirs[name]).norm() / theirs[name].norm().clamp(min=1e-12)) for name in theirs)
    return {
        "width": width,
        "images": count,
        "seconds": found,
        "times_faster": ratio(found["loop"], found["vectorised"]),
        "bare_times_faster": ratio(found["loop"], found["backward"]),
        "relative_difference": apart,
    }


def shadows(width: int, models: int, count: int, device: torch.device, repeats: int) -> dict[str, Any]:
    """One epoch of `models` shadow models on `count` images each, all at once against one by one."""
    images = random_images(2 * count, 10, 0, device)
    trained = torch.zeros(models, 2 * count, dtype=torch.bool)
    for row in range(models):
        trained[row, torch.randperm(2 * count, generator=torch.Generator().manual_seed(row))[:count]] = True
    config = ModelConfig("resnet18", 10, 3, width, 128)
    settings = TrainSettings(epochs=1, batch_size=min(32, count), learning_rate=0.05, precision="float32")

    def timed(trainer: Callable[..., object]) -> Callable[[], float]:
        return lambda: seconds(lambda: trainer(config, images, trained, settings), device)

    found = in_turns({"all at once": timed(train_all_at_once), "one by one": timed(train_one_by_one)}, repeats)
    return {
        "width": width,
        "models": models,
        "images": count,
        "seconds": found,
        "times_faster": ratio(found["one by one"], found["all at once"]),
    }


def evaluation(width: int, count: int, device: torch.device, repeats: int, precision: str = "auto") -> dict[str, Any]:
    """`inference.run` of `count` images against the bare forward of the same batches, ready in memory."""
    model, images = random_model("resnet18", width, device).eval(), random_images(count, 10, 0, device)
    ready = [images.normalise(part) for part in torch.split(images.images, EVALUATED)]

    def bare() -> None:
        with torch.inference_mode(), autocast(device, precision):
            for x in ready:
                model(x)

    found = in_turns(
        {
            "package": lambda: seconds(lambda: run(model, images, model, precision, EVALUATED), device),
            "bare": lambda: seconds(bare, device),
        },
        repeats,
    )
    return {"width": width, "images": count, "seconds": found, "share": ratio(found["bare"], found["package"])}
