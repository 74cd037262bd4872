"""The package's own exceptions: each carries one sentence that says what to do."""


class DataFileError(OSError):
    """A data file is missing, truncated, corrupt, or could not be fetched."""


class CheckpointError(OSError):
    """A checkpoint is unreadable or belongs to another architecture."""


class NonFiniteError(RuntimeError):
    """A loss or a model output became NaN or infinite."""


def choose(kind: str, name: str, known: "tuple[str, ...] | list[str]") -> str:
    """Return `name` if it is one of `known`; else raise a ValueError that lists what exists.

    kind: what is being named, for the message ("data set", "model", ...).
    """
    if name not in known:
        raise ValueError(f"unknown {kind} {name!r}; expected one of: {', '.join(sorted(known))}")
    return name
