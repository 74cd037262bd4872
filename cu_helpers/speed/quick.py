"""A search for speed: settings of contrastive unlearning with few steps, chosen on validation images."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..data import Dataset
from ..experiments import make_task, original_model, retrained_model
from ..profiles import Profile
from ..tuning import SEARCH_SEED, Trial, best, read_search, search
from ..unlearning import Stopping

# (data set, kind of task) -> what is tried, six trials like every method's search. The stop rule
# is checked after each round alone, since a check of samples costs as much as three steps.
QUICK: dict[tuple[str, str], dict[str, tuple[Any, ...]]] = {
    ("cifar10", "class"): {"learning_rate": (5e-3, 1e-2, 2e-2), "lambda_ul": (0.5, 1.0), "omega": (1,)},
    ("cifar10", "samples"): {
        "learning_rate": (2e-2, 2.5e-2, 3e-2),
        "max_rounds": (3, 4),
        "lambda_ul": (0.5,),
        "batch_size": (64,),
        "omega": (2,),
    },
}
# How far a trial's score may lie below the best of the recorded search: two points of a trade.
GIVEN_UP = (0.03, 0.01)


def chosen(trials: Sequence[Trial], goal: float, given_up: float) -> Trial | None:
    """The trial with the fewest images seen, then the best score, of those that score at least goal - given_up.

    goal: the best score of the search for quality, from 0 to 1. None if no trial comes so near.
    """
    near = [trial for trial in trials if trial.score >= goal - given_up]
    return min(near, key=lambda trial: (trial.samples_seen, -trial.score)) if near else None


def quick_search(dataset: Dataset, profile: Profile, kind: str) -> dict[str, Any] | None:
    """Try `QUICK`'s settings with the search's seed, whose models and samples no table reports; None without any.

    Returns seed, goal (the score of the recorded search's best), trials, and chosen: for each of GIVEN_UP that brings
    another trial, given_up and the trial's changes.
    """
    grid = QUICK.get((dataset.name, kind))
    if grid is None:
        return None
    task = make_task(dataset, profile, kind, SEARCH_SEED)
    original = original_model(dataset, profile, SEARCH_SEED).model
    retrained = retrained_model(task, profile, SEARCH_SEED).model
    base = quick_settings(profile, kind, {})
    trials = search("contrastive", original, retrained, task, base, SEARCH_SEED, grid)
    goal = best(read_search(profile, kind, "contrastive")).score
    choices: list[dict[str, Any]] = []
    for given_up in GIVEN_UP:
        found = chosen(trials, goal, given_up)
        if found and found.changes not in [choice["changes"] for choice in choices]:
            choices.append({"given_up": given_up, "changes": found.changes})
    return {"seed": SEARCH_SEED, "goal": goal, "trials": trials, "chosen": choices}


def quick_settings(profile: Profile, kind: str, changes: Mapping[str, Any]) -> Any:
    """The profile's settings of contrastive unlearning with `changes`, and a stop check after each round alone."""
    return replace(profile.settings("contrastive", kind), stopping=Stopping(), **changes)
