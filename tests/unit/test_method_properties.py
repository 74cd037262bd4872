"""The arithmetic inside the unlearning methods, for any numbers: loops, closed forms, and what may not count."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, draw, order, rows, seeds, turn
from torch import Tensor

from cu_helpers.unlearning import FisherSettings, SsdSettings
from cu_helpers.unlearning.codec import codec2, codec3, foci
from cu_helpers.unlearning.fisher import mixtures, noise_distribution, random_signs, softmax_factors
from cu_helpers.unlearning.newton import newton_removal, secant_removal
from cu_helpers.unlearning.scrub import distillation_kl, rewind_choice
from cu_helpers.unlearning.ssd import dampened
from cu_helpers.unlearning.units import gather, scatter
from cu_helpers.unlearning.unsir import retained_subset


@given(seeds, st.integers(1, 4), st.integers(2, 5), st.sampled_from([0.5, 1.0, 4.0]))
@settings(max_examples=FEW)
def test_the_kl_is_a_loop_never_negative_and_zero_for_the_teacher(
    seed: int, count: int, classes: int, temperature: float
) -> None:
    student, teacher = 3 * rows(count, classes, seed), 3 * rows(count, classes, seed + 1)
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        p, q = (
            [math.exp(x / temperature) / sum(math.exp(y / temperature) for y in row) for x in row] for row in (t, s)
        )
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / count
    found = float(distillation_kl(student, teacher, temperature))
    assert found == pytest.approx(temperature**2 * total, rel=1e-6, abs=1e-9)
    assert found >= -1e-12
    assert float(distillation_kl(teacher + 5, teacher, temperature)) == pytest.approx(0, abs=1e-9)


@given(st.lists(st.integers(0, 10).map(float), min_size=1, max_size=6), st.integers(0, 10).map(float))
@settings(max_examples=FEW)
def test_the_chosen_checkpoint_is_the_last_of_the_nearest(errors: list[float], goal: float) -> None:
    found = rewind_choice(errors, goal)
    distances = [abs(error - goal) for error in errors]
    assert distances[found] == min(distances)
    assert all(distance > distances[found] for distance in distances[found + 1 :])


@given(seeds, st.integers(1, 4), st.integers(2, 5))
@settings(max_examples=FEW)
def test_factors_rebuild_diag_p_minus_pp_and_one_of_each_sign_pattern_too(seed: int, count: int, classes: int) -> None:
    logits = 2 * rows(count, classes, seed).float()
    factors, p = softmax_factors(logits), logits.softmax(dim=1)
    information = factors.transpose(1, 2) @ factors
    expected = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    torch.testing.assert_close(information, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(factors.sum(dim=2), torch.zeros(count, classes - 1), rtol=0, atol=1e-6)
    signs = random_signs(count, 3, classes - 1, draw(seed))
    assert torch.equal(signs, random_signs(count, 3, classes - 1, draw(seed)))
    mixed = mixtures(factors, signs)
    assert mixed.shape == (count, 3, classes)
    bound = factors.abs().sum(dim=1, keepdim=True) / 3**0.5
    assert (mixed.abs() <= bound + 1e-6).all(), "signs, and no weights"


@given(seeds, st.sampled_from(["head.weight", "backbone.conv1.weight"]), st.none() | st.integers(0, 3))
@settings(max_examples=FEW)
def test_noise_is_more_where_less_is_known_and_a_forgotten_row_is_drawn_anew(
    seed: int, name: str, label: int | None
) -> None:
    weight, information = rows(4, 3, seed), rows(4, 3, seed + 1).square()
    chosen = FisherSettings()
    mean, variance = noise_distribution(name, weight, information, chosen, label)
    assert (variance > 0).all()
    assert torch.equal(variance, variance[:, :1].expand(4, 3)), "one variance a row"
    less_known = noise_distribution(name, weight, information / 2, chosen, label)[1]
    assert (less_known >= variance).all()
    again = label if name == "head.weight" else None
    for row in range(4):
        if row == again:
            assert (mean[row] == 0).all()
            assert float(variance[row, 0]) == pytest.approx(chosen.class_row_variance * chosen.boost)
        else:
            assert torch.equal(mean[row], weight[row])


@given(seeds, st.floats(0.5, 20), st.floats(0.1, 2))
@settings(max_examples=FEW)
def test_dampening_is_its_loop_and_never_enlarges(seed: int, selection: float, strength: float) -> None:
    weight, forget, everything = rows(3, 4, seed), rows(3, 4, seed + 1).square(), rows(3, 4, seed + 2).square() / 5
    chosen = SsdSettings(selection=selection, dampening=strength)
    found = dampened(weight, forget, everything, chosen)
    flat = zip(weight.flatten().tolist(), forget.flatten().tolist(), everything.flatten().tolist(), strict=True)
    expected = [w * min(1, strength * e / f) if f > selection * e else w for w, f, e in flat]
    assert found.flatten().tolist() == pytest.approx(expected)
    assert (found.abs() <= weight.abs()).all()
    assert torch.equal(dampened(weight, torch.zeros(3, 4), everything, chosen), weight), (
        "what matters for nothing stays"
    )


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20).map(torch.tensor), st.integers(1, 6), seeds)
@settings(max_examples=FEW)
def test_a_retained_subset_has_so_many_of_each_class_or_all(labels: Tensor, per_class: int, seed: int) -> None:
    chosen = retained_subset(labels, per_class, draw(seed))
    assert len(set(chosen.tolist())) == len(chosen)
    for label in range(4):
        assert int((labels[chosen] == label).sum()) == min(per_class, int((labels == label).sum()))


@given(seeds, st.integers(4, 12), st.integers(1, 3))
@settings(max_examples=FEW)
def test_dependence_sees_ranks_of_y_and_neighbours_in_z_alone(seed: int, n: int, dim: int) -> None:
    y, z, x = rows(n, 1, seed)[:, 0], rows(n, dim, seed + 1), rows(n, dim, seed + 2)
    rank = order(n, seed)
    for measure in (lambda y, z, x: codec2(y, z), codec3):
        found = measure(y, z, x)
        assert found <= 1 + 1e-12
        assert measure(y.exp(), z, x) == pytest.approx(found)
        assert measure(y, 3 * z @ turn(dim, seed) + 1, 3 * x) == pytest.approx(found)
        assert measure(y[rank], z[rank], x[rank]) == pytest.approx(found)
        assert measure(torch.ones(n), z, x) == 0


@given(seeds, st.integers(10, 20), st.integers(1, 4), st.none() | st.integers(0, 2))
@settings(max_examples=FEW)
def test_a_selection_names_columns_once_within_its_limit_whatever_their_scale_and_order(
    seed: int, n: int, columns: int, limit: int | None
) -> None:
    variables = rows(n, columns, seed)
    y = variables[:, 0] + 0.1 * rows(n, 1, seed + 1)[:, 0]
    chosen = foci(y, variables, limit)
    assert len(set(chosen)) == len(chosen) <= (columns if limit is None else limit)
    assert foci(y, 7 * variables - 2, limit) == chosen
    assert foci(y, variables, limit, memory=1) == chosen, "however few columns at once"
    names = order(columns, seed)
    assert [int(names[c]) for c in foci(y, variables[:, names], limit)] == chosen
    constant = torch.cat([variables, torch.ones(n, 1, dtype=variables.dtype)], dim=1)
    assert columns not in foci(y, constant, limit)


@given(seeds, st.integers(2, 6), st.integers(2, 50), st.floats(0.05, 5))
@settings(max_examples=FEW)
def test_the_small_system_is_newtons_step_with_rank_one_curvature(seed: int, k: int, n: int, damping: float) -> None:
    slope, *pairs = rows(5, k, seed)
    data, sample = (pairs[0], pairs[1]), (pairs[2], pairs[3])
    # A step that runs against its change of gradient would be negative curvature: the sizes are absolute.
    hessians = [torch.outer(change, change) / step.abs().sum() for change, step in (data, sample)]
    expected = newton_removal(slope, hessians[0], hessians[1] / 100, n, damping)
    tenth = (sample[0] / 10, sample[1])
    torch.testing.assert_close(secant_removal(slope, data, tenth, n, damping), expected, rtol=1e-6, atol=1e-9)


@given(seeds, st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True))
@settings(max_examples=FEW)
def test_what_is_gathered_is_what_was_scattered_and_the_rest_stays(seed: int, chosen: list[int]) -> None:
    tensors = {"weight": rows(5, 6, seed).reshape(5, 2, 3), "bias": rows(5, 1, seed + 1)[:, 0]}
    where = dict.fromkeys(tensors, torch.tensor(chosen))
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    values = rows(1, 7 * len(chosen), seed + 2)[0]
    changed = scatter(tensors, where, values)
    assert torch.equal(gather(changed, where), values)
    rest = torch.tensor([row for row in range(5) if row not in chosen], dtype=torch.int64)
    for name, tensor in tensors.items():
        assert torch.equal(tensor, before[name])
        assert torch.equal(changed[name][rest], tensor[rest])
