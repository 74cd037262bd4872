"""Sensitivity strips: how each method's score moves with its main knob, over a recorded search."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .figures import COLOURS, LABELS, style
from .tuning import GRIDS, Trial


def strip(searches: Mapping[str, Sequence[Trial]]) -> go.Figure:
    """How each method's score moves with its main knob: one panel a method, one dot a trial.

    searches: method -> trials. The main knob is the first of the method's grid, on a logarithmic
    axis; trials that differ in the second knob share a place. Panels share the height, not the
    range, which each method has for itself.
    """
    columns = min(2, len(searches))
    rows = -(-len(searches) // columns)
    names = [LABELS.get(method, method) for method in searches]
    figure = make_subplots(rows, columns, subplot_titles=names, vertical_spacing=0.42 / rows, shared_yaxes=True)
    for position, (method, trials) in enumerate(searches.items()):
        knob = next(iter(GRIDS[method]))
        row, column = position // columns + 1, position % columns + 1
        figure.add_scatter(
            x=[trial.changes[knob] for trial in trials],
            y=[trial.score for trial in trials],
            mode="markers",
            marker={"size": 9, "opacity": 0.75, "color": COLOURS.get(method)},
            text=[", ".join(f"{name} {value}" for name, value in trial.changes.items()) for trial in trials],
            hovertemplate="%{text}<br>score %{y:.3f}<extra></extra>",
            showlegend=False,
            row=row,
            col=column,
        )
        tried = sorted({trial.changes[knob] for trial in trials})
        figure.update_xaxes(
            type="log",
            tickvals=tried,
            ticktext=[f"{value:g}" for value in tried],
            title_text=knob.replace("_", " "),
            title_standoff=4,
            row=row,
            col=column,
        )
    style(figure, height=90 + 170 * rows)
    figure.update_yaxes(range=[-0.05, 1.05])
    figure.update_yaxes(title_text="score", col=1)
    return figure
