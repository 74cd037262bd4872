"""Writing files so that no reader ever sees half of one."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import StorageError

try:
    import fcntl
except ImportError:  # Windows: no batch runs there, and a notebook is alone with its files
    fcntl = None  # type: ignore[assignment]


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the system's error about a file or folder into one sentence."""
    try:
        yield
    except StorageError:
        raise  # of a file that is written beside this one, and explained already
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}); free some space there, or choose a folder that "
            "can be written to; what was there before is as it was"
        ) from error


def write_aside(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it into place.

    The rename is atomic on one file system, so `path` is either the old file, the new file or
    absent. The temporary file is removed if `write` fails. Raises StorageError, which names
    `path`, for any OSError (a full disk, a read-only folder); what else `write` raises passes through.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        aside = Path(name)
        try:
            write(aside)
            aside.chmod(0o644)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path` through `write_aside`, whose errors it has."""

    def write(aside: Path) -> None:
        aside.write_text(text, encoding="utf-8")

    write_aside(path, write)


@contextmanager
def locked(path: Path, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; wait until other processes let go of it.

    shared: several may hold it so at once, but none beside one that holds it alone. The lock ends
    with the process that holds it, however that ends. The empty file stays. Raises StorageError
    where the file cannot be made or locked.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        with _explained(path):  # some shared file systems have no locks
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def try_lock(path: Path, wait: bool = False) -> int | None:
    """Hold the lock file `path` until this process ends, and return its descriptor.

    If another process holds it: None, or with `wait` only when that one lets go. Raises StorageError
    where the file cannot be made or locked.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError:
            os.close(handle)
            raise
    return handle
