"""Eq. 11 against a plain loop, its gradient, its empty cases, and mistakes that the loop must catch."""

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import partial

import pytest
import torch
from conftest import labels, temperatures, unit_rows
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cu_helpers.losses import class_unlearning_loss, queue_unlearning_loss

sizes = st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 5), st.integers(1, 4), st.integers(0, 10**6))


def loop_queue_loss(
    forget_z: Tensor,
    forget_y: Tensor,
    queue_z: Tensor,
    queue_y: Tensor,
    temperature: float,
    reduction: str = "mean",
) -> float:
    """Eq. 11 term by term, in 60-digit decimals so that exp(1000) is just a number."""
    total = Decimal(0)
    with localcontext() as context:
        context.prec = 60
        for z, y in zip(forget_z.double().tolist(), forget_y.tolist(), strict=True):
            above, below = Decimal(0), Decimal(0)
            others = same = 0
            for key, label in zip(queue_z.double().tolist(), queue_y.tolist(), strict=True):
                dot = math.fsum(a * b for a, b in zip(z, key, strict=True))
                term = (Decimal(dot) / Decimal(temperature)).exp()
                if label == y:
                    below, same = below + term, same + 1
                else:
                    above, others = above + term, others + 1
            if others == 0:
                continue
            total -= (above / (below if same else Decimal(others))).ln()
        return float(total / len(forget_y) if reduction == "mean" else total)


def case(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Five anchors, a queue of nine, three classes; every anchor finds its own class and others."""
    queue_y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 1])
    return unit_rows(5, 4, seed, dtype), torch.tensor([0, 1, 2, 1, 0]), unit_rows(9, 4, seed + 1, dtype), queue_y


# Values


@pytest.mark.parametrize("temperature", [1e-3, 0.07, 0.7, 7.0, 1e3])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_it_equals_the_loop(temperature: float, reduction: str) -> None:
    found = queue_unlearning_loss(*case(), temperature, reduction)
    assert found.item() == pytest.approx(loop_queue_loss(*case(), temperature, reduction), rel=1e-12)


def test_a_case_done_by_hand() -> None:
    # Anchor (1, 0), tau 0.5: one key of its class on it (s = 2); others at right angles (s = 0) and opposite (s = -2).
    z, keys = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    loss = queue_unlearning_loss(z, torch.tensor([7]), keys, torch.tensor([7, 1, 2]), temperature=0.5)
    assert loss.item() == pytest.approx(2 - math.log(1 + math.exp(-2)), abs=1e-6)


@given(sizes, temperatures, st.sampled_from(["mean", "sum"]))
def test_it_equals_the_loop_for_any_shape_and_any_labels(
    size: tuple[int, int, int, int, int], temperature: float, reduction: str
) -> None:
    """Few labels and short queues: anchors without their own class, and without any other, come up often."""
    anchors, keys, dim, num_classes, seed = size
    inputs = (
        unit_rows(anchors, dim, seed),
        labels(anchors, num_classes, seed + 1),
        unit_rows(keys, dim, seed + 2),
        labels(keys, num_classes, seed + 3),
    )
    found = queue_unlearning_loss(*inputs, temperature, reduction)
    expected = loop_queue_loss(*inputs, temperature, reduction)
    assert found.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(sizes)
def test_it_lies_between_its_bounds(size: tuple[int, int, int, int, int]) -> None:
    """|L_i - log(K- / K+)| <= 2 / tau for unit vectors."""
    anchors, keys, dim, _, seed = size
    queue_y = torch.arange(keys + 1) % 2
    z, queue_z = unit_rows(anchors, dim, seed), unit_rows(keys + 1, dim, seed + 1)
    same = int((queue_y == 0).sum())
    loss = queue_unlearning_loss(z, torch.zeros(anchors, dtype=torch.int64), queue_z, queue_y, 0.7).item()
    assert abs(loss - math.log(same / (keys + 1 - same))) <= 2 / 0.7 + 1e-9


# The empty cases


def test_without_its_own_class_the_denominator_is_the_number_of_others() -> None:
    z, queue_z = unit_rows(5, 4, 0), unit_rows(9, 4, 1)
    absent, present = torch.full((5,), 3), labels(9, 3, 2)
    expected = (math.log(9) - (z @ queue_z.T / 0.7).logsumexp(dim=1)).mean()
    found = queue_unlearning_loss(z, absent, queue_z, present)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    # Jensen: the log of a mean of exponentials is at least the mean of their logs, Eq. 6 without its log|N|.
    assert found.item() <= class_unlearning_loss(z, queue_z).item() - math.log(9)


def test_with_all_keys_alike_it_is_eq6_without_its_constant() -> None:
    z, keys = unit_rows(5, 4, 0), unit_rows(1, 4, 1).expand(6, -1)
    absent, present = torch.full((5,), 3), torch.zeros(6, dtype=torch.int64)
    found = queue_unlearning_loss(z, absent, keys, present)
    assert found.item() == pytest.approx(class_unlearning_loss(z, keys).item() - math.log(6), rel=1e-12)


def test_an_anchor_without_others_adds_nothing_but_is_counted() -> None:
    z, queue_z = unit_rows(2, 4, 0), unit_rows(3, 4, 1)
    ones = torch.ones(3, dtype=torch.int64)
    assert queue_unlearning_loss(z, torch.tensor([1, 1]), queue_z, ones).item() == 0
    alone = queue_unlearning_loss(z[:1], torch.tensor([0]), queue_z, ones).item()
    both = queue_unlearning_loss(z, torch.tensor([0, 1]), queue_z, ones).item()
    assert both == pytest.approx(alone / 2, rel=1e-12)


# The loop comparison would catch each of these mistakes


def mutant(
    forget_z: Tensor, forget_y: Tensor, queue_z: Tensor, queue_y: Tensor, temperature: float, mistake: str
) -> Tensor:
    """Eq. 11 written from its definition, with one mistake built in ("none": without)."""
    s = forget_z @ queue_z.T / (1 if mistake == "no temperature" else temperature)
    same = forget_y[:, None] == queue_y[None, :]
    if mistake == "turned mask":
        same = ~same
    e = s.exp()
    below = e.sum(dim=1) if mistake == "denominator over the whole queue" else (e * same).sum(dim=1)
    above = (e * ~same).sum(dim=1)
    if mistake == "mean in the numerator":
        above = above / (~same).sum(dim=1)
    if mistake == "pull by a plain mean":
        above = ((s * ~same).sum(dim=1) / (~same).sum(dim=1)).exp()
    per_anchor = below.log() - above.log()
    if mistake == "sign turned":
        per_anchor = -per_anchor
    return per_anchor.sum() if mistake == "summed" else per_anchor.mean()


def assert_matches_the_loop(loss: Callable[..., Tensor]) -> None:
    for seed in range(3):
        assert loss(*case(seed), 0.7).item() == pytest.approx(loop_queue_loss(*case(seed), 0.7), rel=1e-9)


def test_the_mutants_ground_is_right() -> None:
    assert_matches_the_loop(queue_unlearning_loss)
    assert_matches_the_loop(partial(mutant, mistake="none"))


@pytest.mark.parametrize(
    "mistake",
    [
        "turned mask",
        "denominator over the whole queue",
        "mean in the numerator",
        "pull by a plain mean",
        "sign turned",
        "summed",
        "no temperature",
    ],
)
def test_the_loop_catches_the_mistake(mistake: str) -> None:
    with pytest.raises(AssertionError):
        assert_matches_the_loop(partial(mutant, mistake=mistake))


# Gradients


@pytest.mark.parametrize("temperature", [0.05, 0.7, 50.0])
@pytest.mark.parametrize("missing", ["nothing", "own class", "others"])
def test_it_passes_gradcheck(temperature: float, missing: str) -> None:
    forget_z, forget_y, queue_z, queue_y = case()
    if missing == "own class":
        forget_y[1] = 9
    if missing == "others":
        forget_y, queue_y = torch.tensor([0, 0, 1, 0, 1]), torch.zeros(9, dtype=torch.int64)

    def loss(z: Tensor, keys: Tensor) -> Tensor:
        return queue_unlearning_loss(z, forget_y, keys, queue_y, temperature, "sum")

    assert torch.autograd.gradcheck(loss, (forget_z.requires_grad_(), queue_z.requires_grad_()))


def test_the_gradient_is_the_difference_of_two_soft_maxima() -> None:
    forget_z, forget_y, queue_z, queue_y = case()
    leaf = forget_z.clone().requires_grad_()
    queue_unlearning_loss(leaf, forget_y, queue_z, queue_y, 0.3, "sum").backward()  # type: ignore[no-untyped-call]
    s = forget_z @ queue_z.T / 0.3
    same = forget_y[:, None] == queue_y[None, :]
    near_own, near_others = (s.masked_fill(~keep, -torch.inf).softmax(dim=1) @ queue_z for keep in (same, ~same))
    assert leaf.grad is not None
    assert torch.allclose(leaf.grad, (near_own - near_others) / 0.3, atol=1e-12)


@pytest.mark.parametrize("temperature", [1e-3, 0.7, 1e3])
def test_a_step_moves_an_anchor_from_its_class_to_another(temperature: float) -> None:
    z = torch.tensor([[0.8, 0.6]], dtype=torch.float64, requires_grad=True)
    keys = torch.eye(2, dtype=torch.float64)
    loss = queue_unlearning_loss(z, torch.tensor([0]), keys, torch.tensor([0, 1]), temperature)
    (gradient,) = torch.autograd.grad(loss, z)
    assert gradient[0, 0] > 0 > gradient[0, 1]


# Never NaN, never infinite


def assert_finite(inputs: tuple[Tensor, ...], loss: Callable[..., Tensor]) -> None:
    leaves = [z.detach().clone().requires_grad_() for z in inputs]
    value = loss(*leaves)
    value.backward()
    assert torch.isfinite(value)
    for z in leaves:
        assert z.grad is not None
        assert torch.isfinite(z.grad).all()


@given(
    sizes,
    temperatures,
    st.sampled_from([torch.float32, torch.bfloat16, torch.float64]),
    st.sampled_from(["as drawn", "own class missing", "others missing"]),
    st.booleans(),
)
def test_it_is_finite_with_its_gradient(
    size: tuple[int, int, int, int, int], temperature: float, dtype: torch.dtype, missing: str, autocast: bool
) -> None:
    anchors, keys, dim, num_classes, seed = size
    z, queue_z = unit_rows(anchors, dim, seed, dtype), unit_rows(keys, dim, seed + 1, dtype)
    y, queue_y = labels(anchors, num_classes, seed), labels(keys, num_classes, seed + 1)
    if missing == "own class missing":
        y = y + num_classes
    if missing == "others missing":
        y, queue_y = torch.zeros_like(y), torch.zeros_like(queue_y)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert_finite((z, queue_z), lambda a, b: queue_unlearning_loss(a, y, b, queue_y, temperature))


@pytest.mark.parametrize("temperature", [1e-3, 1e3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_opposite_and_equal_embeddings_are_finite_at_the_ends_of_the_range(
    temperature: float, dtype: torch.dtype
) -> None:
    z = torch.eye(3, dtype=dtype)
    y, queue_y = torch.arange(3), torch.arange(3).repeat(2)
    assert_finite((z, torch.cat([z, -z])), lambda a, b: queue_unlearning_loss(a, y, b, queue_y, temperature))


@pytest.mark.parametrize("temperature", [0.01, 0.7])
def test_bfloat16_and_autocast_lose_nothing_but_the_inputs_rounding(temperature: float) -> None:
    z, y, keys, queue_y = case(dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = queue_unlearning_loss(z, y, keys, queue_y, temperature)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(loop_queue_loss(z, y, keys, queue_y, temperature), rel=1e-5)
    assert queue_unlearning_loss(*case()).dtype == torch.float64


# Bad input


@pytest.mark.parametrize("temperature", [0.0, -0.7, 9.99e-4, 1000.1, math.inf, math.nan])
def test_a_temperature_out_of_range_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match=r"temperature is .*; expected a number from 0.001 to 1000"):
        queue_unlearning_loss(*case(), temperature)


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, torch.zeros(5, 3), r"forget_z has shape \(5, 3\) and queue_z \(9, 4\); expected the same embedding"),
        (0, torch.zeros(0, 4), r"forget_z .* of shape \(0, 4\); .* batch >= 1"),
        (2, torch.zeros(0, 4), r"queue_z .* of shape \(0, 4\); .* batch >= 1"),
        (2, torch.zeros(9, 4, dtype=torch.int64), r"queue_z is torch.int64"),
        (1, torch.zeros(4, dtype=torch.int64), r"forget_y .* of shape \(4,\); expected whole numbers of shape \(5,\)"),
        (3, torch.zeros(8, dtype=torch.int64), r"queue_y .* of shape \(8,\); expected whole numbers of shape \(9,\)"),
        (3, torch.zeros(9), r"queue_y is torch.float32"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(position: int, value: Tensor, message: str) -> None:
    inputs = list(case())
    inputs[position] = value
    with pytest.raises(ValueError, match=message):
        queue_unlearning_loss(*inputs)


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match="reduction is 'none'; expected 'mean' or 'sum'"):
        queue_unlearning_loss(*case(), reduction="none")
