"""Chapter 11: which noise forgets, the share of a wrong label, the sign of the noise's loss."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..unlearning import UnsirSettings
from .compare import generator, match, need
from .core import Candidate, exercise
from .recorder import Recorder

KINDS: dict[str, dict[str, float]] = {
    "authors": {},
    "no penalty": {"noise_penalty": 0.0},
    "not learned": {"noise_steps": 1, "noise_learning_rate": 1e-9},
}


def with_noise(
    run: Callable[[UnsirSettings], dict[str, float]], settings: UnsirSettings, kind: str
) -> tuple[float, float]:
    """Accuracies on forgotten and on retained test images with one of three kinds of noise."""
    changes: dict[str, object] = dict(KINDS[kind])
    found = run(replace(settings, **changes))  # type: ignore[arg-type]
    return found["forget"], found["retain_test"]


@exercise("11-1", with_noise)
def check_with_noise(f: Candidate, seed: int) -> None:
    """Runs that are not made."""
    base = UnsirSettings()
    answer = {"forget": 10.0 + seed % 10, "retain": 99.0, "retain_test": 70.0 - seed % 10, "forget_test": 8.0}
    for kind, changes in KINDS.items():
        run = Recorder(answer)
        got = f(run, base, kind)
        need(run.given, "You never call `run(settings)`.")
        if kind == "not learned":
            used = run.given[0]
            need(
                used.noise_steps <= 1 and used.noise_learning_rate < 1e-6,
                "The noise is still learned: take one step with a learning rate of almost nothing.",
            )
            changes = {"noise_steps": used.noise_steps, "noise_learning_rate": used.noise_learning_rate}
        run.expect(base, **changes)
        match(
            got,
            (answer["forget"], answer["retain_test"]),
            {
                "The second number is on retained *test* images (`retain_test`).": (answer["forget"], answer["retain"]),
                "The two numbers are exchanged: forgotten first.": (answer["retain_test"], answer["forget"]),
            },
        )


def by_class(answers: Tensor, labels: Tensor, wanted: list[int]) -> list[float]:
    """Accuracy in percent of each wanted class."""
    return [100 * float((answers[labels == label] == label).double().mean()) for label in wanted]


@exercise("11-2", by_class)
def check_by_class(f: Candidate, seed: int) -> None:
    """Classes of different sizes."""
    draw = generator(seed)
    labels = torch.randint(4, (80,), generator=draw)
    labels[:8] = torch.arange(8) % 4
    answers = torch.where(torch.rand(80, generator=draw) < 0.6, labels, torch.randint(4, (80,), generator=draw))
    answers[:4] = (labels[:4] + 1) % 4
    answers[4:8] = labels[4:8]
    right = by_class(answers, labels, [2, 0])
    hits = torch.tensor([float(((answers == label) & (labels == label)).sum()) for label in (2, 0)]).double()
    named = torch.tensor([float((answers == label).sum()) for label in (2, 0)]).double()
    match(
        f(answers, labels, [2, 0]),
        right,
        {
            "You return shares; percent was asked for.": [value / 100 for value in right],
            "You divide by the number of all images; divide by those of the class.": 100 * hits / 80,
            "You divide by how often the class was answered; divide by how many images it has.": 100 * hits / named,
            "The classes come in the order of `wanted`.": right[::-1],
        },
    )


def noise_loss(logits: Tensor, label: int, noise: Tensor, penalty: float) -> Tensor:
    """What the noise descends: minus the cross-entropy of the class, plus the penalty on its norm."""
    labels = torch.full((len(logits),), label, device=logits.device)
    return -F.cross_entropy(logits, labels) + penalty * noise.square().sum(dim=(1, 2, 3)).mean()


@exercise("11-3", noise_loss)
def check_noise_loss(f: Candidate, seed: int) -> None:
    """Random noise and logits."""
    draw = generator(seed)
    noise = torch.randn(6, 3, 4, 4, generator=draw, dtype=torch.float64)
    logits = torch.randn(6, 5, generator=draw, dtype=torch.float64)
    penalty = 0.1
    cross = F.cross_entropy(logits, torch.full((6,), 2))
    norm = noise.square().sum(dim=(1, 2, 3)).mean()
    match(
        f(logits, 2, noise, penalty),
        penalty * norm - cross,
        {
            "The bug is still there: this noise becomes a *typical* image of the class. "
            "Descending minus the cross-entropy makes it the contrary.": cross + penalty * norm,
            "The penalty is turned too: it would reward noise that grows.": -cross - penalty * norm,
            "The penalty is a mean over images of the *sum* of squares; you take the mean over pixels.": -cross
            + penalty * noise.square().mean(),
        },
    )
