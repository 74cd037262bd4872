"""Files are written aside and renamed: a reader sees the old one, the new one or none."""

import errno
from pathlib import Path

import pytest

from cu_helpers import files
from cu_helpers.errors import StorageError
from cu_helpers.files import locked, try_lock, write_aside, write_text


def test_a_new_file_is_written_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "notes.txt"
    write_text(path, "é, 日本\n")
    assert path.read_bytes() == "é, 日本\n".encode()
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_an_old_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    write_text(path, "a long old text")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt(), ValueError("bad")])
@pytest.mark.parametrize("old", [None, "old"])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException, old: str | None
) -> None:
    path = tmp_path / "notes.txt"
    if old is not None:
        path.write_text(old)

    def half(aside: Path) -> None:
        aside.write_text("hal")
        raise error

    with pytest.raises(StorageError if isinstance(error, OSError) else type(error)) as caught:
        write_aside(path, half)
    assert error in (caught.value, caught.value.__cause__)
    assert (path.read_text() if path.exists() else None) == old
    assert list(tmp_path.iterdir()) == ([] if old is None else [path])


def test_the_target_is_untouched_until_the_writer_is_done(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old")
    seen = []

    def write(aside: Path) -> None:
        aside.write_text("new")
        seen.append(path.read_text())
        assert aside.parent == path.parent  # on the same file system, where a rename is atomic

    write_aside(path, write)
    assert seen == ["old"]
    assert path.read_text() == "new"


def test_a_failing_rename_cleans_up(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    (path / "inside").mkdir(parents=True)
    with pytest.raises(StorageError, match="taken cannot be written"):
        write_text(path, "new")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(files.fcntl is None, reason="Windows has no flock")
def test_a_file_system_without_locks_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", flock)
    told = "a.lock cannot be written \\(No locks available\\)"
    with pytest.raises(StorageError, match=told), locked(tmp_path / "a.lock"):
        raise AssertionError("nothing may run without the lock")
    with pytest.raises(StorageError, match=told):
        try_lock(tmp_path / "a.lock")
