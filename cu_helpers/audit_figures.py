"""Chapter 15's pictures of audits: answers, relearning, pairs' ranks, memorised images, and words beside them."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from scipy import stats
from torch import Tensor

from .audit_measures import Measure
from .audit_tables import Findings, own_cell, progress
from .data import ImageData
from .figures import LABELS, SET_COLOURS, image_grid, lines, show, style

Curve = tuple[Sequence[float], Sequence[float]]


def told_progress(findings: Findings, measures: Sequence[Measure]) -> str:
    """How far each run has come from the original (0) to Retrain (1) on each measure, a line a run, as text."""
    told = []
    for name in findings:
        if name not in ("original", "retrain"):
            come = [progress(findings, name, measure) for measure in measures]
            told.append(f"{LABELS[name]:14} " + ", ".join("not told" if one is None else f"{one:+.2f}" for one in come))
    return "\n".join(told)


def show_shots(curves: Mapping[str, Curve], caption: str) -> None:
    """Share of unseen images recognised (%) over the images behind a class's centre, a curve a run."""
    told = "; ".join(f"{LABELS[name]} {y[0]:.0f} to {y[-1]:.0f} percent" for name, (_, y) in curves.items())
    figure = lines(curves, "forgotten images behind the centre", "unseen images of the class recognised (%)")
    show(figure, caption, f"Line plot of the share recognised against the number of images behind the centre: {told}.")


def show_relearning(findings: Findings, seed: int, caption: str) -> None:
    """The relearning curves (%) of one seed; the logit mask's, which is the original's, has none of its own."""
    curves: dict[str, Curve] = {}
    for name, of_seed in findings.items():
        curve = of_seed[seed]["relearn_curve"]
        if name != "logit_mask" and isinstance(curve, list):
            curves[name] = range(len(curve)), curve
    told = ", ".join(f"{LABELS[name]} {of_seed[seed]['relearn_steps']:.0f} steps" for name, of_seed in findings.items())
    figure = lines(
        curves, "steps on ten forgotten and ten retained images", "unseen images of the class recognised (%)"
    )
    show(figure, caption, f"Curves of the accuracy on unseen images of the class over relearning steps: {told}.")


def show_answers(findings: Findings, seed: int, classes: Sequence[str], caption: str) -> None:
    """A heat map: share of the forgotten images (%) by the best answer other than their class, a row a run."""
    shares = {name: np.asarray(of_seed[seed]["answers"]) for name, of_seed in findings.items()}
    runs, names = [LABELS[name] for name in shares], [str(name) for name in classes]
    heat = go.Heatmap(
        z=100 * np.stack(list(shares.values())), x=names, y=runs, colorscale="Blues", colorbar={"title": "%"}
    )
    figure = style(go.Figure(heat), "best answer other than the forgotten class", height=340)
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(type="category")
    told = ", ".join(
        f"{LABELS[name]} class {names[int(p.argmax())]} ({100 * p.max():.0f} percent)" for name, p in shares.items()
    )
    show(figure, caption, f"Heat map of answers by run. Most frequent: {told}.")


def pair_ranks(z: Tensor) -> Tensor:
    """Rank in percent (pairs,) of the cosine of every two rows of z (n, d), unit norm: 100 for the nearest pair."""
    first, second = torch.triu_indices(len(z), len(z), 1)
    ranks = stats.rankdata((z @ z.T)[first, second].numpy())
    return torch.from_numpy(100 * ranks / len(ranks))


def ranks_figure(
    before: Tensor, after: Mapping[str, Tensor], colours: Sequence[str], seen: Sequence[str], most: int = 400
) -> go.Figure:
    """Rank against rank of pairs of images, of at most `most` random pairs.

    before (n, d): the embeddings at the start. after: name -> embeddings (n, d) of the same images. seen: the names
    that are visible before a click in the legend.
    """
    start = pair_ranks(before)
    some = torch.randperm(len(start), generator=torch.Generator().manual_seed(0))[:most]
    figure = go.Figure()
    for (name, z), colour in zip(after.items(), colours, strict=True):
        marker = {"size": 4, "color": colour, "opacity": 0.6}
        visible = True if name in seen else "legendonly"
        x, y = start[some].numpy(), pair_ranks(z)[some].numpy()
        figure.add_scatter(x=x, y=y, mode="markers", name=name, marker=marker, visible=visible)
    return style(figure, "rank of a pair's cosine in the original (%)", "its rank afterwards (%)", height=460)


def show_scores(scores: Tensor, images: ImageData) -> None:
    """The most and the least memorised images, six each, and a histogram of all scores (n,).

    The images are left out where they are not those that the scores belong to.
    """
    order = scores.argsort(descending=True)
    pick = torch.cat([order[:6], order[-6:]])
    if len(images) == len(scores):
        show(
            image_grid(
                images.images[pick.to(images.device)].cpu().numpy(),
                [f"{images.labels[i]}, mem {scores[i]:.2f}" for i in pick.tolist()],
            ),
            "Top: the most memorised training images; few models knew their class without having seen them. Bottom: "
            "the lowest scores, which chance alone can put below zero.",
            "Two rows of six images: the most and the least memorised, with label and score.",
        )
    figure = go.Figure(go.Histogram(x=scores.numpy(), nbinsx=25, marker_color=SET_COLOURS["train"]))
    style(figure, "memorisation (share of models)", "training images")
    show(
        figure,
        "How much each training image had to be memorised. The bars near zero hold images that needed no memory.",
        f"Histogram of memorisation scores of {len(scores)} images, from {scores.min():.2f} to {scores.max():.2f}.",
    )


def near_and_far(row: Sequence[float | None]) -> str:
    """On how many measures of a row of `progress` a run is near Retrain, and on how many not half-way, as text."""
    known = [value for value in row if value is not None]
    near, early = sum(0.8 <= value < 1.2 for value in known), sum(value < 0.5 for value in known)
    return (
        f"near Retrain (0.8 to 1.2) on {near} of {len(known)} measures, less than half-way on {early} of {len(known)}"
    )


def three_means(findings: Findings, measure: Measure) -> str:
    """A measure of the original, of contrastive unlearning and of Retrain, means over seeds, as text."""
    names = ("original", "contrastive", "retrain")
    return ", ".join(f"{LABELS[name]} {own_cell(findings, name, measure)}" for name in names)
