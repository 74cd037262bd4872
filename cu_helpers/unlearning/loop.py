"""What every unlearning loop shares: the clock, the counters, the stop checks, the history."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from ..data import ForgetTask
from ..errors import NonFiniteError
from ..models import EmbeddingClassifier
from .stopping import Stopping, stop_rule

Observer = Callable[[EmbeddingClassifier, dict[str, float]], None]


@dataclass(frozen=True)
class UnlearningResult:
    """What an unlearning method made, and what it cost.

    model: the unlearned model, in eval mode. history: one row per stop check, with round, batch,
    steps, samples_seen, seconds, loss (mean since the row before) and, if there is a stop rule,
    forget_accuracy and reference_accuracy (percent; what the rule compared).
    seconds: wall clock with the stop checks, of which check_seconds. steps: optimiser steps.
    samples_seen: images forwarded in training mode, repeats counted. forget_share: share of the
    forget set visited at least once. stopped_by: "rule", "rounds" (the limit was reached) or
    "finished" (the method has no stop rule).
    """

    model: EmbeddingClassifier
    method: str
    settings: Any
    history: list[dict[str, float]]
    seconds: float
    check_seconds: float
    steps: int
    samples_seen: int
    forget_share: float
    stopped_by: str


def _wait(device: torch.device) -> None:
    """Let queued GPU work finish, so that the clock reads what it should."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class UnlearningLoop:
    """Draws batches, takes steps, and stops when the rule says so.

    A method iterates `batches` and calls `step` with each loss. Between two checks nothing waits
    for the device: losses are summed there and looked at only at a check.
    """

    def __init__(
        self,
        method: str,
        model: EmbeddingClassifier,
        task: ForgetTask,
        stopping: Stopping,
        observer: Observer | None = None,
    ) -> None:
        self.method, self.model, self.task, self.stopping = method, model, task, stopping
        self.observer = observer
        self.rule = stop_rule(task, stopping) if stopping.rule == "paper" else None
        self.history: list[dict[str, float]] = []
        self.steps = self.samples_seen = 0
        self.check_seconds = 0.0
        self.stopped_by = "rounds"
        self._away = 0.0  # seconds spent in the observer, which are not the method's
        self._visited = 0
        self._loss = torch.zeros((), device=task.forget.device)
        self._losses = 0
        _wait(task.forget.device)
        self._start = perf_counter()

    def _seconds(self) -> float:
        _wait(self.task.forget.device)
        return perf_counter() - self._start - self._away

    def step(self, optimizer: torch.optim.Optimizer, loss: Tensor, samples: int) -> None:
        """One optimiser step down `loss`; samples: how many images the loss forwarded."""
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        self._loss += loss.detach()
        self._losses += 1
        self.steps += 1
        self.samples_seen += samples

    def batches(self, count: int, size: int, rounds: int, draw: torch.Generator, forgets: bool) -> Iterator[Tensor]:
        """Yield shuffled positions of `count` images, `size` at a time, until a rule or `rounds` ends it.

        forgets: whether these images are the forget set, for `forget_share`.
        """
        if self.observer:
            self._show(self._row(0, 0, 0.0, self._seconds()))
        every = self.stopping.check_every
        for number in range(1, rounds + 1):
            parts = torch.split(torch.randperm(count, generator=draw, device=draw.device), size)
            for batch, index in enumerate(parts, start=1):
                yield index
                if forgets and number == 1:
                    self._visited += len(index)
                if (batch == len(parts) or (every and batch % every == 0)) and self._check(number, batch):
                    return

    def _check(self, number: int, batch: int) -> bool:
        """Write a history row; True if the rule says stop. Raises NonFiniteError."""
        before = self._seconds()
        loss = (self._loss / max(1, self._losses)).item()
        if not math.isfinite(loss):
            raise NonFiniteError(
                f"{self.method}: the loss is {loss} by round {number}, batch {batch}; "
                "lower learning_rate in its settings, or look for NaN in the model that was passed in"
            )
        self._loss.zero_()
        self._losses = 0
        row = self._row(number, batch, loss, before)
        stop = False
        if self.rule:
            row["forget_accuracy"] = self.rule.forget(self.model)
            row["reference_accuracy"] = self.rule.reference(self.model)
            stop = row["forget_accuracy"] <= row["reference_accuracy"]
        self.check_seconds += self._seconds() - before
        self.history.append(row)
        if self.observer:
            self._show(row)
        if stop:
            self.stopped_by = "rule"
        return stop

    def _row(self, number: int, batch: int, loss: float, seconds: float) -> dict[str, float]:
        return {
            "round": number,
            "batch": batch,
            "steps": self.steps,
            "samples_seen": self.samples_seen,
            "seconds": seconds,
            "loss": loss,
        }

    def _show(self, row: dict[str, float]) -> None:
        """Let the observer look, off the clock."""
        assert self.observer is not None
        before = self._seconds()
        self.observer(self.model, dict(row))
        self._away += self._seconds() - before

    def count(self, steps: int, samples: int, loss: float) -> None:
        """Book work that did not go through `batches`, as one history row."""
        self.steps += steps
        self.samples_seen += samples
        self.history.append(self._row(1, 0, loss, self._seconds()))
        if self.observer:
            self._show(self.history[-1])

    def result(self, settings: Any, stopped_by: str | None = None) -> UnlearningResult:
        """Close the clock and gather everything."""
        return UnlearningResult(
            model=self.model.eval(),
            method=self.method,
            settings=settings,
            history=self.history,
            seconds=self._seconds(),
            check_seconds=self.check_seconds,
            steps=self.steps,
            samples_seen=self.samples_seen,
            forget_share=self._visited / len(self.task.forget),
            stopped_by=stopped_by or self.stopped_by,
        )
