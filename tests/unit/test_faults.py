"""A full disk, a folder that cannot be written to, two runs at once, a run that is killed: nothing is lost."""

import os
import pickle
import resource
import signal
import subprocess
import sys
import tarfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import image_data
from torchvision import datasets

from cu_helpers import data, training
from cu_helpers.checkpoints import NotKeptWarning, load_model, save_model
from cu_helpers.errors import REPORTED, CheckpointError, DataFileError, StorageError, reported
from cu_helpers.files import locked, write_text
from cu_helpers.models import EmbeddingClassifier, ModelConfig
from cu_helpers.training import TrainSettings, load_or_train

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ModelConfig("resnet18", 3, 3, 4, 8)
SETTINGS = TrainSettings(epochs=1, batch_size=12, learning_rate=0.05, precision="float32")


def same(a: EmbeddingClassifier, b: EmbeddingClassifier) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def full_disk() -> Iterator[None]:
    """The system refuses every file beyond 4,096 bytes, as a full disk does in the middle of one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


# A full disk


def test_a_full_disk_leaves_the_old_record_and_is_told_in_one_sentence(tmp_path: Path, full_disk: None) -> None:
    path = tmp_path / "run.json"
    write_text(path, "old\n")
    with pytest.raises(StorageError) as caught:
        write_text(path, "x" * 10_000)
    message = str(caught.value)
    assert message.startswith(f"{path} cannot be written (File too large); free some space there")
    assert "\n" not in message
    assert contents(tmp_path) == {"run.json": b"old\n"}


def test_a_full_disk_leaves_the_old_checkpoint(
    tmp_path: Path, tiny_model: EmbeddingClassifier, full_disk: None
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(StorageError, match=r"model\.safetensors cannot be written"):
        save_model(tiny_model, path)
    assert contents(tmp_path) == {"model.safetensors": b"old"}


def test_a_model_that_the_full_disk_cannot_keep_is_used_all_the_same(tmp_path: Path, full_disk: None) -> None:
    with pytest.warns(NotKeptWarning, match="used now but not kept, so that it will be trained again next time"):
        found = load_or_train(CONFIG, image_data(24), SETTINGS, 0, tmp_path)
    assert not found.loaded
    by_hand = CONFIG.build(0)
    assert same(found.model, training.train(by_hand, image_data(24), SETTINGS, 0))
    assert [path for path in contents(tmp_path) if not path.startswith(".locks")] == []


# A cache that cannot be written to


def test_a_cache_that_cannot_be_made_keeps_nothing_and_says_so() -> None:
    """Not even root can make a folder below a file."""
    with pytest.warns(NotKeptWarning) as told:
        found = load_or_train(CONFIG, image_data(24), SETTINGS, 0, "/dev/null/cache")
    assert not found.loaded
    assert len(told) == 1
    assert "/dev/null/cache" in str(told[0].message)
    assert "CU_CACHE names the cache" in str(told[0].message)
    assert "\n" not in str(told[0].message)


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which nothing can be made, changed or removed; for root, whom no mode stops, by a stub."""
    folder = tmp_path / "cache"
    folder.mkdir()
    yield folder
    folder.chmod(0o755)


def forbid(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.chmod(0o555)
    if os.geteuid() != 0:
        return

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(30, "Read-only file system", str(folder))

    for name in ("mkdir", "unlink", "touch"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr("tempfile.mkstemp", refuse)


def test_a_read_only_cache_is_read(read_only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_or_train(CONFIG, image_data(24), SETTINGS, 0, read_only)
    forbid(read_only, monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load_or_train(CONFIG, image_data(24), SETTINGS, 0, read_only)
    assert again.loaded
    assert same(first.model, again.model)


def test_a_damaged_file_in_a_read_only_cache_is_trained_anew(read_only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_or_train(CONFIG, image_data(24), SETTINGS, 0, read_only)
    (path,) = read_only.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:1000])
    forbid(read_only, monkeypatch)
    with pytest.warns(NotKeptWarning, match="cannot be written"):
        again = load_or_train(CONFIG, image_data(24), SETTINGS, 0, read_only)
    assert not again.loaded
    assert same(first.model, again.model)


# Two at once, and one that is killed


def test_of_two_that_want_a_model_one_trains_and_the_other_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, trained = training.train, []
    both_asked = threading.Barrier(2, timeout=60)
    asked = training._cached

    def first_look(*args: Any) -> Any:
        found = asked(*args)
        if threading.current_thread().name not in seen:
            seen.add(threading.current_thread().name)
            both_asked.wait()  # both have found nothing before either trains
        return found

    def train(*args: Any, **options: Any) -> Any:
        trained.append(threading.current_thread().name)
        return real(*args, **options)

    seen: set[str] = set()
    monkeypatch.setattr(training, "_cached", first_look)
    monkeypatch.setattr(training, "train", train)
    found: list[training.TrainedModel] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_or_train(CONFIG, image_data(24), SETTINGS, 0, tmp_path)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(trained) == 1
    assert sorted(one.loaded for one in found) == [False, True]
    assert same(found[0].model, found[1].model)


CHILD = """
import os, sys, time
from pathlib import Path
from cu_helpers.files import locked, write_aside
folder = Path(sys.argv[1])
with locked(folder / "lock"):
    def half(aside):
        aside.write_text("ha")
        print("writing", flush=True)
        time.sleep(60)
    write_aside(folder / "record.json", half)
"""


def child(folder: Path) -> "subprocess.Popen[str]":
    """Another process that holds the lock and is in the middle of a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def test_a_killed_process_leaves_the_old_file_and_no_lock(tmp_path: Path) -> None:
    write_text(tmp_path / "record.json", "old")
    process = child(tmp_path)
    waited: list[str] = []

    def wait() -> None:
        with locked(tmp_path / "lock"):
            waited.append("in")

    waiting = threading.Thread(target=wait)
    waiting.start()
    waiting.join(0.3)
    assert waited == [], "as long as the other lives, it has the lock"
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    waiting.join(30)
    assert waited == ["in"]
    assert (tmp_path / "record.json").read_text() == "old"
    write_text(tmp_path / "record.json", "new")
    assert (tmp_path / "record.json").read_text() == "new"
    assert [path.name for path in tmp_path.glob("*.json")] == ["record.json"], "the half file is hidden from readers"


# Files that would run code or write elsewhere


class Evil:
    """Unpickling this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> Any:
        return os.open, (self.target, os.O_CREAT | os.O_WRONLY)


@pytest.mark.parametrize("name", [entry[0] for entry in datasets.CIFAR10.train_list] + ["batches.meta"])
def test_a_pickle_that_is_not_cifars_own_is_never_loaded(name: str, tmp_path: Path) -> None:
    folder = tmp_path / datasets.CIFAR10.base_folder
    folder.mkdir()
    evil = pickle.dumps(Evil(tmp_path / "ran"))
    for entry in [name] if name != "batches.meta" else [one[0] for one in datasets.CIFAR10.train_list] + [name]:
        (folder / entry).write_bytes(evil)
    with pytest.raises(DataFileError):
        data.load_dataset("cifar10", tmp_path, "cpu")
    assert not (tmp_path / "ran").exists()
    pickle.loads(evil)
    assert (tmp_path / "ran").exists(), "the trap itself works"


def test_a_pickle_in_the_cache_is_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    with pytest.raises(CheckpointError):
        load_model(path)
    torch.save({"weight": Evil(tmp_path / "ran")}, path)
    with pytest.raises(CheckpointError):
        load_model(path)
    assert not (tmp_path / "ran").exists()


def test_an_archive_that_is_not_the_official_one_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a path out of its folder in it; its md5 is looked at before anything is unpacked."""
    evil = tmp_path / "evil.tar.gz"
    (tmp_path / "content").write_text("content")
    with tarfile.open(evil, "w:gz") as tar:
        tar.add(tmp_path / "content", arcname="../../outside")
    fetched = []

    def fetch(_: str, filename: str, *__: object) -> None:
        fetched.append(filename)
        Path(filename).write_bytes(evil.read_bytes())

    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", fetch)
    root = tmp_path / "deep" / "data"
    with pytest.raises(DataFileError, match=r"cifar10 is not in .* could not be downloaded"):
        data.load_dataset("cifar10", root, "cpu")
    assert fetched
    assert list(tmp_path.rglob("outside")) == []
    assert [path.name for path in root.rglob("*") if not path.name.endswith(".lock")] == []


@pytest.mark.parametrize("error", REPORTED)
def test_what_a_user_can_mend_ends_a_command_in_one_sentence(
    error: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise error("no space is left; free some")

    assert reported("record_runs", work) == 2
    assert capsys.readouterr().err == "record_runs: no space is left; free some\n"
    assert reported("record_runs", lambda: 0) == 0


def test_a_bug_is_not_dressed_as_a_sentence() -> None:
    def work() -> int:
        raise KeyError("head.weight")

    with pytest.raises(KeyError):
        reported("record_runs", work)


def test_every_command_that_records_reports_so() -> None:
    scripts = sorted((ROOT / "book").glob("record_*.py"))
    assert len(scripts) >= 5
    for path in [*scripts, ROOT / "book" / "reproduce.py"]:
        assert f'sys.exit(reported("{path.stem}", main))' in path.read_text(encoding="utf-8"), path.name
