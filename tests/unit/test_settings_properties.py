"""Settings of every method, for any wrong value in any field: one sentence at once, no error deep in a run."""

import itertools
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW

from cu_helpers.errors import check_settings, choose
from cu_helpers.memory import batch_words, half, halved
from cu_helpers.profiles import PROFILES, get_profile
from cu_helpers.relearning import RelearnSettings
from cu_helpers.training import TrainSettings
from cu_helpers.tuning import GRIDS, trials_of
from cu_helpers.unlearning import METHODS, ContrastiveSettings, LcodecSettings, Stopping

CLASSES = sorted({method.settings for method in METHODS.values()}, key=lambda one: one.__name__)
CLASSES += [TrainSettings, RelearnSettings, Stopping]
NUMBERS = (int, float, int | None, float | None)
PLACES = [(one, field.name) for one in CLASSES for field in fields(one) if field.type in NUMBERS]
WHOLE = [(one, field.name) for one in CLASSES for field in fields(one) if field.type in (int, int | None)]


def test_every_class_of_settings_but_two_has_numbers() -> None:
    assert {one.__name__ for one in CLASSES} - {one.__name__ for one, _ in PLACES} == {
        "LogitMaskSettings",
        "RetrainSettings",
    }


@pytest.mark.parametrize(("kind", "name"), PLACES)
@given(st.one_of(st.floats(max_value=-1e-9), st.sampled_from([math.nan, math.inf, -math.inf, "0.1", [1], True])))
@settings(max_examples=12)
def test_what_is_no_amount_is_refused_with_the_fields_name(kind: Any, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{kind.__name__}: {name} is .*; expected"):
        kind(**{name: value})


@pytest.mark.parametrize(("kind", "name"), WHOLE)
@given(st.floats(0.01, 1000).filter(lambda value: value != int(value)))
@settings(max_examples=5)
def test_a_count_is_a_whole_number(kind: Any, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{kind.__name__}: {name} is .*; expected"):
        kind(**{name: value})


@pytest.mark.parametrize(("kind", "name"), PLACES)
def test_a_plain_value_is_taken_and_kept(kind: Any, name: str) -> None:
    """No field refuses everything."""
    ours = kind()
    value = getattr(ours, name)
    taken = replace(ours, **{name: 5 if value is None else value})
    assert getattr(taken, name) == (5 if value is None else value)


@dataclass(frozen=True)
class Amounts:
    above: float = 1.0
    least: float | None = 0.0
    count: int = 1


@given(st.one_of(st.floats(), st.integers(), st.none(), st.text(max_size=3), st.booleans()))
@settings(max_examples=60)
def test_a_check_passes_what_its_words_say_and_nothing_else(value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    for name, fits in (
        ("above", value is None or (number and value > 0)),
        ("least", value is None or (number and value >= 0)),
        ("count", value is None or (number and value > 0 and isinstance(value, int))),
    ):
        made = Amounts(**{name: value})
        arguments = ([], [name]) if name == "least" else ([name], [])
        if fits:
            check_settings(made, *arguments)
        else:
            with pytest.raises(ValueError, match=f"Amounts: {name} is "):
                check_settings(made, *arguments)


@given(st.text(max_size=8), st.lists(st.text(max_size=8), min_size=1, max_size=4))
@settings(max_examples=FEW)
def test_a_choice_is_one_of_the_known_or_lists_them(name: str, known: list[str]) -> None:
    if name in known:
        assert choose("thing", name, known) == name
        return
    with pytest.raises(ValueError, match="unknown thing") as told:
        choose("thing", name, known)
    assert all(one in str(told.value) for one in known)


@given(st.integers(1, 10_000), st.integers(1, 10_000))
@settings(max_examples=FEW)
def test_halving_ends_at_one_and_touches_nothing_but_batches(size: int, epochs: int) -> None:
    made = ContrastiveSettings(batch_size=size, max_rounds=epochs)
    sizes = [size]
    while (smaller := halved(made)) is not None:
        assert asdict(smaller) | {"batch_size": 0} == asdict(made) | {"batch_size": 0}
        assert batch_words(smaller) == f"batch_size {half(sizes[-1])}"
        made = smaller
        sizes.append(int(made.batch_size or 0))
    assert sizes[-1] == 1
    assert all(small == large // 2 for large, small in itertools.pairwise(sizes))


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 0.999), st.integers(1, 10_000), st.floats(1e-3, 10))
@settings(max_examples=FEW)
def test_the_certificates_noise_is_its_formula(epsilon: float, delta: float, n: int, damping: float) -> None:
    noise = LcodecSettings(epsilon=epsilon, delta=delta, damping=damping).noise_deviation(n)
    gamma = 2 * 0.25 * 1.0 / (n * n * damping * damping * damping)
    assert noise == pytest.approx(gamma / epsilon * (2 * math.log(1.25) - 2 * math.log(delta)) ** 0.5)


@pytest.mark.parametrize("delta", [1.0, 1.3, 50.0])
def test_a_delta_that_is_no_share_is_refused(delta: float) -> None:
    """Above 1.25 the logarithm turns negative, and the noise would have no square root."""
    with pytest.raises(ValueError, match=r"LcodecSettings: delta is .*; expected a share below 1"):
        LcodecSettings(delta=delta)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("dataset", ["digits", "cifar10", "mini_imagenet"])
def test_every_trial_of_every_search_fits_the_methods_settings(profile: str, dataset: str) -> None:
    size = get_profile(profile, dataset)
    for method in METHODS:
        for kind in METHODS[method].tasks:
            base = size.settings(method, kind) or METHODS[method].settings()
            assert isinstance(base, METHODS[method].settings)
            tried = [replace(base, **changes) for changes in trials_of(method)]
            assert len({repr(one) for one in tried}) == len(tried), "no trial twice"
            assert (len(tried) > 1) == (method in GRIDS)
