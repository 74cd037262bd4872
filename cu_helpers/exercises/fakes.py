"""Small random models and images, on which a check can run in milliseconds."""

import torch
from torch import Tensor, nn

from ..data import ImageData
from ..models import EmbeddingClassifier, ModelConfig
from .compare import generator


class Small(EmbeddingClassifier):
    """A classifier with the book's parts, whose backbone is the pixels themselves."""

    def __init__(self, classes: int, dim: int) -> None:
        nn.Module.__init__(self)
        self.config = ModelConfig("resnet18", classes, 3, 4, dim)
        self.backbone = nn.Flatten()  # type: ignore[assignment]
        self.projection = nn.Sequential(nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, dim))
        self.head = nn.Linear(dim, classes)


def model(seed: int, classes: int = 5) -> EmbeddingClassifier:
    """An untrained model in eval mode whose head is wide enough that its answers differ between images."""
    draw = generator(seed)
    made = Small(classes, 12).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(torch.randn(weight.shape, generator=draw) / weight.shape[-1] ** 0.5)
        made.head.weight.mul_(6)
    return made


def images(seed: int, count: int = 40, classes: int = 5) -> ImageData:
    """Noise of 8 by 8 pixels, with random labels."""
    draw = generator(seed)
    pixels = torch.randint(256, (count, 3, 8, 8), generator=draw, dtype=torch.uint8)
    labels = torch.randint(classes, (count,), generator=draw)
    return ImageData(pixels, labels, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))


def batch(seed: int, count: int = 40) -> Tensor:
    """The same noise as model input, (count, 3, 8, 8)."""
    data = images(seed, count)
    return data.normalise(data.images)


def state(of: EmbeddingClassifier) -> dict[str, Tensor]:
    """A copy of every parameter and buffer."""
    return {name: value.clone() for name, value in of.state_dict().items()}


def changed(of: EmbeddingClassifier, before: dict[str, Tensor]) -> list[str]:
    """Names of the parameters and buffers that differ from `before`."""
    return [name for name, value in of.state_dict().items() if not torch.equal(value, before[name])]
