"""A queue of retained embeddings and the slow copy of the encoder that makes them (He et al. 2020)."""

import copy

import torch
from torch import Tensor

from ..models import EmbeddingClassifier


class KeyQueue:
    """First in, first out: the newest `size` keys with their labels, on one device.

    A key is a retained image's embedding, kept as a float32 copy without a gradient. The queue is a
    ring: what enters a full one takes the places of the oldest, and nothing else is moved.
    """

    def __init__(self, size: int, dim: int, device: torch.device | str) -> None:
        """size: how many keys it holds; dim: their length. Raises ValueError if either is below 1."""
        if size < 1 or dim < 1:
            raise ValueError(f"a queue of {size} keys of length {dim} was asked for; expected at least 1 of both")
        self.size = size
        self._z = torch.zeros(size, dim, device=device)
        self._y = torch.zeros(size, dtype=torch.int64, device=device)
        self._oldest = self._count = 0

    def __len__(self) -> int:
        """How many keys are in it now."""
        return self._count

    def _places(self, first: int, count: int) -> Tensor:
        """Where the keys number `first` to `first + count`, counted from the oldest, lie in the ring."""
        return (torch.arange(first, first + count, device=self._z.device) + self._oldest) % self.size

    def dequeue(self, count: int) -> None:
        """Drop the `count` oldest keys. Raises ValueError if there are fewer."""
        if not 0 <= count <= len(self):
            raise ValueError(f"{count} keys were to leave a queue that holds {len(self)}; expected 0 to {len(self)}")
        self._oldest = (self._oldest + count) % self.size
        self._count -= count

    def enqueue(self, z: Tensor, y: Tensor) -> None:
        """Put keys z (n, dim) with labels y (n,) in, the last one newest; a full queue drops its oldest.

        Raises ValueError for shapes that do not fit, or for more keys than the queue has places.
        """
        dim = self._z.shape[1]
        if z.ndim != 2 or z.shape[1] != dim or not z.is_floating_point():
            raise ValueError(f"keys are {z.dtype} of shape {tuple(z.shape)}; expected floats of shape (n, {dim})")
        if y.shape != z.shape[:1] or y.is_floating_point():
            raise ValueError(
                f"labels are {y.dtype} of shape {tuple(y.shape)}; "
                f"expected whole numbers of shape ({len(z)},), one for each key"
            )
        if len(z) > self.size:
            raise ValueError(
                f"{len(z)} keys were to enter a queue of {self.size}; take smaller batches or a longer queue"
            )
        self.dequeue(max(0, len(self) + len(z) - self.size))
        places = self._places(len(self), len(z))
        self._z[places] = z.detach().to(self._z.dtype)
        self._y[places] = y
        self._count += len(z)

    def contents(self) -> tuple[Tensor, Tensor]:
        """Keys (n, dim) and labels (n,), the oldest first: copies, which later keys do not change."""
        places = self._places(0, len(self))
        return self._z[places], self._y[places]


def key_encoder(model: EmbeddingClassifier) -> EmbeddingClassifier:
    """A copy of `model` that makes keys: no gradient, and eval mode for good.

    In eval mode BatchNorm uses its running statistics, so that a key depends on its image alone,
    however small the batch; `momentum_update` moves these statistics along with the weights.
    """
    return copy.deepcopy(model).eval().requires_grad_(False)


@torch.no_grad()
def momentum_update(key: EmbeddingClassifier, query: EmbeddingClassifier, momentum: float) -> None:
    """One step of the moving average, in place: key <- m * key + (1 - m) * query (He et al. 2020, Eq. 2).

    BatchNorm's running means and variances are averaged as the weights are; its count of batches,
    a whole number, is copied. momentum: m, from 0 (a copy of the query) to 1 (never moves).
    """
    theirs = query.state_dict()
    for name, mine in key.state_dict().items():
        if mine.is_floating_point():
            mine.lerp_(theirs[name], 1 - momentum)
        else:
            mine.copy_(theirs[name])
