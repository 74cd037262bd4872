"""What the rules for claims share: limits, averages, pairs of runs, and how a scale and its runs are told."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .comparison import SETS, Pair, paired_runs
from .figures import LABELS
from .metrics import mean_interval
from .readings import main_runs, of_few

ZERO = 1.0  # percent that count as zero accuracy: one test image in a hundred of a class
KEPT = 2.0  # points below Retrain that count as utility kept; the paper's Table 1 has up to 1.4
NEAR = 1.0  # MMD over its permutation limit: above it, forgotten and unseen embeddings are told apart
ENOUGH = 3  # pairs of runs below which a control that loses most of its runs decides nothing
COLLAPSED = 20.0  # points below Retrain on what stays: such a model forgets everything, not the forgotten images
TIED = 1.0  # points within which two mean distances to Retrain count as equal

STAYS = {kind: names[-1] for kind, names in SETS.items()}  # the accuracy that has to stay


def average(values: Sequence[float]) -> float:
    """The mean of one value or more."""
    return mean_interval(list(values)).mean


def runs_told(counts: Iterable[int]) -> str:
    """Numbers of runs in words: "1 run", "3 runs", "1 to 3 runs"."""
    found = sorted(set(counts))
    words = str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"
    return f"{words} run{'' if found == [1] else 's'}"


def at_scale(dataset: str, profile: str, count: int, rivals: Iterable[int] = ()) -> str:
    """Where a claim was tested, in words. rivals: how many runs each method has that ours is compared with."""
    told = f"{dataset}, profile {profile}, {runs_told([count])}"
    others = list(rivals)
    return f"{told}; {runs_told(others)} of each rival" if others else told


def beside(dataset: str, profile: str, kind: str, variant: str) -> list[tuple[Pair, Pair]]:
    """Contrastive unlearning's tuned runs beside another variant's, for each seed that both have."""
    tuned, other = (
        {run["seed"]: (run, base) for run, base in paired_runs(dataset, kind, "contrastive", name, profile=profile)}
        for name in ("tuned", variant)
    )
    return [(pair, other[seed]) for seed, pair in tuned.items() if seed in other]


def ends(both: Sequence[tuple[Pair, Pair]]) -> tuple[float, float]:
    """Mean points off Retrain's on forgotten images, of the first and of the second run of each pair."""
    first, second = (average([off(pair, "forget") for pair in side]) for side in zip(*both, strict=True))
    return first, second


def off(pair: Pair, *names: str) -> float:
    """Points between a run and its Retrain, without the sign, summed over these accuracies."""
    run, base = pair
    return float(sum(abs(run["metrics"][name] - base["metrics"][name]) for name in names))


def lost_points(pair: Pair, kind: str) -> float:
    """Points that a run ends below its Retrain on what has to stay."""
    run, base = pair
    return float(base["metrics"][STAYS[kind]] - run["metrics"][STAYS[kind]])


def collapsed(pair: Pair, kind: str) -> bool:
    """Whether a run lost more than COLLAPSED points of what has to stay."""
    return lost_points(pair, kind) > COLLAPSED


def lost_rest(profile: str, dataset: str, kind: str, method: str) -> bool:
    """Whether a method's tuned runs lost more than COLLAPSED points of what has to stay, on average."""
    pairs = paired_runs(dataset, kind, method, "tuned", profile=profile)
    return bool(pairs) and average([lost_points(pair, kind) for pair in pairs]) > COLLAPSED


def left_out(words: str, methods: Iterable[str]) -> str:
    """What to add for methods that are not compared: "; not timed: SCRUB, UNSIR", or "" for none."""
    names = ", ".join(LABELS[method] for method in methods)
    return f"; {words}: {names}" if names else ""


def missed_rule(run: Mapping[str, Any]) -> bool:
    """Whether a run with a stop rule went on to its last round without meeting it."""
    own = run["settings"].get(run["method"], {})
    return bool(run["stopped_by"] == "rounds" and own.get("stopping", {}).get("rule") == "paper")


def fewer_images(profile: str, dataset: str) -> str:
    """What to add where LCODEC, which forgets fewer samples, stands beside the others; "" where it does not."""
    few = of_few(main_runs(profile, dataset, "samples", "resnet18", "lcodec"), profile, dataset)
    return f"; LCODEC forgot {few} images" if few else ""


def left_of_class(run: Mapping[str, Any]) -> float:
    """The larger of both accuracies on a forgotten class, training and test images, in percent."""
    return float(max(run["metrics"]["forget"], run["metrics"]["forget_test"]))
