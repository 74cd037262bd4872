"""Chapter 05's recorded runs on CIFAR-10: their table, the targets set before them, and one pass at equal seconds."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import markdown
from .comparison import Pair, interval, times_faster
from .figures import LABELS
from .metrics import Interval, mean_interval
from .results import read_runs
from .sweeps import Row, accuracy_rows, at_seconds

TASKS = ("class5", "samples500")
JUDGED = ("contrastive, first stop", "contrastive, whole rounds")
ByTask = dict[str, dict[str, dict[int, dict[str, Any]]]]  # task -> method and variant -> seed -> run


# What book/record_runs.py makes. The grid's runs of these tasks, under chapter 07's rules, are left to later chapters.
METHODS = ("original", "retrain", "contrastive", "finetune", "gradient_ascent")
VARIANTS = (
    *(None, "first stop", "whole rounds", "whole rounds of an earlier choice", "no contrast"),
    *("curve", "curve without contrast"),
)


def recorded() -> list[dict[str, Any]]:
    """Every such run at profile laptop."""
    runs = read_runs("laptop", dataset="cifar10", model="resnet18")
    kept = [run for run in runs if run["method"] in METHODS and run.get("variant") in VARIANTS]
    return [run for run in kept if run["task"] in TASKS]


def by_task(runs: Sequence[dict[str, Any]]) -> ByTask:
    """The runs that were not watched along the way, sorted; those have a curve and are seen by `passes`."""
    found: ByTask = {}
    for run in runs:
        name = run["method"] + (f", {run['variant']}" if run.get("variant") else "")
        if not run.get("curve"):
            found.setdefault(run["task"], {}).setdefault(name, {})[run["seed"]] = run
    return found


def paired(runs: Mapping[str, Mapping[int, dict[str, Any]]], name: str) -> list[Pair]:
    """(run, Retrain's run of the same seed) for each seed of a method."""
    retrain = runs.get("retrain", {})
    return [(run, retrain[seed]) for seed, run in runs[name].items() if seed in retrain]


def _gaps(pairs: Sequence[Pair], key: str) -> Interval | None:
    return interval(run["metrics"][key] - goal["metrics"][key] for run, goal in pairs)


def table(task: str, runs: Mapping[str, Mapping[int, dict[str, Any]]]) -> str:
    """A Markdown table: accuracies with intervals, gaps paired by seed, time and images against Retrain's."""
    keys = ("forget", "forget_test", "retain_test") if task.startswith("class") else ("forget", "test")
    head = ["method", "seeds", *[key.replace("_", " ") + " (%)" for key in keys], "gap on forgotten", "gap on test"]
    head += ["seconds", "Retrain's seconds / these", "Retrain's images / these", "forget set visited (%)"]
    head += ["ended by the rule"]
    rows = []
    for name in runs:
        pairs = paired(runs, name)
        found = [interval(run["metrics"][key] for run, _ in pairs) for key in keys]
        found += [_gaps(pairs, "forget"), _gaps(pairs, keys[-1]), interval(run["seconds"] for run, _ in pairs)]
        found.append(interval(times_faster(run, goal) for run, goal in pairs))
        found.append(interval(goal["samples_seen"] / run["samples_seen"] for run, goal in pairs))
        found.append(interval(100 * run["forget_share"] for run, _ in pairs if "forget_share" in run))
        rule = sum(run["stopped_by"] == "rule" for run, _ in pairs)
        cells = [name.replace("_", " "), str(len(pairs)), *("–" if one is None else str(one) for one in found)]
        cells.append(f"{rule} of {len(pairs)}" if name not in ("original", "retrain") else "–")
        rows.append(cells)
    return markdown.table(head, rows)


def targets(task: str, pairs: Sequence[Pair]) -> list[tuple[str, Interval, bool]]:
    """Each target that was written down before the runs: its words, what came out, and whether it is met.

    Raises ValueError if no run has a pair, or the speed was not measured.
    """
    ratio = interval(times_faster(run, goal) for run, goal in pairs)
    if ratio is None:
        raise ValueError(f"{task} has {len(pairs)} paired runs without a measured speed; expected one or more")

    def metric(key: str) -> Interval:
        return mean_interval([run["metrics"][key] for run, _ in pairs])

    def gap(key: str) -> Interval:
        return mean_interval([run["metrics"][key] - goal["metrics"][key] for run, goal in pairs])

    if task.startswith("class"):
        forget, unseen, kept = metric("forget"), metric("forget_test"), gap("retain_test")
        return [
            ("forget train accuracy at most 5 %", forget, forget.mean <= 5),
            ("forget test accuracy at most 5 %", unseen, unseen.mean <= 5),
            ("retained test within 2 points of Retrain", kept, abs(kept.mean) <= 2),
            ("at least 30 times faster than Retrain", ratio, ratio.mean >= 30),
        ]
    forget, test = gap("forget"), gap("test")
    return [
        ("paired gap on forgotten at most 3 points", forget, abs(forget.mean) <= 3),
        ("test within 3 points of Retrain", test, abs(test.mean) <= 3),
        ("at least 10 times faster than Retrain", ratio, ratio.mean >= 10),
    ]


def judgement(found: ByTask) -> str:
    """`targets` of the full method in each task, as text."""
    lines = []
    for task in sorted(found):
        for name in (name for name in found[task] if name in JUDGED):
            lines.append(f"{task}, {name}")
            for words, came, met in targets(task, paired(found[task], name)):
                lines.append(f"  {'met    ' if met else 'NOT met'}  {words:42}  {came}")
    return "\n".join(lines)


def passes(runs: Sequence[dict[str, Any]]) -> dict[str, dict[int, list[Row]]]:
    """method -> seed -> rows along one pass without a stop rule, of the runs that were watched."""
    found: dict[str, dict[int, list[Row]]] = {}
    for run in runs:
        if run.get("curve"):
            name = "no_contrast" if "without" in run["variant"] else run["method"]
            found.setdefault(name, {})[run["seed"]] = run["curve"]
    return found


def at_moments(traced: Mapping[str, Mapping[int, Sequence[Row]]], shares: Sequence[float]) -> str:
    """A Markdown table: every method at moments of the contrastive pass, shares (0 to 1) of that pass's seconds."""
    measured = {
        f"{LABELS[name]}, {100 * share:.0f} % of the pass": [
            at_seconds(rows, share * traced["contrastive"][seed][-1]["seconds"]) for seed, rows in of_seed.items()
        ]
        for share in shares
        for name, of_seed in traced.items()
    }
    return accuracy_rows(measured, {"forget": "forgotten (%)", "retain_test": "retained test (%)"})
