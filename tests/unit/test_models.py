"""Shapes, the unit-norm embedding, the head, sizes and seeds of the five models."""

import math
import subprocess
import sys

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from cu_helpers import models
from cu_helpers.models import MODELS, EmbeddingClassifier, ModelConfig, build_model

# The narrowest that each takes quickly; ViT's width must be a multiple of 4.
TINY = 4


def images(count: int = 3, side: int = 32, channels: int = 3) -> Tensor:
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> EmbeddingClassifier:
    return build_model(request.param, 7, width=TINY, feature_dim=16, seed=0).eval()


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("side", [32, 84])
def test_shapes(model: EmbeddingClassifier, side: int) -> None:
    x = images(2, side)
    with torch.no_grad():
        assert model.features(x).shape == (2, model.backbone.output_dim)
        assert model.encode(x).shape == (2, 16)
        assert model.classify(model.encode(x)).shape == (2, 7)
        assert model(x).shape == (2, 7)


def test_embeddings_have_unit_norm_and_both_signs(model: EmbeddingClassifier) -> None:
    with torch.no_grad():
        z = model.encode(images(8))
    torch.testing.assert_close(z.norm(dim=1), torch.ones(8))
    assert z.min() < 0 < z.max()


def test_the_head_is_linear_of_relu(model: EmbeddingClassifier) -> None:
    z = F.normalize(torch.randn(5, 16, generator=torch.Generator().manual_seed(1)), dim=1)
    with torch.no_grad():
        found = model.classify(z)
        for row in range(5):
            for label in range(7):
                total = model.head.bias[label].item()
                total += sum(
                    max(0.0, a) * b for a, b in zip(z[row].tolist(), model.head.weight[label].tolist(), strict=True)
                )
                assert found[row, label].item() == pytest.approx(total, abs=1e-5)


def test_classify_leaves_its_embeddings_alone(model: EmbeddingClassifier) -> None:
    """The released code's in-place ReLU clamps the embedding that the loss then sees."""
    z = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    before = z.clone()
    with torch.no_grad():
        model.classify(z)
    assert torch.equal(z, before)


def test_forward_is_classify_after_encode(model: EmbeddingClassifier) -> None:
    x = images()
    with torch.no_grad():
        assert torch.equal(model(x), model.classify(model.encode(x)))


def test_every_parameter_has_a_gradient(model: EmbeddingClassifier) -> None:
    F.cross_entropy(model(images()), torch.tensor([0, 3, 6])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    model.zero_grad(set_to_none=True)


def test_under_autocast_the_embedding_is_float32_and_of_unit_norm(model: EmbeddingClassifier) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        z = model.encode(images())
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.norm(dim=1), torch.ones(3))


def test_float64_stays_float64() -> None:
    model = build_model("resnet18", 3, width=TINY, feature_dim=8, seed=0).double()
    assert model.encode(images().double()).dtype == torch.float64


# Sizes


def test_resnet18_of_the_paper_has_11_50_million_parameters() -> None:
    found = parameters(build_model("resnet18", 10, seed=0))
    # torchvision's ResNet-18 without its ImageNet head, its 7x7 stem replaced by a 3x3 one, and the projection.
    reference = torchvision.models.resnet18(num_classes=10)
    expected = parameters(reference) - parameters(reference.fc) - 64 * 3 * (49 - 9)
    expected += 512 * 512 + 512 + 512 * 128 + 128 + 128 * 10 + 10
    assert found == expected
    assert round(found / 1e6, 2) == 11.50


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("resnet")])
def test_every_resnet_has_torchvisions_layout(name: str) -> None:
    """Parameters of the stages alone, which the stem and head do not change."""
    with torch.device("meta"):
        reference = getattr(torchvision.models, name)()
        ours = build_model(name, 10)
    stages = sum(parameters(getattr(reference, f"layer{i}")) for i in range(1, 5))
    assert parameters(ours.backbone) == stages + 64 * 3 * 9 + 2 * 64
    assert ours.backbone.output_dim == reference.fc.in_features
    assert ours.config.feature_dim == 128


def test_vit_small_at_width_64_is_384_wide_with_six_heads_and_twelve_layers() -> None:
    with torch.device("meta"):
        model = build_model("vit_small", 10)
    assert model.backbone.output_dim == 384
    layers = [module for module in model.modules() if isinstance(module, nn.TransformerEncoderLayer)]
    assert len(layers) == 12
    assert {layer.self_attn.num_heads for layer in layers} == {6}
    # 12 blocks of 4 d^2 (attention) + 8 d^2 (MLP), with their biases and norms.
    d = 384
    assert parameters(model.backbone.layers) == 12 * (12 * d * d + 13 * d)


@pytest.mark.parametrize(("side", "tokens"), [(32, 64), (84, 441)])
def test_vit_sees_every_patch_once(side: int, tokens: int) -> None:
    codes = models._positions(side // 4, side // 4, 24, torch.device("cpu"))
    assert codes.shape == (tokens, 24)
    assert len(torch.unique(codes, dim=0)) == tokens  # no two places look alike


def test_vits_position_codes_are_sines_and_cosines_of_row_and_column() -> None:
    rows, columns, quarter = 3, 5, 6
    codes = models._positions(rows, columns, 4 * quarter, torch.device("cpu"))
    for row in range(rows):
        for column in range(columns):
            for k in range(quarter):
                rate = 10000 ** (-k / quarter)
                expected = [
                    math.sin(row * rate),
                    math.cos(row * rate),
                    math.sin(column * rate),
                    math.cos(column * rate),
                ]
                found = codes[row * columns + column].reshape(4, quarter)[:, k].tolist()
                assert found == pytest.approx(expected, abs=1e-5)


def test_vit_tells_where_a_patch_lies() -> None:
    model = build_model("vit_small", 3, width=TINY, feature_dim=8, seed=0).eval()
    x = torch.zeros(2, 3, 32, 32)
    x[0, :, :4, :4] = 3
    x[1, :, 20:24, 8:12] = 3
    with torch.no_grad():
        z = model.encode(x)
    assert not torch.allclose(z[0], z[1], atol=1e-4)


@pytest.mark.parametrize("width", [1, 3, 16])
def test_any_resnet_width(width: int) -> None:
    model = build_model("resnet18", 4, width=width, feature_dim=8, seed=0).eval()
    assert model.backbone.output_dim == 8 * width
    with torch.no_grad():
        assert model(images(2)).shape == (2, 4)


def test_other_channels_and_embedding_lengths() -> None:
    for name in ("resnet18", "vit_small"):
        model = build_model(name, 2, in_channels=1, width=TINY, feature_dim=256, seed=0).eval()
        with torch.no_grad():
            assert model.encode(images(2, channels=1)).shape == (2, 256)


# Seeds


@pytest.mark.parametrize("name", ["resnet18", "vit_small"])
def test_a_seed_repeats_another_differs_and_the_global_generator_is_untouched(name: str) -> None:
    state = torch.get_rng_state()
    one, same, other = (build_model(name, 3, width=TINY, seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_a_config_builds_the_model_that_it_describes() -> None:
    config = ModelConfig("resnet18", 3, 1, TINY, 8)
    made = config.build(5)
    same = build_model("resnet18", 3, in_channels=1, width=TINY, feature_dim=8, seed=5).state_dict()
    assert made.config == config
    assert all(torch.equal(value, same[key]) for key, value in made.state_dict().items())
    with pytest.raises(ValueError, match="width is 0; expected at least 1"):
        ModelConfig("resnet18", 3, 3, 0, 8).build(5)


def test_without_a_seed_the_global_generator_draws() -> None:
    torch.manual_seed(1)
    one, other = (build_model("resnet18", 3, width=TINY).head.weight for _ in range(2))
    torch.manual_seed(1)
    assert torch.equal(build_model("resnet18", 3, width=TINY).head.weight, one)
    assert not torch.equal(one, other)


def test_a_seed_gives_the_same_weights_in_another_process() -> None:
    program = (
        "from cu_helpers.models import build_model; "
        "print(build_model('resnet18', 3, width=4, feature_dim=8, seed=0).head.weight.double().sum().item().hex())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    here = build_model("resnet18", 3, width=4, feature_dim=8, seed=0).head.weight.double().sum().item()
    assert done.stdout.strip() == here.hex()


# Bad input


def test_an_unknown_model_is_refused_with_the_list() -> None:
    with pytest.raises(
        ValueError,
        match="unknown model 'resnet152'; expected one of: resnet101, resnet18, resnet34, resnet50, vit_small",
    ):
        build_model("resnet152", 10)


@pytest.mark.parametrize("size", ["num_classes", "in_channels", "width", "feature_dim"])
@pytest.mark.parametrize("value", [0, -4])
def test_a_size_below_one_is_refused(size: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{size} is {value}; expected at least 1"):
        build_model("resnet18", **{"num_classes": 3, size: value})


def test_a_vit_width_that_six_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="vit_small has width 5; expected a multiple of 4"):
        build_model("vit_small", 3, width=5)


def test_vit_refuses_images_that_its_patches_do_not_cover() -> None:
    model = build_model("vit_small", 3, width=TINY, seed=0)
    with pytest.raises(ValueError, match=r"images are \(30, 32\); vit_small expects sides divisible by 4"):
        model(torch.zeros(1, 3, 30, 32))


def test_a_config_describes_itself() -> None:
    described = ModelConfig("resnet18", 10, 3, 16, 128).describe()
    assert described == "resnet18 (num_classes 10, in_channels 3, width 16, feature_dim 128)"


@pytest.mark.parametrize(("width", "layout"), [(8, torch.contiguous_format), (16, torch.channels_last)])
def test_a_narrow_resnet_works_on_contiguous_images(width: int, layout: torch.memory_format) -> None:
    seen: list[torch.Tensor] = []
    model = models.build_model("resnet18", 3, width=width, seed=0).to(memory_format=models.memory_format(width))
    model.backbone.stem.register_forward_hook(lambda _, given, made: seen.extend([given[0], made]))
    model(torch.randn(3, 3, 32, 32).to(memory_format=torch.channels_last))
    assert [one.is_contiguous(memory_format=layout) for one in seen] == [True, True]
