"""A record with plain values, for tests of what is made from records."""

import json
from pathlib import Path
from typing import Any


def plain_run(**fields: Any) -> dict[str, Any]:
    """A run that fits the schema, with the given fields and plain values elsewhere."""
    return {
        "table": "Table 1",
        "profile": "laptop",
        "dataset": "cifar10",
        "model": "resnet18",
        "method": "contrastive",
        "task": "class5",
        "seed": 0,
        "settings": {"config": {"width": 16}, "train_images": 20_000},
        "metrics": {"forget": 0.0},
        "seconds": 10.0,
        "steps": 100,
        "samples_seen": 1000,
        "stopped_by": "rounds",
        "peak_memory_mib": 100.0,
        "device": "a processor, 1 threads",
        "versions": {"python": "3.11", "torch": "2", "torchvision": "0.2", "cu_helpers": "0"},
        "commit": "0123456789ab",
        **fields,
    }


def write_run(folder: Path, **fields: Any) -> Path:
    """Write `plain_run(**fields)` where it belongs under `folder` and return where."""
    run = plain_run(**fields)
    parts = [run["dataset"], run["model"], run["task"], run["method"], run.get("variant"), f"seed{run['seed']}"]
    name = "-".join(str(part).replace(" ", "_") for part in parts if part)
    path = folder / str(run["profile"]) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run), encoding="utf-8")
    return path
