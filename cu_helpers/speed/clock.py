"""Seconds of two pieces of work side by side, on a machine that others may use too."""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch

from ..data import Dataset, ForgetTask, ImageData, forget_these
from ..devices import generator, wait
from ..models import EmbeddingClassifier, build_model, memory_format

MEAN = STD = (0.5, 0.5, 0.5)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of one call, queued GPU work included."""
    wait(device)
    start = perf_counter()
    work()
    wait(device)
    return perf_counter() - start


def in_turns(measures: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Call each measure once unrecorded, then all of them in turn `repeats` times: name -> seconds, in order.

    What slows the machine for a while slows neighbours in a turn alike, so that ratios are taken
    turn by turn. Every other turn goes backwards, so that no measure is always the first.
    """
    found: dict[str, list[float]] = {name: [] for name in measures}
    for measure in measures.values():
        measure()  # the first call also chooses kernels and fills caches
    for turn in range(repeats):
        for name in list(measures) if turn % 2 == 0 else list(reversed(measures)):
            found[name].append(measures[name]())
    return found


def ratio(above: list[float], below: list[float]) -> float:
    """The median over the turns of above / below."""
    return median(a / b for a, b in zip(above, below, strict=True))


def random_images(count: int, classes: int, seed: int, device: torch.device, side: int = 32) -> ImageData:
    """Noise, uint8 (count, 3, side, side), with labels in turn: what is timed does not depend on what is seen."""
    draw = generator(seed, torch.device("cpu"))
    images = torch.randint(0, 256, (count, 3, side, side), generator=draw, dtype=torch.uint8)
    return ImageData(images.to(device), (torch.arange(count) % classes).to(device), MEAN, STD)


def random_model(name: str, width: int, device: torch.device, classes: int = 10) -> EmbeddingClassifier:
    """A model with random weights on the device, in the layout that its width takes."""
    model = build_model(name, classes, width=width, seed=0).to(device)
    model.to(memory_format=memory_format(width))
    return model


def random_task(
    forget: int, retain: int, device: torch.device, classes: int = 10, held_out: int = 2000, side: int = 32
) -> ForgetTask:
    """A task of forgetting `forget` of forget + retain noise images; held_out: validation and test images each."""
    train = random_images(forget + retain, classes, 0, device, side)
    seen, test = (random_images(held_out, classes, seed, device, side) for seed in (1, 2))
    names = tuple(str(label) for label in range(classes))
    return forget_these(Dataset("noise", train, seen, test, names), torch.arange(forget))
