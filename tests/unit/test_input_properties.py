"""What goes in: pixels, labels, temperatures, seeds and turned images, for any values; what does not fit is refused."""

import math

import pytest
import torch
from conftest import CPU
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, draw, rows, seeds

from cu_helpers.devices import PRECISIONS, generator, resolve_precision
from cu_helpers.errors import REPORTED, check_confidence, reported
from cu_helpers.labels import check_labels
from cu_helpers.losses import check_temperature
from cu_helpers.metrics import percent
from cu_helpers.sources import to_uint8
from cu_helpers.training import rotate_and_crop, sgd

anything = st.floats() | st.sampled_from([1e-3, 1e3, 0.0, 1.0, -0.0])


@given(st.lists(st.integers(0, 255), min_size=1, max_size=20), st.floats(-0.49, 0.49))
@settings(max_examples=FEW)
def test_pixels_come_back_from_their_shares_and_are_rounded_to_the_nearest(values: list[int], off: float) -> None:
    whole = torch.tensor(values)
    assert torch.equal(to_uint8(whole / 255), whole.to(torch.uint8))
    assert to_uint8(whole / 255).dtype == torch.uint8
    assert torch.equal(to_uint8((whole.double() / 255).reshape(-1, 1)), whole.to(torch.uint8)[:, None])
    near = (whole.double() + off).clamp(0, 255)
    assert torch.equal(to_uint8(near / 255), whole.to(torch.uint8))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), anything, seeds)
@settings(max_examples=50)
def test_what_is_no_share_of_white_is_refused_wherever_it_is(values: list[float], bad: float, place: int) -> None:
    values[place % len(values)] = bad
    images = torch.tensor(values, dtype=torch.float64)
    if not math.isfinite(bad):
        with pytest.raises(ValueError, match="NaN or infinite values; expected finite numbers in"):
            to_uint8(images)
    elif not 0 <= bad <= 1:
        with pytest.raises(ValueError, match=r"images span \[.*\]; expected values in \[0, 1\]"):
            to_uint8(images)
    else:
        expected = [255 * value for value in values]
        assert to_uint8(images).tolist() == pytest.approx(expected, abs=0.5 + 1e-9)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
@settings(max_examples=FEW)
def test_percent_counts_hits_whatever_their_order_and_shape(hits: list[bool]) -> None:
    found = percent(torch.tensor(hits))
    assert found == pytest.approx(100 * sum(hits) / len(hits), rel=1e-12)
    assert percent(torch.tensor(hits * 2).reshape(2, -1).flip(1)) == pytest.approx(found)
    assert percent(~torch.tensor(hits)) == pytest.approx(100 - found)


@given(st.lists(st.integers(-2, 6), max_size=8), st.integers(0, 8), st.none() | st.integers(1, 6), st.text("ab y"))
@settings(max_examples=100)
def test_labels_fit_if_each_row_has_a_known_class(values: list[int], rows: int, classes: int | None, name: str) -> None:
    labels = torch.tensor(values, dtype=torch.int64)
    if len(values) != rows:
        with pytest.raises(ValueError, match=f"^{name} are torch.int64 .*one for each of {rows} rows"):
            check_labels(labels, rows, classes, name)
    elif classes is not None and any(value not in range(classes) for value in values):
        words = f"^{name} go from {min(values)} to {max(values)}; expected whole numbers from 0 to {classes - 1}"
        with pytest.raises(ValueError, match=words):
            check_labels(labels, rows, classes, name)
    else:
        check_labels(labels, rows, classes, name)


@given(st.integers(0, 4), st.sampled_from([torch.float32, torch.int32, torch.bool]))
@settings(max_examples=FEW)
def test_labels_that_index_are_whole_numbers_and_others_may_be_anything(rows: int, dtype: torch.dtype) -> None:
    labels = torch.zeros(rows, dtype=dtype)
    check_labels(labels, rows)
    with pytest.raises(ValueError, match=rf"labels are {dtype} .*expected a whole number \(torch.int64\)"):
        check_labels(labels, rows, 2)
    with pytest.raises(ValueError, match="expected one label, one for each"):
        check_labels(labels[:, None], rows)


@given(anything)
@settings(max_examples=100)
def test_a_temperature_and_a_confidence_lie_in_their_ranges(value: float) -> None:
    if 1e-3 <= value <= 1e3:
        check_temperature(value)
    else:
        with pytest.raises(ValueError, match=r"temperature is .*; expected a number from 0.001 to 1000"):
            check_temperature(value)
    if 0 < value < 1:
        check_confidence(value)
    else:
        with pytest.raises(ValueError, match="expected a share between 0 and 1"):
            check_confidence(value)


@given(st.integers(0, 2**63 - 1), seeds)
@settings(max_examples=FEW)
def test_a_generator_draws_by_its_seed_and_leaves_torchs_own_alone(seed: int, other: int) -> None:
    torch.manual_seed(other)
    before = torch.get_rng_state()
    first, again = (torch.rand(4, generator=generator(seed, CPU)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert torch.equal(torch.rand(4, generator=generator(seed, CPU)), first), "nor does torch's own touch it"
    assert seed == other or not torch.equal(torch.rand(4, generator=generator(other, CPU)), first)


@given(st.text("abflot3216", max_size=8) | st.sampled_from(PRECISIONS))
@settings(max_examples=FEW)
def test_a_precision_is_one_of_two_or_of_the_devices_choice(name: str) -> None:
    if name not in PRECISIONS:
        with pytest.raises(ValueError, match=f"unknown precision '{name}'; expected one of: auto, bfloat16, float32"):
            resolve_precision(name, CPU)
        return
    found = resolve_precision(name, CPU)
    assert found in PRECISIONS[1:]
    assert name in ("auto", found)
    assert resolve_precision(found, CPU) == found


@given(
    st.sampled_from(REPORTED) | st.sampled_from([ValueError, KeyError]), st.text("abc ", min_size=1), st.integers(0, 9)
)
@settings(max_examples=FEW)
def test_a_command_tells_what_its_user_can_mend_and_hides_no_other_error(
    kind: type[Exception], words: str, status: int
) -> None:
    def fails() -> int:
        raise kind(words)

    assert reported("make speed", lambda: status) == status
    if kind in REPORTED:
        assert reported("make speed", fails) == 2
    else:
        with pytest.raises(kind):
            reported("make speed", fails)


@given(seeds, st.integers(1, 4), st.integers(4, 9), st.floats(-3, 3))
@settings(max_examples=FEW)
def test_a_turned_image_invents_no_colour_and_keeps_a_plain_one(seed: int, count: int, side: int, level: float) -> None:
    x = rows(count, 3 * side * side, seed).reshape(count, 3, side, side).float()
    before = x.clone()
    found = rotate_and_crop(x, draw(seed))
    assert found.shape == x.shape
    assert torch.equal(x, before)
    assert torch.equal(rotate_and_crop(x, draw(seed)), found)
    for old, new in zip(x.flatten(2), found.flatten(2), strict=True):
        assert (new.min(dim=1).values >= old.min(dim=1).values - 1e-5).all(), "a mean of pixels of its own channel"
        assert (new.max(dim=1).values <= old.max(dim=1).values + 1e-5).all()
    plain = torch.full_like(x, level)
    torch.testing.assert_close(rotate_and_crop(plain, draw(seed)), plain)
    torch.testing.assert_close(rotate_and_crop(2 * x + 1, draw(seed)), 2 * found + 1, rtol=1e-4, atol=1e-5)


@given(seeds, st.sampled_from([8, 10, 16]))
@settings(max_examples=FEW)
def test_an_image_turns_by_15_degrees_and_moves_by_an_eighth_of_its_side_at_most(seed: int, side: int) -> None:
    place = (torch.arange(side) + 0.5) * 2 / side - 1  # of a pixel's centre, from -1 to 1
    x = torch.stack([place.expand(side, side), place[:, None].expand(side, side), torch.zeros(side, side)])
    middle = slice(side // 2 - 1, side // 2 + 1)
    found = rotate_and_crop(x.expand(40, -1, -1, -1), draw(seed))[:, :2, middle, middle]  # where each pixel comes from
    along, down = (found.diff(dim=dim).mean(dim=(2, 3)) * side / 2 for dim in (3, 2))
    cos, sin = along.T
    torch.testing.assert_close(down, torch.stack([-sin, cos], dim=1), rtol=0, atol=1e-3)
    torch.testing.assert_close(cos.square() + sin.square(), torch.ones(40), rtol=0, atol=1e-3)
    angles, moved = torch.rad2deg(torch.atan2(sin, cos)), found.mean(dim=(2, 3)).T
    for values, most in ((angles, 15), (moved[0], 2 / 8), (moved[1], 2 / 8)):
        assert 0.8 * most < float(values.abs().max()) <= 1.001 * most
        assert float(values.min()) < 0 < float(values.max())
        assert len(values.unique()) == 40, "each image by itself"
    assert not torch.allclose(moved[0], moved[1])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=4), st.floats(1e-3, 1), st.floats(0, 0.9), st.floats(0, 0.1))
@settings(max_examples=FEW)
def test_two_steps_of_sgd_are_the_recursion_with_momentum_and_decay(
    start: list[float], rate: float, momentum: float, decay: float
) -> None:
    layer = torch.nn.Linear(len(start), 1, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([start], dtype=torch.float64))
    optimizer, slope = sgd(layer, rate, momentum, decay), rows(1, len(start), 7)[0]
    weights, speed = list(start), [0.0] * len(start)
    for _ in range(2):
        layer.weight.grad = slope[None].clone()
        optimizer.step()
        speed = [momentum * v + g + decay * w for v, g, w in zip(speed, slope.tolist(), weights, strict=True)]
        weights = [w - rate * v for w, v in zip(weights, speed, strict=True)]
    assert layer.weight[0].tolist() == pytest.approx(weights, rel=1e-6, abs=1e-6)
