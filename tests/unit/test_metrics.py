"""Accuracies against counts, intervals against scipy and against draws with a known mean."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cu_helpers.data import forget_class, forget_samples, load_dataset
from cu_helpers.inference import predict_logits
from cu_helpers.metrics import Interval, evaluate, gaps, mean_interval, tug_of_war, unlearn_score
from cu_helpers.models import build_model


@pytest.mark.parametrize("kind", ["class", "samples"])
def test_accuracies_equal_counts(kind: str) -> None:
    digits = load_dataset("digits", device="cpu")
    task = forget_class(digits, 3) if kind == "class" else forget_samples(digits, 30)
    model = build_model("resnet18", 10, width=4, seed=1)
    sets = {"forget": task.forget, "retain": task.retain, "test": task.test}
    if kind == "class":
        assert task.forget_test is not None
        assert task.retain_test is not None
        sets |= {"forget_test": task.forget_test, "retain_test": task.retain_test}
    counted = {}
    for name, images in sets.items():
        named = predict_logits(model, images).argmax(dim=1).tolist()
        right = sum(a == b for a, b in zip(named, images.labels.tolist(), strict=True))
        counted[name] = 100 * right / len(images)
    if kind == "samples":
        counted["unlearn_score"] = abs(counted["test"] - counted["forget"])
    assert evaluate(model, task) == pytest.approx(counted)


def test_gaps_keep_their_sign_and_need_a_common_name() -> None:
    assert gaps({"test": 70.0, "forget": 80.0}, {"test": 75.0, "other": 1.0}) == {"test": -5.0}
    with pytest.raises(ValueError, match="share no name"):
        gaps({"test": 1.0}, {"forget": 1.0})
    assert unlearn_score(70.0, 75.0) == unlearn_score(75.0, 70.0) == 5.0


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12), st.floats(0.5, 0.999))
def test_intervals_equal_scipys(values: list[float], confidence: float) -> None:
    found = mean_interval(values, confidence)
    error = stats.sem(values)
    if error < 1e-9:
        assert found.half == pytest.approx(0, abs=1e-6)
        return
    low, high = stats.t.interval(confidence, len(values) - 1, loc=sum(values) / len(values), scale=error)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-6)


def test_one_run_has_no_spread_and_says_so() -> None:
    single = mean_interval([81.25])
    assert single.mean == 81.25
    assert math.isnan(single.half)
    assert str(single) == "81.2 (one run)"
    assert str(Interval(10.0, 1.26, 3)) == "10.0 ± 1.3"


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_values_must_be_finite(values: list[float]) -> None:
    with pytest.raises(ValueError, match="expected one finite number or more"):
        mean_interval(values)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        mean_interval([1.0, 2.0], confidence)


def test_a_normal_interval_would_be_too_narrow() -> None:
    """A mutant with the normal quantile must fail where the t-interval holds."""
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(3000, 3, generator=draw, dtype=torch.float64)
    held = {"t": 0, "normal": 0}
    for row in rows.tolist():
        found = mean_interval(row)
        narrow = found.half * stats.norm.ppf(0.975) / stats.t.ppf(0.975, 2)
        held["t"] += found.low <= 0 <= found.high
        held["normal"] += abs(found.mean) <= narrow
    assert 0.935 < held["t"] / 3000 < 0.965
    assert held["normal"] / 3000 < 0.9


def test_an_interval_tells_how_many_runs_it_is_of() -> None:
    assert [mean_interval([3.0] * count).count for count in (1, 2, 5)] == [1, 2, 5]


def test_tug_of_war_has_known_values() -> None:
    assert tug_of_war({"a": 50.0, "b": 80.0}, {"a": 0.0, "b": 100.0}, ("a", "b")) == pytest.approx(0.5 * 0.8)
    assert tug_of_war({"a": 3.0}, {"a": 3.0}, ("a",)) == 1
    assert tug_of_war({"a": 3.0, "b": 0.0}, {"a": 3.0, "b": 90.0}, ("a",)) == 1, "only what is named counts"
    with pytest.raises(ValueError, match=r"^no accuracy is named; expected at least one, such as forget$"):
        tug_of_war({}, {}, ())
