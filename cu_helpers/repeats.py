"""The same seed twice: how far a run comes back when it is made again, with one release of torch or with two."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

from .comparison import HEADS
from .figures import LABELS
from .markdown import table
from .results import read_runs

Run = Mapping[str, Any]
Twice = tuple[Run, Run]


def made_twice(profile: str, dataset: str, same: bool = False) -> list[Twice]:
    """(timed, tuned) runs of one task, method, seed and settings whose torch releases differ, in the files' order.

    All are of ResNet-18. same: those of one release on one kind of device instead.
    """
    timed = read_runs(profile, dataset=dataset, model="resnet18", variant="timed")
    tuned = {
        (run["task"], run["method"], run["seed"]): run
        for run in read_runs(profile, dataset=dataset, model="resnet18", variant="tuned")
    }
    found: list[Twice] = []
    for run in timed:
        again = tuned.get((run["task"], run["method"], run["seed"]))
        if not again or again["settings"] != run["settings"]:
            continue
        one_release = again["versions"]["torch"] == run["versions"]["torch"]
        if (one_release and again["device"] == run["device"]) if same else not one_release:
            found.append((run, again))
    return found


def to_the_digit(pairs: Sequence[Twice]) -> list[Twice]:
    """The pairs whose accuracies are all the same number."""
    return [pair for pair in pairs if pair[0]["metrics"] == pair[1]["metrics"]]


def releases(pairs: Sequence[Twice]) -> str:
    """The releases of torch that made the runs, in words, without the build they carry."""
    return ", ".join(sorted({run["versions"]["torch"].split("+")[0] for pair in pairs for run in pair}))


def repeat_table(pairs: Sequence[Twice]) -> str:
    """A Markdown table: mean and largest change of each accuracy between both releases, and that between seeds.

    All in points, without the sign. Between seeds: the mean over all pairs of seeds of one method, in the later runs.
    Raises ValueError for no pair.
    """
    if not pairs:
        raise ValueError("no run was made twice; expected at least one pair of a timed and a tuned run")
    head = ["task", "accuracy", "runs", "mean change", "largest change", "mean change between seeds"]
    rows = []
    for task in dict.fromkeys(run["task"] for run, _ in pairs):
        for name in ("forget", "forget_test", "retain_test", "test"):
            some = [(a, b) for a, b in pairs if a["task"] == task and name in a["metrics"] and name in b["metrics"]]
            if not some:
                continue
            changes = {(b["method"], b["seed"]): abs(a["metrics"][name] - b["metrics"][name]) for a, b in some}
            most = max(changes, key=lambda key: changes[key])
            between = [
                abs(one["metrics"][name] - other["metrics"][name])
                for (_, one), (_, other) in combinations(some, 2)
                if one["method"] == other["method"]
            ]
            cells = [task, HEADS[name], str(len(some)), f"{fmean(changes.values()):.1f}"]
            cells += [f"{changes[most]:.1f} ({LABELS[most[0]]}, seed {most[1]})"]
            cells += [f"{fmean(between):.1f}" if between else "–"]
            rows.append(cells)
    return table(head, rows)
