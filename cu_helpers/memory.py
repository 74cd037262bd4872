"""How much memory a process has taken, and what to do when a GPU has too little: half the batch, and say so."""

import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from .errors import DeviceMemoryError

try:
    import resource
except ImportError:  # Windows has no such module
    resource = None  # type: ignore[assignment]

S = TypeVar("S")
T = TypeVar("T")


class SmallerBatchWarning(UserWarning):
    """A batch did not fit into the GPU's memory, and half of it is tried."""


def peak_memory_mib(device: torch.device) -> float:
    """The process's largest memory so far, in MiB: the GPU's allocator, or resident memory on a CPU.

    0 where the system does not tell (Windows).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    own = _status("VmHWM")
    if own is not None:
        return own
    if resource is None:
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10  # macOS counts bytes, Linux KiB


def _status(name: str) -> float | None:
    """A line of Linux's /proc/self/status in MiB; None elsewhere.

    getrusage would do for a peak, but a process inherits there the peak of the one that started it.
    """
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found.group(1)) / 2**10 if found else None


def added_memory_mib(work: Callable[[], object]) -> float | None:
    """By how much a call raises the process's resident memory at its highest, in MiB; None where Linux's /proc is not.

    Tells what the call needs beside what is there already. What the process has freed and kept can hide a part.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts anew, at what is there now
    except OSError:
        return None
    before = _status("VmHWM")
    work()
    after = _status("VmHWM")
    return None if before is None or after is None else after - before


def until_it_fits(
    attempt: Callable[[S], T], size: S, halve: Callable[[S], S | None], what: str, told: Callable[[S], str] = str
) -> tuple[T, S]:
    """What `attempt(size)` returns and the size that fitted: it is halved as often as the GPU's memory asks for.

    attempt: starts from nothing each time, since it may be broken off anywhere. halve: the next
    smaller size, None if there is none. what: names the work, and told a size, for the warning (a
    `SmallerBatchWarning`). Raises DeviceMemoryError if the smallest size does not fit either.
    """
    while True:
        try:
            return attempt(size), size
        except torch.OutOfMemoryError as error:
            smaller = halve(size)
            if smaller is None:
                raise DeviceMemoryError(
                    f"{what}: the GPU's memory is too small even for {told(size)}; "
                    "use a narrower model, a GPU with more free memory, or device='cpu'"
                ) from error
        # Not inside the handler: until it ends, the error's frames keep the tensors that did not fit.
        torch.cuda.empty_cache()
        warnings.warn(
            f"{what}: {told(size)} does not fit into the GPU's memory; going on with {told(smaller)}",
            SmallerBatchWarning,
            stacklevel=3,
        )
        size = smaller


def half(size: int) -> int | None:
    """Half of a batch size, rounded down; None for 1."""
    return size // 2 or None


def _sizes(settings: Any) -> dict[str, Any]:
    """The fields of a settings class that hold a batch size or settings with one: name -> value."""
    found = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if (field.name.endswith("batch_size") and value is not None) or (is_dataclass(value) and _sizes(value)):
            found[field.name] = value
    return found


def halved(settings: S) -> S | None:
    """The same settings with every batch size halved, also in settings inside them; None if all are 1 already.

    A batch size is a field whose name ends with batch_size; one that is None stays.
    """
    smaller: dict[str, Any] = {}
    for name, value in _sizes(settings).items():
        found = halved(value) if is_dataclass(value) else half(value)
        if found is not None:
            smaller[name] = found
    return replace(settings, **smaller) if smaller else None  # type: ignore[type-var]


def batch_words(settings: Any) -> str:
    """The batch sizes of settings in words, such as "batch_size 64"."""
    told = [
        batch_words(value) if is_dataclass(value) else f"{name} {value}" for name, value in _sizes(settings).items()
    ]
    return ", ".join(told) or "a single image"
