"""Which device to use, and whether bfloat16 is a gain there."""

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path

import torch

from .errors import choose

PRECISIONS = ("auto", "float32", "bfloat16")


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for; None means the first GPU if there is one, else the CPU.

    Raises ValueError for what is neither a CPU nor a CUDA device, and for a CUDA device that torch does
    not see.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"unknown device {device!r}; expected 'cpu', 'cuda' or 'cuda:N'") from error
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device {str(chosen)!r} is not supported; expected 'cpu', 'cuda' or 'cuda:N'")
    if chosen.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(f"device {str(chosen)!r} was asked for but torch sees no GPU; use device='cpu'")
        count = torch.cuda.device_count()
        if chosen.index is not None and chosen.index >= count:
            raise ValueError(f"device {str(chosen)!r} was asked for but torch sees {count} GPUs, numbered from 0")
    return chosen


@lru_cache(maxsize=1)
def _cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 faster than float32: with AMX, or by AVX-512 unless it is Intel's.

    Intel's AVX-512 instruction alone is no gain: on a Xeon whose AMX the virtual machine hid, a training
    step of ResNet-18 took 1.3 to 1.4 times as long in bfloat16 (width 16 and 64, one thread and two).
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "amx_bf16" in flags or ("avx512_bf16" in flags and "GenuineIntel" not in flags)


def resolve_precision(precision: str, device: torch.device) -> str:
    """Turn "auto" into "bfloat16" or "float32" for this device; other values pass through.

    Raises ValueError for a name outside `PRECISIONS`.
    """
    choose("precision", precision, PRECISIONS)
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and _cpu_has_bfloat16()
    return "bfloat16" if native else "float32"


def wait(device: torch.device) -> None:
    """Let queued GPU work finish, so that a clock reads what it should."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def autocast(device: torch.device, precision: str = "auto") -> AbstractContextManager[object]:
    """The mixed-precision context for a forward pass; it does nothing in float32."""
    if resolve_precision(precision, device) == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def generator(seed: int, device: torch.device) -> torch.Generator:
    """A random generator on `device` with its own `seed`, apart from torch's global one."""
    return torch.Generator(device=device).manual_seed(seed)
