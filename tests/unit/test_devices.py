"""The choice of device and precision, and generators apart from torch's global one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CPU

from cu_helpers import devices


@pytest.fixture
def cpuinfo(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What /proc/cpuinfo says; absent means that there is no such file."""
    says: dict[str, str] = {}

    def read_text(self: Path, **_: object) -> str:
        if "flags" not in says:
            raise FileNotFoundError(str(self))
        return says["flags"]

    devices._cpu_has_bfloat16.cache_clear()
    monkeypatch.setattr(Path, "read_text", read_text)
    yield says
    devices._cpu_has_bfloat16.cache_clear()


@pytest.mark.parametrize(("gpu", "expected"), [(False, "cpu"), (True, "cuda")])
def test_no_device_named_means_the_gpu_if_there_is_one(
    gpu: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert devices.pick_device() == torch.device(expected)


def test_a_named_device_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.pick_device("cpu") == CPU
    assert devices.pick_device(CPU) == CPU
    assert devices.pick_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"device '{name}' was asked for but torch sees no GPU; use device='cpu'"):
        devices.pick_device(name)


def test_a_gpu_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="device 'cuda:2' was asked for but torch sees 2 GPUs, numbered from 0"):
        devices.pick_device("cuda:2")


@pytest.mark.parametrize("device", ["gpu", 1.5])
def test_an_unknown_device_is_refused_in_one_sentence(device: Any) -> None:
    with pytest.raises(ValueError, match=rf"^unknown device {device!r}; expected 'cpu', 'cuda' or 'cuda:N'$"):
        devices.pick_device(device)


@pytest.mark.parametrize("device", ["mps", "meta"])
def test_a_device_that_the_package_cannot_use_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match=f"device '{device}' is not supported; expected 'cpu', 'cuda' or 'cuda:N'"):
        devices.pick_device(device)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("vendor_id : AuthenticAMD\nflags : avx2 avx512_bf16", "bfloat16"),
        ("vendor_id : GenuineIntel\nflags : avx2 avx512_bf16", "float32"),
        ("vendor_id : GenuineIntel\nflags : avx2 avx512_bf16 amx_bf16 amx_tile", "bfloat16"),
        ("flags : avx2 avx512f", "float32"),
        (None, "float32"),
    ],
)
def test_auto_takes_bfloat16_only_where_the_processor_gains_by_it(
    flags: str | None, expected: str, cpuinfo: dict[str, str]
) -> None:
    if flags is not None:
        cpuinfo["flags"] = flags
    assert devices.resolve_precision("auto", CPU) == expected


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_asks_a_gpu_for_native_support(native: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older GPU emulates bfloat16 slowly, and torch says yes to that unless it is asked not to."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert devices.resolve_precision("auto", torch.device("cuda")) == expected


def test_other_devices_stay_in_float32() -> None:
    assert devices.resolve_precision("auto", torch.device("mps")) == "float32"


def test_a_named_precision_passes_and_an_unknown_one_does_not() -> None:
    assert devices.resolve_precision("float32", CPU) == "float32"
    assert devices.resolve_precision("bfloat16", CPU) == "bfloat16"
    with pytest.raises(ValueError, match="unknown precision 'half'; expected one of: auto, bfloat16, float32"):
        devices.resolve_precision("half", CPU)
    with pytest.raises(ValueError, match="unknown precision 'half'"):
        devices.autocast(CPU, "half")


@pytest.mark.parametrize(("precision", "expected"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_autocast_multiplies_in_the_named_precision(precision: str, expected: torch.dtype) -> None:
    with devices.autocast(CPU, precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_generator_repeats_and_stands_apart() -> None:
    state = torch.get_rng_state()
    one, other = (torch.rand(5, generator=devices.generator(3, CPU)) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, torch.rand(5, generator=devices.generator(4, CPU)))
    assert torch.equal(torch.get_rng_state(), state)
