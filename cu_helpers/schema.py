"""The schema of a recorded run: which fields it must have, which it may have, and what each may hold."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from .data import DATASETS
from .errors import DataFileError
from .profiles import PROFILES
from .unlearning import METHODS

Check = Callable[[Any], bool]
SETTINGS = ("config", "training", "train_images")  # beside the method's own, under the method's name
STOPS = ("rule", "rounds", "seconds", "finished", "rewind")


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # JSON's whole numbers have no end, floats have
        return False


def _amount(value: Any) -> bool:
    return _number(value) and value >= 0


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(_number(item) for item in value.values())


def _tree(value: Any) -> bool:
    return isinstance(value, dict) and bool(value)


def _rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) and row for row in value)


def _settings(value: Any) -> bool:
    return _tree(value) and all(name in SETTINGS or name in METHODS for name in value)


def _versions(value: Any) -> bool:
    names = {"python", "torch", "torchvision", "cu_helpers"}
    return isinstance(value, dict) and set(value) == names and all(_text(item) for item in value.values())


def _one_of(*known: str) -> Check:
    return lambda value: isinstance(value, str) and value in known


def _like(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


# Field -> what it holds, in words, and the check of that.
REQUIRED: dict[str, tuple[str, Check]] = {
    "table": ("the paper's table or figure, such as 'Table 1'", _like(r"(Table \d+|Figs?\. \d+( and \d+)?)")),
    "profile": (f"one of {', '.join(PROFILES)}", _one_of(*PROFILES)),
    "dataset": (f"one of {', '.join(DATASETS)}", _one_of(*DATASETS)),
    "model": ("a model's name", _like(r"[\w-]+")),
    "method": ("a method's name, or original", _one_of("original", *METHODS)),
    "task": ("classN or samplesN", _like(r"(class|samples)\d+")),
    "seed": ("a whole number, 0 or more", _count),
    "settings": (f"{', '.join(SETTINGS)} and a method's settings under its name", _settings),
    "metrics": ("finite numbers by name", _numbers),
    "seconds": ("a finite number, 0 or more", _amount),
    "steps": ("a whole number, 0 or more", _count),
    "samples_seen": ("a whole number, 0 or more", _count),
    "stopped_by": (f"one of {', '.join(STOPS)}", _one_of(*STOPS)),
    "peak_memory_mib": ("a finite number, 0 or more", _amount),
    "device": ("the device in words", _text),
    "versions": ("the versions of python, torch, torchvision and cu_helpers", _versions),
    "commit": ("a git commit", _text),
}
OPTIONAL: dict[str, tuple[str, Check]] = {
    "variant": ("a name or null", lambda value: value is None or _text(value)),
    "check_seconds": ("a finite number, 0 or more", _amount),
    "forget_share": ("a number from 0 to 1", lambda value: _amount(value) and value <= 1),
    "history": ("a list of rows", _rows),
    "curve": ("a list of rows", _rows),
    "shared": ("a whole number, 1 or more", lambda value: _count(value) and value > 0),
    "retrain_step_seconds": (
        "a finite number above 0, or null",
        lambda value: value is None or (_amount(value) and value > 0),
    ),
    "retrain_metrics": ("finite numbers by name", _numbers),
    "attack": ("an attack's report", _tree),
    "audit": ("an audit's report", _tree),
}


def fault(run: Any) -> str | None:
    """What is wrong with a run, as the end of a sentence about it; None for a run that fits.

    Missing fields are named first, then unknown ones, then the first field with a value that it
    may not have.
    """
    if not isinstance(run, Mapping):
        return f"is {type(run).__name__}; expected the fields of a run"
    missing = [name for name in REQUIRED if name not in run]
    if missing:
        return f"lacks the fields {', '.join(missing)}"
    unknown = sorted(str(name) for name in run if name not in REQUIRED and name not in OPTIONAL)
    if unknown:
        return f"has the unknown fields {', '.join(unknown)}"
    for name, (wanted, fits) in (REQUIRED | OPTIONAL).items():
        if name in run and not fits(run[name]):
            shown = repr(run[name])
            return f"has {name} {shown if len(shown) <= 60 else shown[:57] + '...'}; expected {wanted}"
    return None


def check_run(run: Any, where: str) -> None:
    """Raise DataFileError, one sentence that names `where`, for a run that does not fit the schema."""
    wrong = fault(run)
    if wrong:
        raise DataFileError(f"{where} {wrong}; remove it and run it again")
