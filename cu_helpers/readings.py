"""Which recorded runs give which cell of the paper's tables by method, and what is read from them."""

from collections.abc import Mapping
from typing import Any

from .attack_reports import PAPER_ATTACK, by_method, rate_reader, verdict_of
from .comparison import had_the_device
from .profiles import get_profile
from .results import read_runs

Run = Mapping[str, Any]
ATTACKED = ("forgotten", "held_out")  # columns that an attack fills


def main_runs(profile: str, dataset: str, kind: str, model: str, method: str) -> list[dict[str, Any]]:
    """The runs of the main comparison: the profile's class or samples, each method at its own stop.

    LCODEC's may be of the first few of the same samples.
    """
    task = get_profile(profile, dataset).task_name(kind)
    variant = None if method in ("original", "retrain") else "tuned"
    runs = read_runs(profile, dataset=dataset, model=model, method=method, variant=variant)
    few = method == "lcodec" and kind == "samples"
    return [run for run in runs if run["task"] == task or (few and run["task"].startswith("samples"))]


def timed_runs(profile: str, dataset: str, kind: str, model: str, method: str) -> list[tuple[float, Run]]:
    """(seconds, run) of the runs that had the device to themselves.

    Where Retrain did not, its seconds are its steps times what a step took beside contrastive
    unlearning's timed run.
    """
    runs = main_runs(profile, dataset, kind, model, method)
    alone = [run for run in runs if had_the_device(run)]
    if not alone and method != "retrain":
        alone = read_runs(profile, dataset=dataset, model=model, method=method, variant="timed")
        alone = [run for run in alone if run["task"].startswith(kind)]
    if alone or method != "retrain" or not runs:
        return [(float(run["seconds"]), run) for run in alone]
    beside = read_runs(profile, dataset=dataset, model=model, method="contrastive", variant="timed")
    return [
        (float(runs[0]["steps"]) * float(run["retrain_step_seconds"]), run)
        for run in beside
        if run["task"].startswith(kind) and run.get("retrain_step_seconds")
    ]


def readings(profile: str, dataset: str, kind: str, model: str, method: str, column: str) -> list[tuple[float, Run]]:
    """(value, run) of a column for every recorded seed of the main comparison."""
    if column == "seconds":
        return timed_runs(profile, dataset, kind, model, method)
    runs = main_runs(profile, dataset, kind, model, method)
    if column in ATTACKED:
        return [(rate_reader(PAPER_ATTACK)(run["attack"], column), run) for run in runs if "attack" in run]
    return [(float(run["metrics"][column]), run) for run in runs if column in run["metrics"]]


def timed_steps(profile: str, dataset: str, kind: str, model: str, method: str) -> list[tuple[float, Run]]:
    """(time in Retrain's steps, run): seconds over what a step of Retrain took beside this run, alone on the device.

    Unlike seconds these can be compared between runs on a machine that others use too. Retrain's are its steps.
    """
    if method == "retrain":
        return [(float(run["steps"]), run) for run in main_runs(profile, dataset, kind, model, method)]
    timed = timed_runs(profile, dataset, kind, model, method)
    return [(seconds / run["retrain_step_seconds"], run) for seconds, run in timed if run.get("retrain_step_seconds")]


def attack_works(profile: str, dataset: str, kind: str, model: str) -> bool:
    """Whether the paper's attack, in its first reading, works on the original model; True where none was attacked."""
    # The original's runs alone: a table asks this for every cell.
    originals = read_runs(profile, dataset=dataset, model=model, method="original")
    reports = by_method(originals, dataset, kind, profile)
    return "original" not in reports or verdict_of(reports, PAPER_ATTACK).works


def of_few(runs: list[dict[str, Any]], profile: str, dataset: str) -> int | None:
    """How many samples these runs forgot if it is not the profile's number (LCODEC's); else None."""
    counts = {int(run["task"].removeprefix("samples")) for run in runs if run["task"].startswith("samples")}
    other = counts - {get_profile(profile, dataset).count}
    return min(other) if other else None
