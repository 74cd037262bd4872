"""What Eqs. 5, 6 and 11 must not see: the order of rows, a turn of the space, the names of the classes."""

from collections.abc import Callable

import pytest
import torch
from conftest import labels, temperatures, unit_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, order, seeds, turn
from torch import Tensor

from cu_helpers.losses import class_unlearning_loss, queue_unlearning_loss, sample_unlearning_loss

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
Loss = Callable[..., Tensor]


def eq6(forget_z: Tensor, forget_y: Tensor, retain_z: Tensor, retain_y: Tensor, temperature: float) -> Tensor:
    """Eq. 6 with the arguments of the others; it has no use for labels."""
    return class_unlearning_loss(forget_z, retain_z, temperature)


def released(*batch: Tensor, temperature: float = 0.7) -> Tensor:
    """Eq. 5 with the released code's weight."""
    return sample_unlearning_loss(*batch, temperature=temperature, push_weight="released")


LOSSES: dict[str, Loss] = {"eq5": sample_unlearning_loss, "eq5 released": released, "eq6": eq6}
LOSSES["eq11"] = queue_unlearning_loss


def batch(seed: int, anchors: int = 4, others: int = 7, dim: int = 5, classes: int = 3) -> Batch:
    """Anchors and retained rows with labels; some anchors may be without a positive."""
    return (
        unit_rows(anchors, dim, seed),
        labels(anchors, classes, seed + 1),
        unit_rows(others, dim, seed + 2),
        labels(others, classes, seed + 3),
    )


@pytest.mark.parametrize("name", LOSSES)
@given(seeds, st.integers(1, 6), st.integers(1, 8), temperatures)
@settings(max_examples=FEW)
def test_the_order_of_anchors_and_of_retained_rows_plays_no_part(
    name: str, seed: int, anchors: int, others: int, temperature: float
) -> None:
    z, y, r, k = batch(seed, anchors, others)
    first, second = order(anchors, seed), order(others, seed + 1)
    straight = LOSSES[name](z, y, r, k, temperature=temperature)
    mixed = LOSSES[name](z[first], y[first], r[second], k[second], temperature=temperature)
    torch.testing.assert_close(mixed, straight, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
@given(seeds, temperatures)
@settings(max_examples=FEW)
def test_a_turn_of_the_whole_space_plays_no_part(name: str, seed: int, temperature: float) -> None:
    z, y, r, k = batch(seed)
    turned = turn(z.shape[1], seed)
    straight = LOSSES[name](z, y, r, k, temperature=temperature)
    torch.testing.assert_close(
        LOSSES[name](z @ turned, y, r @ turned, k, temperature=temperature), straight, rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("name", LOSSES)
@given(seeds, st.permutations([0, 1, 2]), st.sampled_from([0, -7, 1000]))
@settings(max_examples=FEW)
def test_only_which_labels_are_equal_counts(name: str, seed: int, names: list[int], shift: int) -> None:
    z, y, r, k = batch(seed)
    renamed = torch.tensor(names) + shift
    straight, other = (LOSSES[name](z, a, r, b, temperature=0.7) for a, b in ((y, k), (renamed[y], renamed[k])))
    assert torch.equal(straight, other)


@pytest.mark.parametrize("name", LOSSES)
@given(seeds)
@settings(max_examples=FEW)
def test_a_mean_over_anchors_is_each_anchors_own_loss(name: str, seed: int) -> None:
    """No anchor feels another: a sum over the wrong axis, or a count of the whole batch, would show."""
    z, y, r, k = batch(seed)
    alone = [LOSSES[name](z[i : i + 1], y[i : i + 1], r, k, temperature=0.7) for i in range(len(z))]
    whole = LOSSES[name](z, y, r, k, temperature=0.7)
    torch.testing.assert_close(torch.stack(alone).mean(), whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
@given(seeds)
@settings(max_examples=10)
def test_the_input_stays_as_it_was_and_the_same_call_gives_the_same_bits(name: str, seed: int) -> None:
    given_batch = batch(seed)
    before = [one.clone() for one in given_batch]
    first, again = (LOSSES[name](*given_batch, temperature=0.1) for _ in range(2))
    assert torch.equal(first, again)
    assert all(torch.equal(old, new) for old, new in zip(before, given_batch, strict=True))


@given(seeds, st.integers(1, 6), st.integers(2, 9))
@settings(max_examples=FEW)
def test_eq6_and_eq11_lie_where_cosines_allow(seed: int, anchors: int, others: int) -> None:
    """At temperature 1 a cosine is between -1 and 1: Eq. 6 is within 1 of log R."""
    z, y, r, k = batch(seed, anchors, others)
    count = torch.tensor(float(others), dtype=torch.float64).log()
    assert abs(float(class_unlearning_loss(z, r, 1.0) - count)) <= 1 + 1e-9
    assert abs(float(queue_unlearning_loss(z, y, r, k, 1.0))) <= 2 + float(count) + 1e-9
