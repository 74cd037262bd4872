"""Whether labels fit the rows and the classes that they are for."""

import torch
from torch import Tensor


def check_labels(labels: Tensor, rows: int, classes: int | None = None, name: str = "labels") -> None:
    """Raise ValueError unless there is one label for each of `rows` rows.

    labels: (rows,). classes: where labels count or index classes, how many there are; then they must be int64, from 0
    to classes - 1. name: what the message calls them.
    """
    wanted = "a whole number (torch.int64)" if classes is not None else "one label"
    if labels.shape != (rows,) or (classes is not None and labels.dtype != torch.int64):
        raise ValueError(
            f"{name} are {labels.dtype} of shape {tuple(labels.shape)}; expected {wanted}, one for each of {rows} rows"
        )
    if classes is not None and rows and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"{name} go from {int(labels.min())} to {int(labels.max())}; "
            f"expected whole numbers from 0 to {classes - 1}, one for each class"
        )
