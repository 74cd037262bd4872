"""Every plot's visual language: one palette, one colour per method, three markers, alt text."""

import html
import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

# Okabe and Ito's palette, safe for colour-blind readers, darkened where it met a white page.
COLOURS = {
    "original": "#6b6b6b",
    "retrain": "#009e73",
    "contrastive": "#0072b2",
    "contrastive_queue": "#b03060",
    "finetune": "#d55e00",
    "gradient_ascent": "#cc79a7",
    "no_contrast": "#e69f00",
    "fisher": "#56b4e9",
    "lcodec": "#8c564b",
    "boundary_shrink": "#b8860b",
    "boundary_expansion": "#7f7f00",
    "scrub": "#9467bd",
    "unsir": "#17becf",
    "logit_mask": "#404040",
    "neggrad_plus": "#c49c94",
    "ssd": "#bcbd22",
    "salun": "#e377c2",
}
LABELS = {
    "original": "Original",
    "retrain": "Retrain",
    "contrastive": "Contrastive",
    "contrastive_queue": "Contrastive, queue",
    "finetune": "Finetune",
    "gradient_ascent": "Gradient ascent",
    "no_contrast": "Contrastive without L_UL",
    "fisher": "Fisher",
    "lcodec": "LCODEC",
    "boundary_shrink": "Boundary shrink",
    "boundary_expansion": "Boundary expansion",
    "scrub": "SCRUB",
    "unsir": "UNSIR",
    "logit_mask": "Logit mask",
    "neggrad_plus": "NegGrad+",
    "ssd": "SSD",
    "salun": "SalUn",
}
# The same three markers in the whole book: what is trained on and kept, forgotten, never seen.
MARKERS = {"train": "circle", "forget": "x", "test": "diamond-open"}
SET_COLOURS = {"train": "#0072b2", "forget": "#d55e00", "test": "#009e73"}
COLOURWAY = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # curves that no name colours
GREY = "#808080"  # readable on white and on black
Look = tuple[str | None, str]  # a curve's colour and its dash
TITLE = 30  # characters of a y title that fit beside a plot of the usual height


def style(figure: go.Figure, x: str | None = None, y: str | None = None, height: int = 380) -> go.Figure:
    """Give a figure the book's look, in place: transparent, legend below, axis titles with units.

    x, y: axis titles; None leaves them. A long y title stands in two lines, or plotly would cut it.
    Transparent backgrounds suit a light and a dark page.
    """
    figure.update_layout(
        height=height,
        margin={"l": 55, "r": 15, "t": 35, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": GREY, "size": 13},
        legend={"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0},
        autosize=True,
        colorway=COLOURWAY,
    )
    grid = {"gridcolor": "rgba(128,128,128,0.25)", "zerolinecolor": "rgba(128,128,128,0.5)"}
    figure.update_xaxes(automargin=True, **grid)
    figure.update_yaxes(automargin=True, **grid)
    if x is not None:
        figure.update_xaxes(title_text=x)
    if y is not None:
        figure.update_yaxes(title_text="<br>".join(textwrap.wrap(y, max(TITLE, len(y) // 2 + 6))))
    return figure


def scatter(groups: dict[str, ArrayLike], x: str, y: str, hover: dict[str, Sequence[str]] | None = None) -> go.Figure:
    """Points (n, 2) by group; groups named train, forget or test get their own markers.

    hover: a text for each point of a group.
    """
    figure = go.Figure()
    for name, points in groups.items():
        at = np.asarray(points, dtype=float)
        kind = next((word for word in MARKERS if word in name), "train")
        figure.add_scatter(
            x=at[:, 0],
            y=at[:, 1],
            mode="markers",
            name=name,
            text=None if hover is None else list(hover[name]),
            marker={"symbol": MARKERS[kind], "color": SET_COLOURS[kind], "size": 7, "opacity": 0.75},
        )
    return style(figure, x, y)


def lines(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], x: str, y: str, looks: Mapping[str, Look] | None = None
) -> go.Figure:
    """Curves (x, y) by method name (a key of `COLOURS`) or by any other label.

    looks: a colour (None: the usual one) and a dash for each curve, which then has no markers.
    """
    figure = go.Figure()
    for name, (at, value) in curves.items():
        line: dict[str, Any] = {} if looks is None else {"dash": looks[name][1], "width": 2.5}
        if colour := COLOURS.get(name) if looks is None else looks[name][0]:
            line["color"] = colour
        figure.add_scatter(
            x=np.asarray(at, dtype=float),
            y=np.asarray(value, dtype=float),
            mode="lines+markers" if looks is None else "lines",
            name=LABELS.get(name, name),
            line=line or None,
        )
    return style(figure, x, y)


def add_measured(figure: go.Figure, x: ArrayLike, y: ArrayLike, name: str, colour: str) -> None:
    """Put what was measured or simulated beside a formula's curve, as open diamonds at x (n,), y (n,)."""
    marker = {"symbol": "diamond-open", "size": 10, "color": colour}
    figure.add_scatter(x=np.asarray(x), y=np.asarray(y), mode="markers", name=name, marker=marker)


def bars(values: dict[str, tuple[float, float]], y: str) -> go.Figure:
    """One bar with its half-interval for each method name: name -> (mean, half-width)."""
    figure = go.Figure()
    for name, (mean, half) in values.items():
        figure.add_bar(
            x=[LABELS.get(name, name)],
            y=[mean],
            error_y={"type": "data", "array": [0.0 if np.isnan(half) else half], "visible": True},
            marker_color=COLOURS.get(name, GREY),
            name=LABELS.get(name, name),
            showlegend=False,
        )
    return style(figure, y=y)


def grouped_bars(
    values: Mapping[str, Sequence[float]],
    x: Sequence[object],
    titles: tuple[str, str],
    colours: Sequence[str],
    spreads: Mapping[str, Sequence[float]] | None = None,
) -> go.Figure:
    """Bars side by side at each place of x: legend name -> heights. titles: of the two axes; spreads: half-widths."""
    figure = go.Figure()
    for (name, heights), colour in zip(values.items(), colours, strict=True):
        error = None if spreads is None else {"type": "data", "array": list(spreads[name]), "color": GREY}
        figure.add_bar(x=[str(place) for place in x], y=list(heights), name=name, marker_color=colour, error_y=error)
    return style(figure, *titles).update_xaxes(type="category")


def boxes(groups: Mapping[str, ArrayLike], y: str, colours: Sequence[str], most: int = 2000) -> go.Figure:
    """A box for each group of numbers (n,), at most about `most` of which go into the page, evenly taken."""
    figure = go.Figure()
    for (name, values), colour in zip(groups.items(), colours, strict=True):
        array = np.asarray(values, dtype=float)
        thin = array[:: max(1, len(array) // most)]
        figure.add_box(y=thin, name=LABELS.get(name, name), marker_color=colour, boxpoints=False, showlegend=False)
    return style(figure, y=y)


def histograms(groups: dict[str, ArrayLike], x: str, bins: int = 30) -> go.Figure:
    """Overlaid histograms of shares on common bins, as step lines, so that group sizes don't matter."""
    arrays = {name: np.asarray(values, dtype=float).ravel() for name, values in groups.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(arrays.values())), bins)
    figure = go.Figure()
    for name, values in arrays.items():
        counts, _ = np.histogram(values, edges)
        kind = next((word for word in SET_COLOURS if word in name), None)
        colour = SET_COLOURS[kind] if kind else COLOURS.get(name)
        figure.add_scatter(
            x=(edges[:-1] + edges[1:]) / 2,
            y=100 * counts / max(1, len(values)),
            mode="lines",
            line={"shape": "hvh", "color": colour},
            name=LABELS.get(name, name),
        )
    return style(figure, x, "share of images (%)")


def bundle(figure: go.Figure, caption: str, alt: str) -> dict[str, Any]:
    """The display data of one figure: plotly's own type, and HTML with caption and alt text.

    The HTML leaves plotly.js to the page that shows it (the site has its own copy); on Colab,
    where every output is a page of its own, it comes from plotly's server.
    Raises ValueError if the caption or the alt text is empty.
    """
    if not caption.strip() or not alt.strip():
        raise ValueError("a figure needs a caption that says what to see and an alt text that says what it shows")
    fragment = figure.to_html(
        full_html=False,
        include_plotlyjs="cdn" if "google.colab" in sys.modules else False,
        include_mathjax=False,
        default_width="100%",
        auto_play=False,  # an animation waits for its play button
        config={"responsive": True, "displaylogo": False},
    )
    page = (
        f'<figure class="cu-figure"><div role="group" aria-label="{html.escape(alt, quote=True)}">{fragment}</div>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
    # Through JSON text, since plotly keeps arrays where JSON needs lists.
    return {"application/vnd.plotly.v1+json": json.loads(figure.to_json()), "text/html": page, "text/plain": alt}


def show(figure: go.Figure, caption: str, alt: str) -> None:
    """Display a figure in a notebook with its caption and alt text; see `bundle`."""
    from IPython.display import display

    display(bundle(figure, caption, alt), raw=True)  # type: ignore[no-untyped-call]


def image_grid(images: ArrayLike, captions: Sequence[str], columns: int = 6) -> go.Figure:
    """uint8 images (n, 3, h, w) in a grid with a short caption above each."""
    from plotly.subplots import make_subplots

    pixels = np.asarray(images).transpose(0, 2, 3, 1)
    rows = -(-len(pixels) // columns)
    figure = make_subplots(rows, columns, subplot_titles=list(captions), horizontal_spacing=0.02, vertical_spacing=0.12)
    for at, image in enumerate(pixels):
        figure.add_image(z=image, row=at // columns + 1, col=at % columns + 1)
    style(figure, height=60 + 130 * rows)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.update_annotations(font={"size": 11, "color": GREY})
    return figure
