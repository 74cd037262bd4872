"""Rules for the claims of the paper's main comparison: accuracies, seconds, attacks, embeddings."""

from collections.abc import Sequence
from typing import Any

from .claims import HOLDS, OPEN, Outcome, fewest, of_parts
from .comparison import paired_runs
from .figures import LABELS
from .grid_parts import PAPER_METHODS
from .metrics import mean_interval
from .paper import number
from .reproduction import main_runs, timed_runs
from .results import read_runs
from .verification_tables import PAPER_ATTACK, rate_reader, recorded_reports, verdict_of

ZERO = 1.0  # percent that count as zero accuracy: one test image in a hundred of a class
KEPT = 2.0  # points below Retrain that count as utility kept; the paper's Table 1 has up to 1.4
NEAR = 1.0  # MMD over its permutation limit: above it, forgotten and unseen embeddings are told apart

Values = Sequence[float]


def average(values: Values) -> float:
    """The mean of one value or more."""
    return mean_interval(list(values)).mean


def at_scale(dataset: str, profile: str, count: int) -> str:
    """Where a claim was tested, in words."""
    return f"{dataset}, profile {profile}, {count} run{'' if count == 1 else 's'}"


def zero_with_utility(dataset: str, profile: str, method: str = "contrastive") -> Outcome | None:
    """Both accuracies on the class at most ZERO, and retained test accuracy at most KEPT below Retrain's."""
    pairs = paired_runs(dataset, "class", method, "tuned", profile=profile)
    if not pairs:
        return None
    left = [max(run["metrics"]["forget"], run["metrics"]["forget_test"]) for run, _ in pairs]
    gap = mean_interval([run["metrics"]["retain_test"] - base["metrics"]["retain_test"] for run, base in pairs])
    evidence = f"larger of both accuracies on the class: {mean_interval(left)} %; retained test minus Retrain's: {gap}"
    return Outcome(at_scale(dataset, profile, len(pairs)), of_parts(average(left) <= ZERO, gap.mean >= -KEPT), evidence)


def only_one_at_zero(dataset: str, profile: str) -> Outcome | None:
    """Of the paper's methods for a class, contrastive unlearning alone passes `zero_with_utility`."""
    found = {method: zero_with_utility(dataset, profile, method) for method in PAPER_METHODS["class"]}
    passed = {method: outcome.says == HOLDS for method, outcome in found.items() if outcome}
    if "contrastive" not in passed or len(passed) < 2:
        return None
    others = [LABELS[method] for method, holds in passed.items() if holds and method != "contrastive"]
    evidence = f"{len(others)} of {len(passed) - 1} other methods pass too" + (
        f": {', '.join(others)}" if others else ""
    )
    return Outcome(at_scale(dataset, profile, len(passed)), of_parts(passed["contrastive"] and not others), evidence)


def fastest(kind: str) -> Any:
    """The rule that contrastive unlearning is the fastest for a kind of task."""

    def rule(dataset: str, profile: str) -> Outcome | None:
        """The fewest seconds of the paper's methods, and fewer than Retrain; only runs alone on their device count."""
        seconds = {
            method: [value for value, _ in timed_runs(profile, dataset, kind, "resnet18", method)]
            for method in ("retrain", *PAPER_METHODS[kind])
        }
        means = {method: average(values) for method, values in seconds.items() if values}
        if "contrastive" not in means or len(means) < 3:
            return None
        ours = means["contrastive"]
        parts = [ours <= min(value for method, value in means.items() if method != "contrastive")]
        evidence = fewest(means, "contrastive", "s")
        if "retrain" in means:
            parts.append(ours < means["retrain"])
            evidence += f"; Retrain: {means['retrain']:.1f} s"
        return Outcome(at_scale(dataset, profile, len(seconds["contrastive"])), of_parts(*parts), evidence)

    return rule


def lowest_attack(dataset: str, profile: str) -> Outcome | None:
    """The lowest member rate on forgotten samples of the paper's methods, by an attack that works on the original."""
    reports = recorded_reports(dataset, "samples", profile)
    if "original" not in reports or "contrastive" not in reports:
        return None
    calibration = verdict_of(reports, PAPER_ATTACK)
    scale = at_scale(dataset, profile, len(reports["contrastive"]))
    if not calibration.works:
        return Outcome(scale, OPEN, f"the attack fails on the original model: {calibration.words}")
    read = rate_reader(PAPER_ATTACK)
    rates = {
        method: average([read(report, "forgotten") for report in reports[method].values()])
        for method in PAPER_METHODS["samples"]
        if method in reports
    }
    if len(rates) < 2:
        return None
    lowest = rates["contrastive"] <= min(rates.values())
    evidence = "member rate " + fewest(rates, "contrastive", "%")
    return Outcome(scale, of_parts(lowest), evidence)


def nearest_on_samples(dataset: str, profile: str) -> Outcome | None:
    """The smallest sum of both distances to Retrain, forgotten samples and test images, of the paper's methods."""
    found = {}
    for method in PAPER_METHODS["samples"]:
        pairs = paired_runs(dataset, "samples", method, "tuned", profile=profile)
        if pairs:
            found[method] = average(
                [
                    sum(abs(run["metrics"][name] - base["metrics"][name]) for name in ("forget", "test"))
                    for run, base in pairs
                ]
            )
    if "contrastive" not in found or len(found) < 2:
        return None
    nearest = found["contrastive"] <= min(found.values())
    evidence = "from Retrain: " + fewest(found, "contrastive", "points")
    runs = main_runs(profile, dataset, "samples", "resnet18", "contrastive")
    return Outcome(at_scale(dataset, profile, len(runs)), of_parts(nearest), evidence)


def contrast_forgets(kind: str) -> Any:
    """The rule of our control: the contrast itself forgets."""

    def rule(dataset: str, profile: str) -> Outcome | None:
        """With the contrastive term, forget accuracy ends nearer to Retrain's than with the CE term alone."""
        with_it = paired_runs(dataset, kind, "contrastive", "tuned", profile=profile)
        without = paired_runs(dataset, kind, "contrastive", "tuned, no contrast", profile=profile)
        if not with_it or not without:
            return None
        off = [
            average([abs(run["metrics"]["forget"] - base["metrics"]["forget"]) for run, base in pairs])
            for pairs in (with_it, without)
        ]
        evidence = f"points off Retrain's on forgotten images: {off[0]:.1f} with it, {off[1]:.1f} without"
        return Outcome(at_scale(dataset, profile, len(with_it)), of_parts(off[0] < off[1]), evidence)

    return rule


def ce_helps_forgetting(dataset: str, profile: str) -> Outcome | None:
    """With the CE term, forget accuracy ends nearer to Retrain's than with the contrastive term alone."""
    ends = []
    count = 0
    for kind in ("class", "samples"):
        with_it = paired_runs(dataset, kind, "contrastive", "tuned", profile=profile)
        without = paired_runs(dataset, kind, "contrastive", "no classification", profile=profile)
        if with_it and without:
            count += len(without)
            ends.append(
                [
                    average([abs(run["metrics"]["forget"] - base["metrics"]["forget"]) for run, base in pairs])
                    for pairs in (with_it, without)
                ]
            )
    if not ends:
        return None
    evidence = "; ".join(f"points off Retrain's: {a:.1f} with it, {b:.1f} without" for a, b in ends)
    return Outcome(at_scale(dataset, profile, count), of_parts(*[a < b for a, b in ends]), evidence)


def like_unseen(dataset: str, profile: str) -> Outcome | None:
    """Forgotten samples' embeddings are not told apart from unseen images', and nearer to them than before."""
    ratios: dict[str, list[float]] = {}
    for method in ("original", "contrastive", "retrain"):
        runs = main_runs(profile, dataset, "samples", "resnet18", method)
        ratios[method] = [run["audit"]["mmd"] / run["audit"]["mmd_limit"] for run in runs if "audit" in run]
    if not all(ratios.values()):
        return None
    means = {method: average(values) for method, values in ratios.items()}
    parts = [means["contrastive"] <= NEAR, means["contrastive"] < means["original"]]
    evidence = ", ".join(f"{LABELS[method]} {value:.2f}" for method, value in means.items())
    return Outcome(
        at_scale(dataset, profile, len(ratios["contrastive"])), of_parts(*parts), f"MMD over its limit: {evidence}"
    )


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
