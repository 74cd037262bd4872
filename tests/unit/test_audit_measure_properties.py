"""How an audit's numbers are read, for any audit: one number, a difference, a ratio, the steps of a curve."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW

from cu_helpers.audit_measures import difference, number, ratio, relearned, steps

values = st.floats(-1e6, 1e6)
positive = st.floats(1e-3, 1e3)
curves = st.lists(st.integers(0, 100).map(float), min_size=1, max_size=8)


@given(values, values, st.text("abc ", min_size=1), st.integers(0, 4))
@settings(max_examples=FEW)
def test_a_difference_turns_with_its_sides_and_is_nothing_for_a_number_and_itself(
    a: float, b: float, words: str, digits: int
) -> None:
    found = {"a": a, "b": b}
    one, other = difference(words, "a", "b", digits), difference(words, "b", "a")
    assert one.read(found) == a - b == -other.read(found)
    assert difference(words, "a", "a").read(found) == 0
    assert number(words, "a").read(found) - number(words, "b").read(found) == one.read(found)
    assert (one.words, one.digits, other.digits) == (words, digits, 1)
    assert not one.censored(found), "a number is known"


@given(positive, positive, positive)
@settings(max_examples=FEW)
def test_a_ratio_knows_no_unit_and_its_reverse_is_its_inverse(a: float, b: float, unit: float) -> None:
    one, other = ratio("mmd", "a", "b"), ratio("mmd", "b", "a")
    assert one.read({"a": a, "b": b}) * b == pytest.approx(a)
    assert one.read({"a": unit * a, "b": unit * b}) == pytest.approx(one.read({"a": a, "b": b}))
    assert one.read({"a": a, "b": b}) * other.read({"a": a, "b": b}) == pytest.approx(1)
    assert (one.words, one.digits) == ("mmd", 2)


@given(curves, st.sampled_from(["a", "b"]))
@settings(max_examples=FEW)
def test_a_curve_is_no_single_number(curve: list[float], place: str) -> None:
    found: dict[str, float | list[float]] = {"a": 1.0, "b": 2.0, place: curve}
    for measure in (difference("d", "a", "b"), ratio("r", "a", "b"), number("n", place)):
        with pytest.raises(ValueError, match=f"^{place} is a list of {len(curve)} numbers; expected a single one"):
            measure.read(found)


@given(curves, st.integers(0, 101).map(float))
@settings(max_examples=FEW)
def test_a_level_is_reached_at_the_first_step_of_a_loop_or_censored_at_the_last(
    curve: list[float], level: float
) -> None:
    measure, at = steps("back", "curve", level), 0
    while at < len(curve) and curve[at] < level:
        at += 1
    assert measure.censored({"curve": curve}) == (at == len(curve))
    assert measure.read({"curve": curve}) == min(at, len(curve) - 1)
    lower = steps("back", "curve", level - 1)
    assert lower.read({"curve": curve}) <= measure.read({"curve": curve})
    assert not (lower.censored({"curve": curve}) and not measure.censored({"curve": curve}))


@given(curves, st.integers(0, 12))
@settings(max_examples=FEW)
def test_relearning_is_never_longer_than_its_curve_and_censored_only_if_it_was_cut(
    curve: list[float], taken: int
) -> None:
    found: dict[str, float | list[float]] = {"relearn_curve": curve, "relearn_steps": float(taken)}
    measure = relearned("steps to relearn")
    assert measure.read(found) == (taken if taken < len(curve) else len(curve) - 1)
    assert measure.censored(found) == (taken not in range(len(curve)))
