"""Tables of attack reports, live or recorded: each with the original and Retrain, each attack with its verdict."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .calibration import Verdict, advantage, calibration_verdict, distance_verdict
from .comparison import rows_of
from .figures import LABELS
from .metrics import mean_interval
from .paper import LOST, MODELS, TABLE_4, TABLE_19
from .profiles import get_profile
from .results import read_runs

PAPER_ATTACK = "softmax, logistic"
NOT_RUN = "not run"
NONE_RECORDED = "No attack on such a run is recorded in this copy of the book."
Report = dict[str, Any]
Reports = Mapping[str, Mapping[int, Report]]  # row (method) -> seed -> `attacks.attack_report`
Reader = Callable[[Report, str], float]  # a report and a target -> points or percent


def rate_reader(attack: str) -> Reader:
    """Reads the member rate of a target, in percent, of one of `attacks.VARIANTS`."""
    return lambda report, target: float(report["member_rates"][attack][target])


def auc_reader(score: str) -> Reader:
    """Reads 100 times the AUC of a target ("forgotten" or "held_out") against unseen images."""
    return lambda report, target: 100 * float(report["thresholds"][score][target]["auc"]["value"])


def tpr_reader(score: str, rate: str = "0.01") -> Reader:
    """Reads the true-positive rate in percent at a false-positive rate of the report."""
    return lambda report, target: 100 * float(report["thresholds"][score][target]["tpr_at"][rate]["value"])


def recorded_reports(dataset: str, kind: str, profile: str = "laptop", model: str = "resnet18") -> Reports:
    """The reports that recorded runs hold under "attack": the original, Retrain and each tuned method.

    A run without one is passed over, so the result may be empty.
    """
    return _by_method(read_runs(profile, dataset=dataset, model=model), dataset, kind, profile)


def _by_method(runs: Iterable[Mapping[str, Any]], dataset: str, kind: str, profile: str) -> Reports:
    sizes = get_profile(profile, dataset)
    whole = f"class{sizes.label}" if kind == "class" else f"samples{sizes.count}"
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


def spread(values: Sequence[float], signed: bool = False) -> str:
    """Mean ± standard deviation over seeds, as the paper prints it; one value alone says so."""
    count = len(values)
    mean = sum(values) / count
    start = f"{mean:+.1f}" if signed else f"{mean:.1f}"
    if count == 1:
        return f"{start} (one run)"
    deviation = (sum((value - mean) ** 2 for value in values) / (count - 1)) ** 0.5
    return f"{start} ± {deviation:.1f}"


def gaps_to_retrain(reports: Reports, method: str, read: Reader, target: str = "forgotten") -> list[float]:
    """A method's reading minus Retrain's, for each seed that both have."""
    retrained = reports.get("retrain", {})
    return [
        read(report, target) - read(retrained[seed], target)
        for seed, report in reports[method].items()
        if seed in retrained
    ]


def _lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def _complete(reports: Reports) -> bool:
    return "original" in reports and "retrain" in reports


def member_table(reports: Reports, attack: str = PAPER_ATTACK, paper_model: str | None = None) -> str:
    """Table 4 for one attack: member rates in percent, mean ± standard deviation over seeds.

    The line below judges the attack itself; a broken one reads no distance. paper_model: adds the
    paper's own numbers for that architecture. Without a report of the original and of Retrain there
    is no table, and one line says so.
    """
    if not _complete(reports):
        return NONE_RECORDED
    read, verdict = rate_reader(attack), verdict_of(reports, attack)
    columns = {"forgotten": "forgotten (%)", "held_out": "held-out members (%)", "unseen": "unseen (%)"}
    if "unseen_of_class" in next(iter(reports["original"].values()))["member_rates"][attack]:
        columns["unseen_of_class"] = "unseen of the class (%)"
    head = ["model", "seeds", *columns.values(), "forgotten minus Retrain's", "reading"]
    if paper_model:
        head += ["paper: forgotten", "paper: held-out members", "paper: forgotten minus Retrain's"]
    rows = []
    for method, of in reports.items():
        cells = [LABELS.get(method, method), str(len(of))]
        cells += [spread([read(report, target) for report in of.values()]) for target in columns]
        gaps = gaps_to_retrain(reports, method, read)
        if method == "retrain" or not gaps:
            cells += ["reference" if method == "retrain" else "–", "–"]
        else:
            cells += [spread(gaps, signed=True), distance_verdict(gaps) if verdict.works else "attack broken"]
        if paper_model:
            cells += paper_cells(paper_model, method)
        rows.append(cells)
    return _lines(head, rows) + f"\n\nThis attack: **{verdict.words}**"


def paper_cells(model: str, method: str) -> list[str]:
    """The paper's Table 4 for one row: forgotten, held-out members, and the first minus its Retrain's."""
    numbers = TABLE_4.cells.get((model, method))
    if numbers is None:
        return ["–", "–", "–"]
    gap = numbers[0] - TABLE_4.cells[(model, "retrain")][0]
    return [
        f"{numbers[0]:g} ± {numbers[1]:g}",
        f"{numbers[2]:g} ± {numbers[3]:g}",
        "reference" if method == "retrain" else f"{gap:+.1f}",
    ]


def overview_table(reports: Reports) -> str:
    """Every attack's number on the forgotten images of every model, and its own verdict.

    Member rates in percent, and 100 times the AUC against unseen images, means over seeds.
    """
    if not _complete(reports):
        return NONE_RECORDED
    some = next(iter(reports["original"].values()))
    attacks: list[tuple[str, Reader, Verdict]] = [
        (f"member rate: {attack}", rate_reader(attack), verdict_of(reports, attack)) for attack in some["member_rates"]
    ]
    attacks += [
        (f"AUC: {score.replace('_', ' ')}", auc_reader(score), auc_verdict(reports, score))
        for score in some["thresholds"]
    ]
    head = ["attack", "on the original", *[LABELS.get(method, method) for method in reports]]
    rows = [
        [name, verdict.words, *[f"{_mean(of, read):.1f}" for of in reports.values()]] for name, read, verdict in attacks
    ]
    return _lines(head, rows)


def _mean(of: Mapping[int, Report], read: Reader, target: str = "forgotten") -> float:
    return mean_interval([read(report, target) for report in of.values()]).mean


def power_table(reports: Reports, score: str = "loss") -> str:
    """How much a score tells about each model's forgotten and retained images: AUC and TPR at 1 % false positives.

    The change of the retained images' AUC against the original's is the privacy that unlearning
    gave or took from those who stayed.
    """
    if not _complete(reports):
        return NONE_RECORDED
    head = ["model", "AUC, forgotten", "minus Retrain's", "reading", "AUC, retained", "minus the original's"]
    head += ["TPR at 1 % FPR, forgotten (%)", "TPR at 1 % FPR, retained (%)"]
    read, tpr = auc_reader(score), tpr_reader(score)
    rows = []
    for method, of in reports.items():
        gaps = gaps_to_retrain(reports, method, read)
        changes = [
            read(report, "held_out") - read(reports["original"][seed], "held_out")
            for seed, report in of.items()
            if seed in reports["original"]
        ]
        known = method != "retrain" and bool(gaps)
        cells = [LABELS.get(method, method), spread([read(report, "forgotten") for report in of.values()])]
        cells += [spread(gaps, signed=True) if known else "–", distance_verdict(gaps) if known else "–"]
        cells += [spread([read(report, "held_out") for report in of.values()])]
        cells += [spread(changes, signed=True) if changes and method != "original" else "–"]
        cells += [
            spread([tpr(report, target) for report in of.values()])
            if all("0.01" in report["thresholds"][score][target]["tpr_at"] for report in of.values())
            else "too few images"
            for target in ("forgotten", "held_out")
        ]
        rows.append(cells)
    return _lines(head, rows)


def table_19(profile: str = "laptop", attack: str = PAPER_ATTACK) -> str:
    """Table 19's layout for SVHN: the paper's number where it survives, and ours where it was run."""
    methods = ["retrain", "contrastive", "finetune", "gradient_ascent", "fisher", "lcodec"]
    head = ["architecture", "images", *[f"{LABELS[method]}: paper / ours" for method in methods]]
    runs = read_runs(profile, dataset="svhn")
    rows = []
    for model in (*MODELS, "vit_small"):
        reports = _by_method((run for run in runs if run["model"] == model), "svhn", "samples", profile)
        read = rate_reader(attack)
        for target, words in (("forgotten", "forgotten (%)"), ("held_out", "held-out members (%)")):
            cells = []
            for method in methods:
                theirs = TABLE_19.value(model, method, target)
                ours = (
                    spread([read(report, target) for report in reports[method].values()])
                    if method in reports
                    else NOT_RUN
                )
                cells.append(f"{theirs} / {ours}")
            rows.append([model, words, *cells])
    return _lines(head, rows)


def paper_source() -> str:
    """Where the paper's member rates stand, as one sentence."""
    return f"Paper's rates: {TABLE_4.source} and {TABLE_19.source}. Cells that are {LOST} stay so."
