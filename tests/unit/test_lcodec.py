"""LCODEC: the dependence coefficient on known cases, the removal step against closed forms."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cu_helpers.data import Dataset, ForgetTask, forget_samples
from cu_helpers.models import EmbeddingClassifier, build_model
from cu_helpers.unlearning import LcodecSettings, unlearn
from cu_helpers.unlearning.codec import codec2, codec3, foci
from cu_helpers.unlearning.lcodec import exact_hessian, mean_gradient, secant
from cu_helpers.unlearning.newton import newton_removal, secant_removal
from cu_helpers.unlearning.units import Units, gather, put


def rows(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_codec(y: list[float], z: list[tuple[float, ...]], x: list[tuple[float, ...]] | None = None) -> float:
    """The two definitions once more, by loops over lists."""
    n = len(y)
    rank = [sum(b <= a for b in y) for a in y]
    above = [sum(b >= a for b in y) for a in y]

    def nearest(points: list[tuple[float, ...]], i: int) -> int:
        return min((j for j in range(n) if j != i), key=lambda j: math.dist(points[i], points[j]))

    if x is None:
        near = [nearest(z, i) for i in range(n)]
        return sum(n * min(rank[i], rank[near[i]]) - above[i] ** 2 for i in range(n)) / sum(a * (n - a) for a in above)
    both = [(*x[i], *z[i]) for i in range(n)]
    n_x, n_b = [nearest(x, i) for i in range(n)], [nearest(both, i) for i in range(n)]
    top = sum(min(rank[i], rank[n_b[i]]) - min(rank[i], rank[n_x[i]]) for i in range(n))
    return top / sum(rank[i] - min(rank[i], rank[n_x[i]]) for i in range(n))


def test_coefficients_equal_their_definition() -> None:
    z, x = rows(30, 2), rows(30, 1, seed=1)
    y = z[:, 0] + x[:, 0].square() + 0.3 * rows(30, 1, seed=2)[:, 0]
    y[3] = y[7]  # a tie
    lists = [[tuple(row) for row in values.tolist()] for values in (z, x)]
    assert codec2(y, z) == pytest.approx(plain_codec(y.tolist(), lists[0]), abs=1e-12)
    assert codec3(y, z, x) == pytest.approx(plain_codec(y.tolist(), lists[0], lists[1]), abs=1e-12)


def test_known_dependence() -> None:
    n = 1500
    x = rows(n, 1)
    noise = rows(n, 1, seed=2)[:, 0]
    assert codec2(x[:, 0].sin(), x) > 0.95, "a function"
    assert abs(codec2(noise, x)) < 0.08, "independence"
    # The classic of the 2021 paper: y = u + v mod 1 depends on neither alone and on both together.
    u = torch.rand(n, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    y = u.sum(dim=1) % 1
    assert abs(codec2(y, u[:, 0])) < 0.08
    assert codec3(y, u[:, 1], u[:, 0]) > 0.8
    assert abs(codec3(y, noise, u[:, 0])) < 0.15
    assert codec2(torch.ones(9), rows(9, 1)) == 0


def test_foci_finds_what_matters_and_stops() -> None:
    variables = rows(800, 8)
    variables[:, 5] = 3.0  # constant
    y = variables[:, 2] * variables[:, 6] + torch.sin(3 * variables[:, 2])
    chosen = foci(y, variables)
    assert set(chosen[:2]) == {2, 6}
    assert 5 not in chosen
    scaled = variables * torch.tensor([1, 10, 0.01, 1, 1, 1, 100, 1], dtype=torch.float64)
    assert foci(y, scaled) == chosen, "units of measurement do not matter"
    assert foci(y, variables, limit=1) == chosen[:1]
    assert foci(y, variables, memory=1) == chosen, "column by column, the same"
    # Each choice is the best by the definition of T(Y, Z | X) itself.
    unit = variables / variables.std(dim=0).clamp(min=1e-12)
    others = [j for j in range(8) if j not in (chosen[0], 5)]
    assert chosen[1] == max(others, key=lambda j: codec3(y, unit[:, j], unit[:, chosen[0]]))


def test_removal_is_exact_on_ridge_regression() -> None:
    """Loss of a sample: (x.w - y)^2 / 2 + mu |w|^2 / 2. Its minimum without one sample is known."""
    n, d, mu = 12, 4, 0.3
    x, y = rows(n, d), rows(n, 1, seed=1)[:, 0]

    def fit(keep: Tensor) -> Tensor:
        return torch.linalg.solve(
            x[keep].T @ x[keep] + len(keep) * mu * torch.eye(d, dtype=torch.float64), x[keep].T @ y[keep]
        )

    w = fit(torch.arange(n))
    gradient = (x[0] @ w - y[0]) * x[0] + mu * w
    hessian = x.T @ x / n + mu * torch.eye(d, dtype=torch.float64)
    sample = torch.outer(x[0], x[0]) + mu * torch.eye(d, dtype=torch.float64)
    step = newton_removal(gradient, hessian, sample, n, damping=0.0)
    expected = fit(torch.arange(1, n))
    assert torch.allclose(w + step, expected, atol=1e-10)
    mutants = {
        "the wrong sign": -step,
        "n for n - 1": step * (n - 1) / n,
        "the old Hessian": torch.linalg.solve(hessian, gradient) / (n - 1),
    }
    for name, wrong in mutants.items():
        assert not torch.allclose(w + wrong, expected, atol=1e-4), name


def test_the_small_solve_is_the_dense_one() -> None:
    k, n, damping = 7, 20, 0.05
    gradient, a, dw_a, b, dw_b = rows(5, k)
    dense = newton_removal(
        gradient, torch.outer(a, a) / dw_a.abs().sum(), torch.outer(b, b) / dw_b.abs().sum(), n, damping
    )
    assert torch.allclose(secant_removal(gradient, (a, dw_a), (b, dw_b), n, damping), dense, rtol=1e-9)
    zero = torch.zeros_like(b)
    flat = newton_removal(gradient, torch.outer(a, a) / dw_a.abs().sum(), torch.zeros(k, k).double(), n, damping)
    assert torch.allclose(secant_removal(gradient, (a, dw_a), (zero, zero), n, damping), flat, rtol=1e-9)


@pytest.fixture(scope="module")
def model() -> EmbeddingClassifier:
    return build_model("resnet18", 10, width=4, seed=3).eval()


@pytest.fixture(scope="module")
def task(digits: Dataset) -> ForgetTask:
    return forget_samples(digits, 2, seed=1)


def test_units_name_their_weights(model: EmbeddingClassifier, task: ForgetTask) -> None:
    units = Units(model)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(units.places) == sum(layer.weight.shape[0] for layer in layers)
    x, _ = task.forget.batch(torch.arange(2))
    with torch.no_grad():
        activations, logits = units.activations(model, x)
        assert torch.equal(logits, model(x))
        assert torch.allclose(activations[:, -10:], model(x)), "the head's neurons come last"
        stem = model.backbone.stem[0](x)  # type: ignore[union-attr]
        assert torch.allclose(activations[:, :4], stem.mean(dim=(2, 3)), atol=1e-6)
    position = units.places.index(("head", 3))
    assert {n: i.tolist() for n, i in units.rows([position]).items()} == {"head.weight": [3], "head.bias": [3]}
    changed = copy.deepcopy(model)
    chosen = units.rows([1, position])
    before = gather(dict(changed.named_parameters()), chosen).detach()
    put(changed, chosen, before + 1)
    for name, weight in changed.named_parameters():
        moved = (weight - dict(model.named_parameters())[name]).flatten(1) if weight.ndim > 1 else None
        if name == "backbone.stem.0.weight":
            assert moved is not None
            assert moved.abs().sum(dim=1).nonzero().flatten().tolist() == [1]
        elif name not in ("head.weight", "head.bias"):
            assert torch.equal(weight, dict(model.named_parameters())[name]), name


def test_the_exact_hessian_of_the_head_has_a_closed_form(model: EmbeddingClassifier, task: ForgetTask) -> None:
    units = Units(model)
    head = units.rows([position for position, (name, _) in enumerate(units.places) if name == "head"])
    images = task.train.first(5)
    x, _ = images.batch(torch.arange(5))
    with torch.no_grad():
        a = torch.cat([F.relu(model.encode(x)), torch.ones(5, 1)], dim=1)
        p = model(x).softmax(dim=1)
    kernel = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    expected = torch.einsum("ncd,nk,nl->ckdl", kernel, a, a) / 5
    ours = exact_hessian(model, images, head)
    weights = model.head.weight.numel()
    assert ours.shape == (weights + 10, weights + 10)
    assert torch.allclose(ours[:weights, :weights], expected[:, :-1, :, :-1].reshape(weights, weights), atol=1e-6)
    assert torch.allclose(ours[weights:, weights:], expected[:, -1, :, -1], atol=1e-6)


def test_the_secant_is_a_hessian_vector_product(model: EmbeddingClassifier, task: ForgetTask) -> None:
    before, change, step = secant(model, task.train.first(20), 1e-3)
    expected = mean_gradient(model, task.train.first(20))
    assert all(torch.equal(before[name], expected[name]) for name in expected)
    assert all(torch.equal(step[name], -1e-3 * before[name]) for name in before)
    units = Units(model)
    head = units.rows([position for position, (name, _) in enumerate(units.places) if name == "head"])
    small = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for name in ("head.weight", "head.bias"):
            small[name] = 1e-2 * before[name]
            dict(moved.named_parameters())[name].add_(small[name])
    after = mean_gradient(moved, task.train.first(20))
    difference = gather(after, head) - gather(before, head)
    product = exact_hessian(model, task.train.first(20), head) @ gather(small, head)
    assert torch.allclose(difference, product, atol=0.02 * product.abs().max().item())
    assert len(change) == len(before)


def test_only_selected_weights_move_and_a_bad_step_is_undone(
    model: EmbeddingClassifier, fitted: EmbeddingClassifier, task: ForgetTask
) -> None:
    settings = LcodecSettings(perturbations=40, max_units=3, damping=1.0, add_noise=False)
    result = unlearn("lcodec", model, task, settings)
    moved = [
        name
        for (name, ours), theirs in zip(result.model.named_parameters(), model.parameters(), strict=True)
        if not torch.equal(ours, theirs)
    ]
    assert 1 <= len(moved) <= 2 * 2 * 3  # two samples, weight and bias of three units each
    assert result.forget_share == 1
    assert result.history[-1]["undone"] == 0
    # Noise this strong ruins the model, so that every step has to be taken back.
    ruinous = replace(settings, add_noise=True, damping=1e-3, max_drop=1e-9)
    undone = unlearn("lcodec", fitted, task, ruinous)
    assert undone.history[-1]["undone"] == 2
    assert all(torch.equal(a, b) for a, b in zip(undone.model.parameters(), fitted.parameters(), strict=True))


def test_the_noise_has_the_certificates_size() -> None:
    # 6.2e-3 for the CIFAR script's settings and 6.2 for the command line's, both at n = 50,000.
    assert LcodecSettings().noise_deviation(50_000) == pytest.approx(6.2e-3, rel=0.01)
    assert LcodecSettings(damping=0.001).noise_deviation(50_000) == pytest.approx(6.2, rel=0.01)
    with pytest.raises(ValueError, match="perturbations is 2"):
        LcodecSettings(perturbations=2)
    with pytest.raises(ValueError, match="unknown Hessian 'diagonal'"):
        LcodecSettings(hessian="diagonal")
