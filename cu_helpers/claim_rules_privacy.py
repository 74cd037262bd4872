"""Rules for the claims about what an attack and an audit still find: Table 4, and the paper's central sentence."""

from .attack_reports import PAPER_ATTACK, rate_reader, recorded_reports, verdict_of
from .claim_evidence import NEAR, STAYS, at_scale, average, fewer_images, left_out, lost_rest
from .claims import OPEN, Outcome, fewest, of_parts
from .errors import DataFileError
from .figures import LABELS
from .grid_parts import PAPER_METHODS
from .readings import main_runs
from .roc import auc
from .shadow_attacks import u_lira
from .shadow_runs import read_shadows


def lowest_attack(dataset: str, profile: str) -> Outcome | None:
    """The lowest member rate on forgotten samples of the paper's methods, in each reading of its attack that works.

    The paper names neither features nor model of its attack; a reading works if it does on the original model. A
    rival that lost the rest as well is not compared: its outputs tell nobody from anybody.
    """
    reports = recorded_reports(dataset, "samples", profile)
    compared = [method for method in PAPER_METHODS["samples"] if method in reports]
    lost = [method for method in compared if method != "contrastive" and lost_rest(profile, dataset, "samples", method)]
    compared = [method for method in compared if method not in lost]
    if "original" not in reports or "contrastive" not in compared:
        return None
    rivals = [len(reports[method]) for method in compared if method != "contrastive"]
    scale = at_scale(dataset, profile, len(reports["contrastive"]), rivals)
    readings = next(iter(reports["original"].values()))["member_rates"]
    working = [attack for attack in readings if verdict_of(reports, attack).works]
    if not working:
        words = verdict_of(reports, PAPER_ATTACK).words
        return Outcome(scale, OPEN, f"none of {len(readings)} readings works on the original; {PAPER_ATTACK}: {words}")
    if len(compared) < 2:
        return None
    parts, told = [], []
    for attack in working:
        read = rate_reader(attack)
        rates = {
            method: average([read(report, "forgotten") for report in reports[method].values()])
            for method in [*compared, "retrain"]
            if method in reports
        }
        goal = rates.pop("retrain", None)
        parts.append(rates["contrastive"] <= min(rates.values()))
        beside = "" if goal is None else f", Retrain {goal:.1f}"
        told.append(f"{attack}: {fewest(rates, 'contrastive', '%')}{beside}")
    evidence = f"member rate in {len(working)} of {len(readings)} readings that work: {'; '.join(told)}"
    missing = [method for method in PAPER_METHODS["samples"] if method not in reports]
    evidence += left_out("lost the rest too and not compared", lost) + left_out("not attacked", missing)
    return Outcome(scale, of_parts(*parts), evidence + fewer_images(profile, dataset))


def withstands_u_lira(dataset: str, profile: str) -> Outcome | None:
    """U-LiRA's AUC on forgotten samples: its interval meets Retrain's, and lies below the original's.

    The attack is believed if the original's interval lies above Retrain's. AUC of 0.5 is chance.
    """
    try:
        records = read_shadows(profile, dataset)
    except DataFileError:
        return None
    found = {stage: auc(*u_lira(records, stage)) for stage in records.phi}
    ours, original, retrained = (found[stage] for stage in ("contrastive", "original", "retrain"))
    scale = f"{dataset}, profile {profile}, {len(records.trained)} shadow models"
    order = sorted(
        (stage for stage in found if stage not in ("original", "retrain")), key=lambda stage: found[stage].value
    )
    evidence = f"AUC: Retrain {retrained}, Original {original}; " + ", ".join(
        f"{LABELS[stage]} {found[stage]}" for stage in order
    )
    if original.low <= retrained.high:
        return Outcome(scale, OPEN, f"the attack does not tell the original from Retrain; {evidence}")
    return Outcome(scale, of_parts(ours.low <= retrained.high, ours.high < original.low), evidence)


def like_unseen(dataset: str, profile: str) -> Outcome | None:
    """For each kind of task: forgotten embeddings are not told apart from unseen ones, and nearer than before."""
    parts, told = [], []
    count = 0
    for kind in STAYS:
        ratios: dict[str, list[float]] = {}
        for method in ("original", "contrastive", "retrain"):
            runs = main_runs(profile, dataset, kind, "resnet18", method)
            ratios[method] = [run["audit"]["mmd"] / run["audit"]["mmd_limit"] for run in runs if "audit" in run]
        if not all(ratios.values()):
            continue
        count += len(ratios["contrastive"])
        means = {method: average(values) for method, values in ratios.items()}
        evidence = f"{kind}: " + ", ".join(f"{LABELS[method]} {value:.2f}" for method, value in means.items())
        if means["retrain"] > NEAR:  # the reference itself is told apart: the measure says nothing about forgetting
            told.append(f"{evidence} (not judged)")
            continue
        parts += [means["contrastive"] <= NEAR, means["contrastive"] < means["original"]]
        told.append(evidence)
    if not told:
        return None
    says = of_parts(*parts) if parts else OPEN
    return Outcome(at_scale(dataset, profile, count), says, f"MMD over its limit, {'; '.join(told)}")
