"""Rules for the claims of the paper's main comparison: accuracies, seconds, the two terms of the loss."""

from typing import Any

from .claim_evidence import (
    COLLAPSED,
    ENOUGH,
    KEPT,
    STAYS,
    TIED,
    ZERO,
    at_scale,
    average,
    beside,
    collapsed,
    ends,
    fewer_images,
    left_of_class,
    left_out,
    lost_points,
    lost_rest,
    missed_rule,
    off,
)
from .claims import HOLDS, OPEN, Outcome, fewest, of_parts
from .comparison import NO_CONTRAST, paired_runs, rows_of
from .figures import LABELS
from .grid_parts import PAPER_METHODS
from .metrics import mean_interval
from .paper import number
from .readings import timed_steps
from .results import read_runs


def zero_with_utility(
    dataset: str, profile: str, method: str = "contrastive", model: str = "resnet18"
) -> Outcome | None:
    """Both accuracies on the class at most ZERO, and retained test accuracy at most KEPT below Retrain's."""
    pairs = paired_runs(dataset, "class", method, "tuned", model, profile)
    if not pairs:
        return None
    left = mean_interval([left_of_class(run) for run, _ in pairs])
    gap = mean_interval([run["metrics"]["retain_test"] - base["metrics"]["retain_test"] for run, base in pairs])
    evidence = f"larger of both accuracies on the class: {left} %; retained test minus Retrain's: {gap}"
    return Outcome(at_scale(dataset, profile, len(pairs)), of_parts(left.mean <= ZERO, gap.mean >= -KEPT), evidence)


def only_one_at_zero(dataset: str, profile: str) -> Outcome | None:
    """Of the paper's methods for a class, contrastive unlearning alone passes the first claim's rule."""
    found = {method: zero_with_utility(dataset, profile, method) for method in PAPER_METHODS["class"]}
    passed = {method: outcome.says == HOLDS for method, outcome in found.items() if outcome}
    if "contrastive" not in passed or len(passed) < 2:
        return None
    others = [LABELS[method] for method, holds in passed.items() if holds and method != "contrastive"]
    evidence = f"{len(others)} of {len(passed) - 1} other methods pass too" + (
        f": {', '.join(others)}" if others else ""
    )
    runs = {method: len(paired_runs(dataset, "class", method, "tuned", profile=profile)) for method in passed}
    scale = at_scale(dataset, profile, runs.pop("contrastive"), runs.values())
    return Outcome(scale, of_parts(passed["contrastive"] and not others), evidence)


def fastest(kind: str) -> Any:
    """The rule that contrastive unlearning is the fastest for a kind of task."""

    def rule(dataset: str, profile: str) -> Outcome | None:
        """Of the paper's methods that keep the rest and, if they have a stop rule, end by it: the least time, less than
        Retrain's, and, for a class, at most ZERO left of it.
        """
        # Time in Retrain's steps, timed beside each run alone on its device: a busy machine slows both alike.
        steps = {
            method: timed_steps(profile, dataset, kind, "resnet18", method)
            for method in ("retrain", *PAPER_METHODS[kind])
        }
        means = {method: average([value for value, _ in found]) for method, found in steps.items() if found}
        whole = means.pop("retrain", None)
        unmet = {method for method in means if all(missed_rule(run) for _, run in steps[method])}
        lost = {method for method in means if lost_rest(profile, dataset, kind, method)} - unmet
        compared = {method: value for method, value in means.items() if method not in unmet | lost}
        if "contrastive" not in means or len(means) < 2:
            return None
        ours = means["contrastive"]
        parts = [ours <= min(compared.values(), default=ours)]
        evidence = "in Retrain's steps: " + fewest(compared | {"contrastive": ours}, "contrastive", "steps")
        if whole is not None:
            parts.append(ours < whole)
            evidence += f"; Retrain: {whole:.0f}"
        if kind == "class":
            left = mean_interval([left_of_class(run) for _, run in steps["contrastive"]])
            parts.append(left.mean <= ZERO)
            evidence += f"; left of the class: {left} %"
        untimed = [method for method in PAPER_METHODS[kind] if method not in means]
        for words, names in (("never at its stop rule", unmet), ("lost the rest too", lost), ("not timed", untimed)):
            evidence += left_out(words, sorted(names))
        rivals = [len(steps[method]) for method in compared if method != "contrastive"]
        scale = at_scale(dataset, profile, len(steps["contrastive"]), rivals)
        decided = "contrastive" in compared and rivals  # against nobody, and without an end of its own, nothing is won
        return Outcome(scale, of_parts(*parts) if decided else OPEN, evidence)

    return rule


def nearest_on_samples(dataset: str, profile: str) -> Outcome | None:
    """The smallest sum of both distances to Retrain, forgotten samples and test images, of the paper's methods."""
    found = {}
    for method in dict.fromkeys(method for method, variant, _ in rows_of("samples") if variant == "tuned"):
        pairs = paired_runs(dataset, "samples", method, "tuned", profile=profile)
        if pairs:
            found[method] = mean_interval([off(pair, "forget", "test") for pair in pairs])
    means = {method: one.mean for method, one in found.items() if method in PAPER_METHODS["samples"]}
    if "contrastive" not in means or len(means) < 2:
        return None
    ours = means["contrastive"]
    evidence = f"from Retrain: {found['contrastive']} points; of the paper's methods: " + fewest(
        means, "contrastive", "points"
    )
    nearer = [f"{LABELS[name]} {one}" for name, one in found.items() if name not in means and one.mean < ours]
    if nearer:
        evidence += f"; nearer, but not in the paper's table: {', '.join(nearer)}"
    rivals = [found[method].count for method in means if method != "contrastive"]
    evidence += fewer_images(profile, dataset)
    scale = at_scale(dataset, profile, found["contrastive"].count, rivals)
    return Outcome(scale, of_parts(ours <= min(means.values())), evidence)


def contrast_forgets(kind: str) -> Any:
    """The rule of our control: the contrast itself forgets."""

    def rule(dataset: str, profile: str) -> Outcome | None:
        """With the contrastive term, forget accuracy ends more than TIED nearer to Retrain's than with CE alone."""
        both = beside(dataset, profile, kind, NO_CONTRAST)
        if not both:
            return None
        with_it, without = ends(both)
        evidence = f"points off Retrain's on forgotten images: {with_it:.1f} with it, {without:.1f} without"
        return Outcome(at_scale(dataset, profile, len(both)), of_parts(with_it < without - TIED), evidence)

    return rule


def ce_helps_forgetting(dataset: str, profile: str) -> Outcome | None:
    """With the CE term, forget accuracy ends more than TIED nearer to Retrain's, in ENOUGH pairs, none COLLAPSED."""
    parts, told = [], []
    count = 0
    for kind in STAYS:
        both = beside(dataset, profile, kind, "no classification")
        if not both:
            continue
        count += len(both)
        # A model that answers one class for everything is as far from Retrain as chance has it.
        sound = [pairs for pairs in both if not any(collapsed(pair, kind) for pair in pairs)]
        lost = f"{len(both) - len(sound)} of {len(both)} pairs lose the rest as well and are not counted"
        if sound:
            with_it, without = ends(sound)
            lost = f"{with_it:.1f} points off Retrain's with it, {without:.1f} without; {lost}"
            if len(sound) >= ENOUGH:
                parts.append(with_it < without - TIED)
        told.append(f"{kind}: {lost}")
    if not told:
        return None
    return Outcome(at_scale(dataset, profile, count), of_parts(*parts) if parts else OPEN, "; ".join(told))


def ce_keeps_rest(dataset: str, profile: str) -> Outcome | None:
    """With the CE term what stays is at most KEPT below Retrain's, without it more than COLLAPSED below."""
    parts, told = [], []
    count = 0
    for kind in STAYS:
        both = beside(dataset, profile, kind, "no classification")
        if not both:
            continue
        count += len(both)
        with_it, without = (average([lost_points(pair, kind) for pair in side]) for side in zip(*both, strict=True))
        parts += [with_it <= KEPT, without > COLLAPSED]
        told.append(f"{kind}: {with_it:.1f} points below Retrain's with it, {without:.1f} without")
    return Outcome(at_scale(dataset, profile, count), of_parts(*parts), "; ".join(told)) if told else None


def quick_curve(dataset: str, profile: str) -> Outcome | None:
    """Forget accuracy is at most ZERO by the batch at which the paper's Fig. 2 reaches it, in the 'curve' runs."""
    runs = read_runs(profile, dataset=dataset, method="contrastive", variant="curve", model="resnet18")
    printed = number("Fig. 2", "resnet18 contrastive", "batches_to_zero")
    if not runs or printed is None or printed.value is None:
        return None
    reached = []
    for run in runs:
        omega = run["settings"]["contrastive"]["omega"]
        there = [row["steps"] / omega for row in run["curve"] if row["forget"] <= ZERO]
        reached.append(there[0] if there else float("inf"))
    parts = [at <= printed.value for at in reached]
    evidence = ", ".join("never" if at == float("inf") else f"batch {at:.0f}" for at in reached)
    return Outcome(at_scale(dataset, profile, len(runs)), of_parts(*parts), f"zero first seen at {evidence}")
