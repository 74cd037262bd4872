"""Models on disk: safetensors for the weights, a JSON beside it for people."""

import hashlib
import json
import os
import platform
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .data import ImageData
from .errors import CheckpointError, StorageError
from .files import locked, write_aside, write_text
from .models import EmbeddingClassifier, ModelConfig

T = TypeVar("T")


def versions() -> dict[str, str]:
    """The versions that can change a result: Python, torch, torchvision, this package."""
    import torchvision

    from . import __version__

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "cu_helpers": __version__,
    }


def cache_folder() -> Path:
    """Where trained models are kept: $CU_CACHE, else ~/.cache/cu_helpers."""
    return Path(os.environ.get("CU_CACHE") or Path.home() / ".cache" / "cu_helpers")


def fingerprint(images: ImageData) -> str:
    """A short hash of the images, labels and normalisation: equal data, equal fingerprint."""
    digest = hashlib.sha256()
    digest.update(images.images.cpu().numpy().tobytes())
    digest.update(images.labels.cpu().numpy().tobytes())
    digest.update(repr((tuple(images.images.shape), images.mean, images.std, images.augment)).encode())
    return digest.hexdigest()[:16]


def save_weights(
    path: Path, weights: dict[str, Tensor], metadata: dict[str, str], beside: Callable[[], None] = lambda: None
) -> None:
    """Write named weights of any shape to `path` as safetensors, aside and renamed.

    beside: called before the rename, for a file that belongs to this one. Raises StorageError,
    into which every OSError is turned.
    """

    def write(aside: Path) -> None:
        try:
            save_file(weights, aside, metadata=metadata)
        except SafetensorError as error:  # how it tells of a full disk
            raise OSError(str(error)) from error
        beside()

    write_aside(path, write)


def read_or_make(path: Path, read: Callable[[], T | None], make: Callable[[], T]) -> T:
    """What `read` finds in the cache at `path`, else what `make` makes: of two that want it at once one makes it.

    read: returns None if there is nothing that can be read. Where no lock can be made nothing can be kept either;
    `make` runs all the same, and `keep` says so.
    """
    found = read()
    if found is not None:
        return found
    with ExitStack() as held:
        with suppress(StorageError):
            held.enter_context(locked(path.parent / ".locks" / path.stem))
        found = read()
        return make() if found is None else found


def discard(path: Path) -> None:
    """Remove an unreadable file of the cache, such as half a file from a killed copy, where that is allowed.

    Training again is the whole remedy, and it replaces the file.
    """
    with suppress(OSError):
        path.unlink(missing_ok=True)


def save_model(model: EmbeddingClassifier, path: str | Path, notes: dict[str, Any] | None = None) -> None:
    """Write `path` (safetensors) and `path` with .json (settings, versions, seed, for people).

    Both are written aside and renamed, so a failure leaves an older pair as it was. notes:
    anything JSON can hold; kept in both files. Raises StorageError if they cannot be written.
    """
    target = Path(path)
    described = {"config": asdict(model.config), "versions": versions(), **(notes or {})}
    text = json.dumps(described, indent=2, sort_keys=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}

    save_weights(target, weights, {"description": text}, lambda: write_text(target.with_suffix(".json"), text + "\n"))


class NotKeptWarning(UserWarning):
    """A trained model is in hand, but the cache could not take it."""


def keep(write: Callable[[], None]) -> bool:
    """Call `write`, which puts a trained model into the cache; return whether it could.

    Where the disk is full or the folder read-only the model in hand is worth more than its copy: a
    `NotKeptWarning` says that it will be trained again next time.
    """
    try:
        write()
    except StorageError as error:
        warnings.warn(
            f"the trained model is used now but not kept, so that it will be trained again next time: {error} "
            "(CU_CACHE names the cache)",
            NotKeptWarning,
            stacklevel=3,
        )
        return False
    return True


def load_model(
    path: str | Path, expected: ModelConfig | None = None, device: str | torch.device = "cpu"
) -> tuple[EmbeddingClassifier, dict[str, Any]]:
    """Read a model and its notes from a file that `save_model` wrote.

    expected: the architecture that the caller needs. Raises CheckpointError if the file is
    missing, unreadable, or holds another architecture.
    """
    source = Path(path)
    if not source.exists():
        raise CheckpointError(f"checkpoint {source} does not exist; train the model first or correct the path")
    try:
        with safe_open(source, framework="pt", device=str(device)) as file:
            notes: dict[str, Any] = json.loads((file.metadata() or {})["description"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        config = ModelConfig(**notes["config"])
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise CheckpointError(
            f"checkpoint {source} is truncated or was not written by cu_helpers ({error}); remove it and train again"
        ) from error
    if expected is not None and config != expected:
        raise CheckpointError(
            f"checkpoint {source} holds {config.describe()}; expected {expected.describe()}; name another file"
        )
    try:
        # The seed's weights are overwritten; without one, loading would advance torch's global generator.
        model = config.build(seed=0)
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"checkpoint {source} does not fit the {config.describe()} that it names; remove it and train again"
        ) from error
    return model.to(device), notes
