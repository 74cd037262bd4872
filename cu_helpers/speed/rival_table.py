"""Contrastive unlearning against Retrain and its rivals, as `make speed` recorded it: who is as good, and how fast."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from ..figures import LABELS
from ..markdown import table

EQUAL = 1.0  # points in which a rival may be worse and still count as equal


def _sets_of(one: Mapping[str, Any]) -> tuple[str, str]:
    """Which accuracies of a comparison with Retrain tell what is kept and what is forgotten, by their names."""
    known = one["retrain_metrics"]
    return ("retain_test" if "retain_test" in known else "test", "forget_test" if "forget_test" in known else "forget")


def as_good(one: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    """Whether a run forgets about as near to Retrain as ours and keeps about as much, to within EQUAL points.

    one: a comparison with Retrain, see `rivals.against_retrain`; ours is its first contrastive run. run: any of its.
    """
    kept, lost = _sets_of(one)
    ours = next(mine["metrics"] for mine in one["runs"] if mine["method"] == "contrastive")
    found, goal = run["metrics"], one["retrain_metrics"][lost]
    return bool(abs(found[lost] - goal) <= abs(ours[lost] - goal) + EQUAL and found[kept] >= ours[kept] - EQUAL)


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
