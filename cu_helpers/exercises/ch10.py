"""Chapter 10: the factor T squared, max steps, the order of SCRUB's passes."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..unlearning import ScrubSettings
from ..unlearning.scrub import distillation_kl
from .compare import generator, match, need
from .core import Candidate, exercise
from .recorder import Recorder


def gradient_length(student: Tensor, teacher: Tensor, temperature: float) -> float:
    """Length of the gradient at the student's logits of KL(teacher || student) without the factor T squared."""
    return _length(student, teacher, temperature) / temperature**2


def _length(student: Tensor, teacher: Tensor, temperature: float) -> float:
    leaf = student.clone().requires_grad_()
    return float(torch.autograd.grad(distillation_kl(leaf, teacher, temperature), leaf)[0].norm())


@exercise("10-1", gradient_length)
def check_gradient_length(f: Candidate, seed: int) -> None:
    """A student near its teacher, and one that is farther away."""
    draw = generator(seed)
    teacher, other = (2 * torch.randn(3, 6, generator=draw, dtype=torch.float64) for _ in range(2))
    for near, temperature in ((0.5, 2.0), (0.01, 8.0)):
        student = teacher + near * other
        leaf = student.clone().requires_grad_()
        reversed_kl = torch.autograd.grad(distillation_kl(teacher, leaf, temperature), leaf)[0].norm()
        right = gradient_length(student, teacher, temperature)
        match(
            f(student.clone(), teacher.clone(), temperature),
            right,
            {
                "The factor T squared is still in: divide the divergence by it.": right * temperature**2,
                "You divide by T once; the divergence carries its square.": right * temperature,
                "Teacher and student are exchanged: `kl(student, teacher, T)`.": float(reversed_kl) / temperature**2,
                "This is the squared length of the gradient.": right**2,
            },
            tolerance=1e-9,
        )


def by_max_steps(
    run: Callable[[ScrubSettings], dict[str, float]], settings: ScrubSettings, count: int
) -> tuple[float, float]:
    """Accuracies on forgotten and on retained test images with `count` max passes of five epochs."""
    found = run(replace(settings, max_rounds=5, max_steps=count))
    return found["forget"], found["retain_test"]


@exercise("10-2", by_max_steps)
def check_by_max_steps(f: Candidate, seed: int) -> None:
    """A run that is not made."""
    base = ScrubSettings()
    answer = {
        "forget": 30.0 + seed % 10,
        "retain": 99.0,
        "retain_test": 80.0 - seed % 10,
        "test": 70.5,
        "forget_test": 8.0,
    }
    for count in (0, 2):
        run = Recorder(answer)
        got = f(run, base, count)
        run.expect(base, max_rounds=5, max_steps=count)
        match(
            got,
            (answer["forget"], answer["retain_test"]),
            {
                "The second number is on retained *test* images (`retain_test`).": (answer["forget"], answer["retain"]),
                "The first number is on the forgotten training images (`forget`).": (
                    answer["forget_test"],
                    answer["retain_test"],
                ),
                "The two numbers are exchanged: forgotten first.": (answer["retain_test"], answer["forget"]),
            },
        )


def passes(epochs: int, max_steps: int) -> list[str]:
    """SCRUB's passes in their order."""
    order: list[str] = []
    for epoch in range(epochs):
        order += ["max"] * (epoch < max_steps) + ["min"]
    return order


@exercise("10-3", passes)
def check_passes(f: Candidate, seed: int) -> None:
    """Few max passes, none, and as many as epochs."""
    for epochs, steps in ((5, 2), (3, 0), (3, 3), (4 + seed % 4, 1)):
        got = f(epochs, steps)
        need(got is not None, "Your function returns None: a `return` is missing.")
        got, right = list(got), passes(epochs, steps)
        swapped = [name for epoch in range(epochs) for name in ["min"] + ["max"] * (epoch < steps)]
        if got == right:
            continue
        need(
            steps == 0 or got != swapped,
            "In an epoch the max pass comes first: the min pass behind it repairs what it broke.",
        )
        need(
            steps == 0 or got != ["max"] * steps + ["min"] * epochs,
            "The max passes are not done in a row: each is followed by a min pass.",
        )
        need(
            got != [name for _ in range(epochs) for name in ("max", "min")],
            "Only the first `max_steps` epochs have a max pass.",
        )
        need(
            got.count("min") == epochs, f"Every one of the {epochs} epochs has a min pass; you have {got.count('min')}."
        )
        need(False, f"For {epochs} epochs and {steps} max passes you return {got}; expected {right}.")
