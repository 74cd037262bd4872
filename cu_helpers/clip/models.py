"""A CLIP that classifies images by prompts: the real ViT-B-32, or a small one of the same class."""

import logging
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import open_clip
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import Dataset
from ..devices import generator, pick_device
from ..errors import CheckpointError, choose
from ..models import EmbeddingClassifier
from .captions import Wording, tokenise
from .losses import similarity_logits

CLIP_MODELS = ("small", "ViT-B-32")
PRETRAINED = "openai"  # open_clip's tag
HUB_FILE = "open_clip_model.safetensors of timm/vit_base_patch32_clip_224.openai on huggingface.co"
# Arrays that tell its file from others: name -> shape.
VIT_ARRAYS = {"visual.conv1.weight": [768, 3, 32, 32], "token_embedding.weight": [49408, 512], "logit_scale": []}

# open_clip's ResNet for 32x32 images and two transformer layers for texts of up to fourteen tokens. On
# 180 scans its vision transformer of like size was still at chance after as many epochs.
SMALL: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"layers": (1, 1, 1, 1), "width": 16, "head_width": 32, "image_size": 32},
    "text_cfg": {"context_length": 16, "width": 64, "heads": 4, "layers": 2},
}


class ZeroShotClip(nn.Module):
    """A CLIP and the wording of the classes that it is asked for.

    To the rest of the package it is a classifier: `model(x)` gives logits, `model.encode(x)`
    unit-norm embeddings. net: an open_clip.CLIP. wording: the prompts, embedded anew in each forward,
    since the text encoder learns and forgets too.
    """

    prompts: Tensor

    def __init__(self, net: open_clip.CLIP, wording: Wording) -> None:
        super().__init__()
        self.net = net
        self.wording = wording
        captions = wording.captions()
        tokens = tokenise([text for of_class in captions for text in of_class], net.context_length)
        device = net.logit_scale.device
        self.register_buffer("prompts", tokens.reshape(len(captions), -1, tokens.shape[1]).to(device), persistent=False)

    def asked(self, wording: Wording) -> "ZeroShotClip":
        """The same network, not a copy, asked with other words."""
        return ZeroShotClip(self.net, wording)

    @property
    def scale(self) -> Tensor:
        """What multiplies cosines: the exponential of CLIP's learned logit scale."""
        return cast(Tensor, self.net.logit_scale.exp())

    def encode(self, x: Tensor) -> Tensor:
        """Normalised images (b, 3, h, w) -> unit-norm float32 embeddings (b, dim).

        Images of another size than the network's are resized (bicubic). Resizing after
        normalising equals resizing before, but for the rounding to 256 levels.
        """
        size = self.net.visual.image_size
        size = (size, size) if isinstance(size, int) else tuple(size)
        if x.shape[2:] != size:
            x = F.interpolate(x, size, mode="bicubic", antialias=True, align_corners=False)
        return F.normalize(self.net.encode_image(x).float(), dim=1)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Tokens (n, context_length) -> unit-norm float32 embeddings (n, dim)."""
        return F.normalize(self.net.encode_text(tokens).float(), dim=1)

    def class_embeddings(self) -> Tensor:
        """The classes (classes, dim): the mean over a class's prompts, back at unit norm."""
        classes, prompts, length = self.prompts.shape
        z = self.encode_text(self.prompts.reshape(-1, length)).reshape(classes, prompts, -1)
        return F.normalize(z.mean(dim=1), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Zero-shot logits (b, classes) of normalised images."""
        return similarity_logits(self.encode(x), self.class_embeddings(), self.scale)


def as_classifier(model: ZeroShotClip) -> EmbeddingClassifier:
    """The same object, for type checkers: the functions it is given to ask for logits and embeddings alone."""
    return cast(EmbeddingClassifier, model)


def _small(seed: int) -> open_clip.CLIP:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.set_state(generator(seed, torch.device("cpu")).get_state())
        return open_clip.CLIP(**SMALL)


def _check_file(path: Path) -> None:
    """Raise CheckpointError unless the file holds ViT-B-32's arrays; this is quicker than building the network."""
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; expected {HUB_FILE}, or no path to let open_clip fetch it")
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            found = [file.get_slice(name).get_shape() if name in names else None for name in VIT_ARRAYS]
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file ({error}); expected {HUB_FILE}") from error
    if found != list(VIT_ARRAYS.values()):
        raise CheckpointError(f"{path} does not hold the weights of ViT-B-32; expected {HUB_FILE}")


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines of open_clip and its download client: what they say ends in the one error."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def _vit(weights: str | Path | None, cache_dir: str | Path | None) -> open_clip.CLIP:
    if weights is not None:
        _check_file(Path(weights))
    try:
        with _quiet():
            # OpenAI trained with QuickGELU; open_clip's configuration of this name has another and only warns.
            net, _, _ = open_clip.create_model_and_transforms(
                "ViT-B-32",
                pretrained=PRETRAINED if weights is None else str(weights),
                force_quick_gelu=True,
                cache_dir=None if cache_dir is None else str(cache_dir),
            )
    except Exception as error:  # whatever a download client, a reader of files or torch may raise
        reason = textwrap.shorten(str(error), 160, placeholder=" ...")
        if weights is not None:
            raise CheckpointError(f"{weights} does not fit ViT-B-32 ({reason}); expected {HUB_FILE}") from error
        raise CheckpointError(
            f"the OpenAI weights of ViT-B-32 are not here and could not be fetched ({reason}); connect to the "
            f"internet once, or pass weights=PATH of {HUB_FILE}, or choose the CLIP model 'small'"
        ) from error
    return net


def load_clip(
    name: str,
    dataset: Dataset,
    wording: Wording,
    seed: int = 0,
    weights: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> tuple[ZeroShotClip, Dataset]:
    """A CLIP on the data's device, and the data set normalised as it expects.

    name: "small" (random weights drawn by `seed`, to be trained) or "ViT-B-32" (OpenAI's weights).
    weights: a file with the weights of ViT-B-32; None lets open_clip fetch them into cache_dir (None: its
    own). Raises ValueError for an unknown name, or a file for the small one; CheckpointError if the
    weights cannot be had or the file holds others.
    """
    choose("CLIP model", name, CLIP_MODELS)
    device = pick_device(dataset.train.device)
    if name == "small":
        if weights is not None:
            raise ValueError(f"weights are {str(weights)!r}; the small CLIP is trained here and takes no file")
        return ZeroShotClip(_small(seed).to(device), wording), dataset
    net = _vit(weights, cache_dir).to(device)
    pixels = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    parts = {part: replace(getattr(dataset, part), **pixels) for part in ("train", "validation", "test")}
    return ZeroShotClip(net, wording), replace(dataset, **parts)
