"""What a training step would gain on a GPU from a CUDA graph or from torch.compile."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..devices import autocast
from ..models import EmbeddingClassifier
from ..training import TrainSettings, sgd
from .ceiling import Step, plain_step
from .clock import in_turns, random_images, random_model, ratio, seconds


def graphed_step(model: EmbeddingClassifier, x: Tensor, y: Tensor, settings: TrainSettings) -> Step:
    """The same step with forward and backward replayed from a CUDA graph; the optimiser stays outside.

    x: (b, 3, h, w); y: (b,); both are the memory that each replay reads. Capturing needs a few steps to choose
    kernels first. What they change, BatchNorm's statistics, is put back.
    """
    optimizer = sgd(model, settings.learning_rate, settings.momentum, settings.weight_decay)
    before = {name: value.clone() for name, value in model.named_buffers()}

    def backward() -> Tensor:
        with autocast(x.device, settings.precision):
            loss = F.cross_entropy(model(x).float(), y)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    aside = torch.cuda.Stream(x.device)  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream(x.device))
    with torch.cuda.stream(aside):
        for _ in range(3):
            model.zero_grad()
            backward()
    torch.cuda.current_stream(x.device).wait_stream(aside)
    model.zero_grad()  # so that the capture makes the gradients' memory, which each replay then writes
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = backward()
    for name, value in model.named_buffers():
        value.copy_(before[name])

    def step() -> Tensor:
        graph.replay()
        optimizer.step()
        return loss

    return step


def graphs(
    name: str, width: int, batch: int, steps: int, device: torch.device, repeats: int, compiled: bool = True
) -> dict[str, Any]:
    """Seconds of `steps` training steps as `training.train` takes them, from a CUDA graph, and compiled.

    Returns model, width, batch, steps, seconds (way -> one for each turn), times_faster (way -> median
    over the turns of plain / way) and losses (way -> the loss of each way's fifth step, which should
    agree). compiled: False leaves torch.compile out, which takes a minute to start. Raises ValueError
    without a GPU.
    """
    if device.type != "cuda":
        raise ValueError(f"CUDA graphs need a GPU; found device {str(device)!r}; leave the part graphs out")
    images = random_images(batch, 10, 0, device)
    x, y = images.batch(torch.arange(batch, device=device))
    settings = TrainSettings(learning_rate=1e-2)
    models = {way: random_model(name, width, device).train() for way in ("plain", "graph", "compiled")}
    made = {
        "plain": plain_step(models["plain"], models["plain"], x, y, settings),
        "graph": graphed_step(models["graph"], x, y, settings),
    }
    if compiled:
        made["compiled"] = plain_step(models["compiled"], torch.compile(models["compiled"]), x, y, settings)
    losses = {way: [float(step()) for _ in range(5)][-1] for way, step in made.items()}

    def several(step: Step) -> Callable[[], float]:
        def run() -> None:
            for _ in range(steps):
                step()

        return lambda: seconds(run, device)

    found = in_turns({way: several(step) for way, step in made.items()}, repeats)
    return {
        "model": name,
        "width": width,
        "batch": batch,
        "steps": steps,
        "seconds": found,
        "times_faster": {way: ratio(found["plain"], took) for way, took in found.items() if way != "plain"},
        "losses": losses,
    }
