"""Rules for the claims of the paper's appendix: settings, classes, numbers of samples, architectures, queue, CLIP."""

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any

from .ablations import SWEEP, TEMPERATURES
from .claim_evidence import ENOUGH, KEPT, ZERO, at_scale, average, left_of_class, off
from .claim_rules import zero_with_utility
from .claims import HOLDS, OPEN, Outcome, of_parts
from .clip.table import recorded_runs as clip_runs
from .comparison import paired_runs
from .data import CLASSES
from .figures import LABELS
from .profiles import get_profile
from .results import read_runs
from .tuning import searched_with

FLAT = {"test": 1.0, "forget": 3.0}  # points over all temperatures that count as flat; Table 12 has 0.1 and 2.2


def flat_in_temperature(dataset: str, profile: str) -> Outcome | None:
    """Test and forget accuracy each vary over all of Table 12's temperatures by no more than FLAT."""
    means: dict[str, list[float]] = {name: [] for name in FLAT}
    count = 0
    for tau in TEMPERATURES:
        runs = read_runs(profile, dataset=dataset, method="contrastive", variant=f"tau {tau:g}", model="resnet18")
        if not runs:
            return None
        count += len(runs)
        for name, values in means.items():
            values.append(average([run["metrics"][name] for run in runs]))
    spans = {name: max(values) - min(values) for name, values in means.items()}
    evidence = ", ".join(f"{name} accuracy spans {span:.1f} points" for name, span in spans.items())
    return Outcome(at_scale(dataset, profile, count), of_parts(*[spans[name] <= FLAT[name] for name in FLAT]), evidence)


def roughness(curve: Sequence[dict[str, float]], name: str = "test", each: str = "round") -> float:
    """Mean change of an accuracy between two stop checks, in points, without its sign; 0 for fewer than two.

    each: "round", one check to the next, or "step", the same divided by the optimiser steps between them.
    """
    changes = [abs(b[name] - a[name]) / (b["steps"] - a["steps"] if each == "step" else 1) for a, b in pairwise(curve)]
    return sum(changes) / len(changes) if changes else 0.0


def swept(dataset: str, profile: str) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """The runs of Figs. 3 and 4: (batch size, omega) -> one a seed."""
    found: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for run in read_runs(profile, dataset=dataset, method="contrastive", table=SWEEP, model="resnet18"):
        settings = run["settings"]["contrastive"]
        found.setdefault((settings["batch_size"], settings["omega"]), []).append(run)
    return dict(sorted(found.items()))


def larger_is_steadier(what: str) -> Any:
    """The rule that larger omega ("omega") or batches ("batch") make test accuracy change less from check to check."""

    def rule(dataset: str, profile: str) -> Outcome | None:
        """With more, test accuracy changes less, all else equal, per round and per step alike, in ENOUGH pairs.

        A round has omega times as many steps, so where the two counts point to different sides nothing is decided.
        """
        sweep = swept(dataset, profile)
        fixed, moved = (0, 1) if what == "omega" else (1, 0)
        pairs = [(a, b) for a, b in combinations(sorted(sweep), 2) if a[fixed] == b[fixed] and a[moved] < b[moved]]
        if not pairs:
            return None
        steadier = {}
        for each in ("round", "step"):
            rough = {at: average([roughness(run["curve"], each=each) for run in runs]) for at, runs in sweep.items()}
            steadier[each] = sum(rough[b] <= rough[a] for a, b in pairs)
        told = " and ".join(f"in {count} per {each}" for each, count in steadier.items())
        evidence = f"of {len(pairs)} pairs that differ in {what} alone the larger is steadier {told}"
        mostly = {count * 2 > len(pairs) for count in steadier.values()}
        says = of_parts(mostly == {True}, all(count == len(pairs) for count in steadier.values()))
        if len(pairs) < ENOUGH or len({a[fixed] for a, _ in pairs}) < 2:
            says, evidence = OPEN, f"{evidence}, which are too few"
        elif len(mostly) > 1:
            says = OPEN
        return Outcome(at_scale(dataset, profile, sum(map(len, sweep.values()))), says, evidence)

    return rule


def every_class(dataset: str, profile: str) -> Outcome | None:
    """Every class of the data set, forgotten in turn, ends with both accuracies at most ZERO; all have to be run."""
    runs = read_runs(profile, dataset=dataset, method="contrastive", variant="tuned", model="resnet18")
    left: dict[str, list[float]] = {}
    for run in runs:
        if run["task"].startswith("class"):
            left.setdefault(run["task"], []).append(left_of_class(run))
    if len(left) < 2:
        return None
    gone = sum(average(values) <= ZERO for values in left.values())
    worst = max(left, key=lambda task: average(left[task]))
    evidence = f"{gone} of {len(left)} classes at zero; most is left of {worst}: {average(left[worst]):.1f} %"
    count = sum(len(values) for values in left.values())
    says = of_parts(gone * 2 > len(left), gone == len(left))
    if len(left) < CLASSES[dataset]:
        says, evidence = OPEN, f"{evidence}; the data set has {CLASSES[dataset]}"
    return Outcome(at_scale(dataset, profile, count), says, evidence)


def many_samples(dataset: str, profile: str) -> Outcome | None:
    """At every number of samples but the main one, with two runs of both or more: nearer to Retrain than Fisher, summed
    over forgotten samples and test images.
    """
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for method in ("contrastive", "fisher", "retrain"):
        for run in read_runs(profile, dataset=dataset, method=method, table="Table 11", model="resnet18"):
            found.setdefault(run["task"], {}).setdefault(method, []).append(run["metrics"])
    whole = {task: of for task, of in found.items() if len(of) == 3 and min(map(len, of.values())) > 1}
    if not whole:
        return None
    parts, told = [], []
    for task, of in whole.items():
        means = {
            name: {key: average([metrics[key] for metrics in runs]) for key in ("test", "forget")}
            for name, runs in of.items()
        }
        goal = means.pop("retrain")
        far = {name: sum(abs(mean[key] - goal[key]) for key in goal) for name, mean in means.items()}
        parts.append(far["contrastive"] < far["fisher"])
        words = [
            f"{LABELS[name]} {far[name]:.1f} points off ({mean['forget']:.1f} % of the forgotten, {mean['test']:.1f} % "
            "of the test images right)"
            for name, mean in means.items()
        ]
        told.append(f"{task}: {', '.join(words)}")
    count = sum(len(runs) for of in whole.values() for name, runs in of.items() if name != "retrain")
    return Outcome(at_scale(dataset, profile, count), of_parts(*parts), "; ".join(told))


OTHER_MODELS = ("resnet34", "resnet50", "resnet101", "vit_small")
OTHER_DATA = ("svhn", "mini_imagenet")


def other_models(dataset: str, profile: str) -> Outcome | None:
    """A class is forgotten as the first claim's rule asks, with every other architecture of the paper that has runs.

    Their settings are those of their own search, or of ResNet-18's where they have none, which is told.
    """
    found = {model: zero_with_utility(dataset, profile, model=model) for model in OTHER_MODELS}
    outcomes = {model: outcome for model, outcome in found.items() if outcome}
    if not outcomes:
        return None
    runs = [len(paired_runs(dataset, "class", "contrastive", "tuned", model, profile)) for model in outcomes]
    told = []
    for model, outcome in outcomes.items():
        by = searched_with(get_profile(profile, dataset, model), "class", "contrastive")
        whose = "its own" if by == model else f"{by}'s"
        told.append(f"{model}, {whose} settings: {outcome.says} ({outcome.evidence})")
    evidence = "; ".join(told)
    says = of_parts(*[outcome.says == HOLDS for outcome in outcomes.values()])
    return Outcome(at_scale(dataset, profile, sum(runs)), says, evidence)


def other_data(dataset: str, profile: str) -> Outcome | None:
    """A class is forgotten as the first claim's rule asks, on a data set of the paper's appendix that has runs."""
    return zero_with_utility(dataset, profile) if dataset in OTHER_DATA else None


def queue_works(dataset: str, profile: str) -> Outcome | None:
    """With a queue of embeddings both kinds of forgetting end at most KEPT further from Retrain than without."""
    parts, told = [], []
    count = 0
    for kind, sets in (("class", ("forget", "retain_test")), ("samples", ("forget", "test"))):
        ends = {}
        for method in ("contrastive", "contrastive_queue"):
            pairs = paired_runs(dataset, kind, method, "tuned", profile=profile)
            if pairs:
                count += len(pairs)
                ends[method] = average([off(pair, *sets) for pair in pairs])
        if len(ends) == 2:
            with_it, without = ends["contrastive_queue"], ends["contrastive"]
            parts.append(with_it <= without + KEPT)
            told.append(f"{kind}: {with_it:.1f} points from Retrain with it, {without:.1f} without")
    return Outcome(at_scale(dataset, profile, count), of_parts(*parts), "; ".join(told)) if parts else None


def clip_forgets(dataset: str, profile: str) -> Outcome | None:
    """In CLIP: no better than guessing on the class, more kept than by gradient ascent, finetuning above guessing."""
    if profile != "laptop":
        return None
    runs = {method: clip_runs(dataset, "small", method) for method in ("contrastive", "gradient_ascent", "finetune")}
    if not all(runs.values()):
        return None
    left = {name: average([got["forget_test"] for got, _ in pairs]) for name, pairs in runs.items()}
    kept = {name: average([got["retain_test"] for got, _ in pairs]) for name, pairs in runs.items()}
    parts = [left["contrastive"] <= 10, kept["contrastive"] > kept["gradient_ascent"], left["finetune"] > 10]
    evidence = ", ".join(f"{LABELS[name]}: {left[name]:.1f} % left, {kept[name]:.1f} % kept" for name in runs)
    return Outcome(at_scale(f"{dataset}, a small CLIP", profile, len(runs["contrastive"])), of_parts(*parts), evidence)
