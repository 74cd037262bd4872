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
from .figures import LABELS
from .results import read_runs

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


def roughness(curve: Sequence[dict[str, float]], name: str = "test") -> float:
    """Mean change of an accuracy between two stop checks, in points, without its sign; 0 for fewer than two."""
    values = [row[name] for row in curve]
    steps = [abs(b - a) for a, b in pairwise(values)]
    return sum(steps) / len(steps) if steps else 0.0


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
        """With more, test accuracy changes less from one stop check to the next, all else equal, in ENOUGH pairs."""
        rough: dict[tuple[int, int], float] = {}
        count = 0
        for (size, omega), runs in swept(dataset, profile).items():
            count += len(runs)
            rough[size, omega] = average([roughness(run["curve"]) for run in runs])
        fixed, moved = (0, 1) if what == "omega" else (1, 0)
        pairs = [(a, b) for a, b in combinations(sorted(rough), 2) if a[fixed] == b[fixed] and a[moved] < b[moved]]
        if not pairs:
            return None
        steadier = sum(rough[b] <= rough[a] for a, b in pairs)
        evidence = f"steadier in {steadier} of {len(pairs)} pairs that differ in {what} alone"
        says = of_parts(steadier * 2 > len(pairs), steadier == len(pairs))
        if len(pairs) < ENOUGH:
            says, evidence = OPEN, f"{evidence}, which are too few"
        return Outcome(at_scale(dataset, profile, count), says, evidence)

    return rule


def every_class(dataset: str, profile: str) -> Outcome | None:
    """Every class of the data set, forgotten in turn, ends with both accuracies at most ZERO."""
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
    return Outcome(at_scale(dataset, profile, count), of_parts(gone * 2 > len(left), gone == len(left)), evidence)


def many_samples(dataset: str, profile: str) -> Outcome | None:
    """At every number of samples but the main one, with two runs of both or more: more test accuracy than Fisher."""
    # The evidence also tells what is left of the samples: a method that forgets none keeps its accuracy for nothing.
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for method in ("contrastive", "fisher"):
        for run in read_runs(profile, dataset=dataset, method=method, table="Table 11", model="resnet18"):
            found.setdefault(run["task"], {}).setdefault(method, []).append(run["metrics"])
    both = {task: of for task, of in found.items() if len(of) == 2 and min(map(len, of.values())) > 1}
    if not both:
        return None
    count = sum(len(runs) for of in both.values() for runs in of.values())
    parts, told = [], []
    for task, of in both.items():
        test, left = (
            {name: average([m[key] for m in runs]) for name, runs in of.items()} for key in ("test", "forget")
        )
        parts.append(test["contrastive"] >= test["fisher"])
        told.append(
            f"{task}: {test['contrastive']:.1f} % against {test['fisher']:.1f} %, "
            f"with {left['contrastive']:.1f} % and {left['fisher']:.1f} % of the forgotten still right"
        )
    evidence = "; ".join(told)
    return Outcome(at_scale(dataset, profile, count), of_parts(*parts), evidence)


OTHER_MODELS = ("resnet34", "resnet50", "resnet101", "vit_small")
OTHER_DATA = ("svhn", "mini_imagenet")


def other_models(dataset: str, profile: str) -> Outcome | None:
    """A class is forgotten as the first claim's rule asks, with every other architecture of the paper that has runs."""
    found = {model: zero_with_utility(dataset, profile, model=model) for model in OTHER_MODELS}
    outcomes = {model: outcome for model, outcome in found.items() if outcome}
    if not outcomes:
        return None
    runs = [len(paired_runs(dataset, "class", "contrastive", "tuned", model, profile)) for model in outcomes]
    evidence = "; ".join(f"{model} {outcome.says} ({outcome.evidence})" for model, outcome in outcomes.items())
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
