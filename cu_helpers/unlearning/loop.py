"""What every unlearning loop shares: the clock, the counters, the stop checks, the history."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from ..data import ForgetTask
from ..devices import wait
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
    samples_seen: images forwarded to learn or measure what the
    method needs, repeats counted, without stop checks and frozen copies. forget_share: share of the
    forget set visited at least once. stopped_by: "rule", "rounds" (the limit was reached),
    "seconds" (another), "rewind" (an earlier checkpoint was handed out) or "finished" (there is no
    stop rule).
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


class UnlearningLoop:
    """Draws batches, takes steps, and stops when the rule says so.

    A method iterates `batches` (or `rounds`, with a `shuffled` pass or more in each) and calls
    `step` with each loss. Between two checks nothing waits for the device: losses are summed
    there and looked at only at a check.
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
        self.over = False
        self.remedy = "lower learning_rate"  # what helps if the loss diverges
        self.extra: dict[str, float] = {}  # what else a method wants in its history rows
        self._round = self._batch = 0
        self._checked = (0, 0)
        self._good = {name: value.clone() for name, value in model.state_dict().items()}
        self._away = 0.0  # seconds spent in the observer, which are not the method's
        self._visited = 0
        self._loss = torch.zeros((), device=task.forget.device)
        self._losses = 0
        wait(task.forget.device)
        self._start = perf_counter()

    def _seconds(self) -> float:
        wait(self.task.forget.device)
        return perf_counter() - self._start - self._away

    def step(self, optimizer: torch.optim.Optimizer, loss: Tensor, samples: int) -> None:
        """One optimiser step down `loss`, a scalar; samples: how many images the loss forwarded."""
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        self.count_step(loss.detach(), samples)

    def count_step(self, loss: Tensor, samples: int) -> None:
        """Book one step that the method has taken itself; loss: a scalar without gradient."""
        self._loss += loss
        self._losses += 1
        self.steps += 1
        self.samples_seen += samples

    def begin(self) -> None:
        """Show the observer the original model; `rounds` does so itself."""
        if self.observer:
            self._show(self._row(0.0, self._seconds()))

    def rounds(self, limit: int) -> Iterator[int]:
        """Yield 1, 2, ... until a rule or `limit` ends it; after each round comes a stop check."""
        self.begin()
        for number in range(1, limit + 1):
            self._round, self._batch = number, 0
            yield number
            if self.over or (self._checked != (number, self._batch) and self._check()):
                return

    def shuffled(self, count: int, size: int, draw: torch.Generator, forgets: bool = False) -> Iterator[Tensor]:
        """One pass of a round: shuffled positions of `count` images, `size` at a time, each (size,).

        It ends early if a check in between says stop. forgets: whether these images are the
        forget set, for `forget_share`.
        """
        for index in torch.split(torch.randperm(count, generator=draw, device=draw.device), size):
            if self.over:
                return
            yield index
            self._batch += 1
            if forgets and self._round == 1:
                self._visited += len(index)
            every, limit = self.stopping.check_every, self.stopping.seconds
            if limit is not None and self._seconds() >= limit:
                if not self._check():
                    self.over, self.stopped_by = True, "seconds"
            elif every and self._batch % every == 0:
                self._check()

    def batches(self, count: int, size: int, rounds: int, draw: torch.Generator, forgets: bool) -> Iterator[Tensor]:
        """The batches, (size,) positions, of a method whose round is one pass; see `shuffled`."""
        for _ in self.rounds(rounds):
            yield from self.shuffled(count, size, draw, forgets)

    def _check(self) -> bool:
        """Write a history row; True if the rule says stop. Raises NonFiniteError."""
        before = self._seconds()
        self._checked = (self._round, self._batch)
        loss = (self._loss / max(1, self._losses)).item()
        self._refuse_if_not_finite(loss)
        self._loss.zero_()
        self._losses = 0
        row = self._row(loss, before)
        if self.rule:
            row["forget_accuracy"] = self.rule.forget(self.model)
            row["reference_accuracy"] = self.rule.reference(self.model)
            self.over = row["forget_accuracy"] <= row["reference_accuracy"]
        self.check_seconds += self._seconds() - before
        self.history.append(row)
        if self.observer:
            self._show(row)
        if self.over:
            self.stopped_by = "rule"
        return self.over

    def _refuse_if_not_finite(self, loss: float) -> None:
        """Raise NonFiniteError, which holds the model as of the last good check, or keep a copy."""
        weights = all(bool(p.isfinite().all()) for p in self.model.parameters())
        if math.isfinite(loss) and weights:
            self._good = {name: value.clone() for name, value in self.model.state_dict().items()}
            return
        found = f"the loss is {loss}" if not math.isfinite(loss) else "a weight is not finite"
        self.model.load_state_dict(self._good)
        raise NonFiniteError(
            f"{self.method}: {found} by round {self._round}, batch {self._batch}; {self.remedy} in its "
            "settings, or look for NaN in the model that was passed in (the error's `model` has the last good weights)",
            self.model.eval(),
        )

    def _row(self, loss: float, seconds: float) -> dict[str, float]:
        return {
            "round": self._round,
            "batch": self._batch,
            "steps": self.steps,
            "samples_seen": self.samples_seen,
            "seconds": seconds,
            "loss": loss,
            **self.extra,
        }

    def _show(self, row: dict[str, float]) -> None:
        """Let the observer look, off the clock."""
        assert self.observer is not None
        before = self._seconds()
        self.observer(self.model, dict(row))
        self._away += self._seconds() - before

    def count(self, steps: int, samples: int, loss: float) -> None:
        """Book work that did not go through `rounds`, as one history row."""
        self.steps += steps
        self.samples_seen += samples
        self._round += 1
        self.history.append(self._row(loss, self._seconds()))
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
