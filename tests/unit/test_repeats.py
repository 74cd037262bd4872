"""Runs that were made twice, from made-up records whose changes are known."""

from pathlib import Path
from typing import Any

import pytest
from records import write_run

from cu_helpers import repeats


def put(folder: Path, variant: str, seed: int, forget: float, release: str, **fields: Any) -> None:
    versions = {"python": "3.11", "torch": release, "torchvision": "0", "cu_helpers": "0"}
    common = {"dataset": "digits", "variant": variant, "seed": seed, "versions": versions}
    write_run(folder, **common | {"metrics": {"forget": forget, "test": 80.0}} | fields)


def test_only_the_same_settings_with_another_release_are_a_repeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    with pytest.raises(ValueError, match="no run was made twice"):
        repeats.repeat_table(repeats.made_twice("laptop", "digits"))
    for seed, (before, after) in enumerate(((10.0, 12.0), (20.0, 26.0), (30.0, 30.0))):
        put(tmp_path, "timed", seed, before, "2.15.0+cpu")
        put(tmp_path, "tuned", seed, after, "2.14.1+cpu")
    put(tmp_path, "timed", 3, 0.0, "2.14.1+cpu")
    put(tmp_path, "tuned", 3, 90.0, "2.14.1+cpu")
    put(tmp_path, "timed", 4, 0.0, "2.15.0+cpu")
    put(tmp_path, "tuned", 4, 90.0, "2.14.1+cpu", settings={"config": {"width": 4}, "train_images": 20_000})
    put(tmp_path, "timed", 5, 0.0, "2.15.0+cpu")
    put(tmp_path, "timed", 6, 7.0, "2.15.0+cpu")
    put(tmp_path, "tuned", 6, 7.0, "2.15.0+cpu")
    put(tmp_path, "timed", 7, 7.0, "2.15.0+cpu", device="another")
    put(tmp_path, "tuned", 7, 7.0, "2.15.0+cpu")
    found = repeats.made_twice("laptop", "digits")
    assert [(a["seed"], b["seed"]) for a, b in found] == [(0, 0), (1, 1), (2, 2)]
    again = repeats.made_twice("laptop", "digits", same=True)
    assert [a["seed"] for a, _ in again] == [3, 6]
    assert [a["seed"] for a, _ in repeats.to_the_digit(again)] == [6]
    assert repeats.releases(found) == "2.14.1, 2.15.0"
    table = repeats.repeat_table(found)
    # Changes 2, 6 and 0; between the later runs 14, 18 and 4.
    assert "| class5 | forgotten train (%) | 3 | 2.7 | 6.0 (Contrastive, seed 1) | 12.0 |" in table
    assert "| class5 | test (%) | 3 | 0.0 |" in table
