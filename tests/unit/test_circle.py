"""The circle of chapters 03, 04 and 06: where its points lie, what is drawn, and the descent on it."""

import math

import numpy as np
import pytest
import torch

from cu_helpers import circle

CENTRES = {"class A": 90.0, "class B": 210.0}


def test_points_lie_at_their_angles() -> None:
    found = circle.on_circle([0.0, 90.0, 210.0])
    assert found.dtype == torch.float64
    assert found.tolist() == [
        pytest.approx([math.cos(math.radians(at)), math.sin(math.radians(at))]) for at in (0, 90, 210)
    ]
    z, labels = circle.ring(CENTRES)
    assert labels.tolist() == [0] * 7 + [1] * 7
    angles = np.degrees(np.arctan2(z[:, 1], z[:, 0])) % 360
    assert angles.tolist() == pytest.approx([75, 80, 85, 90, 95, 100, 105, 195, 200, 205, 210, 215, 220, 225])


def test_the_walk_shows_its_curves_and_shades_each_class() -> None:
    values = np.sin(np.radians(circle.AROUND))
    figure = circle.walk(
        {"push": values, "pull": -values}, "loss", {"push": ("#0072b2", "dot"), "pull": (None, "solid")}, CENTRES
    )
    assert [(trace.name, trace.line.dash, trace.mode) for trace in figure.data] == [
        ("push", "dot", "lines"),
        ("pull", "solid", "lines"),
    ]
    assert list(figure.data[1].y) == list(-values)
    assert list(figure.data[0].x) == list(range(0, 361, 3))
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes] == [(75, 105), (195, 225)]
    assert [note.text for note in figure.layout.annotations] == ["A", "B"]


def test_the_descent_is_gradient_descent_on_the_angle() -> None:
    goal = circle.on_circle([120.0])[0]
    path, values = circle.descend(lambda z: -(z @ goal).sum(), [90.0, 100.0], rate=0.1, steps=30)
    for column, start in zip(path.T, (90.0, 100.0), strict=True):
        at = math.radians(start)
        for seen in column:
            assert seen == pytest.approx(math.degrees(at), abs=1e-9)
            at -= 0.1 * math.sin(at - math.radians(120))  # the derivative of -cos(at - 120 degrees)
    assert len(values) == len(path) == 31
    assert values[0] == pytest.approx(-math.cos(math.radians(30)) - math.cos(math.radians(20)))
    figure = circle.descent([90.0, 100.0], path, "angle", {"goal": 120.0})
    assert [trace.name for trace in figure.data] == ["starts at 90°", "starts at 100°"]
    assert list(figure.data[1].y) == list(path[:, 1])
    assert figure.layout.shapes[0].y0 == 120


def test_the_animation_moves_only_the_anchors() -> None:
    figure = circle.animation({"class A": 90.0}, [[0, 10], [90, 100], [180, 190]], every=2)
    assert [frame.name for frame in figure.frames] == ["0", "2"]
    assert figure.frames[1].data[0].x[0] == pytest.approx(-0.92)
    assert figure.frames[1].traces == (2,)
    assert figure.data[1].name == "retained, class A"
    assert len(figure.layout.sliders[0].steps) == 2
