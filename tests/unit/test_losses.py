"""Eq. 5 and Eq. 6 against plain Python loops, their gradients, and what the readers may get wrong."""

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
from torch.nn import functional as F

from cu_helpers.losses import class_unlearning_loss, sample_unlearning_loss


def dot(a: list[float], b: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def loop_sample_loss(
    forget_z: Tensor,
    forget_y: Tensor,
    retain_z: Tensor,
    retain_y: Tensor,
    temperature: float,
    reduction: str = "mean",
    released: bool = False,
) -> float:
    """Eq. 5 term by term, in 60-digit decimals so that exp(1000) is just a number."""
    anchors, others = forget_z.double().tolist(), retain_z.double().tolist()
    total = Decimal(0)
    with localcontext() as context:
        context.prec = 60
        tau = Decimal(temperature)
        for z_i, y_i in zip(anchors, forget_y.tolist(), strict=True):
            positives, negatives = [], []
            for z_j, y_j in zip(others, retain_y.tolist(), strict=True):
                (positives if y_i == y_j else negatives).append(Decimal(dot(z_i, z_j)) / tau)
            if not negatives:
                continue
            if not positives:
                log_denominator = Decimal(len(negatives)).ln()
            else:
                log_denominator = sum((s.exp() for s in positives), Decimal(0)).ln()
                if released:  # the authors' code sums it over every column of the batch
                    log_denominator = log_denominator * len(others) / len(negatives)
            for s in negatives:
                total -= (s - log_denominator) / len(negatives)
        return float(total / len(anchors) if reduction == "mean" else total)


def loop_class_loss(forget_z: Tensor, retain_z: Tensor, temperature: float, reduction: str = "mean") -> float:
    """Eq. 6 as it is printed: a sum of log(exp(s) / |N|)."""
    anchors, others = forget_z.double().tolist(), retain_z.double().tolist()
    total = 0.0
    for z_i in anchors:
        for z_a in others:
            total -= math.log(math.exp(dot(z_i, z_a) / temperature) / len(others)) / len(others)
    return total / len(anchors) if reduction == "mean" else total


def case(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Five anchors, nine retained rows, three classes; every anchor has positives and negatives."""
    retain_y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 1])
    return unit_rows(5, 4, seed, dtype), torch.tensor([0, 1, 2, 1, 0]), unit_rows(9, 4, seed + 1, dtype), retain_y


sizes = st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 5), st.integers(1, 4), st.integers(0, 10**6))


# Values


@pytest.mark.parametrize("temperature", [1e-3, 0.07, 0.7, 7.0, 1e3])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("push_weight", ["paper", "released"])
def test_sample_loss_equals_the_loop(temperature: float, reduction: str, push_weight: str) -> None:
    found = sample_unlearning_loss(*case(), temperature, reduction, push_weight)
    expected = loop_sample_loss(*case(), temperature, reduction, push_weight == "released")
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_sample_loss_of_a_case_done_by_hand() -> None:
    # One anchor (1, 0); the positive lies on it (s = 2), the negatives at right angles (s = 0) and opposite (s = -2).
    z = torch.tensor([[1.0, 0.0]])
    retained = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    loss = sample_unlearning_loss(z, torch.tensor([7]), retained, torch.tensor([7, 1, 2]), temperature=0.5)
    assert loss.item() == pytest.approx(2 - (0 - 2) / 2, abs=1e-6)


@given(sizes, temperatures, st.sampled_from(["mean", "sum"]), st.booleans())
def test_sample_loss_equals_the_loop_for_any_shape(
    size: tuple[int, int, int, int, int], temperature: float, reduction: str, released: bool
) -> None:
    anchors, retained, dim, num_classes, seed = size
    inputs = (
        unit_rows(anchors, dim, seed),
        labels(anchors, num_classes, seed + 1),
        unit_rows(retained, dim, seed + 2),
        labels(retained, num_classes, seed + 3),
    )
    found = sample_unlearning_loss(*inputs, temperature, reduction, "released" if released else "paper")
    expected = loop_sample_loss(*inputs, temperature, reduction, released)
    assert found.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("temperature", [0.01, 0.7, 1e3])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_class_loss_equals_the_loop(temperature: float, reduction: str) -> None:
    forget_z, retain_z = unit_rows(5, 4, 0), unit_rows(9, 4, 1)
    found = class_unlearning_loss(forget_z, retain_z, temperature, reduction)
    assert found.item() == pytest.approx(loop_class_loss(forget_z, retain_z, temperature, reduction), rel=1e-11)


@given(sizes, st.floats(-2, 3).map(lambda power: 10.0**power))
def test_class_loss_equals_the_loop_for_any_shape(size: tuple[int, int, int, int, int], temperature: float) -> None:
    anchors, retained, dim, _, seed = size
    forget_z, retain_z = unit_rows(anchors, dim, seed), unit_rows(retained, dim, seed + 1)
    found = class_unlearning_loss(forget_z, retain_z, temperature).item()
    assert found == pytest.approx(loop_class_loss(forget_z, retain_z, temperature), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("push_weight", ["paper", "released"])
def test_without_any_positive_eq5_is_eq6(push_weight: str) -> None:
    forget_z, retain_z = unit_rows(5, 4, 0), unit_rows(9, 4, 1)
    absent, present = torch.full((5,), 3), labels(9, 3, 2)
    found = sample_unlearning_loss(forget_z, absent, retain_z, present, push_weight=push_weight)
    assert found.item() == pytest.approx(class_unlearning_loss(forget_z, retain_z).item(), rel=1e-12)


def test_an_anchor_without_positives_takes_eq6s_term_among_others() -> None:
    forget_z, forget_y, retain_z, retain_y = case()
    forget_y[2] = 9
    terms = [
        sample_unlearning_loss(forget_z[i : i + 1], forget_y[i : i + 1], retain_z, retain_y).item() for i in range(5)
    ]
    assert terms[2] == pytest.approx(class_unlearning_loss(forget_z[2:3], retain_z).item(), rel=1e-12)
    found = sample_unlearning_loss(forget_z, forget_y, retain_z, retain_y).item()
    assert found == pytest.approx(math.fsum(terms) / 5, rel=1e-12)


def test_an_anchor_without_negatives_adds_nothing_but_is_counted() -> None:
    forget_z, retain_z = unit_rows(2, 4, 0), unit_rows(3, 4, 1)
    everything, retain_y = torch.tensor([1, 1]), torch.tensor([1, 1, 1])
    assert sample_unlearning_loss(forget_z, everything, retain_z, retain_y).item() == 0
    one, both = torch.tensor([0, 1]), torch.tensor([1, 1, 1])
    alone = sample_unlearning_loss(forget_z[:1], one[:1], retain_z, both).item()
    assert sample_unlearning_loss(forget_z, one, retain_z, both).item() == pytest.approx(alone / 2, rel=1e-12)


@given(sizes, temperatures)
def test_the_sum_is_the_batch_size_times_the_mean(size: tuple[int, int, int, int, int], temperature: float) -> None:
    anchors, retained, dim, num_classes, seed = size
    z, r = unit_rows(anchors, dim, seed), unit_rows(retained, dim, seed + 1)
    y, k = labels(anchors, num_classes, seed), labels(retained, num_classes, seed + 1)
    mean = sample_unlearning_loss(z, y, r, k, temperature, "mean").item()
    total = sample_unlearning_loss(z, y, r, k, temperature, "sum").item()
    assert total == pytest.approx(anchors * mean, rel=1e-9, abs=1e-9)
    mean, total = (class_unlearning_loss(z, r, temperature, reduction).item() for reduction in ("mean", "sum"))
    assert total == pytest.approx(anchors * mean, rel=1e-9, abs=1e-9)


# The loop comparison would catch each of these mistakes


def mutant(
    forget_z: Tensor, forget_y: Tensor, retain_z: Tensor, retain_y: Tensor, temperature: float, mistake: str
) -> Tensor:
    """Eq. 5 written from its definition, mean form, with one mistake built in ("none": without)."""
    s = forget_z @ retain_z.T / (1 if mistake == "no temperature" else temperature)
    positive = forget_y[:, None] == retain_y[None, :]
    if mistake == "positives and negatives swapped":
        positive = ~positive
    count = (~positive).sum(dim=1).double()
    if mistake == "divided by B instead of |N|":
        count = torch.full_like(count, len(retain_y))
    if mistake == "divided by |P|":
        count = positive.sum(dim=1).double()
    pull = (s * ~positive).sum(dim=1) / count
    total = (s.exp() * (torch.ones_like(positive) if mistake == "denominator over all" else positive)).sum(dim=1)
    push = total if mistake == "no log" else total.log()
    loss = pull - push if mistake == "sign turned" else push - pull
    return loss.sum() if mistake == "summed" else loss.mean()


def assert_matches_the_loop(loss: Callable[..., Tensor]) -> None:
    for seed in range(3):
        assert loss(*case(seed), 0.7).item() == pytest.approx(loop_sample_loss(*case(seed), 0.7), rel=1e-9)


def test_the_mutants_ground_is_right() -> None:
    assert_matches_the_loop(sample_unlearning_loss)
    assert_matches_the_loop(partial(mutant, mistake="none"))


@pytest.mark.parametrize(
    "mistake",
    [
        "positives and negatives swapped",
        "no log",
        "divided by B instead of |N|",
        "divided by |P|",
        "denominator over all",
        "sign turned",
        "summed",
        "no temperature",
    ],
)
def test_the_loop_catches_the_mistake(mistake: str) -> None:
    with pytest.raises(AssertionError):
        assert_matches_the_loop(partial(mutant, mistake=mistake))


def test_the_loop_tells_the_released_weight_from_the_papers() -> None:
    with pytest.raises(AssertionError):
        assert_matches_the_loop(partial(sample_unlearning_loss, push_weight="released"))


# Gradients


@pytest.mark.parametrize("temperature", [0.05, 0.7, 50.0])
@pytest.mark.parametrize("push_weight", ["paper", "released"])
@pytest.mark.parametrize("absent", [False, True], ids=["full", "one anchor without positives"])
def test_sample_loss_passes_gradcheck(temperature: float, push_weight: str, absent: bool) -> None:
    forget_z, forget_y, retain_z, retain_y = case()
    if absent:
        forget_y[1] = 9

    def loss(z: Tensor, r: Tensor) -> Tensor:
        return sample_unlearning_loss(z, forget_y, r, retain_y, temperature, "sum", push_weight)

    assert torch.autograd.gradcheck(loss, (forget_z.requires_grad_(), retain_z.requires_grad_()))


@pytest.mark.parametrize("temperature", [0.05, 0.7, 50.0])
def test_class_loss_passes_gradcheck(temperature: float) -> None:
    inputs = (unit_rows(4, 3, 0).requires_grad_(), unit_rows(6, 3, 1).requires_grad_())
    assert torch.autograd.gradcheck(partial(class_unlearning_loss, temperature=temperature), inputs)


def test_sample_loss_gradient_equals_finite_differences_of_the_loop() -> None:
    forget_z, forget_y, retain_z, retain_y = case()
    forget_z.requires_grad_()
    retain_z.requires_grad_()
    sample_unlearning_loss(forget_z, forget_y, retain_z, retain_y, 0.3).backward()
    step = 1e-6
    for z in (forget_z, retain_z):
        assert z.grad is not None
        for row in range(len(z)):
            for column in range(z.shape[1]):
                values = []
                for shift in (step, -step):
                    moved = z.detach().clone()
                    moved[row, column] += shift
                    inputs = (moved, forget_y, retain_z) if z is forget_z else (forget_z, forget_y, moved)
                    values.append(loop_sample_loss(*inputs, retain_y, 0.3))
                assert z.grad[row, column].item() == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-7)


def gradients(loss: Callable[..., Tensor], *embeddings: Tensor) -> list[Tensor]:
    leaves = [z.detach().clone().requires_grad_() for z in embeddings]
    return list(torch.autograd.grad(loss(*leaves), leaves))


def test_eq6s_gradient_does_not_see_the_inner_count() -> None:
    """log|N| is a constant: the gradient is that of the plain mean similarity."""
    forget_z, retain_z = unit_rows(5, 4, 0), unit_rows(9, 4, 1)
    plain = gradients(lambda z, r: -(z @ r.T / 0.7).mean(), forget_z, retain_z)
    for found, expected in zip(gradients(class_unlearning_loss, forget_z, retain_z), plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    # Three copies of every retained row: |N| grows, the mean stays, and so does the anchors' gradient.
    copied = gradients(class_unlearning_loss, forget_z, retain_z.repeat(3, 1))[0]
    torch.testing.assert_close(copied, gradients(class_unlearning_loss, forget_z, retain_z)[0], rtol=1e-12, atol=0)
    rise = class_unlearning_loss(forget_z, retain_z.repeat(3, 1)) - class_unlearning_loss(forget_z, retain_z)
    assert rise.item() == pytest.approx(math.log(3), rel=1e-12)


def test_every_anchor_of_eq6_is_pushed_the_same_way() -> None:
    forget_z, retain_z = unit_rows(5, 4, 0), unit_rows(9, 4, 1)
    towards = -retain_z.mean(dim=0) / (0.7 * 5)
    found = gradients(class_unlearning_loss, forget_z, retain_z)[0]
    torch.testing.assert_close(found, towards.expand(5, -1), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("power", [-9, -3, 1, 4, 9])
def test_the_temperature_only_rescales_eq6s_gradient(power: int) -> None:
    """For powers of two, which floats divide without rounding, to the last bit."""
    forget_z, retain_z = unit_rows(5, 4, 0, torch.float32), unit_rows(9, 4, 1, torch.float32)
    plain = gradients(partial(class_unlearning_loss, temperature=1.0), forget_z, retain_z)
    tau = 2.0**power
    for found, base in zip(
        gradients(partial(class_unlearning_loss, temperature=tau), forget_z, retain_z), plain, strict=True
    ):
        assert torch.equal(found * tau, base)


def test_the_temperature_changes_the_direction_of_eq5s_gradient() -> None:
    """The control to the test above: Eq. 5's soft choice among positives does depend on it."""
    forget_z, forget_y, retain_z, retain_y = case()
    cold, warm = (
        gradients(lambda z, t=tau: sample_unlearning_loss(z, forget_y, retain_z, retain_y, t), forget_z)[0]
        for tau in (0.05, 5.0)
    )
    assert F.cosine_similarity(cold, warm, dim=1).min() < 0.999


def test_both_sides_move_and_in_the_right_direction() -> None:
    forget_z, forget_y, retain_z, retain_y = (
        unit_rows(1, 4, 0),
        torch.tensor([0]),
        unit_rows(2, 4, 1),
        torch.tensor([0, 1]),
    )
    forget_grad, retain_grad = gradients(
        lambda z, r: sample_unlearning_loss(z, forget_y, r, retain_y), forget_z, retain_z
    )
    assert (retain_grad.norm(dim=1) > 0).all()
    stepped = forget_z - 0.01 * forget_grad
    before, after = (forget_z @ retain_z.T)[0], (stepped @ retain_z.T)[0]
    assert (after[0] - after[1]) < (before[0] - before[1])  # away from the positive, towards the negative


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
    st.sampled_from(["as drawn", "no positives", "no negatives"]),
    st.sampled_from(["paper", "released"]),
    st.booleans(),
)
def test_sample_loss_is_finite_with_its_gradient(
    size: tuple[int, int, int, int, int],
    temperature: float,
    dtype: torch.dtype,
    missing: str,
    push_weight: str,
    autocast: bool,
) -> None:
    anchors, retained, dim, num_classes, seed = size
    z, r = unit_rows(anchors, dim, seed, dtype), unit_rows(retained, dim, seed + 1, dtype)
    y, k = labels(anchors, num_classes, seed), labels(retained, num_classes, seed + 1)
    if missing == "no positives":
        y = y + num_classes
    if missing == "no negatives":
        y, k = torch.zeros_like(y), torch.zeros_like(k)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert_finite((z, r), lambda a, b: sample_unlearning_loss(a, y, b, k, temperature, "mean", push_weight))


@given(sizes, temperatures, st.sampled_from([torch.float32, torch.bfloat16, torch.float64]), st.booleans())
def test_class_loss_is_finite_with_its_gradient(
    size: tuple[int, int, int, int, int], temperature: float, dtype: torch.dtype, autocast: bool
) -> None:
    anchors, retained, dim, _, seed = size
    z, r = unit_rows(anchors, dim, seed, dtype), unit_rows(retained, dim, seed + 1, dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert_finite((z, r), partial(class_unlearning_loss, temperature=temperature))


@pytest.mark.parametrize("temperature", [1e-3, 1e3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_opposite_and_equal_embeddings_are_finite_at_the_ends_of_the_range(
    temperature: float, dtype: torch.dtype
) -> None:
    z = torch.eye(3, dtype=dtype)
    retained = torch.cat([z, -z])
    y, k = torch.arange(3), torch.arange(3).repeat(2)
    assert_finite((z, retained), lambda a, b: sample_unlearning_loss(a, y, b, k, temperature))
    assert_finite((z, retained), partial(class_unlearning_loss, temperature=temperature))


@pytest.mark.parametrize("temperature", [0.01, 0.7])
def test_bfloat16_inputs_and_autocast_lose_nothing_but_the_inputs_rounding(temperature: float) -> None:
    """The similarities are made in float32: bfloat16's three digits, over a small tau, would be off by whole units."""
    z, y, r, k = case(dtype=torch.bfloat16)
    expected = loop_sample_loss(z, y, r, k, temperature)
    with torch.autocast("cpu", torch.bfloat16):
        found, wide = (
            sample_unlearning_loss(z, y, r, k, temperature),
            sample_unlearning_loss(z.float(), y, r.float(), k, temperature),
        )
        of_class = class_unlearning_loss(z, r, temperature)
    assert found.dtype == wide.dtype == of_class.dtype == torch.float32
    assert found.item() == wide.item() == pytest.approx(expected, rel=1e-5)
    assert of_class.item() == pytest.approx(loop_class_loss(z, r, temperature), rel=1e-5)


def test_float64_stays_float64() -> None:
    assert sample_unlearning_loss(*case()).dtype == torch.float64
    assert class_unlearning_loss(unit_rows(2, 3, 0), unit_rows(2, 3, 1)).dtype == torch.float64


# Bad input


@pytest.mark.parametrize("temperature", [0.0, -0.7, 9.99e-4, 1000.1, math.inf, math.nan])
def test_a_temperature_out_of_range_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match=r"temperature is .*; expected a number from 0.001 to 1000"):
        sample_unlearning_loss(*case(), temperature)
    with pytest.raises(ValueError, match=r"temperature is .*; expected a number from 0.001 to 1000"):
        class_unlearning_loss(unit_rows(2, 3, 0), unit_rows(2, 3, 1), temperature)


@pytest.mark.parametrize("temperature", [1e-3, 1e3])
def test_the_ends_of_the_range_are_allowed(temperature: float) -> None:
    assert torch.isfinite(sample_unlearning_loss(*case(), temperature))


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, torch.zeros(5, 3), r"forget_z has shape \(5, 3\) and retain_z \(9, 4\); expected the same embedding"),
        (0, torch.zeros(5), r"forget_z is torch.float32 of shape \(5,\); expected floats of shape \(batch, dim\)"),
        (0, torch.zeros(5, 4, dtype=torch.int64), r"forget_z is torch.int64"),
        (0, torch.zeros(0, 4), r"forget_z .* of shape \(0, 4\); .* batch >= 1"),
        (2, torch.zeros(0, 4), r"retain_z .* of shape \(0, 4\); .* batch >= 1"),
        (2, torch.zeros(9, 2, 2), r"retain_z .* of shape \(9, 2, 2\)"),
        (1, torch.zeros(4, dtype=torch.int64), r"forget_y .* of shape \(4,\); expected whole numbers of shape \(5,\)"),
        (1, torch.zeros(5, 1, dtype=torch.int64), r"forget_y .* of shape \(5, 1\)"),
        (1, torch.zeros(5), r"forget_y is torch.float32"),
        (3, torch.zeros(8, dtype=torch.int64), r"retain_y .* of shape \(8,\); expected whole numbers of shape \(9,\)"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(position: int, value: Tensor, message: str) -> None:
    inputs = list(case())
    inputs[position] = value
    with pytest.raises(ValueError, match=message):
        sample_unlearning_loss(*inputs)


def test_class_loss_refuses_embeddings_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"\(5, 3\) and retain_z \(9, 4\)"):
        class_unlearning_loss(torch.zeros(5, 3), torch.zeros(9, 4))
    with pytest.raises(ValueError, match=r"retain_z .* of shape \(0, 3\)"):
        class_unlearning_loss(torch.zeros(5, 3), torch.zeros(0, 3))


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="reduction is 'none'; expected 'mean' or 'sum'"):
        sample_unlearning_loss(*case(), reduction="none")
    with pytest.raises(ValueError, match="reduction is 'none'"):
        class_unlearning_loss(unit_rows(2, 3, 0), unit_rows(2, 3, 1), reduction="none")
    with pytest.raises(ValueError, match="push_weight is 'code'; expected 'paper' or 'released'"):
        sample_unlearning_loss(*case(), push_weight="code")
