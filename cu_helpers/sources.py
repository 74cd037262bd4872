"""Reading each data set's own file format into uint8 arrays. `data.load_dataset` is the way in."""

import csv
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .errors import DataFileError
from .files import locked
from .splits import SPLIT_SEED, balanced_split

CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_STD = (0.2023, 0.1994, 0.2010)
DIGITS_TRAIN = 180
MINI_IMAGENET_CLASSES = 100


@dataclass(frozen=True)
class RawSplits:
    """Both official splits as uint8 NCHW images and int64 labels, and how to normalise them."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    augment: bool = False


def to_uint8(images: Tensor) -> Tensor:
    """Float images in [0, 1], of any shape, as uint8 in [0, 255], rounded.

    Raises ValueError if a value is not finite or lies outside [0, 1].
    """
    if not torch.isfinite(images).all():
        raise ValueError("images hold NaN or infinite values; expected finite numbers in [0, 1]")
    low, high = images.min().item(), images.max().item()
    if low < 0 or high > 1:
        raise ValueError(f"images span [{low:.3g}, {high:.3g}]; expected values in [0, 1]")
    return (images * 255).round().to(torch.uint8)


def read_digits() -> RawSplits:
    """scikit-learn's 1,797 scans of handwritten digits, upsampled from 8x8 to 32x32.

    A fixed, class-balanced draw of `DIGITS_TRAIN` of them is the training split and the rest the
    test split. The draw is random because the scans come writer after writer: a split in file
    order would put other writers into the test split, and a retrained model would still know
    the writers of what was forgotten. So few images are trained on that training and test
    accuracy lie apart, as they do on harder data.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = torch.from_numpy(bunch.images.astype(np.float32) / 16)[:, None]
    large = torch.nn.functional.interpolate(small, size=(32, 32), mode="bilinear", align_corners=False)
    images = to_uint8(large.clamp(0, 1)).repeat(1, 3, 1, 1)
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    train, test = balanced_split(labels, DIGITS_TRAIN, SPLIT_SEED)
    return RawSplits(
        images[train],
        labels[train],
        images[test],
        labels[test],
        tuple(str(name) for name in bunch.target_names),
        (0.305, 0.305, 0.305),
        (0.325, 0.325, 0.325),
    )


def data_root(root: str | Path | None, holds: "tuple[str, ...]") -> Path:
    """The folder to read from: the argument, else $CU_DATA, else ./data.

    Without an argument the first of these that has one of the entries `holds` wins; if none has,
    the first one is where a download will go.
    """
    if root is not None:
        return Path(root)
    named = os.environ.get("CU_DATA")
    candidates = [Path(named)] if named else []
    candidates.append(Path("data"))
    for candidate in candidates:
        if any((candidate / entry).exists() for entry in holds):
            return candidate
    return candidates[0]


def pin_folders() -> None:
    """Make $CU_DATA, $CU_CACHE and $CU_RESULTS absolute, for steps that will run in another folder than this one.

    Without $CU_DATA it becomes this folder's ./data, as `data_root` would have it here.
    """
    os.environ.setdefault("CU_DATA", "data")
    for name in ("CU_DATA", "CU_CACHE", "CU_RESULTS"):
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).resolve())


def _download(name: str, root: Path, dataset: type, entry: str, **options: object) -> None:
    """Let torchvision download into a folder aside and move what it made into `root`."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root / f".{entry}.lock"):
            if (root / entry).exists():
                return  # another process has just fetched it
            with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as aside:
                dataset(aside, download=True, **options)
                (Path(aside) / entry).replace(root / entry)
    except Exception as error:  # torchvision raises many kinds; all mean "not fetched"
        raise DataFileError(
            f"{name} is not in {root} and could not be downloaded ({error}); "
            f"put torchvision's {entry} into that folder, or set CU_DATA to a folder that has it"
        ) from error


def _check_file(name: str, path: Path, md5: str) -> None:
    """Raise DataFileError if the file is missing or its md5 differs."""
    from torchvision.datasets.utils import check_integrity

    if not path.exists():
        raise DataFileError(
            f"{name}: {path} is missing; expected the original file with md5 {md5}; "
            f"remove the folder {path.parent} to download it again"
        )
    if not check_integrity(str(path), md5):
        raise DataFileError(
            f"{name}: {path} is truncated or corrupt (its md5 is not {md5}); remove it and fetch the original again"
        )


def read_cifar(name: str, root: str | Path | None) -> RawSplits:
    """CIFAR-10 or CIFAR-100 from torchvision's own files; every pickle is checked by md5 first."""
    from torchvision import datasets

    kind = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
    folder = data_root(root, (kind.base_folder,))
    if not (folder / kind.base_folder).exists():
        _download(name, folder, kind, kind.base_folder)
    listed = [*kind.train_list, *kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]
    for file_name, md5 in listed:
        _check_file(name, folder / kind.base_folder / file_name, md5)
    train, test = kind(str(folder), train=True), kind(str(folder), train=False)
    return RawSplits(
        torch.from_numpy(train.data).permute(0, 3, 1, 2).contiguous(),
        torch.tensor(train.targets),
        torch.from_numpy(test.data).permute(0, 3, 1, 2).contiguous(),
        torch.tensor(test.targets),
        tuple(train.classes),
        CIFAR_MEAN,
        CIFAR_STD,
    )


def read_svhn(root: str | Path | None) -> RawSplits:
    """SVHN's train and test splits (no "extra"), normalised with CIFAR's constants as released."""
    from torchvision import datasets

    files = {split: datasets.SVHN.split_list[split] for split in ("train", "test")}
    folder = data_root(root, tuple(entry[1] for entry in files.values()))
    for split, (_, file_name, md5) in files.items():
        if not (folder / file_name).exists():
            _download("svhn", folder, datasets.SVHN, file_name, split=split)
        _check_file("svhn", folder / file_name, md5)
    parts = {split: datasets.SVHN(str(folder), split=split) for split in files}
    return RawSplits(
        torch.from_numpy(np.ascontiguousarray(parts["train"].data)),
        torch.from_numpy(parts["train"].labels.astype(np.int64)),
        torch.from_numpy(np.ascontiguousarray(parts["test"].data)),
        torch.from_numpy(parts["test"].labels.astype(np.int64)),
        tuple(str(digit) for digit in range(10)),
        CIFAR_MEAN,
        CIFAR_STD,
    )


def _mini_imagenet_files(folder: Path) -> dict[str, list[Path]]:
    """Image files by class, from train/val/test CSV files or from a folder of class folders."""
    found: dict[str, list[Path]] = {}
    tables = [folder / f"{split}.csv" for split in ("train", "val", "test")]
    if any(table.exists() for table in tables):
        for table in tables:
            if not table.exists():
                raise DataFileError(f"mini_imagenet: {table} is missing; expected train.csv, val.csv and test.csv")
            with table.open(newline="", encoding="utf-8") as lines:
                for row in csv.DictReader(lines):
                    if not row.get("filename") or not row.get("label"):
                        raise DataFileError(f"mini_imagenet: {table} needs the columns filename and label")
                    found.setdefault(row["label"], []).append(folder / "images" / row["filename"])
    else:
        for class_folder in sorted(path for path in folder.iterdir() if path.is_dir()):
            found[class_folder.name] = [path for path in class_folder.iterdir() if path.is_file()]
    return {name: sorted(found[name]) for name in sorted(found)}


def read_mini_imagenet(root: str | Path | None) -> RawSplits:
    """Mini-ImageNet in the paper's modified version: 100 classes, 5 in 6 images of each to train.

    `mini_imagenet/` under the data root holds either class folders or the usual train.csv,
    val.csv, test.csv with `images/`. With the usual 600 images a class the split is 500/100.
    Raises DataFileError for another number of classes, uneven classes, or an image that is missing,
    unreadable or of another size.
    """
    from PIL import Image, UnidentifiedImageError

    folder = data_root(root, ("mini_imagenet",)) / "mini_imagenet"
    if not folder.is_dir():
        raise DataFileError(
            f"mini_imagenet is not at {folder}; it has no public download, so put its class folders "
            "(or train.csv, val.csv, test.csv and images/) there, or set CU_DATA to the folder above"
        )
    files = _mini_imagenet_files(folder)
    counts = [len(paths) for paths in files.values()]
    least, most = min(counts, default=0), max(counts, default=0)
    if len(files) != MINI_IMAGENET_CLASSES or not 0 < least == most or most % 6:
        raise DataFileError(
            f"mini_imagenet: {folder} holds {len(files)} classes of {least} to {most} images; "
            f"expected {MINI_IMAGENET_CLASSES} classes with 600 images each"
        )
    splits: dict[str, list[Tensor]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    size: tuple[int, int] | None = None
    for label, paths in enumerate(files.values()):
        for position, path in enumerate(paths):
            try:
                with Image.open(path) as image:
                    pixels = np.asarray(image.convert("RGB"))
            except (OSError, UnidentifiedImageError) as error:
                raise DataFileError(f"mini_imagenet: {path} is missing or no readable image ({error})") from error
            size = size or pixels.shape[:2]
            if pixels.shape[:2] != size:
                raise DataFileError(
                    f"mini_imagenet: {path} is {pixels.shape[:2]}, the first image {size}; resize all alike"
                )
            split = "train" if position < len(paths) * 5 // 6 else "test"
            splits[split].append(torch.from_numpy(pixels.copy()).permute(2, 0, 1))
            labels[split].append(label)
    return RawSplits(
        torch.stack(splits["train"]),
        torch.tensor(labels["train"]),
        torch.stack(splits["test"]),
        torch.tensor(labels["test"]),
        tuple(files),
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
        augment=True,
    )
