"""The record of `make speed`: one JSON a device and profile, its schema, and what a chapter shows of it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from ..errors import DataFileError
from ..figures import LABELS, lines
from ..files import write_text
from ..markdown import table
from ..results import results_folder
from .ceiling import AIM
from .growth import AXES

# Field -> what it holds. Every number is finite; seconds are wall-clock seconds.
SCHEMA: dict[str, str] = {
    "profile": "laptop or smoke",
    "measured": "part (of rivals: each data set) -> under what it was measured: the fields of MEASURED",
    "ceiling": "list of `ceiling.ceiling`: share of the bare step's throughput, for each model",
    "rivals": "list of `rivals.against_retrain`: times faster than Retrain, with quality",
    "fisher": "`vectorised.fisher`",
    "shadows": "`vectorised.shadows`",
    "evaluation": "`vectorised.evaluation`",
    "growth": "list of `growth.along`, one an axis",
    "memory": "`growth.peak_memory`",
    "import": "`growth.import_seconds`",
    "graphs": "list of `graphs.graphs`, on a GPU alone",
}
HEAD = ("profile", "measured")
PARTS = tuple(name for name in SCHEMA if name not in HEAD)
# One part can be measured again on another day, so each has its own.
MEASURED: dict[str, str] = {
    "device": "the processor or GPU, and torch's threads",
    "precision": "float32 or bfloat16",
    "versions": "as in every record",
    "commit": "of the code",
    "repeats": "turns after a first run of everything",
    "busy": "the system's load average at the end; above the number of cores, ratios are rough",
    "cores": "logical processors of the machine",
}
GPU_PARTS = ("graphs",)


def speed_path(device: str, profile: str) -> Path:
    """Where a record lies; device: "cpu" or "cuda"."""
    return results_folder() / "speed" / f"{device}-{profile}.json"


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_finite(item) for item in value.values())
    if isinstance(value, list):
        return all(_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


def name_of_run(part: str, dataset: str) -> str:
    """A part's name under `measured`: of rivals one for each data set, which can be measured on different days."""
    return f"{part} ({dataset})" if part == "rivals" else part


def runs_of(record: Mapping[str, Any]) -> list[str]:
    """The names under which `measured` has to say how a record's parts were measured."""
    others = [part for part in record if part in PARTS and part != "rivals"]
    return [*others, *dict.fromkeys(name_of_run("rivals", one["dataset"]) for one in record.get("rivals", []))]


def check_record(record: Mapping[str, Any], name: str) -> None:
    """Raise DataFileError unless a record has known parts alone, finite numbers, and says how each was measured."""
    missing = [field for field in HEAD if field not in record]
    unknown = [field for field in record if field not in SCHEMA]
    measured = record.get("measured", {})
    missing += [f"how {run} was measured" for run in runs_of(record) if set(measured.get(run, ())) != set(MEASURED)]
    if missing or unknown or not _finite(dict(record)):
        raise DataFileError(
            f"{name} is not a record of make speed (missing: {', '.join(missing) or 'nothing'}; unknown: "
            f"{', '.join(unknown) or 'nothing'}; numbers have to be finite); remove it and run make speed"
        )


def conditions(record: Mapping[str, Any]) -> str:
    """Markdown: on what, with which code and how busy a machine the parts were measured, parts alike together."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for part, how in record["measured"].items():
        same = (how["device"], how["precision"], how["versions"]["torch"], how["commit"], str(how["repeats"]))
        alike.setdefault(same, []).append(part)
    told = []
    for (device, precision, torch, commit, repeats), parts in alike.items():
        which = "" if len(alike) == 1 else f" ({', '.join(parts)})"
        busy = [record["measured"][part]["busy"] for part in parts]
        load = f"{min(busy):.1f}" if len(parts) == 1 else f"{min(busy):.1f} to {max(busy):.1f}"
        told.append(
            f"**{device}, {precision}**{which}, torch {torch}, commit {commit}. What is compared ran in turns, "
            f"{repeats} times after a first run; ratios are medians. On average {load} processes wanted one of "
            f"{record['measured'][parts[0]]['cores']} cores."
        )
    return "\n\n".join(told)


def write_speed(path: Path, record: Mapping[str, Any]) -> None:
    """Check a record and write it, aside and renamed. Raises DataFileError or StorageError."""
    check_record(record, path.name)
    write_text(path, json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_speed(device: str = "cpu", profile: str = "laptop") -> dict[str, Any]:
    """A recorded run of `make speed`. Raises DataFileError if there is none or it is damaged."""
    path = speed_path(device, profile)
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataFileError(f"{path} is not a record of make speed ({error}); run make speed") from error
    check_record(record, path.name)
    return record


def _aim(value: float, aim: float, most: bool = False) -> str:
    return "yes" if (value <= aim if most else value >= aim) else "no"


def _shares(one: Mapping[str, Any], method: str) -> list[float]:
    """A method's share of the bare step's throughput in each turn, between 0 and about 1."""
    seconds = one["seconds"]
    bare = seconds["bare with a teacher" if method == "scrub" else "bare"]
    return [below / own for below, own in zip(bare, seconds[method], strict=True)]


def reached(turns: Sequence[float], aim: float) -> str:
    """ "yes" or "no" where every turn says so, else "open": the turns lie on both sides of the aim."""
    above = [turn >= aim for turn in turns]
    return "yes" if all(above) else "open" if any(above) else "no"


def ceiling_table(record: Mapping[str, Any]) -> str:
    """Markdown: each method's share of the bare step's throughput with its range, the aim, and a stop check's cost."""
    rows = []
    for one in record.get("ceiling", []):
        for method, share in one["share"].items():
            shares, aim = _shares(one, method), AIM[method]
            rows.append(
                (
                    f"{one['model']}, width {one['width']}",
                    LABELS.get(method, method.capitalize()),
                    f"{100 * share:.0f} %",
                    f"{100 * min(shares):.0f} to {100 * max(shares):.0f}",
                    f"{100 * aim:.0f} %",
                    reached(shares, aim),
                    f"{one['check_steps']:.1f} steps" if method == "contrastive" else "–",
                )
            )
    head = ("model", "what", "of the bare step", "in single turns", "aim", "reached", "one stop check")
    return table(head, rows)


def parts_table(record: Mapping[str, Any]) -> str:
    """Markdown: what is done at once, evaluation, memory and import, each beside its aim."""
    rows = []
    if "fisher" in record:
        one, bare = record["fisher"], record["fisher"].get("bare_times_faster")
        told = f"{one['times_faster']:.1f} times faster" + (f" (bare backward passes: {bare:.1f})" if bare else "")
        turns = [loop / own for loop, own in zip(one["seconds"]["loop"], one["seconds"]["vectorised"], strict=True)]
        rows.append(("Fisher information, against a loop", told, "5 times", reached(turns, 5)))
    if "shadows" in record:
        one = record["shadows"]
        rows.append((f"{one['models']} shadow models at once", f"{one['times_faster']:.2f} times faster", "–", "–"))
    if "evaluation" in record:
        share = record["evaluation"]["share"]
        rows.append(("evaluation, of the bare forward", f"{100 * share:.0f} %", "95 %", _aim(share, 0.95)))
    if "memory" in record:
        most = max(record["memory"]["ratio"])
        rows.append(("peak memory, of a training step's", f"{most:.2f}", "at most 1.3", _aim(most, 1.3, most=True)))
    if "import" in record:
        found = record["import"]["median"]
        rows.append(("import beyond torch's", f"{found:.2f} s", "at most 0.3 s", _aim(found, 0.3, most=True)))
    for one in record.get("graphs", []):
        for way, times in one["times_faster"].items():
            words = {"graph": "from a CUDA graph", "compiled": "compiled by torch"}[way]
            step = f"a training step of {one['model']}, width {one['width']}, batch {one['batch']}, {words}"
            rows.append((step, f"{times:.1f} times faster", "–", "–"))
    for one in record.get("growth", []):
        told = f"size to the power {one['slope']:z.2f}"
        rows.append((f"time against {AXES[one['axis']]}", told, f"{one['expected_slope']}", "–"))
    return table(("what", "measured", "aim", "reached"), rows)


def growth_figure(record: Mapping[str, Any], axis: str) -> go.Figure:
    """Seconds of one round against a size, with the expected slope through the first point, on log axes.

    axis: one of `growth.AXES`. Raises DataFileError if the record has no such axis.
    """
    found = [one for one in record.get("growth", []) if one["axis"] == axis]
    if not found:
        raise DataFileError(f"the record of make speed has no growth along {axis!r}; run make speed --parts growth")
    (one,) = found
    first = one["seconds"][0]
    expected = [first * (value / one["values"][0]) ** one["expected_slope"] for value in one["values"]]
    figure = lines(
        {"contrastive": (one["values"], one["seconds"]), "expected slope": (one["values"], expected)},
        AXES[axis],
        "seconds of a round",
    )
    figure.update_xaxes(type="log")
    figure.update_yaxes(type="log")
    return figure
