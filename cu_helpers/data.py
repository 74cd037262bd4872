"""Images resident on the device, the five data sets, and what is to be forgotten."""

from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from pathlib import Path

import torch
from torch import Tensor

from . import sources
from .devices import generator, pick_device
from .errors import choose
from .splits import SPLIT_SEED, balanced_split

CLASSES = {"digits": 10, "cifar10": 10, "cifar100": 100, "svhn": 10, "mini_imagenet": 100}  # data set -> how many
DATASETS = tuple(CLASSES)


@dataclass(frozen=True)
class ImageData:
    """Images and labels on one device, normalised only when a batch is drawn.

    images: uint8, (n, 3, height, width). labels: int64, (n,). mean, std: per channel, in [0, 1]
    pixel units. augment: whether training may rotate and crop (the paper does so for
    Mini-ImageNet alone). Raises ValueError for other types or shapes.
    """

    images: Tensor
    labels: Tensor
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    augment: bool = False

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[1] != 3:
            raise ValueError(
                f"images are {self.images.dtype} of shape {tuple(self.images.shape)}; "
                "expected torch.uint8 of shape (n, 3, height, width); sources.to_uint8 converts floats"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels are {self.labels.dtype} of shape {tuple(self.labels.shape)}; "
                f"expected torch.int64 of shape ({self.images.shape[0]},), one for each image"
            )

    def __len__(self) -> int:
        return int(self.labels.shape[0])

    @property
    def device(self) -> torch.device:
        """The device that holds the images."""
        return self.images.device

    @cached_property
    def _scale(self) -> tuple[Tensor, Tensor]:
        shape = (1, 3, 1, 1)
        # Kept for later: it must not be an inference tensor, through which no gradient may pass.
        with torch.inference_mode(False):
            mean = torch.tensor(self.mean, device=self.device).reshape(shape) * 255
            return mean, torch.tensor(self.std, device=self.device).reshape(shape) * 255

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (b, 3, h, w) -> float32 with zero mean and unit spread per channel.

        The only place in the package where pixels become model input.
        """
        mean, std = self._scale
        return ((images.float() - mean) / std).to(memory_format=torch.channels_last)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (b, 3, h, w) and labels (b,) at the positions `index` (b,)."""
        return self.normalise(self.images[index]), self.labels[index]

    def select(self, index: Tensor) -> "ImageData":
        """The rows at the positions `index` (or where a boolean mask is True), copied."""
        return replace(self, images=self.images[index], labels=self.labels[index])

    def of_class(self, label: int) -> "ImageData":
        """The rows whose label is `label`."""
        return self.select(self.labels == label)

    def first(self, count: int) -> "ImageData":
        """The first `count` rows, or all if there are fewer."""
        return self.select(torch.arange(min(count, len(self)), device=self.device))


@dataclass(frozen=True)
class Dataset:
    """One data set: `train` is the official training split; the official test split is cut into
    `validation` (a fixed, class-balanced fifth: for stop rules and tuning, never reported) and
    `test` (the rest: reported, never looked at before)."""

    name: str
    train: ImageData
    validation: ImageData
    test: ImageData
    classes: tuple[str, ...]

    def with_train(self, count: int | None) -> "Dataset":
        """The same data set with a fixed, class-balanced draw of `count` training images.

        None keeps all. Raises ValueError if fewer than one per class or more than there are.
        """
        train = self._draw(self.train, count, "training")
        return self if train is self.train else replace(self, train=train)

    def with_test(self, count: int | None) -> "Dataset":
        """The same data set with a fixed, class-balanced draw of `count` test images; see `with_train`."""
        test = self._draw(self.test, count, "test")
        return self if test is self.test else replace(self, test=test)

    def _draw(self, images: ImageData, count: int | None, name: str) -> ImageData:
        if count is None or count == len(images):
            return images
        if not len(self.classes) <= count <= len(images):
            raise ValueError(
                f"{count} {name} images of {self.name} were asked for; "
                f"expected {len(self.classes)} (one per class) to {len(images)}"
            )
        chosen, _ = balanced_split(images.labels, count, SPLIT_SEED)
        return images.select(chosen)


@dataclass(frozen=True)
class ForgetTask:
    """What is to be forgotten, and everything that measures it.

    kind: "class" or "samples". forget and retain together are train, with nothing twice.
    forget_test and retain_test cut the test split by the forgotten class; both are None when
    samples are forgotten. forget_index: positions of forget in train. label: the forgotten class
    or None.
    """

    kind: str
    dataset: str
    forget: ImageData
    retain: ImageData
    train: ImageData
    validation: ImageData
    test: ImageData
    forget_test: ImageData | None
    retain_test: ImageData | None
    classes: tuple[str, ...]
    forget_index: Tensor
    label: int | None
    seed: int


def load_dataset(name: str, root: str | Path | None = None, device: str | torch.device | None = None) -> Dataset:
    """Load a data set onto `device`, local files first.

    name: one of `DATASETS`. root: the data folder; None means $CU_DATA, then ./data. CIFAR and
    SVHN are downloaded by torchvision if they are in none of these. device: None means a GPU if
    there is one.

    Raises ValueError for an unknown name, DataFileError for a missing, truncated or corrupt file
    or a failed download (the message names the file and how to get it).
    """
    choose("data set", name, DATASETS)
    where = pick_device(device)
    if name == "digits":
        raw = sources.read_digits()
    elif name == "svhn":
        raw = sources.read_svhn(root)
    elif name == "mini_imagenet":
        raw = sources.read_mini_imagenet(root)
    else:
        raw = sources.read_cifar(name, root)
    train = ImageData(raw.train_images.to(where), raw.train_labels.to(where), raw.mean, raw.std, raw.augment)
    held_out = ImageData(raw.test_images.to(where), raw.test_labels.to(where), raw.mean, raw.std)
    validation, test = balanced_split(held_out.labels, round(len(held_out) / 5), SPLIT_SEED)
    return Dataset(name, train, held_out.select(validation), held_out.select(test), raw.classes)


def _check_whole(name: str, value: object) -> None:
    # True would pass as class 1 and 5.0 as class 5: more likely a slip than a wish.
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{name} is {value!r}; expected a whole number")


def forget_class(dataset: Dataset, label: int, seed: int = 0) -> ForgetTask:
    """The task of forgetting every training image of class `label` (paper, section 3.1).

    label: 0-based position in `dataset.classes`. seed: recorded with the task; nothing is drawn.
    Raises ValueError if no training image has this label, or if every one has.
    """
    _check_whole("label", label)
    train, test = dataset.train, dataset.test
    chosen = train.labels == label
    if not chosen.any():
        raise ValueError(
            f"label {label!r} is not in {dataset.name}'s training images; "
            f"expected one of 0 to {len(dataset.classes) - 1} ({', '.join(dataset.classes[:12])})"
        )
    if chosen.all():
        raise ValueError(f"every training image has label {label}: nothing would be retained")
    return ForgetTask(
        kind="class",
        dataset=dataset.name,
        forget=train.select(chosen),
        retain=train.select(~chosen),
        train=train,
        validation=dataset.validation,
        test=test,
        forget_test=test.of_class(label),
        retain_test=test.select(test.labels != label),
        classes=dataset.classes,
        forget_index=chosen.nonzero()[:, 0],
        label=label,
        seed=seed,
    )


def forget_samples(dataset: Dataset, count: int, seed: int = 0, first: bool = False) -> ForgetTask:
    """The task of forgetting `count` random training images (paper, section 3.2).

    seed: draws which ones; another seed draws others. first: take the first `count` rows
    instead, whatever the seed, as the authors' released code does.
    Raises ValueError unless 1 <= count < number of training images.
    """
    _check_whole("count", count)
    train = dataset.train
    if not 1 <= count < len(train):
        raise ValueError(
            f"{count} images were asked to be forgotten; expected 1 to {len(train) - 1}, "
            f"so that some of {dataset.name}'s {len(train)} training images are retained"
        )
    order = torch.arange(len(train))
    if not first:
        order = torch.randperm(len(train), generator=generator(seed, torch.device("cpu")))
    return forget_these(dataset, order[:count], seed)


def forget_these(dataset: Dataset, index: Tensor, seed: int = 0) -> ForgetTask:
    """The task of forgetting the training images at the positions `index` (n,).

    seed: recorded with the task; nothing is drawn. Raises ValueError if a position is named twice or is not there,
    if all or none are named, or for a mask in the positions' place.
    """
    train = dataset.train
    if index.ndim != 1 or index.is_floating_point() or index.dtype == torch.bool:
        raise ValueError(
            f"the positions are {index.dtype} of shape {tuple(index.shape)}; expected whole numbers of shape (n,)"
        )
    found = torch.unique(index)
    if len(found) != len(index) or not 1 <= len(index) < len(train) or found[0] < 0 or found[-1] >= len(train):
        raise ValueError(
            f"{len(index)} positions were named, {len(found)} of them different; expected 1 to {len(train) - 1} "
            f"different positions from 0 to {len(train) - 1}"
        )
    chosen = torch.zeros(len(train), dtype=torch.bool)
    chosen[index.cpu()] = True
    chosen = chosen.to(train.device)
    return ForgetTask(
        kind="samples",
        dataset=dataset.name,
        forget=train.select(chosen),
        retain=train.select(~chosen),
        train=train,
        validation=dataset.validation,
        test=dataset.test,
        forget_test=None,
        retain_test=None,
        classes=dataset.classes,
        forget_index=chosen.nonzero()[:, 0],
        label=None,
        seed=seed,
    )
