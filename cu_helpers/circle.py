"""Three classes on a circle, and anchors that walk or move among them: the pictures of chapters 03, 04 and 06."""

from collections.abc import Callable, Mapping

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .figures import GREY, MARKERS, SET_COLOURS, Look, lines, style

HALF = 15  # degrees from a class's centre to its last point
AROUND = np.arange(0.0, 361.0, 3.0)  # where an anchor stands on its walk, in degrees


def on_circle(degrees: ArrayLike) -> Tensor:
    """Unit vectors (n, 2), float64, at the angles (n,), in degrees."""
    at = torch.deg2rad(torch.as_tensor(degrees, dtype=torch.float64))
    return torch.stack([at.cos(), at.sin()], dim=-1)


def spread(centre: float) -> NDArray[np.float64]:
    """Angles (7,) in degrees of a class around its centre."""
    return centre + np.linspace(-HALF, HALF, 7)


def ring(centres: Mapping[str, float]) -> tuple[Tensor, Tensor]:
    """Retained points (7 * classes, 2) and their labels: class 0 at the first of the `centres`, in degrees."""
    z = torch.cat([on_circle(spread(centre)) for centre in centres.values()])
    return z, torch.arange(len(centres)).repeat_interleave(7)


def walk(values: Mapping[str, ArrayLike], y: str, looks: Mapping[str, Look], centres: Mapping[str, float]) -> go.Figure:
    """Curves over the anchor's angle at `AROUND`, by name, with the classes at `centres` shaded; y: the axis title."""
    curves = {name: (AROUND, value) for name, value in values.items()}
    figure = lines(curves, "anchor's angle on the circle (degrees)", y, looks)
    for name, centre in centres.items():
        figure.add_vrect(x0=centre - HALF, x1=centre + HALF, fillcolor=GREY, opacity=0.15, line_width=0)
        figure.add_annotation(x=centre, y=1.06, yref="paper", text=name[-1], showarrow=False)
    return figure


def descend(
    loss: Callable[[Tensor], Tensor], start: ArrayLike, rate: float, steps: int = 120
) -> tuple[NDArray[np.float64], list[float]]:
    """Let free anchors on the circle follow a loss: angles (steps + 1, n) in degrees, and its value at each.

    loss: embeddings (n, 2) -> scalar. start: angles (n,) in degrees. rate: the learning rate, for angles in radians.
    """
    at = torch.deg2rad(torch.as_tensor(start, dtype=torch.float64)).requires_grad_()
    optimizer = torch.optim.SGD([at], lr=rate)
    path, values = [], []
    for _ in range(steps + 1):
        value = loss(torch.stack([at.cos(), at.sin()], dim=1))
        path.append(torch.rad2deg(at.detach()).numpy().copy())
        values.append(value.item())
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return np.array(path), values


def descent(start: ArrayLike, values: ArrayLike, y: str, levels: Mapping[str, float]) -> go.Figure:
    """One line for each anchor over the steps, darker for a later start; values: (steps + 1, n).

    start: (n,) angles in degrees, for the legend. levels: what the dotted lines are called -> their heights.
    """
    figure = go.Figure()
    for number, (first, column) in enumerate(zip(np.asarray(start), np.asarray(values).T, strict=True)):
        shade = {"color": f"rgba(213,94,0,{0.4 + 0.1 * min(number, 6):.1f})"}
        figure.add_scatter(y=column, mode="lines", name=f"starts at {first:.0f}°", line=shade)
    for text, height in levels.items():
        figure.add_hline(y=height, line_dash="dot", line_color=GREY, annotation_text=text)
    return style(figure, "descent steps", y)


# Okabe and Ito again, for classes that stand beside the orange of what is forgotten.
CLASS_COLOURS = ("#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def animation(centres: Mapping[str, float], path: ArrayLike, every: int = 4) -> go.Figure:
    """Anchors that move among fixed classes on the unit circle, with a play button and a slider.

    centres: name -> degrees. path: the anchors' angles in degrees, (steps + 1, anchors), of which each
    `every`th step is shown. Works without a server.
    """
    path = np.asarray(path, dtype=float)
    times = [str(step) for step in range(0, len(path), every)]
    figure = go.Figure()
    around = np.radians(np.linspace(0, 360, 181))
    figure.add_scatter(
        x=np.cos(around), y=np.sin(around), mode="lines", line={"color": GREY, "width": 1}, name="circle"
    )
    figure.data[0].update(showlegend=False, hoverinfo="skip")
    for (name, centre), colour in zip(centres.items(), CLASS_COLOURS, strict=False):
        at = np.radians(spread(centre))
        marker = {"symbol": MARKERS["train"], "color": colour, "size": 9}
        figure.add_scatter(x=np.cos(at), y=np.sin(at), mode="markers", name=f"retained, {name}", marker=marker)
    moving = len(figure.data)
    marker = {"symbol": MARKERS["forget"], "color": SET_COLOURS["forget"], "size": 11}
    frames = [
        go.Scatter(x=0.92 * np.cos(at), y=0.92 * np.sin(at), mode="markers", name="forgotten anchors", marker=marker)
        for at in np.radians(path[::every])
    ]
    figure.add_trace(frames[0])
    figure.frames = [go.Frame(data=[at], traces=[moving], name=name) for at, name in zip(frames, times, strict=True)]
    run = {"frame": {"duration": 120, "redraw": False}, "transition": {"duration": 0}, "fromcurrent": True}
    still = {"frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}, "mode": "immediate"}
    steps = [{"label": name, "method": "animate", "args": [[name], still]} for name in times]
    buttons = [
        {"label": "Play", "method": "animate", "args": [None, run]},
        {"label": "Pause", "method": "animate", "args": [[None], still]},
    ]
    style(figure, "first coordinate of z", "second coordinate of z", height=560)
    figure.update_xaxes(range=[-1.25, 1.25])
    figure.update_yaxes(range=[-1.25, 1.25], scaleanchor="x")
    figure.update_layout(
        margin={"b": 130},
        legend={"y": 1.08, "yanchor": "bottom"},
        updatemenus=[
            {
                "type": "buttons",
                "direction": "left",
                "buttons": buttons,
                "x": 0,
                "y": -0.22,
                "yanchor": "top",
                "bgcolor": "rgba(128,128,128,0.15)",  # the default is white, also on a dark page
                "showactive": False,  # plotly's colour for the pressed button is white too
            }
        ],
        sliders=[{"steps": steps, "x": 0.25, "len": 0.75, "y": -0.14, "currentvalue": {"prefix": "step "}}],
    )
    return figure
