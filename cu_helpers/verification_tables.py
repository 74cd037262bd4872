"""Tables of attack reports, live or recorded: each with the original and Retrain, each attack with its verdict."""

from collections.abc import Mapping, Sequence

from .attack_reports import (
    PAPER_ATTACK,
    Reader,
    Report,
    Reports,
    auc_reader,
    auc_verdict,
    by_method,
    gaps_to_retrain,
    other_images,
    rate_reader,
    verdict_of,
)
from .calibration import Verdict, distance_verdict
from .figures import LABELS
from .markdown import table
from .metrics import mean_interval
from .paper import LOST, MODELS, TABLE_4, TABLE_19
from .results import read_runs

NOT_RUN = "not run"
NONE_RECORDED = "No attack on such a run is recorded in this copy of the book."
RATES = {"0.01": "1 %", "0.001": "0.1 %"}  # false-positive rates, as a report names them and as a reader does


def tpr_cell(of: Mapping[int, Report], score: str, target: str, rate: str) -> str:
    """The true-positive rate in percent at a false-positive rate: one run with its 95 % interval, or the spread."""
    found = [report["thresholds"][score][target]["tpr_at"].get(rate) for report in of.values()]
    if None in found:
        return "too few images"
    percent = [{name: 100 * float(value) for name, value in one.items()} for one in found]
    if len(percent) == 1:
        (one,) = percent
        return f"{one['value']:.1f} [{one['low']:.1f}, {one['high']:.1f}]"
    return spread([one["value"] for one in percent])


def spread(values: Sequence[float], signed: bool = False) -> str:
    """Mean ± standard deviation over seeds, as the paper prints it; one value alone says so."""
    count = len(values)
    mean = sum(values) / count
    start = f"{mean:+.1f}" if signed else f"{mean:.1f}"
    if count == 1:
        return f"{start} (one run)"
    deviation = (sum((value - mean) ** 2 for value in values) / (count - 1)) ** 0.5
    return f"{start} ± {deviation:.1f}"


def named(reports: Reports, method: str) -> str:
    """A method's label, with the number of its forgotten images where that is not Retrain's."""
    few = other_images(reports, method)
    return LABELS.get(method, method) + (f" ({few} images)" if few else "")


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
        cells = [named(reports, method), str(len(of))]
        cells += [spread([read(report, target) for report in of.values()]) for target in columns]
        gaps = gaps_to_retrain(reports, method, read)
        if method == "retrain" or not gaps:
            cells += ["reference" if method == "retrain" else "–", "–"]
        else:
            cells += [spread(gaps, signed=True), distance_verdict(gaps) if verdict.works else "attack broken"]
        if paper_model:
            cells += paper_cells(paper_model, method)
        rows.append(cells)
    return table(head, rows) + f"\n\nThis attack: **{verdict.words}**"


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

    Member rates in percent, and 100 times the AUC against unseen images, means over seeds. Behind the numbers of an
    attack that works stand the mean distance to Retrain and how it reads.
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
    head = ["attack", "on the original", *[named(reports, method) for method in reports]]
    rows = [
        [name, verdict.words, *[_overview_cell(reports, method, read, verdict.works) for method in reports]]
        for name, read, verdict in attacks
    ]
    return table(head, rows)


def _overview_cell(reports: Reports, method: str, read: Reader, works: bool) -> str:
    mean = mean_interval([read(report, "forgotten") for report in reports[method].values()]).mean
    gaps = [] if method in ("original", "retrain") or not works else gaps_to_retrain(reports, method, read)
    if not gaps:
        return f"{mean:.1f}"
    return f"{mean:.1f} ({mean_interval(gaps).mean:+.1f}, {distance_verdict(gaps)})"


def power_table(reports: Reports, score: str = "loss") -> str:
    """How much a score tells about each model's forgotten and retained images: AUC, and TPR at few false positives.

    The change of the retained images' AUC against the original's is the privacy that unlearning
    gave or took from those who stayed. The line below judges the score itself; a broken one reads no distance.
    """
    if not _complete(reports):
        return NONE_RECORDED
    head = ["model", "AUC, forgotten", "minus Retrain's", "reading", "AUC, retained", "minus the original's"]
    targets = {"forgotten": "forgotten", "held_out": "retained"}
    head += [f"TPR at {rate} FPR, {target} (%)" for rate in RATES.values() for target in targets.values()]
    read, verdict = auc_reader(score), auc_verdict(reports, score)
    rows = []
    for method, of in reports.items():
        gaps = gaps_to_retrain(reports, method, read)
        changes = [
            read(report, "held_out") - read(reports["original"][seed], "held_out")
            for seed, report in of.items()
            if seed in reports["original"]
        ]
        known = method != "retrain" and bool(gaps)
        cells = [named(reports, method), spread([read(report, "forgotten") for report in of.values()])]
        reading = distance_verdict(gaps) if known and verdict.works else "attack broken" if known else "–"
        cells += [spread(gaps, signed=True) if known else "–", reading]
        cells += [spread([read(report, "held_out") for report in of.values()])]
        cells += [spread(changes, signed=True) if changes and method != "original" else "–"]
        cells += [tpr_cell(of, score, target, rate) for rate in RATES for target in targets]
        rows.append(cells)
    return table(head, rows) + f"\n\nThis score: **{verdict.words}**"


def table_19(profile: str = "laptop") -> str:
    """Table 19's layout for SVHN: the paper's number where it survives, and ours where it was run."""
    methods = ["retrain", "contrastive", "finetune", "gradient_ascent", "fisher", "lcodec"]
    head = ["architecture", "images", *[f"{LABELS[method]}: paper / ours" for method in methods]]
    runs = read_runs(profile, dataset="svhn")
    rows = []
    for model in (*MODELS, "vit_small"):
        reports = by_method((run for run in runs if run["model"] == model), "svhn", "samples", profile)
        read = rate_reader(PAPER_ATTACK)
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
    return table(head, rows)


def paper_source() -> str:
    """Where the paper's member rates stand, as one sentence."""
    return f"Paper's rates: {TABLE_4.source} and {TABLE_19.source}. Cells that are {LOST} stay so."
