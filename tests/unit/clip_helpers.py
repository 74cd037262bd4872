"""A CLIP that trains in a second, and images of three brightnesses for it. Imported by test_clip_*.py."""

import open_clip
import torch
from conftest import image_data

from cu_helpers.clip import Wording, ZeroShotClip
from cu_helpers.clip.captions import TEMPLATES
from cu_helpers.data import Dataset, ForgetTask, ImageData, forget_class

NAMES = ("dark", "grey", "bright")
WORDING = Wording(tuple((name,) for name in NAMES))
CAPTIONS = Wording(tuple((name,) for name in NAMES), TEMPLATES)


def tiny_clip(seed: int = 0, wording: Wording = WORDING) -> ZeroShotClip:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = open_clip.CLIP(
            8,
            {"layers": (1, 1, 1, 1), "width": 8, "head_width": 32, "image_size": 32},
            {"context_length": 10, "width": 16, "heads": 2, "layers": 1},
        )
    return ZeroShotClip(net, wording)


def dataset() -> Dataset:
    def of(count: int, seed: int) -> ImageData:
        return image_data(count, side=32, seed=seed)

    return Dataset("tiny", of(48, 0), of(30, 1), of(60, 2), NAMES)


def task() -> ForgetTask:
    return forget_class(dataset(), 1)


def weights(model: ZeroShotClip) -> torch.Tensor:
    """Every weight and running statistic in one vector."""
    return torch.cat([value.detach().flatten() for value in model.state_dict().values() if value.is_floating_point()])


def distance(one: ZeroShotClip, other: ZeroShotClip) -> float:
    """Euclidean distance between two models' weights."""
    return (weights(one) - weights(other)).norm().item()
