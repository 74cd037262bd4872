"""Readers of CIFAR, SVHN and Mini-ImageNet on small generated files in the real format, whole and damaged."""

import csv
import hashlib
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image

from cu_helpers import data, sources
from cu_helpers.errors import DataFileError

Pixels = NDArray[np.uint8]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def random_pixels(count: int, seed: int, side: int = 32) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


# CIFAR


class Cifar:
    """A folder with CIFAR's own layout and the pixels and labels that were written into it."""

    def __init__(self, root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name = name
        self.kind: Any = torchvision.datasets.CIFAR10 if name == "cifar10" else torchvision.datasets.CIFAR100
        self.folder = root / self.kind.base_folder
        self.folder.mkdir(parents=True)
        self.num_classes = 10 if name == "cifar10" else 100
        key = "labels" if name == "cifar10" else "fine_labels"
        self.pixels: dict[str, list[Pixels]] = {"train": [], "test": []}
        self.labels: dict[str, list[int]] = {"train": [], "test": []}
        for split, listed in (("train", self.kind.train_list), ("test", self.kind.test_list)):
            entries = []
            for number, (file_name, _) in enumerate(listed):
                count = self.num_classes * (2 if split == "train" else 5)
                pixels = random_pixels(count, seed=number + (100 if split == "test" else 0))
                labels = [(i + number) % self.num_classes for i in range(count)]
                batch: dict[str, Any] = {
                    "data": pixels.reshape(count, -1),
                    key: labels,
                    "filenames": [],
                    "batch_label": "",
                }
                if name == "cifar100":
                    batch["coarse_labels"] = [label // 5 for label in labels]
                (self.folder / file_name).write_bytes(pickle.dumps(batch, protocol=2))
                self.pixels[split].append(pixels)
                self.labels[split] += labels
                entries.append([file_name, md5(self.folder / file_name)])
            monkeypatch.setattr(self.kind, f"{split}_list", entries)
        self.class_names = [f"thing {i}" for i in range(self.num_classes)]
        meta = self.folder / self.kind.meta["filename"]
        meta.write_bytes(pickle.dumps({self.kind.meta["key"]: self.class_names}, protocol=2))
        monkeypatch.setattr(self.kind, "meta", {**self.kind.meta, "md5": md5(meta)})


@pytest.fixture(params=["cifar10", "cifar100"])
def cifar(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cifar:
    return Cifar(tmp_path / "there", request.param, monkeypatch)


def visible(folder: Path) -> list[str]:
    """What lies in a folder, the lock of its download aside."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def no_network(*_: object, **__: object) -> None:
    raise OSError("the network is unreachable")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", no_network)


def test_cifar_reads_pixels_labels_and_names(cifar: Cifar) -> None:
    dataset = data.load_dataset(cifar.name, cifar.folder.parent, "cpu")
    assert dataset.classes == tuple(cifar.class_names)
    assert torch.equal(dataset.train.images, torch.from_numpy(np.concatenate(cifar.pixels["train"])))
    assert dataset.train.labels.tolist() == cifar.labels["train"]
    assert dataset.train.images.is_contiguous()
    assert dataset.train.mean == (0.4914, 0.4822, 0.4465)
    assert len(dataset.validation) == cifar.num_classes
    assert len(dataset.test) == 4 * cifar.num_classes
    assert dataset.validation.labels.bincount().tolist() == [1] * cifar.num_classes
    written = {
        pixels.tobytes(): label for pixels, label in zip(cifar.pixels["test"][0], cifar.labels["test"], strict=True)
    }
    found = {}
    for part in (dataset.validation, dataset.test):
        found |= {image.numpy().tobytes(): int(label) for image, label in zip(part.images, part.labels, strict=True)}
    assert found == written


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


@pytest.mark.parametrize("how", ["missing", "truncated", "empty", "one bit flipped"])
@pytest.mark.parametrize("which", ["first", "last", "meta"])
def test_a_damaged_cifar_file_is_named(cifar: Cifar, how: str, which: str, offline: None) -> None:
    train, test = cifar.kind.train_list, cifar.kind.test_list
    name = {"first": train[0][0], "last": test[-1][0], "meta": cifar.kind.meta["filename"]}[which]
    damage(cifar.folder / name, how)
    with pytest.raises(DataFileError) as caught:
        data.load_dataset(cifar.name, cifar.folder.parent, "cpu")
    message = str(caught.value)
    assert str(cifar.folder / name) in message
    assert ("is missing" if how == "missing" else "is truncated or corrupt") in message
    assert "remove" in message
    assert "\n" not in message


# No network, downloads, and where files are looked for


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn"])
def test_without_files_and_network_one_sentence_says_what_to_do(name: str, tmp_path: Path, offline: None) -> None:
    root = tmp_path / "nothing" / "here"
    with pytest.raises(DataFileError) as caught:
        data.load_dataset(name, root, "cpu")
    message = str(caught.value)
    assert message.startswith(f"{name} is not in {root} and could not be downloaded (")
    assert "the network is unreachable" in message
    assert "CU_DATA" in message
    assert "\n" not in message
    assert visible(root) == []


def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class HalfAResponse:
        length = 1000
        url = "http://example.org/file"
        sent = False

        def __enter__(self) -> "HalfAResponse":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def read(self, _: int) -> bytes:
            if self.sent:
                raise ConnectionResetError("connection reset by peer")
            self.sent = True
            return b"half"

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: HalfAResponse())
    with pytest.raises(DataFileError, match=r"could not be downloaded .*connection reset by peer"):
        data.load_dataset("cifar10", tmp_path / "data", "cpu")
    assert visible(tmp_path / "data") == []


def test_a_data_folder_that_is_a_file_is_refused_in_one_sentence(tmp_path: Path, offline: None) -> None:
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(DataFileError, match=r"cifar10 is not in .*data and could not be downloaded"):
        data.load_dataset("cifar10", tmp_path / "data", "cpu")


def test_a_download_is_checked_unpacked_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's own download, with a local archive in the place of the network."""
    made = Cifar(tmp_path / "made", "cifar10", monkeypatch)
    archive = tmp_path / "archive.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(made.folder, arcname=made.kind.base_folder)
    monkeypatch.setattr(made.kind, "tgz_md5", md5(archive))

    def fetch(_: str, filename: str, *__: object) -> None:
        shutil.copy(archive, filename)

    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", fetch)
    root = tmp_path / "data"
    dataset = data.load_dataset("cifar10", root, "cpu")
    assert torch.equal(dataset.train.images, torch.from_numpy(np.concatenate(made.pixels["train"])))
    assert visible(root) == [made.kind.base_folder]

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", no_network)
    again = data.load_dataset("cifar10", root, "cpu")
    assert torch.equal(again.train.images, dataset.train.images)


def test_of_two_first_runs_one_downloads_and_the_other_takes_it_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While this process waits for the lock, the other one puts the files there."""
    root = tmp_path / "data"

    @contextmanager
    def waited_for(path: Path) -> Iterator[None]:
        assert path.parent == root
        (root / "files").mkdir()
        yield

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the files are there already")

    monkeypatch.setattr(sources, "locked", waited_for)
    sources._download("cifar10", root, never, "files")  # type: ignore[arg-type]
    assert visible(root) == ["files"]


def test_folders_are_pinned_to_where_the_command_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CU_DATA", raising=False)
    monkeypatch.setenv("CU_CACHE", "models")
    monkeypatch.delenv("CU_RESULTS", raising=False)
    sources.pin_folders()
    monkeypatch.chdir("/")
    assert os.environ["CU_DATA"] == str(tmp_path / "data")
    assert os.environ["CU_CACHE"] == str(tmp_path / "models")
    assert "CU_RESULTS" not in os.environ
    monkeypatch.setenv("CU_DATA", "/elsewhere")
    sources.pin_folders()
    assert os.environ["CU_DATA"] == "/elsewhere"


@pytest.mark.parametrize(
    ("has", "argument", "environment", "expected"),
    [
        ("argument environment here", True, True, "argument"),
        ("environment here", True, True, "argument"),  # an argument is never overruled
        ("argument environment here", False, True, "environment"),
        ("here", False, True, "here"),
        ("environment here", False, False, "here"),
        ("", False, True, "environment"),
        ("", False, False, "here"),
    ],
)
def test_the_argument_comes_before_cu_data_and_that_before_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: str, argument: bool, environment: bool, expected: str
) -> None:
    folders = {
        "argument": tmp_path / "argument",
        "environment": tmp_path / "environment",
        "here": tmp_path / "cwd/data",
    }
    (tmp_path / "cwd").mkdir()
    for name in has.split():
        (folders[name] / "set").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "cwd")
    if environment:
        monkeypatch.setenv("CU_DATA", str(folders["environment"]))
    found = sources.data_root(folders["argument"] if argument else None, ("set", "other"))
    assert found.absolute() == folders[expected]


def test_an_empty_argument_folder_never_falls_back_to_other_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None
) -> None:
    made = Cifar(tmp_path / "there", "cifar10", monkeypatch)
    monkeypatch.setenv("CU_DATA", str(made.folder.parent))
    assert len(data.load_dataset("cifar10", device="cpu").train) == 100
    with pytest.raises(DataFileError, match=r"cifar10 is not in .*elsewhere"):
        data.load_dataset("cifar10", tmp_path / "elsewhere", "cpu")


def _real_cifar10() -> Path | None:
    root = os.environ.get("CU_DATA")
    return Path(root) if root and (Path(root) / "cifar-10-batches-py").is_dir() else None


REAL_CIFAR10 = _real_cifar10()


@pytest.mark.skipif(REAL_CIFAR10 is None, reason="CU_DATA names no folder with CIFAR-10")
def test_the_real_cifar10() -> None:
    dataset = data.load_dataset("cifar10", REAL_CIFAR10, "cpu")
    assert dataset.classes[5] == "dog"
    assert dataset.train.labels.bincount().tolist() == [5000] * 10
    assert dataset.validation.labels.bincount().tolist() == [200] * 10
    assert dataset.test.labels.bincount().tolist() == [800] * 10
    assert dataset.train.labels[:5].tolist() == [6, 9, 9, 4, 1]  # a frog, two trucks, a deer, a car
    mean = dataset.train.images.float().mean(dim=(0, 2, 3)) / 255
    torch.testing.assert_close(mean, torch.tensor(dataset.train.mean), rtol=0, atol=1e-4)
    assert dataset.with_train(20_000).train.labels.bincount().tolist() == [2000] * 10


# SVHN


@pytest.fixture
def svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, tuple[Pixels, list[int]]]]:
    """The two .mat files: X is (32, 32, 3, n), y is (n, 1) from 1 to 10, where 10 is the digit 0."""
    root = tmp_path / "svhn"
    root.mkdir()
    written = {}
    entries = dict(torchvision.datasets.SVHN.split_list)
    for split, count in (("train", 40), ("test", 50)):
        pixels = random_pixels(count, seed=count)
        digits = [i % 10 for i in range(count)]
        url, file_name, _ = entries[split]
        labels = np.array([[digit or 10] for digit in digits], dtype=np.uint8)
        scipy.io.savemat(root / file_name, {"X": pixels.transpose(2, 3, 1, 0), "y": labels})
        entries[split] = [url, file_name, md5(root / file_name)]
        written[split] = (pixels, digits)
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", entries)
    return root, written


def test_svhn_reads_pixels_and_turns_label_ten_into_zero(
    svhn: tuple[Path, dict[str, tuple[Pixels, list[int]]]],
) -> None:
    root, written = svhn
    dataset = data.load_dataset("svhn", root, "cpu")
    assert dataset.classes == tuple("0123456789")
    assert torch.equal(dataset.train.images, torch.from_numpy(written["train"][0]))
    assert dataset.train.labels.tolist() == written["train"][1]
    assert dataset.train.labels.dtype == torch.int64
    # In the file the image number runs fastest; gathering rows from that order would be slow.
    assert dataset.train.images.is_contiguous()
    assert dataset.test.images.is_contiguous()
    assert len(dataset.validation) == 10
    assert len(dataset.test) == 40


@pytest.mark.parametrize("how", ["truncated", "empty", "one bit flipped"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_damaged_svhn_file_is_named(
    svhn: tuple[Path, dict[str, tuple[Pixels, list[int]]]], how: str, split: str, offline: None
) -> None:
    path = svhn[0] / f"{split}_32x32.mat"
    damage(path, how)
    before = path.read_bytes()
    with pytest.raises(DataFileError, match=f"svhn: .*{split}_32x32.mat is truncated or corrupt .*remove it and fetch"):
        data.load_dataset("svhn", svhn[0], "cpu")
    assert path.read_bytes() == before  # nothing is overwritten behind the reader's back


def test_a_missing_svhn_file_is_fetched_or_named(
    svhn: tuple[Path, dict[str, tuple[Pixels, list[int]]]], offline: None
) -> None:
    (svhn[0] / "test_32x32.mat").unlink()
    with pytest.raises(DataFileError, match=r"svhn is not in .* put torchvision's test_32x32.mat into that folder"):
        data.load_dataset("svhn", svhn[0], "cpu")
    assert visible(svhn[0]) == ["train_32x32.mat"]


# Mini-ImageNet: 100 classes of 6 tiny images, so 5 train and 1 test a class

PER_CLASS, SIDE = 6, 12


def tile(label: int, number: int) -> Image.Image:
    """A uniform image whose colour tells which it is, so that even a lossy format keeps it apart."""
    return Image.new("RGB", (SIDE, SIDE), (2 * label, 40 * number, 128))


def class_name(label: int) -> str:
    return f"n{label:08d}"


def write_class_folders(root: Path) -> Path:
    folder = root / "mini_imagenet"
    for label in range(100):
        (folder / class_name(label)).mkdir(parents=True)
        for number in range(PER_CLASS):
            tile(label, number).save(folder / class_name(label) / f"{number}.png")
    return folder


def write_tables(root: Path) -> Path:
    """The usual 64/16/20 classes in train.csv, val.csv, test.csv, and one folder of images."""
    folder = root / "mini_imagenet"
    (folder / "images").mkdir(parents=True)
    for split, classes in (("train", range(0, 64)), ("val", range(64, 80)), ("test", range(80, 100))):
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as lines:
            table = csv.writer(lines)
            table.writerow(["filename", "label"])
            for label in classes:
                for number in range(PER_CLASS):
                    file_name = f"{class_name(label)}{number:08d}.png"
                    tile(label, number).save(folder / "images" / file_name)
                    table.writerow([file_name, class_name(label)])
    return folder


@pytest.fixture(scope="module")
def kept_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    roots = {"class folders": tmp_path_factory.mktemp("folders"), "tables": tmp_path_factory.mktemp("tables")}
    write_class_folders(roots["class folders"])
    write_tables(roots["tables"])
    return roots


@pytest.fixture(params=["class folders", "tables"])
def mini_imagenet(request: pytest.FixtureRequest, kept_folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy to damage."""
    shutil.copytree(kept_folders[request.param], tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def tables(kept_folders: dict[str, Path], tmp_path: Path) -> Path:
    shutil.copytree(kept_folders["tables"], tmp_path / "copy")
    return tmp_path / "copy" / "mini_imagenet"


def some_image(folder: Path) -> Path:
    return sorted(folder.rglob("*.png"))[77]


def test_mini_imagenet_splits_each_class_five_to_one(mini_imagenet: Path) -> None:
    dataset = data.load_dataset("mini_imagenet", mini_imagenet, "cpu")
    assert dataset.classes == tuple(class_name(label) for label in range(100))
    assert dataset.train.images.shape == (500, 3, SIDE, SIDE)
    assert dataset.train.augment
    assert not dataset.validation.augment
    assert not dataset.test.augment
    assert len(dataset.validation) + len(dataset.test) == 100
    for part, numbers in ((dataset.train, range(5)), (dataset.test, range(5, 6)), (dataset.validation, range(5, 6))):
        for image, label in zip(part.images, part.labels.tolist(), strict=True):
            red, green, blue = image[:, 3, 4].tolist()
            assert (red, blue) == (2 * label, 128)
            assert green // 40 in numbers
    assert dataset.train.labels.bincount().tolist() == [5] * 100


def test_mini_imagenet_is_read_from_cu_data(mini_imagenet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_DATA", str(mini_imagenet))
    assert len(data.load_dataset("mini_imagenet", device="cpu").train) == 500


def test_an_absent_mini_imagenet_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"mini_imagenet is not at .* no public download, so put its class folders"):
        data.load_dataset("mini_imagenet", tmp_path, "cpu")


def break_png(path: Path) -> None:
    """Flip a byte of the pixel data itself, behind every header."""
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 0xFF
    path.write_bytes(bytes(content))


def cut_png(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"IDAT") + 10])


@pytest.mark.parametrize(
    "harm",
    [
        break_png,
        cut_png,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("not an image"),
        lambda path: path.write_bytes(path.read_bytes()[:20]),
    ],
    ids=["corrupt", "cut off", "empty", "text", "header only"],
)
def test_an_unreadable_image_is_named(mini_imagenet: Path, harm: Callable[[Path], object]) -> None:
    path = some_image(mini_imagenet)
    harm(path)
    with pytest.raises(DataFileError) as caught:
        data.load_dataset("mini_imagenet", mini_imagenet, "cpu")
    assert str(path) in str(caught.value)
    assert "is missing or no readable image" in str(caught.value)


def test_no_cut_of_an_image_passes_or_escapes(tmp_path: Path) -> None:
    """Whatever the length that is left, the reader's one exception names the file."""
    folder = tmp_path / "mini_imagenet"
    rng = np.random.default_rng(0)
    noisy = Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    for label in range(100):
        (folder / class_name(label)).mkdir(parents=True)
    path = folder / class_name(0) / "0.png"
    noisy.save(path)
    whole = path.read_bytes()
    for label in range(100):
        for number in range(PER_CLASS):
            shutil.copy(path, folder / class_name(label) / f"{number}.png") if (label, number) != (0, 0) else None
    end_of_pixels = whole.index(b"IEND") - 8  # what follows is a checksum and an empty chunk
    for length in range(0, end_of_pixels, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataFileError, match=r"0\.png is missing or no readable image"):
            data.load_dataset("mini_imagenet", tmp_path, "cpu")


def test_a_listed_image_that_is_missing_is_named(tables: Path) -> None:
    path = some_image(tables)
    path.unlink()
    with pytest.raises(DataFileError, match=f"{path.name} is missing or no readable image"):
        data.load_dataset("mini_imagenet", tables.parent, "cpu")


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_missing_table_is_named(tables: Path, split: str) -> None:
    (tables / f"{split}.csv").unlink()
    with pytest.raises(DataFileError, match=rf"{split}\.csv is missing; expected train.csv, val.csv and test.csv"):
        data.load_dataset("mini_imagenet", tables.parent, "cpu")


@pytest.mark.parametrize("text", ["file,class\na.png,n1\n", "filename,label\na.png\n", "filename,label\n,n1\n"])
def test_a_table_without_its_columns_is_named(tables: Path, text: str) -> None:
    (tables / "val.csv").write_text(text)
    with pytest.raises(DataFileError, match=r"val\.csv needs the columns filename and label"):
        data.load_dataset("mini_imagenet", tables.parent, "cpu")


def test_a_wrong_number_of_classes_is_refused(kept_folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(kept_folders["class folders"], tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "mini_imagenet" / class_name(31))
    with pytest.raises(DataFileError, match="holds 99 classes of 6 to 6 images; expected 100 classes with 600"):
        data.load_dataset("mini_imagenet", tmp_path / "copy", "cpu")


def test_a_class_with_fewer_images_is_refused(kept_folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(kept_folders["class folders"], tmp_path / "copy")
    (tmp_path / "copy" / "mini_imagenet" / class_name(31) / "0.png").unlink()
    with pytest.raises(DataFileError, match="holds 100 classes of 5 to 6 images"):
        data.load_dataset("mini_imagenet", tmp_path / "copy", "cpu")


@pytest.mark.parametrize(("classes", "images"), [(0, 0), (100, 0)])
def test_empty_folders_are_refused(tmp_path: Path, classes: int, images: int) -> None:
    (tmp_path / "mini_imagenet").mkdir()
    for label in range(classes):
        (tmp_path / "mini_imagenet" / class_name(label)).mkdir()
    with pytest.raises(DataFileError, match=f"holds {classes} classes of {images} to {images} images"):
        data.load_dataset("mini_imagenet", tmp_path, "cpu")


def test_an_image_of_another_size_is_named(mini_imagenet: Path) -> None:
    path = some_image(mini_imagenet)
    Image.new("RGB", (SIDE + 1, SIDE)).save(path)
    with pytest.raises(DataFileError, match=f"{path.name} is .*13.* the first image .*12.*; resize all alike"):
        data.load_dataset("mini_imagenet", mini_imagenet, "cpu")


# Floats to bytes


def test_to_uint8_rounds_to_the_nearest_step() -> None:
    values = torch.tensor([0.0, 1.0, 0.5, 1 / 255, 0.4 / 255, 0.6 / 255])
    assert sources.to_uint8(values).tolist() == [0, 255, 128, 1, 0, 1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_to_uint8_refuses_what_is_not_finite(bad: float) -> None:
    with pytest.raises(ValueError, match="images hold NaN or infinite values; expected finite numbers"):
        sources.to_uint8(torch.tensor([0.5, bad]))


@pytest.mark.parametrize("bad", [-0.1, 1.1, 255.0])
def test_to_uint8_refuses_what_is_out_of_range(bad: float) -> None:
    with pytest.raises(ValueError, match=r"images span .*; expected values in \[0, 1\]"):
        sources.to_uint8(torch.tensor([0.5, bad]))
