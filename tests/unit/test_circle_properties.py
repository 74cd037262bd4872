"""Anchors on the circle and what pulls them: points, rings, walks and descents against plain geometry."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, order, rows, seeds, turn
from torch import Tensor
from torch.nn import functional as F

from cu_helpers.circle import AROUND, HALF, descend, on_circle, ring, spread, walk
from cu_helpers.class_pull import pull, stacked
from cu_helpers.geometry import tangent

degrees = st.lists(st.floats(-720, 720), min_size=1, max_size=5)


def unit(count: int, dim: int, seed: int) -> Tensor:
    return F.normalize(rows(count, dim, seed), dim=1)


@given(degrees, st.integers(-2, 2))
@settings(max_examples=FEW)
def test_points_on_the_circle_are_at_their_angles(angles: list[float], turns: int) -> None:
    found = on_circle(angles)
    assert found.dtype == torch.float64
    for angle, (x, y) in zip(angles, found.tolist(), strict=True):
        assert (x, y) == pytest.approx((math.cos(math.radians(angle)), math.sin(math.radians(angle))), abs=1e-12)
    torch.testing.assert_close(on_circle(np.array(angles) + 360 * turns), found, rtol=0, atol=1e-10)


@given(st.lists(st.floats(0, 360), min_size=1, max_size=4))
@settings(max_examples=FEW)
def test_a_ring_has_seven_points_a_class_within_half_of_its_centre(centres: list[float]) -> None:
    named = {f"class {number}": centre for number, centre in enumerate(centres)}
    z, labels = ring(named)
    assert labels.tolist() == [number for number in range(len(centres)) for _ in range(7)]
    for number, centre in enumerate(centres):
        own, around = z[labels == number], spread(centre)
        assert (around[0], around[3], around[-1]) == pytest.approx((centre - HALF, centre, centre + HALF))
        assert np.diff(around) == pytest.approx(HALF / 3)
        torch.testing.assert_close(own, on_circle(around))
        assert pull(own, on_circle(centre))[1] == pytest.approx(1), "symmetric about its centre"


@given(st.lists(st.floats(0, 360), min_size=1, max_size=3), st.floats(-3, 3))
@settings(max_examples=8)
def test_a_walk_shows_each_curve_over_all_angles_and_shades_each_class(centres: list[float], height: float) -> None:
    named = {f"class {number}": centre for number, centre in enumerate(centres)}
    curves = {"loss": height * np.cos(AROUND), "other": height + 0 * AROUND}
    figure = walk(curves, "L", {"loss": (None, "solid"), "other": ("#0072b2", "dot")}, named)
    assert [trace.name for trace in figure.data] == list(curves)
    for trace, curve in zip(figure.data, curves.values(), strict=True):
        assert np.array_equal(trace.x, AROUND)
        assert np.array_equal(trace.y, curve)
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes] == [(c - HALF, c + HALF) for c in centres]
    assert [(text.x, text.text) for text in figure.layout.annotations] == [
        (centre, str(number)) for number, centre in enumerate(centres)
    ]


@given(degrees, st.floats(0, 360), st.floats(0.01, 0.5), st.integers(0, 12))
@settings(max_examples=FEW)
def test_anchors_descend_as_the_recursion_says(start: list[float], goal: float, rate: float, steps: int) -> None:
    to = on_circle(goal)
    path, values = descend(lambda z: -(z @ to).sum(), start, rate, steps)
    assert path.shape == (steps + 1, len(start))
    assert len(values) == steps + 1
    assert path[0] == pytest.approx(start)
    at = np.radians(start)
    for seen, value in zip(path, values, strict=True):
        assert np.degrees(at) == pytest.approx(seen, abs=1e-6)
        assert value == pytest.approx(-np.cos(at - math.radians(goal)).sum(), abs=1e-6)
        at = at - rate * np.sin(at - math.radians(goal))
    assert (np.diff(values) <= 1e-9).all(), "downhill"


@given(seeds, st.integers(1, 5), st.integers(2, 4), st.floats(0.1, 10))
@settings(max_examples=FEW)
def test_a_pull_is_the_mean_in_three_numbers_whatever_the_axes(seed: int, count: int, dim: int, size: float) -> None:
    others, centre = unit(count, dim, seed), rows(1, dim, seed + 1)[0]
    length, cosine, across = pull(others, centre)
    mean = others.mean(dim=0)
    assert length == pytest.approx(math.sqrt(sum(x * x for x in mean.tolist())))
    assert length * cosine == pytest.approx(float(mean @ centre / centre.norm()), abs=1e-9)
    at = F.normalize(centre, dim=0)
    assert across == pytest.approx(float(tangent(mean[None], at[None]).norm()), abs=1e-6)
    assert across**2 + (length * cosine) ** 2 == pytest.approx(length**2, rel=1e-6)
    axes = turn(dim, seed)
    assert pull(others[order(count, seed)] @ axes, size * centre @ axes) == pytest.approx(
        (length, cosine, across), abs=1e-6
    )


@given(seeds, st.integers(1, 4), st.integers(2, 5))
@settings(max_examples=FEW)
def test_steps_are_stacked_and_the_other_logits_leave_the_own_out(seed: int, draws: int, classes: int) -> None:
    logits, moved, label = rows(draws, classes, seed), rows(draws, 1, seed + 1)[:, 0], seed % classes
    found = stacked([{"logits": a, "moved": b} for a, b in zip(logits, moved, strict=True)], label)
    assert list(found) == ["forgotten own logit", "their other logits", "logits", "moved"]
    assert torch.equal(found["logits"], logits)
    assert torch.equal(found["moved"], moved)
    for own, rest, row in zip(*(of.tolist() for of in (*list(found.values())[:2], logits)), strict=True):
        assert own == row[label]
        assert rest == pytest.approx((sum(row) - row[label]) / (classes - 1))
