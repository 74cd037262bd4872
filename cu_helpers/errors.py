"""The package's own exceptions and checks: each message is one sentence that says what to do."""

import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from numbers import Integral, Real


class DataFileError(OSError):
    """A data file is missing, truncated, corrupt, or could not be fetched."""


class CheckpointError(OSError):
    """A checkpoint is unreadable or belongs to another architecture."""


class StorageError(OSError):
    """A file cannot be written: no space is left, the folder is read-only, or something else stands there."""


class DeviceMemoryError(RuntimeError):
    """The GPU's memory does not hold the smallest batch."""


class NonFiniteError(RuntimeError):
    """A loss or a weight became NaN or infinite.

    model: the model with its last good weights, if there is one.
    """

    def __init__(self, message: str, model: object = None) -> None:
        super().__init__(message)
        self.model = model


# What a command tells in one sentence: the user can do something about it.
REPORTED = (DataFileError, CheckpointError, StorageError, DeviceMemoryError)


def reported(command: str, work: Callable[[], int]) -> int:
    """The exit status of a command's `work`; one of `REPORTED` becomes a sentence on stderr, and status 2."""
    try:
        return work()
    except REPORTED as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 2


def choose(kind: str, name: str, known: "tuple[str, ...] | list[str]") -> str:
    """Return `name` if it is one of `known`; else raise a ValueError that lists what exists.

    kind: what is being named, for the message ("data set", "model", ...).
    """
    if name not in known:
        raise ValueError(f"unknown {kind} {name!r}; expected one of: {', '.join(sorted(known))}")
    return name


def check_confidence(confidence: float) -> None:
    """Raise ValueError unless an interval's confidence lies in (0, 1)."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}; expected a share between 0 and 1, such as 0.95")


def check_settings(settings: object, positive: Iterable[str] = (), not_negative: Iterable[str] = ()) -> None:
    """Raise ValueError for the first named field that is not a finite number above zero (or at least zero).

    settings: a dataclass. A field that is None is left alone: its class says what None means. A field that is declared
    int must hold a whole number: a batch of 2.5 images would end in an error deep inside a loop.
    """
    whole = {field.name for field in fields(settings) if field.type in (int, int | None)}  # type: ignore[arg-type]
    for names, least, wanted in (
        (positive, math.ulp(0.0), "a finite number above 0"),
        (not_negative, 0.0, "0 or more"),
    ):
        for name in names:
            value = getattr(settings, name)
            if value is None:
                continue
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and value >= least):
                raise ValueError(f"{type(settings).__name__}: {name} is {value!r}; expected {wanted}")
            if name in whole and not isinstance(value, Integral):
                raise ValueError(f"{type(settings).__name__}: {name} is {value!r}; expected a whole number")
