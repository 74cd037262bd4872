"""Audits of many models side by side: each against the original and Retrain of its own seed."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from . import markdown
from .arena import Bout
from .audit_measures import Measure
from .audits import LIMIT, Audit, audit_all
from .comparison import NO_CONTRAST, rows_of
from .figures import COLOURS, GREY, LABELS, SET_COLOURS, bars, show, style
from .metrics import Interval, mean_interval
from .notebook import Lab
from .profiles import get_profile
from .results import read_runs

Findings = dict[str, dict[int, Audit]]  # name of a run -> seed -> audit

NONE_AUDITED = "No audited run is recorded in this copy of the book."


def recorded_audits(dataset: str, kind: str, profile: str = "laptop") -> Findings:
    """Every audit among ResNet-18's runs of a kind of task: original, Retrain, then the methods at their own stop.

    Runs of another class or number of samples are left out, since no Retrain of theirs was audited.
    """
    task = get_profile(profile, dataset).task_name(kind)
    rows = [("original", None, "original")] + [
        (method, variant, method if variant in (None, "tuned") else "no_contrast")
        for method, variant, _ in rows_of(kind)
        if variant in (None, "tuned", NO_CONTRAST)
    ]
    found: Findings = {}
    for method, variant, name in rows:
        runs = read_runs(profile, dataset=dataset, model="resnet18", method=method, variant=variant, task=task)
        audits = {run["seed"]: run["audit"] for run in runs if "audit" in run}
        if audits:
            found[name] = audits
    return found if "retrain" in found else {}


def live_audits(lab: Lab, kind: str, bouts: Mapping[str, Sequence[Bout]], limit: int = LIMIT) -> Findings:
    """Audits of original, Retrain and of the models of `arena.fight`, by seed."""
    found: Findings = {}
    for at, seed in enumerate(bout.seed for bout in next(iter(bouts.values()))):
        task = lab.class_task() if kind == "class" else lab.sample_task(seed)
        original, retrained = lab.original(seed).model, lab.retrained(task, seed).model
        models = {"original": original, "retrain": retrained}
        models |= {name: runs[at].result.model for name, runs in bouts.items()}
        for name, audit in audit_all(models, task, original, retrained, seed, limit).items():
            found.setdefault(name, {})[seed] = audit
    return found


def values(findings: Findings, name: str, measure: Measure) -> Interval:
    """Mean and 95 % interval of a measure over the seeds of one run."""
    return mean_interval([measure.read(audit) for audit in findings[name].values()])


def gap(findings: Findings, name: str, measure: Measure, to: str = "retrain") -> Interval | None:
    """The measure minus Retrain's (or another run's) of the same seed.

    None if no seed has both, or if one of the numbers is censored.
    """
    shared = [seed for seed in findings[name] if seed in findings[to]]
    if not shared or any(measure.censored(findings[one][seed]) for one in (name, to) for seed in shared):
        return None
    return mean_interval([measure.read(findings[name][seed]) - measure.read(findings[to][seed]) for seed in shared])


def _cell(found: Interval | None, digits: int, sign: str = "") -> str:
    if found is None:
        return "–"
    middle = f"{found.mean:{sign}.{digits}f}"
    return f"{middle} (one run)" if math.isnan(found.half) else f"{middle} ± {found.half:.{digits}f}"


def own_cell(findings: Findings, name: str, measure: Measure) -> str:
    """Mean and interval; where runs are censored, how many, and the mean of the others alone."""
    audits = findings[name].values()
    known = [measure.read(audit) for audit in audits if not measure.censored(audit)]
    if len(known) == len(audits):
        return _cell(mean_interval(known), measure.digits)
    most = max(measure.read(audit) for audit in audits if measure.censored(audit))
    cut = f"> {most:.0f} in {len(audits) - len(known)} of {len(audits)}"
    return f"{cut}, else {mean_interval(known).mean:.{measure.digits}f}" if known else cut


def audit_table(findings: Findings, measures: Sequence[Measure]) -> str:
    """A Markdown table: each measure's mean ± 95 % interval over seeds, and its gap to Retrain, paired by seed."""
    if not findings:
        return NONE_AUDITED
    head = ["run", "seeds"]
    for measure in measures:
        head += [measure.words, "gap to Retrain"]
    rows = []
    for name, audits in findings.items():
        cells = [LABELS.get(name, name), str(len(audits))]
        for measure in measures:
            cells.append(own_cell(findings, name, measure))
            own = gap(findings, name, measure)
            cells.append("reference" if name == "retrain" else _cell(own, measure.digits, "+"))
        rows.append(cells)
    return markdown.table(head, rows)


def show_bars(findings: Findings, measure: Measure, caption: str) -> None:
    """Bars of one measure, mean and 95 % interval over seeds, with Retrain's mean as a dashed line."""
    found = {name: values(findings, name, measure) for name in findings}
    figure = bars({name: (one.mean, one.half) for name, one in found.items()}, measure.words)
    figure.add_hline(y=found["retrain"].mean, line={"color": COLOURS["retrain"], "dash": "dash"})
    told = ", ".join(f"{LABELS.get(name, name)} {one.mean:.{measure.digits}f}" for name, one in found.items())
    show(figure, f"{caption} Mean and 95 % interval over seeds; dashed: Retrain.", f"Bars of {measure.words}: {told}.")


def progress(findings: Findings, name: str, measure: Measure) -> float | None:
    """How far a run has come from the original (0) to Retrain (1) on a measure, in means over the run's own seeds.

    Below 0 it went the other way, above 1 it went past Retrain. None if original and Retrain are not apart: their
    paired difference over all seeds is not known to be other than zero, or there is but one seed; None as well if a
    number is censored.
    """
    whole = gap(findings, "original", measure)
    if whole is None or math.isnan(whole.half) or abs(whole.mean) <= whole.half:
        return None
    own = {seed: audit for seed, audit in findings["original"].items() if seed in findings[name]}
    own = {seed: audit for seed, audit in own.items() if seed in findings["retrain"]}
    if not own:
        return None
    same = {**findings, "original": own}
    way, part = gap(same, "original", measure), gap(same, "original", measure, to=name)
    return None if way is None or part is None or way.mean == 0 else part.mean / way.mean


def progress_map(findings: Findings, measures: Sequence[Measure]) -> tuple[go.Figure, dict[str, list[float | None]]]:
    """A heat map of `progress`, a row a run and a column a measure, and its numbers; white is Retrain.

    A row's label tells how many runs it has.
    """
    names = [name for name in findings if name not in ("original", "retrain")]
    found = {name: [progress(findings, name, measure) for measure in measures] for name in names}
    figure = go.Figure(
        go.Heatmap(
            z=[[None if one is None else one - 1 for one in row] for row in found.values()],
            text=[["–" if one is None else f"{one:.2f}" for one in row] for row in found.values()],
            texttemplate="%{text}",
            x=[measure.words for measure in measures],
            y=[f"{LABELS.get(name, name)} ({len(findings[name])})" for name in names],
            zmin=-1,
            zmax=1,
            # Orange: still as the original; white: as Retrain; blue: past it.
            colorscale=[[0, "#d55e00"], [0.5, "#ffffff"], [1, "#0072b2"]],
            showscale=False,
            hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
            textfont={"color": "#222222"},
        )
    )
    style(figure, height=140 + 34 * len(names))
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(plot_bgcolor=GREY)  # a measure without a scale of its own stays grey
    return figure, found


TASKS = {"class": "forgetting a class", "samples": "forgetting samples"}


def both_tables(found: Mapping[str, Findings], measures: Sequence[Measure]) -> str:
    """`audit_table` of each kind of task, each under its name."""
    return "\n\n".join(f"**{TASKS[kind].capitalize()}**\n\n{audit_table(of, measures)}" for kind, of in found.items())


def show_pairs(
    findings: Findings, pairs: Mapping[str, tuple[str, Measure]], y: str, level: float, caption: str
) -> None:
    """Grouped bars, mean and 95 % interval over seeds, with a dashed level.

    pairs: what the legend says -> (a key of figures.SET_COLOURS, measure). y: the axis title.
    """
    figure = go.Figure()
    names = [LABELS.get(name, name) for name in findings]
    told = []
    for words, (part, measure) in pairs.items():
        found = [values(findings, name, measure) for name in findings]
        half = [0.0 if math.isnan(one.half) else one.half for one in found]
        means = [one.mean for one in found]
        figure.add_bar(x=names, y=means, error_y={"array": half}, name=words, marker_color=SET_COLOURS[part])
        told.append(f"{words}: " + ", ".join(f"{n} {m:.2f}" for n, m in zip(names, means, strict=True)))
    style(figure, y=y)
    figure.add_hline(y=level, line={"color": GREY, "dash": "dash"})
    show(figure, caption, f"Grouped bars of {y}. " + "; ".join(told) + ".")


def show_progress(findings: Findings, measures: Sequence[Measure], title: str) -> dict[str, list[float | None]]:
    """Show `progress_map` and return its numbers; title: what the caption begins with."""
    figure, found = progress_map(findings, measures)
    told = "; ".join(
        f"{LABELS.get(name, name)} " + ", ".join("none" if one is None else f"{one:.1f}" for one in row)
        for name, row in found.items()
    )
    show(
        figure,
        f"{title}: the way from the original (0, orange) to Retrain (1, white), and past it (blue).",
        f"Heat map, a row for each method and a column for each of {', '.join(m.words for m in measures)}: {told}.",
    )
    return found
