"""Contrastive unlearning against Retrain and its rivals, as `make speed` recorded it: who is as good, and how fast."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from ..figures import LABELS
from ..markdown import table
from .report import reached

# Times faster than Retrain at equal forgetting that the book wants to reach, on CIFAR-10 at profile laptop.
AIMS = {"class": 60.0, "samples": 25.0}
EQUAL = 1.0  # points in which a rival may be worse and still count as equal


def _sets_of(one: Mapping[str, Any]) -> tuple[str, str]:
    """Which accuracies of a comparison with Retrain tell what is kept and what is forgotten, by their names."""
    known = one["retrain_metrics"]
    return ("retain_test" if "retain_test" in known else "test", "forget_test" if "forget_test" in known else "forget")


def as_good(one: Mapping[str, Any], run: Mapping[str, Any], ours: Mapping[str, Any] | None = None) -> bool:
    """Whether a run forgets about as near to Retrain as ours and keeps about as much, to within EQUAL points.

    one: a comparison with Retrain, see `rivals.against_retrain`. run: any of its. ours: one of its contrastive runs;
    None means the first.
    """
    kept, lost = _sets_of(one)
    mine = (ours or next(run for run in one["runs"] if run["method"] == "contrastive"))["metrics"]
    found, goal = run["metrics"], one["retrain_metrics"][lost]
    return bool(abs(found[lost] - goal) <= abs(mine[lost] - goal) + EQUAL and found[kept] >= mine[kept] - EQUAL)


def rivals_table(record: Mapping[str, Any]) -> str:
    """Markdown: how many times faster than the shortest good Retrain, beside what is forgotten and kept (percent).

    The last column says whether a rival is as good as contrastive unlearning, to within EQUAL points: seconds of one
    that is not do not compare. Ours is a task's first run of it.
    """
    rows = []
    for one in record.get("rivals", []):
        retrained = one["retrain_metrics"]
        kept, lost = _sets_of(one)
        quality = (f"{retrained[lost]:.1f}", f"{retrained[kept]:.1f}")
        task = f"{one['dataset']}, {one['task']}"
        rows.append((task, f"Retrain, {one['epochs']} epochs", "–", "1", *quality, "–"))
        ours = next(run for run in one["runs"] if run["method"] == "contrastive")
        for run in one["runs"]:
            found = run["metrics"]
            rows.append(
                (
                    task,
                    f"{LABELS[run['method']]}, {run['variant']}",
                    f"{median(run['seconds']):.1f}",
                    f"{median(run['times_faster']):.0f}",
                    f"{found[lost]:.1f}",
                    f"{found[kept]:.1f}",
                    "ours" if run is ours else "yes" if as_good(one, run) else "no",
                )
            )
    return table(
        ("task", "method", "seconds", "times faster", "forgotten, unseen or own (%)", "kept, unseen (%)", "as good"),
        rows,
    )


def ours_table(record: Mapping[str, Any]) -> str:
    """Markdown: each way of contrastive unlearning on CIFAR-10 beside the aim, and the rivals that are no slower.

    Differences are in points from Retrain's accuracy. The last column names the methods that are as good and take no
    longer: those before which ours has no advantage.
    """
    rows = []
    for one in record.get("rivals", []):
        if one["dataset"] != "cifar10":
            continue
        known, (kept, lost) = one["retrain_metrics"], _sets_of(one)
        aim = AIMS["class" if kept == "retain_test" else "samples"]
        for run in one["runs"]:
            if run["method"] != "contrastive":
                continue
            seconds, times = median(run["seconds"]), run["times_faster"]
            better = [
                LABELS[other["method"]]
                for other in one["runs"]
                if other["method"] != "contrastive" and as_good(one, other, run) and median(other["seconds"]) <= seconds
            ]
            rows.append(
                (
                    f"{one['task']}, {run['variant']}",
                    f"{median(times):.0f} ({min(times):.0f} to {max(times):.0f})",
                    f"{aim:.0f}",
                    reached(times, aim),
                    f"{run['metrics'][lost] - known[lost]:+.1f}",
                    f"{run['metrics'][kept] - known[kept]:+.1f}",
                    f"{100 * run['check_seconds'] / seconds:.0f} %",
                    ", ".join(better) or "none",
                )
            )
    head = (
        "task",
        "times faster",
        "aim",
        "reached",
        "forgotten, points",
        "kept, points",
        "stop checks",
        "as good, no slower",
    )
    return table(head, rows)
