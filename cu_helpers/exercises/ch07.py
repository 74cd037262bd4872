"""Chapter 07: a score that can be fooled, finetuning by passes, a score without absolute values."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..tuning import tuning_score
from ..unlearning import FinetuneSettings
from .compare import match, need
from .core import Candidate, exercise
from .recorder import Recorder


def fooled(goal: Mapping[str, float]) -> dict[str, float]:
    """Accuracies of a masked head: the class is never answered, the others are nearly the goal's."""
    return dict(goal) | {"retain_test": goal["retain_test"] - 1}


@exercise("07-1", fooled)
def check_fooled(f: Candidate, seed: int) -> None:
    """Goals of a class task whose Retrain keeps different accuracies."""
    for kept in (80.0, 60.0 + seed % 30):
        goal = {"forget": 0.0, "forget_test": 0.0, "retain_test": kept}
        got = f(dict(goal))
        need(isinstance(got, dict), "Return a dictionary with the keys of `goal`.")
        need(set(got) == set(goal), f"The keys are {sorted(got)}; expected {sorted(goal)}.")
        need(all(0 <= value <= 100 for value in got.values()), "Accuracies are percent, from 0 to 100.")
        need(
            got["forget"] < 5 and got["forget_test"] < 5,
            "The class is still answered. A head that never names it has 0 % on it, whatever the embeddings hold.",
        )
        need(
            abs(got["retain_test"] - kept) < 5,
            "A masked logit leaves the answers on other classes as they are: near the goal's `retain_test`.",
        )
        need(got != goal, "These are Retrain's own numbers; the original's accuracy on other classes differs a little.")
        need(tuning_score(got, goal) > 0.95, f"The score is {tuning_score(got, goal):.3f}; it should be above 0.95.")


def passes_until(
    run: Callable[[FinetuneSettings], dict[str, Any]], settings: FinetuneSettings, limit: int
) -> tuple[float, str]:
    """Accuracy on the forgotten images after the last of at most `limit` passes, and why the run ended."""
    result = run(replace(settings, max_rounds=limit))
    return result["history"][-1]["forget_accuracy"], result["stopped_by"]


@exercise("07-2", passes_until)
def check_passes_until(f: Candidate, seed: int) -> None:
    """A run of three passes that is not made."""
    base = FinetuneSettings()
    first, last = 90.0 + seed % 7, 70.0 - seed % 5
    history = [{"round": n, "forget_accuracy": value, "test_accuracy": 50.0} for n, value in ((1, first), (2, last))]
    for limit in (3, 8):
        run = Recorder({"history": history, "stopped_by": "rule"})
        got = f(run, base, limit)
        run.expect(base, max_rounds=limit)
        need(isinstance(got, tuple) and len(got) == 2, "Return two things: the accuracy, and why the run stopped.")
        match(
            got[0],
            last,
            {
                "You read the first row of the history; the last one is where the run ended.": first,
                "You read the accuracy on test images; the forgotten images were asked for.": 50.0,
                "You take the mean over the history; the last row is where the run ended.": (first + last) / 2,
            },
        )
        need(got[1] == "rule", "The second value is the run's `stopped_by`.")


def likeness(measured: Mapping[str, float], goal: Mapping[str, float]) -> float:
    """Product of 1 - |difference| / 100 over the keys of goal."""
    return _product(measured, goal, abs)


def _product(measured: Mapping[str, float], goal: Mapping[str, float], size: Callable[[float], float]) -> float:
    product = 1.0
    for key in goal:
        product *= 1 - size(measured[key] - goal[key]) / 100
    return product


@exercise("07-3", likeness)
def check_likeness(f: Candidate, seed: int) -> None:
    """Accuracies on both sides of the goal."""
    goal = {"forget": 70.0, "retain_test": 80.0}
    other = 60.0 - seed % 9
    measured = {"forget": other, "retain_test": 75.0}
    gaps = [abs(measured[key] - goal[key]) / 100 for key in goal]
    match(
        f(measured, goal),
        likeness(measured, goal),
        {
            "The bug is still there: an accuracy below the goal counts as better than Retrain. "
            "A distance has no sign.": _product(measured, goal, float),
            "Accuracies are percent: divide the differences by 100.": _product(measured, goal, lambda d: 100 * abs(d)),
            "You take the mean of the factors; the score is their product.": 1 - sum(gaps) / 2,
        },
    )
    match(
        f(goal, goal),
        1.0,
        {},
        what="The score of Retrain itself",
    )
