"""Samples forgotten at several batch sizes, with and without the queue: Table 14, and the paper's D.10."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import plotly.graph_objects as go

from . import markdown
from .ablations import fitting
from .comparison import NONE_RECORDED, interval, paired_runs
from .errors import DataFileError
from .figures import COLOURS, LABELS, MARKERS, style
from .metrics import evaluate, mean_interval
from .notebook import Lab
from .paper import TABLE_14
from .profiles import Profile, get_profile
from .tuning import tuned_settings
from .unlearning import unlearn

BOTH = ("contrastive", "contrastive_queue")
IN_PROPORTION = ", rate in proportion"


@dataclass(frozen=True)
class Plan:
    """One setting to run: its method, its name in the records, its settings."""

    method: str
    variant: str
    settings: Any


@dataclass(frozen=True)
class Group:
    """A setting's runs, one a seed: accuracies in percent, Retrain's of the same seed, steps, how it ended."""

    method: str
    variant: str
    learning_rate: float
    partners: int  # retained embeddings that an anchor is compared with
    measured: list[dict[str, float]]
    reference: list[dict[str, float]]
    steps: list[int]
    stopped_by: list[str]


def batch_sizes(count: int) -> tuple[int, ...]:
    """Batch sizes for `count` forgotten images: 16, 32, 64 and 128, Table 6's size for samples.

    A batch holds no more than all of them: of fewer than 128 a ninth, a quarter, a half and all.
    """
    return fitting((16, 32, 64, 128), count)


def base_settings(profile: Profile, method: str) -> Any:
    """The settings that a recorded search found for forgetting samples, or the profile's without one."""
    try:
        return tuned_settings(profile, "samples", method)
    except DataFileError:
        return profile.settings(method, "samples")


def plans(base: Mapping[str, Any], sizes: Sequence[int]) -> list[Plan]:
    """Every setting of one seed: each method of `base` at each size, small batches first.

    base: method -> settings that suit the largest size. Each size comes with their learning rate,
    which is how the paper's Fig. 4 reads, and below the largest also with one in proportion to the
    size (Goyal et al. 2017), so that the same images move the weights about as far. The stop rule is
    looked at each time that as many forgotten images have passed as the largest batch holds.
    """
    made = []
    largest = max(sizes)
    for size in sorted(sizes):
        for suffix in ("", IN_PROPORTION) if size < largest else ("",):
            for method, settings in base.items():
                rate = settings.learning_rate * (size / largest if suffix else 1)
                stopping = replace(settings.stopping, check_every=largest // size)
                sized = replace(settings, batch_size=size, learning_rate=rate, stopping=stopping)
                made.append(Plan(method, f"batch {size}{suffix}", sized))
    return made


def fight(lab: Lab, base: Mapping[str, Any], sizes: Sequence[int], seeds: Sequence[int]) -> list[Group]:
    """Run every plan now, once for each seed, beside the Retrain of that seed."""
    tasks = {seed: lab.sample_task(seed) for seed in seeds}
    reference = [evaluate(lab.retrained(tasks[seed], seed).model, tasks[seed]) for seed in seeds]
    groups = []
    for plan in plans(base, sizes):
        runs = [unlearn(plan.method, lab.original(seed).model, tasks[seed], plan.settings, seed) for seed in seeds]
        groups.append(
            Group(
                plan.method,
                plan.variant,
                plan.settings.learning_rate,
                getattr(plan.settings, "queue_size", plan.settings.batch_size),
                [evaluate(run.model, tasks[seed]) for run, seed in zip(runs, seeds, strict=True)],
                reference,
                [run.steps for run in runs],
                [run.stopped_by for run in runs],
            )
        )
    return groups


def recorded(dataset: str, profile: str = "laptop") -> list[Group]:
    """The same from ResNet-18's records, each run paired with Retrain's of its seed; empty where there are none."""
    groups = []
    for size in batch_sizes(get_profile(profile, dataset).count):
        for suffix in ("", IN_PROPORTION):
            for method in BOTH:
                variant = f"batch {size}{suffix}"
                pairs = paired_runs(dataset, "samples", method, variant, profile=profile)
                if not pairs:
                    continue
                settings = pairs[0][0]["settings"][method]
                groups.append(
                    Group(
                        method,
                        variant,
                        settings["learning_rate"],
                        settings.get("queue_size", size),
                        [run["metrics"] for run, _ in pairs],
                        [reference["metrics"] for _, reference in pairs],
                        [run["steps"] for run, _ in pairs],
                        [run["stopped_by"] for run, _ in pairs],
                    )
                )
    return groups


def share_without_positive(classes: int, count: int) -> float:
    """Chance, in percent, that `count` random images of balanced classes hold none of a given class."""
    return 100 * (1 - 1 / classes) ** count


def _spread(values: Sequence[float]) -> str:
    """The largest value minus the smallest, a dash for one value."""
    return f"{max(values) - min(values):.1f}" if len(values) > 1 else "–"


def table(groups: Sequence[Group], classes: int = 10, model: str = "resnet18") -> str:
    """Table 14 in Markdown: accuracies, gaps to Retrain, spread over seeds; the last row is the paper's.

    A spread is the largest seed minus the smallest. classes: for `share_without_positive`.
    """
    if not groups:
        return NONE_RECORDED
    head = ["method", "setting", "learning rate", "test (%)", "forgotten (%)", "gap on test", "gap on forgotten"]
    head += ["spread of test", "spread of forgotten", "steps", "anchors without a positive (%)", "ended by the rule"]
    rows = []
    for group in groups:
        scores = {key: [one[key] for one in group.measured] for key in ("test", "forget")}
        gaps = {
            key: [got - goal[key] for got, goal in zip(values, group.reference, strict=True)]
            for key, values in scores.items()
        }
        cells = [LABELS[group.method], group.variant, f"{group.learning_rate:.2g}"]
        cells += [str(interval(values)) for values in (*scores.values(), *gaps.values())]
        cells += [_spread(values) for values in scores.values()]
        cells += [f"{sum(group.steps) / len(group.steps):.0f}"]
        cells += [f"{share_without_positive(classes, group.partners):.2g}"]
        cells += [f"{group.stopped_by.count('rule')} of {len(group.stopped_by)}"]
        rows.append(cells)
    lost = [TABLE_14.value(model, "contrastive_queue", column) for column in TABLE_14.columns]
    rows.append(["the paper's Table 14", "–", "–", *lost, *["–"] * (len(head) - 5)])
    return markdown.table(head, rows)


def _off(groups: Sequence[Group]) -> float:
    """Mean distance of the test accuracy from Retrain's, in points, over all runs."""
    distances = [
        abs(got["test"] - goal["test"])
        for group in groups
        for got, goal in zip(group.measured, group.reference, strict=True)
    ]
    return sum(distances) / len(distances)


def verdict(groups: Sequence[Group]) -> str:
    """How far from Retrain each method's test accuracy ends under the two rules for the rate, one line a method."""
    largest = groups[-1].variant
    lines = []
    for method in BOTH:
        of_method = [group for group in groups if group.method == method]
        small = [group for group in of_method if group.variant != largest]
        slower = [group for group in small if group.variant.endswith(IN_PROPORTION)]
        parts = {
            "with one rate for all sizes": [group for group in small if group not in slower],
            "with the rate in proportion": slower,
            f"at {largest}": [group for group in of_method if group.variant == largest],
        }
        told = ", ".join(f"{_off(part):.1f} {words}" for words, part in parts.items() if part)
        lines.append(f"{LABELS[method]:18}: test accuracy off Retrain's by {told} (points, mean)")
    return "\n".join(lines)


def spreads(groups: Sequence[Group]) -> str:
    """At how many sizes the queue's test accuracies lie closer together over seeds, under each rule for the rate."""
    found: dict[str, dict[str, float]] = {}
    for group in groups:
        tests = [one["test"] for one in group.measured]
        found.setdefault(group.variant, {})[group.method] = max(tests) - min(tests)
    both = {variant: of for variant, of in found.items() if len(of) == len(BOTH)}
    lines = []
    for words, slower in (("one rate for all sizes", False), ("the rate in proportion", True)):
        chosen = [of for variant, of in both.items() if variant.endswith(IN_PROPORTION) == slower]
        closer = sum(of["contrastive_queue"] < of["contrastive"] for of in chosen)
        lines.append(
            f"{words}: the queue's spread of test accuracy is the smaller one at {closer} of {len(chosen)} sizes"
        )
    return "\n".join(lines)


def figure(groups: Sequence[Group]) -> go.Figure:
    """Test and forgotten accuracy of every seed's run, by setting and method, with Retrain's mean test accuracy."""
    made = go.Figure()
    for method in BOTH:
        for name, words in (("test", "test"), ("forget", "forgotten")):
            at = [(group.variant, one[name]) for group in groups if group.method == method for one in group.measured]
            made.add_scatter(
                x=[variant for variant, _ in at],
                y=[value for _, value in at],
                mode="markers",
                name=f"{LABELS[method]}: {words}",
                marker={"symbol": MARKERS[name], "size": 10, "color": COLOURS[method]},
            )
    goal = mean_interval([one["test"] for one in groups[0].reference]).mean
    style(made, "batch size and learning rate", "accuracy (%)")
    line = {"color": COLOURS["retrain"], "dash": "dash"}
    return made.add_hline(y=goal, line=line, annotation_text="Retrain's test")
