"""Fisher forgetting against closed forms, plain loops and the recipe's own words."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from cu_helpers.data import Dataset, ForgetTask, ImageData, forget_class, forget_samples
from cu_helpers.models import EmbeddingClassifier, build_model
from cu_helpers.unlearning import FisherSettings, layer_squares, layerwise, unlearn
from cu_helpers.unlearning.fisher import fisher_diagonal, mixtures, noise_distribution, random_signs, softmax_factors
from cu_helpers.unlearning.layer_squares import NoFormulaError
from cu_helpers.unlearning.layerwise import LayerwiseSquares, works_for
from cu_helpers.unlearning.per_sample import PerSampleGradients, VmapSquares, images_at_once, squared_gradients


@pytest.fixture(scope="module")
def few(digits: Dataset) -> ImageData:
    return digits.train.first(7)


def settled(name: str = "resnet18", width: int = 4) -> EmbeddingClassifier:
    """A random network whose BatchNorm statistics are not the initial ones."""
    model = build_model(name, 10, width=width, seed=5)
    draw = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=draw)
            module.running_var.uniform_(0.5, 2, generator=draw)
    with torch.no_grad():
        model.head.weight.mul_(8)  # spread the logits, so that the softmax is not flat
    return model.eval()


def looped(model: EmbeddingClassifier, images: ImageData, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Golatkar et al.'s sum, written as their code walks it: one image and one label at a time."""
    total = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    for position in range(len(images)):
        x, _ = images.batch(torch.tensor([position]))
        log_p = F.log_softmax(model(x.to(dtype))[0], dim=0)
        for label in range(len(log_p)):
            gradients = torch.autograd.grad(-log_p[label], list(model.parameters()), retain_graph=True)
            for name, gradient in zip(total, gradients, strict=True):
                total[name] += log_p[label].detach().exp() * gradient.square() / len(images)
    return total


def worst(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    return max((ours[name] - theirs[name]).abs().max().item() / theirs[name].abs().max().item() for name in theirs)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vit_small"])
def test_the_diagonal_is_the_loops(name: str, few: ImageData) -> None:
    model = settled(name)
    images = few if name == "resnet18" else few.first(2)
    expected = looped(model, images)
    assert worst(fisher_diagonal(model, images, chunk=3), expected) < 1e-3
    batch = copy.deepcopy(model).train()  # a mutant that must fail: statistics of the batch
    if name != "vit_small":
        batch.eval = lambda: batch  # type: ignore[method-assign]
        assert worst(looped(batch, images), expected) > 0.05


def test_the_head_has_its_closed_form(few: ImageData) -> None:
    """On a linear softmax layer F(w_ck) = mean p_c (1 - p_c) a_k^2, with a the layer's input."""
    model = settled()
    x, _ = few.batch(torch.arange(len(few)))
    with torch.no_grad():
        a = F.relu(model.encode(x))
        p = model(x).softmax(dim=1)
    ours = fisher_diagonal(model, few)
    expected = torch.einsum("nc,nk->ck", p * (1 - p), a.square()) / len(few)
    assert torch.allclose(ours["head.weight"], expected, rtol=1e-3, atol=1e-9)
    assert torch.allclose(ours["head.bias"], (p * (1 - p)).mean(dim=0), rtol=1e-3, atol=1e-9)
    empirical = torch.einsum("nc,nk->ck", (F.one_hot(few.labels, 10) - p).square(), a.square()) / len(few)
    assert not torch.allclose(ours["head.weight"], empirical, rtol=0.1), "labels of the data are not asked for"


def test_per_sample_gradients_are_the_loops(few: ImageData) -> None:
    model = settled()
    x, _ = few.batch(torch.arange(len(few)))
    directions = torch.randn(len(few), 10, generator=torch.Generator().manual_seed(2))
    together = PerSampleGradients(model)(x, directions)
    for i in range(len(few)):
        loss = (model(x[i : i + 1])[0] * directions[i]).sum()
        for (name, _), single in zip(
            model.named_parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True
        ):
            assert torch.allclose(together[name][i], single, rtol=1e-3, atol=1e-4 * single.abs().max().item()), name


def test_factors_rebuild_the_softmax_information() -> None:
    logits = 3 * torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    factors = softmax_factors(logits)
    assert factors.shape == (5, 3, 4)
    p = logits.softmax(dim=1)
    rebuilt = torch.einsum("nyc,nyd->ncd", factors, factors)
    assert torch.allclose(rebuilt, torch.diag_embed(p) - p[:, :, None] * p[:, None, :], atol=1e-12)
    # Each is the gradient of the log-odds of "y, or a later label?", times the root of its information.
    for y in range(3):
        free = logits.clone().requires_grad_()
        log_odds = free[:, y] - free[:, y + 1 :].logsumexp(dim=1)
        (gradient,) = torch.autograd.grad(log_odds.sum(), free)
        share = log_odds.detach().sigmoid()
        root = (p[:, y:].sum(dim=1) * share * (1 - share)).sqrt()
        assert torch.allclose(factors[:, y], root[:, None] * gradient)


def test_factors_are_finite_and_right_for_a_model_that_is_sure() -> None:
    """Probabilities far below float32's smallest: no tail becomes 0 / 0."""
    logits = torch.tensor([[300.0, 0, -300, 5], [0, -200, -200, -400], [-500, 0, 0, 0]])
    factors = softmax_factors(logits)
    assert factors.isfinite().all()
    p = logits.double().softmax(dim=1)
    expected = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    assert torch.allclose((factors.transpose(1, 2) @ factors).double(), expected, atol=1e-7)


def test_mixtures_are_right_on_average(few: ImageData) -> None:
    factors = softmax_factors(torch.randn(1, 6, generator=torch.Generator().manual_seed(0)))
    signs = random_signs(1, 40_000, 5, torch.Generator().manual_seed(1))
    assert signs.unique().tolist() == [-1, 1]
    many = mixtures(factors, signs)[0]
    exact = factors[0].T @ factors[0]
    assert torch.allclose(many.T @ many, exact, atol=0.02 * exact.abs().max().item())
    model = settled()
    exactly = fisher_diagonal(model, few)["head.weight"]
    drawn = torch.stack([fisher_diagonal(model, few, directions=1, seed=s)["head.weight"] for s in range(200)])
    error = (drawn.mean(dim=0) - exactly).norm() / exactly.norm()
    single = (drawn - exactly).flatten(1).norm(dim=1).mean() / exactly.norm()
    assert error < 0.15
    assert single > 3 * error, "one draw is noisy, their mean is not"
    assert torch.equal(drawn[3], fisher_diagonal(model, few, directions=1, seed=3)["head.weight"])


def test_the_noise_follows_the_released_recipe() -> None:
    settings = FisherSettings(alpha=1e-2)
    information = torch.tensor([[1.0, 4.0], [1e-9, 100.0], [2.0, 2.0]])
    weight = torch.ones(3, 2)
    mean, variance = noise_distribution("backbone.conv", weight, information, settings, label=1)
    assert torch.equal(mean, weight)
    expected = 1e-2 * torch.tensor([(1 + 1 / 4) / 2, (1e3 + 1 / 100) / 2, 1 / 2])
    assert torch.allclose(variance, expected[:, None].expand(3, 2))
    mean, variance = noise_distribution("head.weight", weight, information, settings, label=1)
    assert mean.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert torch.allclose(variance[0], torch.tensor(10 * 1e-2 * (1 + 1 / 4) / 2))
    assert torch.allclose(variance[1], torch.tensor(10 * 1e-4))
    mean, variance = noise_distribution("head.weight", weight, information, settings, label=None)
    assert torch.allclose(variance[1], torch.tensor(10 * 1e-2 * (1e2 + 1 / 100) / 2)), "clamped lower in the head"
    _, variance = noise_distribution("bn.bias", torch.ones(2), torch.tensor([1.0, 1e-9]), settings, label=None)
    assert torch.allclose(variance, 10 * 1e-2 * torch.tensor([1, 1e3]))


@pytest.fixture(scope="module")
def tasks(digits: Dataset) -> dict[str, ForgetTask]:
    return {"class": forget_class(digits, 5), "samples": forget_samples(digits, 14, seed=1)}


def test_the_noise_has_the_asked_spread(tasks: dict[str, ForgetTask]) -> None:
    model, task = settled(), tasks["class"]
    settings = FisherSettings(alpha=1e-4, max_images=20, directions=2)
    result = unlearn("fisher", model, task, settings, seed=3)
    assert (result.steps, result.samples_seen, result.stopped_by) == (0, 20, "finished")
    name = "backbone.layers.7.conv2.weight"
    ours = dict(result.model.named_parameters())[name] - dict(model.named_parameters())[name]
    assert 0 < ours.std() < (settings.alpha * settings.max_variance) ** 0.5
    assert result.model.head.weight[5].abs().max() < 0.2, "the class's row is drawn around zero"
    assert model.head.weight[5].abs().max() > 0.4


def test_both_ways_to_sum_squares_are_the_loops(few: ImageData) -> None:
    """Layer by layer, and by torch.func: any directions, a convolution with stride and one with a bias."""
    model = settled()
    first = model.backbone.get_submodule("stem.0")
    assert isinstance(first, nn.Conv2d)
    first.bias = nn.Parameter(torch.randn(first.out_channels, generator=torch.Generator().manual_seed(4)))
    x, _ = few.batch(torch.arange(len(few)))
    rows = torch.randn(len(few), 3, 10, generator=torch.Generator().manual_seed(2))
    expected = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    for i in range(len(few)):
        for j in range(3):
            along = (model(x[i : i + 1])[0] * rows[i, j]).sum()
            for name, gradient in zip(expected, torch.autograd.grad(along, list(model.parameters())), strict=True):
                expected[name] += gradient.square()
    assert isinstance(squared_gradients(model, x), LayerwiseSquares)
    for squares in (LayerwiseSquares(model, x), VmapSquares(model)):
        assert worst(squares(x, lambda _: rows), expected) < 1e-3
        with torch.no_grad():
            assert worst(squares(x, lambda _: rows), expected) < 1e-3, "also where the caller wants no gradients"
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


def test_a_batch_that_did_not_fit_leaves_nothing_behind(few: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its graph would still fill the memory when half the batch is tried."""
    x, _ = few.batch(torch.arange(2))
    squares = LayerwiseSquares(settled(), x)

    def along(logits: Tensor) -> Tensor:
        return torch.ones(len(logits), 1, 10)

    def full(*_: object) -> dict[str, Tensor]:
        assert squares.seen
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(layerwise, "convolution", full)
        with pytest.raises(torch.OutOfMemoryError):
            squares(x, along)
    assert not squares.seen
    assert squares(x, along).keys() == dict(settled().named_parameters()).keys()


@settings(max_examples=40, deadline=None)
@given(
    draw=st.integers(0, 1000),
    images=st.integers(1, 3),
    rows=st.integers(1, 4),
    side=st.integers(1, 9),
    stride=st.sampled_from([1, 2, (1, 2), (2, 1)]),
    kernel=st.sampled_from([1, 2, 3, (3, 1)]),
    dilation=st.sampled_from([1, 2, (1, 2), (2, 1)]),
    bias=st.booleans(),
    norm=st.sampled_from(["none", "affine", "plain"]),
    last=st.booleans(),
)
def test_a_convolutions_squares_are_those_of_each_gradient(
    draw: int,
    images: int,
    rows: int,
    side: int,
    stride: int | tuple[int, int],
    kernel: int | tuple[int, int],
    dilation: int | tuple[int, int],
    bias: bool,
    norm: str,
    last: bool,
) -> None:
    """Any shape and layout, few places and many, with and without BatchNorm, in float64."""
    torch.manual_seed(draw)
    padding = 0 if kernel == 1 else (3, 2)  # so that few places are drawn also where a patch is smaller still
    layer = nn.Conv2d(2, 3, kernel, stride, padding, dilation, bias=bias).double()
    behind = None if norm == "none" else nn.BatchNorm2d(3, affine=norm == "affine").double().eval()
    if behind is not None:
        assert behind.running_mean is not None
        assert behind.running_var is not None
        behind.running_mean.normal_()
        behind.running_var.uniform_(0.5, 2)
        if behind.affine:
            nn.init.normal_(behind.weight)
            nn.init.zeros_(behind.weight[:1])  # a channel that is switched off still has a derivative
    layout = torch.channels_last if last else torch.contiguous_format
    before = torch.randn(images, 2, side, side, dtype=torch.float64).to(memory_format=layout)
    both = nn.Sequential(layer, behind or nn.Identity())
    arriving = [torch.randn_like(both(before)).to(memory_format=layout) for _ in range(rows)]
    weights = {"conv": dict(layer.named_parameters()), "norm": dict(behind.named_parameters()) if behind else {}}
    expected = {part: {name: torch.zeros_like(w) for name, w in named.items()} for part, named in weights.items()}
    for i in range(images):
        for row in arriving:
            along = (both(before[i : i + 1])[0] * row[i]).sum()
            for part, named in weights.items():
                if named:
                    gradients = torch.autograd.grad(along, list(named.values()), retain_graph=True)
                    for name, gradient in zip(named, gradients, strict=True):
                        expected[part][name] += gradient.square()
    for most in (1, 2**21):  # one image at a time, and all of them
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(layer_squares, "AT_ONCE", {"cpu": most})
            found = layer_squares.convolution(layer, behind, before, arriving)
        for ours, theirs in zip(found, expected.values(), strict=True):
            assert ours.keys() == theirs.keys()
            for name, value in theirs.items():
                torch.testing.assert_close(ours[name], value)


def test_the_noise_is_that_of_an_exact_sum_also_where_the_information_is_small(few: ImageData) -> None:
    """The variance goes with 1 / F, so that small entries weigh most; the reference sums in float64."""
    model = settled()
    exact = looped(copy.deepcopy(model).double(), few, torch.float64)
    found = fisher_diagonal(model, few)
    for clamp in (1e3, 1e9):
        recipe = FisherSettings(alpha=1e-6, max_variance=clamp, max_head_variance=clamp)
        for name, weight in model.named_parameters():
            _, ours = noise_distribution(name, weight.detach(), found[name], recipe, None)
            _, theirs = noise_distribution(name, weight.detach().double(), exact[name], recipe, None)
            torch.testing.assert_close(ours.double(), theirs, rtol=2e-3, atol=0)


class Odd(EmbeddingClassifier):
    """A model with three layers before its own, used as `way` says."""

    def __init__(self, way: str) -> None:
        super().__init__(build_model("resnet18", 4, width=4, feature_dim=8, seed=0).config)
        self.way = way
        self.first, self.norm, self.other = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, C) of images (b, 3, h, w)."""
        seen = self.first(x)
        if self.way == "read by two":
            seen = self.norm(seen) + seen
        elif self.way == "used twice":
            seen = self.first(self.norm(seen))
        elif self.way == "norm of two":
            seen = self.norm(seen) + self.norm(self.other(x))
        elif self.way == "changed in place":
            seen = self.norm(seen).relu_()
        elif self.way == "used past its layer":
            seen = F.conv2d(self.norm(seen), self.other.weight * 2)
        elif self.way == "unused":
            seen = self.norm(seen)
        else:
            seen = self.other(self.norm(seen))
        return super().forward(seen)


@pytest.mark.parametrize(
    "way", ["read by two", "used twice", "norm of two", "changed in place", "used past its layer", "unused"]
)
def test_a_model_that_the_formulas_do_not_fit_is_found_out(way: str, few: ImageData) -> None:
    """Also with BatchNorms that change next to nothing, so that the logits alone would not tell."""
    x, _ = few.batch(torch.arange(2))
    assert works_for(Odd("plain"), x)
    model = Odd(way)
    assert not works_for(model, x)
    assert isinstance(squared_gradients(model, x), VmapSquares)
    assert model.training
    assert next(model.parameters()).dtype == torch.float32


def test_a_layer_without_a_formula_goes_to_torch_func(few: ImageData) -> None:
    x, _ = few.batch(torch.arange(2))
    grouped, same, unsettled = settled(), settled(), settled()
    grouped.backbone.get_submodule("layers.0").conv1 = nn.Conv2d(4, 4, 3, padding=1, groups=2)
    same.backbone.get_submodule("layers.0").conv1 = nn.Conv2d(4, 4, 3, padding="same")
    unsettled.backbone.get_submodule("layers.0").bn1 = nn.BatchNorm2d(4, track_running_stats=False)
    for model, told in (
        (build_model("vit_small", 10, width=12, seed=0), "no formula for the weights of backbone, a ViT"),
        (grouped, "no formula for the weights of backbone.layers.0.conv1, a Conv2d"),
        (same, "no formula for the weights of backbone.layers.0.conv1, a Conv2d"),
        (unsettled, "no formula for the weights of backbone.layers.0.bn1, a BatchNorm2d"),
    ):
        with pytest.raises(NoFormulaError, match=told):
            LayerwiseSquares(model, x)
        assert not works_for(model, x)
        assert isinstance(squared_gradients(model, x), VmapSquares)
    with pytest.raises(NoFormulaError, match="a linear layer got an input of 3 dimensions; expected one vector a"):
        layer_squares.linear(nn.Linear(2, 2), torch.ones(1, 3, 2), torch.ones(1, 1, 3, 2))


def test_squares_over_pairs_of_places_are_never_negative() -> None:
    """What arrives cancels over the places, so that rounding decides the sign."""
    torch.manual_seed(0)
    seen = 1 + 1e-3 * torch.randn(3, 16, 5)
    arriving = torch.randn(3, 16, 2, 4)
    arriving -= arriving.mean(dim=1, keepdim=True)
    assert layer_squares.over_pairs(seen, arriving).min() >= 0


def test_the_sum_does_not_depend_on_how_many_images_go_at_once(few: ImageData) -> None:
    model = settled()
    for directions in (None, 2):
        whole = fisher_diagonal(model, few, directions, seed=1)
        for chunk in (2, 100):
            assert worst(fisher_diagonal(model, few, directions, seed=1, chunk=chunk), whole) < 1e-4
    with pytest.raises(ValueError, match="chunk is 0; expected a number of images of at least 1, or None"):
        fisher_diagonal(model, few, chunk=0)


def test_a_model_with_one_class_has_nothing_to_tell(few: ImageData) -> None:
    found = fisher_diagonal(build_model("resnet18", 1, width=4, feature_dim=8, seed=0), few)
    assert all(not value.any() for value in found.values())


def test_chunks_fit_the_memory(few: ImageData) -> None:
    cpu = torch.device("cpu")
    assert images_at_once(10, cpu, memory=59) == 5
    assert images_at_once(10, cpu, memory=1) == 1
    model, (x, _) = settled(), few.batch(torch.arange(1))
    weights = sum(p.numel() for p in model.parameters())
    assert VmapSquares(model).bytes_of_one(x, 10) == 2 * 4 * weights
    squares = LayerwiseSquares(model, x)
    side = x.shape[2]
    # The stem and four convolutions of four channels; then at each half four and a shortcut with twice the channels.
    places = 5 * 4 * side**2 + sum(5 * 4 * 2**half * (side // 2**half) ** 2 for half in (1, 2, 3))
    linear = 32 + model.config.feature_dim + 10
    assert squares.bytes_of_one(x, 9) == 4 * (places + linear) * 12
    assert not squares.seen
