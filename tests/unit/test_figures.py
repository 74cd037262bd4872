"""Figures: their numbers, their words, and HTML that stands alone."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from cu_helpers import figures, notebook


def test_a_figure_needs_words() -> None:
    figure = figures.lines({"contrastive": ([0, 1], [2, 3])}, "x", "y")
    for caption, alt in (("", "alt"), ("caption", " ")):
        with pytest.raises(ValueError, match="a figure needs a caption"):
            figures.bundle(figure, caption, alt)


def test_the_bundle_is_json_and_html_without_a_server() -> None:
    figure = figures.lines({"contrastive": ([0, 1], [2, 3])}, "x", "y")
    data = figures.bundle(figure, "a < b", 'say "so"')
    json.dumps(data["application/vnd.plotly.v1+json"])
    page = data["text/html"]
    assert 'aria-label="say &quot;so&quot;"' in page
    assert "<figcaption>a &lt; b</figcaption>" in page
    assert "plotly-graph-div" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert data["text/plain"] == 'say "so"'


def test_lines_and_bars_show_their_values() -> None:
    figure = figures.lines({"retrain": ([1, 2], [3, 4]), "other": ([0], [1])}, "time (s)", "accuracy (%)")
    assert list(figure.data[0].y) == [3, 4]
    assert figure.data[0].name == "Retrain"
    assert figure.data[0].line.color == figures.COLOURS["retrain"]
    assert figure.layout.xaxis.title.text == "time (s)"
    made = figures.bars({"finetune": (50.0, 2.0), "retrain": (60.0, float("nan"))}, "accuracy (%)")
    assert [bar.y[0] for bar in made.data] == [50.0, 60.0]
    assert [bar.error_y.array[0] for bar in made.data] == [2.0, 0.0]


def test_scatter_keeps_the_books_markers() -> None:
    points = np.array([[0.0, 1.0], [2.0, 3.0]])
    figure = figures.scatter({"train (retained)": points, "forget": points, "test": points}, "x", "y")
    assert [trace.marker.symbol for trace in figure.data] == ["circle", "x", "diamond-open"]
    assert list(figure.data[1].y) == [1.0, 3.0]


def test_histograms_are_shares_on_common_bins() -> None:
    figure = figures.histograms({"train": np.arange(10.0), "test": np.arange(5.0)}, "value", bins=5)
    assert [sum(trace.y) for trace in figure.data] == pytest.approx([100, 100])
    assert list(figure.data[0].x) == list(figure.data[1].x)


def test_the_image_grid_shows_each_image_once() -> None:
    images = np.arange(7 * 3 * 2 * 2, dtype=np.uint8).reshape(7, 3, 2, 2)
    figure = figures.image_grid(images, [str(i) for i in range(7)], columns=3)
    assert len(figure.data) == 7
    assert np.array_equal(np.asarray(figure.data[4].z), images[4].transpose(1, 2, 0))
    assert [note.text for note in figure.layout.annotations] == [str(i) for i in range(7)]


def test_curves_with_looks_have_their_colour_and_dash_and_no_markers() -> None:
    looks = {"retrain": (None, "dot"), "other": ("#123456", "dash")}
    figure = figures.lines({"retrain": ([1], [2]), "other": ([1], [3])}, "x", "y", looks)
    assert [(line.mode, line.line.dash, line.line.color) for line in figure.data] == [
        ("lines", "dot", None),
        ("lines", "dash", "#123456"),
    ]
    figures.add_measured(figure, np.array([1, 2]), [3.0, 4.0], "simulated", "#d55e00")
    assert list(figure.data[2].y) == [3, 4]
    assert (figure.data[2].mode, figure.data[2].marker.symbol) == ("markers", "diamond-open")


def test_grouped_bars_and_boxes_show_their_numbers() -> None:
    figure = figures.grouped_bars({"a": [1.0, 2.0], "b": [3.0, 4.0]}, ["p", "q"], ("x", "y"), ("#111111", "#222222"))
    assert [(bar.name, list(bar.x), list(bar.y)) for bar in figure.data] == [
        ("a", ["p", "q"], [1, 2]),
        ("b", ["p", "q"], [3, 4]),
    ]
    assert figure.data[0].error_y.array is None
    spread = {"a": [0.1, 0.2]}
    figure = figures.grouped_bars({"a": [1.0, 2.0]}, ["p", "q"], ("x", "y"), ("#111111",), spread)
    assert list(figure.data[0].error_y.array) == [0.1, 0.2]
    boxed = figures.boxes({"retrain": np.arange(100.0), "b": [5.0]}, "value", ("#111111", "#222222"), most=10)
    assert [list(box.y) for box in boxed.data] == [list(range(0, 100, 10)), [5]]
    assert boxed.data[0].name == "Retrain"


def test_methods_have_a_colour_and_a_name_of_their_own() -> None:
    assert figures.COLOURS.keys() == figures.LABELS.keys()
    assert len(set(figures.COLOURS.values())) == len(figures.COLOURS)


def test_setup_says_what_the_chapter_runs_on(capsys: pytest.CaptureFixture[str]) -> None:
    lab = notebook.setup("smoke", "digits", None, 3, device="cpu")
    said = capsys.readouterr().out
    assert "profile  smoke, seed 3" in said
    assert "180 training, 323 validation, 320 test images, 10 classes" in said
    assert lab.class_task().label == 5
    assert lab.sample_task().seed == 3
    assert lab.sample_task(4).seed == 4
    with pytest.raises(ValueError, match="unknown profile"):
        notebook.setup("huge")


def test_a_long_y_title_stands_in_two_lines_and_loses_no_word() -> None:
    title = "distance from class A's centre (degrees)"
    drawn = figures.style(go.Figure(), y=title).layout.yaxis.title.text
    assert drawn.replace("<br>", " ") == title
    assert [len(line) <= figures.TITLE for line in drawn.split("<br>")] == [True, True]
    assert figures.style(go.Figure(), y="accuracy (%)").layout.yaxis.title.text == "accuracy (%)"
