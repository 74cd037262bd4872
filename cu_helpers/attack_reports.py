"""Attack reports that runs hold: how their numbers are read, and whether their attack may be believed."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .calibration import Verdict, advantage, calibration_verdict
from .comparison import rows_of
from .metrics import mean_interval
from .profiles import get_profile
from .results import read_runs

PAPER_ATTACK = "softmax, logistic"
Report = dict[str, Any]
Reports = Mapping[str, Mapping[int, Report]]  # row (method) -> seed -> `attacks.attack_report`
Reader = Callable[[Report, str], float]  # a report and a target -> points or percent


def rate_reader(attack: str) -> Reader:
    """Reads the member rate of a target, in percent, of one of `attacks.VARIANTS`."""
    return lambda report, target: float(report["member_rates"][attack][target])


def auc_reader(score: str) -> Reader:
    """Reads 100 times the AUC of a target ("forgotten" or "held_out") against unseen images."""
    return lambda report, target: 100 * float(report["thresholds"][score][target]["auc"]["value"])


def recorded_reports(dataset: str, kind: str, profile: str = "laptop", model: str = "resnet18") -> Reports:
    """The reports that recorded runs hold under "attack": the original, Retrain and each tuned method.

    A run without one is passed over, so the result may be empty.
    """
    return by_method(read_runs(profile, dataset=dataset, model=model), dataset, kind, profile)


def by_method(runs: Iterable[Mapping[str, Any]], dataset: str, kind: str, profile: str) -> Reports:
    """The reports of the profile's task among these runs, by method and seed."""
    whole = get_profile(profile, dataset).task_name(kind)
    kept: dict[str, dict[int, Report]] = {}
    for run in runs:
        # LCODEC's natural images are the first few of the same samples.
        fits = run["task"] == whole or (run["method"] == "lcodec" and run["task"].startswith(kind))
        reference = run["method"] in ("original", "retrain")
        if "attack" in run and fits and run.get("variant") == (None if reference else "tuned"):
            kept.setdefault(run["method"], {})[int(run["seed"])] = run["attack"]
    order = dict.fromkeys(["original", *(method for method, _, _ in rows_of(kind))])
    return {method: kept[method] for method in order if method in kept}


def verdict_of(reports: Reports, attack: str) -> Verdict:
    """The calibration of one attack of the paper's kind, from the original's mean rates."""
    read = rate_reader(attack)
    means = {
        target: mean_interval([read(report, target) for report in reports["original"].values()]).mean
        for target in ("forgotten", "held_out", "unseen")
    }
    # A class's forgotten images are compared with unseen ones of the same class.
    some = next(iter(reports["original"].values()))["member_rates"][attack]
    if "unseen_of_class" in some:
        of_class = mean_interval([read(report, "unseen_of_class") for report in reports["original"].values()]).mean
    else:
        of_class = means["unseen"]
    return calibration_verdict(means["forgotten"] - of_class, means["held_out"] - means["unseen"])


def auc_verdict(reports: Reports, score: str) -> Verdict:
    """The calibration of one threshold score, from the original's mean AUCs."""
    read = auc_reader(score)
    points = {
        target: advantage(mean_interval([read(report, target) for report in reports["original"].values()]).mean / 100)
        for target in ("forgotten", "held_out")
    }
    return calibration_verdict(points["forgotten"], points["held_out"])


def other_images(reports: Reports, method: str) -> int | None:
    """How many forgotten images a method's reports have, if not as many as Retrain's (LCODEC's few); else None."""
    counts = {
        name: {report.get("counts", {}).get("forgotten") for report in reports[name].values()} for name in reports
    }
    own, goal = counts[method], counts.get("retrain", counts[method])
    return min(own) if goal and own != goal and None not in own else None


def gaps_to_retrain(reports: Reports, method: str, read: Reader) -> list[float]:
    """A method's reading of the forgotten images minus Retrain's, for each seed that both have.

    None where it forgot other images.
    """
    retrained = {} if other_images(reports, method) else reports.get("retrain", {})
    return [
        read(report, "forgotten") - read(retrained[seed], "forgotten")
        for seed, report in reports[method].items()
        if seed in retrained
    ]
