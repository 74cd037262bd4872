"""One GPU for each of several processes on a machine, by lock files that end with their process."""

import os
import platform
import subprocess
import time
from pathlib import Path

from .files import try_lock


def visible_gpus() -> list[str]:
    """The GPUs that this process may use: those that CUDA_VISIBLE_DEVICES names, else all that the driver lists."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() and name.strip() != "-1"]
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(index) for index, _ in enumerate(line for line in listed.splitlines() if line.startswith("GPU"))]


def gpus_to_share() -> list[str]:
    """The GPUs among which processes of this machine choose; none where a scheduler gave this one its own.

    Slurm and Kubernetes show a job only its GPUs, and several jobs of a node may all see a "0".
    """
    if "SLURM_JOB_ID" in os.environ or "KUBERNETES_SERVICE_HOST" in os.environ:
        return []
    return visible_gpus()


def claim_gpu(folder: Path, gpus: list[str], slots: int = 1, wait_seconds: float = 1.0) -> str | None:
    """Take one of `gpus` until this process ends, and return its name; None if there are none.

    The emptiest GPUs are tried first: every GPU's first slot, then every second one. folder: where
    the lock files lie, the same for all processes of a machine. slots: how many processes may share
    a GPU. Waits, looking again every `wait_seconds`, while all are taken. The caller sets
    CUDA_VISIBLE_DEVICES before CUDA starts. Raises ValueError for fewer than one slot.
    """
    if slots < 1:
        raise ValueError(f"slots is {slots}; expected at least one process for each GPU")
    while gpus:
        for slot in range(slots):
            for gpu in gpus:
                if try_lock(folder / f"{platform.node()}-gpu{gpu}-slot{slot}.lock") is not None:
                    return gpu
        time.sleep(wait_seconds)
    return None
