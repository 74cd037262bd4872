"""CIFAR-stem ResNets and a small ViT, with a projection to a unit-norm embedding and a linear head.

Shapes follow the paper's Table 6 (a 128-d embedding) and the released code's head: an image goes
backbone -> feature -> two-layer projection -> unit-norm embedding z -> linear(relu(z)) -> logits.
"""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .devices import generator
from .errors import choose

# name -> (bottleneck blocks?, blocks per stage), He et al. 2016, table 1.
RESNETS = {
    "resnet18": (False, (2, 2, 2, 2)),
    "resnet34": (False, (3, 4, 6, 3)),
    "resnet50": (True, (3, 4, 6, 3)),
    "resnet101": (True, (3, 4, 23, 3)),
}
MODELS = (*RESNETS, "vit_small")


@dataclass(frozen=True)
class ModelConfig:
    """Everything that shapes a model; a checkpoint carries it and refuses another."""

    name: str
    num_classes: int
    in_channels: int
    width: int
    feature_dim: int

    def describe(self) -> str:
        """One phrase for messages, such as "resnet18 (width 16, 10 classes, ...)"."""
        fields = ", ".join(f"{key} {value}" for key, value in asdict(self).items() if key != "name")
        return f"{self.name} ({fields})"

    def build(self, seed: int) -> "EmbeddingClassifier":
        """An untrained model of this shape, by `build_model`; seed: draws the initial weights.

        Raises ValueError for an unknown name or a size below 1.
        """
        return build_model(self.name, self.num_classes, self.in_channels, self.width, self.feature_dim, seed)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (b, inputs, h, w) -> (b, outputs, h / stride, w / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the output is four times as wide."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.shortcut = _shortcut(inputs, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (b, inputs, h, w) -> (b, outputs, h / stride, w / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.shortcut(x))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


# Below this width the CPU's channels-last gradients of a batch of odd size write past their memory
# (torch 2.15 with oneDNN: "double free or corruption"), in float32 and bfloat16 alike.
NARROWEST_CHANNELS_LAST = 16


def memory_format(width: int) -> torch.memory_format:
    """The layout for images and weights of a model: channels last, which is faster, unless it is narrow."""
    return torch.channels_last if width >= NARROWEST_CHANNELS_LAST else torch.contiguous_format


class ResNet(nn.Module):
    """A ResNet whose stem suits small images: 3x3, stride 1, no max-pool."""

    def __init__(self, name: str, in_channels: int, width: int) -> None:
        super().__init__()
        bottleneck, depths = RESNETS[name]
        block = Bottleneck if bottleneck else BasicBlock
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        layers: list[nn.Module] = []
        inputs = width
        for stage, depth in enumerate(depths):
            for position in range(depth):
                stride = 2 if stage > 0 and position == 0 else 1
                layers.append(block(inputs, width * 2**stage, stride))
                inputs = width * 2**stage * block.expansion
        self.layers = nn.Sequential(*layers)
        self.output_dim = inputs
        self.memory_format = memory_format(width)

    def forward(self, x: Tensor) -> Tensor:
        """Images (b, in_channels, h, w) -> features (b, output_dim), the mean over all places."""
        x = x.contiguous(memory_format=self.memory_format)
        return self.layers(self.stem(x)).mean(dim=(2, 3))  # type: ignore[no-any-return]


class ViT(nn.Module):
    """A pre-norm vision transformer: patch 4, six tokens' width per unit of `width`, 12 layers.

    Positions are fixed sines and cosines, so 32x32 and 84x84 images both fit. At width 64 it is
    ViT-Small (384-d, 6 heads; Dosovitskiy et al. 2021, scaled down).
    """

    patch = 4

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        dim = 6 * width
        if dim % 24:
            raise ValueError(f"vit_small has width {width}; expected a multiple of 4, so that six heads fit")
        self.embed = nn.Conv2d(in_channels, dim, self.patch, self.patch)
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        layer = nn.TransformerEncoderLayer(
            dim, nhead=6, dim_feedforward=4 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, num_layers=12, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)
        self.output_dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Images (b, in_channels, h, w) -> features (b, output_dim).

        Raises ValueError unless the sides are multiples of the patch.
        """
        if x.shape[2] % self.patch or x.shape[3] % self.patch:
            raise ValueError(f"images are {tuple(x.shape[2:])}; vit_small expects sides divisible by {self.patch}")
        grid = self.embed(x)
        tokens = grid.flatten(2).transpose(1, 2) + _positions(grid.shape[2], grid.shape[3], self.output_dim, x.device)
        out = self.layers(torch.cat([self.token.expand(len(x), -1, -1), tokens], dim=1))
        return self.norm(out[:, 0])  # type: ignore[no-any-return]


def _positions(rows: int, columns: int, dim: int, device: torch.device) -> Tensor:
    """Sine and cosine codes (rows * columns, dim): a quarter of dim for each of sin/cos x row/column."""
    quarter = dim // 4
    rates = torch.exp(-math.log(10000.0) * torch.arange(quarter, device=device) / quarter)
    codes = [torch.arange(side, device=device)[:, None] * rates for side in (rows, columns)]
    row = torch.cat([codes[0].sin(), codes[0].cos()], dim=1)[:, None].expand(rows, columns, -1)
    column = torch.cat([codes[1].sin(), codes[1].cos()], dim=1)[None].expand(rows, columns, -1)
    return torch.cat([row, column], dim=2).reshape(rows * columns, dim)


class EmbeddingClassifier(nn.Module):
    """Encoder and head of the paper's section 3: logits = classify(encode(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone: ResNet | ViT
        if config.name == "vit_small":
            self.backbone = ViT(config.in_channels, config.width)
        else:
            self.backbone = ResNet(config.name, config.in_channels, config.width)
        dim = self.backbone.output_dim
        self.projection = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, config.feature_dim))
        self.head = nn.Linear(config.feature_dim, config.num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Backbone features (batch, d) before the projection; x: float, normalised, NCHW."""
        return self.backbone(x)  # type: ignore[no-any-return]

    def encode(self, x: Tensor) -> Tensor:
        """Signed embeddings (batch, feature_dim) of unit norm, float32 or better."""
        projected = self.projection(self.features(x))
        if projected.dtype in (torch.bfloat16, torch.float16):
            projected = projected.float()
        return F.normalize(projected, dim=1)

    def classify(self, z: Tensor) -> Tensor:
        """Logits (batch, num_classes) = linear(relu(z)) of embeddings z (batch, feature_dim)."""
        return self.head(F.relu(z))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, num_classes) of normalised images (b, in_channels, h, w)."""
        return self.classify(self.encode(x))


def build_model(
    name: str, num_classes: int, in_channels: int = 3, width: int = 64, feature_dim: int = 128, seed: int | None = None
) -> EmbeddingClassifier:
    """Build an untrained model.

    name: one of `MODELS`. width: channels of the first stage (64 is the paper's; ViT-small's
    token width is six times it). feature_dim: length of the embedding (128 in Table 6; 256 or
    512 in Table 7). seed: draws the initial weights; None uses torch's global generator.
    Raises ValueError for an unknown name or a size below 1.
    """
    choose("model", name, MODELS)
    sizes = {"num_classes": num_classes, "in_channels": in_channels, "width": width, "feature_dim": feature_dim}
    for label, size in sizes.items():
        if size < 1:
            raise ValueError(f"{label} is {size}; expected at least 1")
    config = ModelConfig(name, num_classes, in_channels, width, feature_dim)
    if seed is None:
        return EmbeddingClassifier(config)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.set_state(generator(seed, torch.device("cpu")).get_state())
        return EmbeddingClassifier(config)
