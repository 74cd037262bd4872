"""What forgetting a class in CLIP does besides: neighbours, other words, image search, bystanders."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..data import ForgetTask
from ..inference import embed
from ..metrics import percent
from .captions import wordings
from .models import ZeroShotClip, as_classifier

ASKED = ("prompt", "trained templates", "held-out templates", "bare name", "other name")


def neighbours(model: ZeroShotClip, label: int) -> list[int]:
    """The other classes, from the one whose text is closest to that of `label` to the farthest."""
    with torch.no_grad():
        z = model.class_embeddings()
        order = (z @ z[label]).argsort(descending=True).tolist()
    return [int(other) for other in order if other != label]


def retrieval_precision(z: Tensor, labels: Tensor, label: int, count: int = 10) -> float:
    """Image search: of the `count` images most like one of class `label`, how many are of it, in percent.

    z: unit-norm embeddings (n, d) of the images that are searched, the query left out of its own
    answers. labels: theirs, (n,). count: cut to what the class has besides the query, so that 100 is in
    reach. Raises ValueError if the class has fewer than two images or there are not more than count.
    """
    queries = (labels == label).nonzero()[:, 0]
    if len(queries) < 2 or len(labels) <= count:
        raise ValueError(
            f"class {label} has {len(queries)} of {len(labels)} images; expected two or more, of more than {count}"
        )
    similar = z[queries] @ z.T
    similar[torch.arange(len(queries), device=z.device), queries] = -torch.inf
    found = labels[similar.topk(min(count, len(queries) - 1), dim=1).indices]
    return percent(found == label)


def without_bystanders(task: ForgetTask, bystanders: Sequence[int]) -> ForgetTask:
    """The same task for someone whose retained pairs hold none of the classes `bystanders`.

    All sets that measure stay. Raises ValueError if the forgotten class is among them or nothing is left.
    """
    if task.label in bystanders:
        raise ValueError(f"class {task.label} is to be forgotten; a bystander is another class")
    keep = ~torch.isin(task.retain.labels, torch.tensor(list(bystanders), device=task.retain.device))
    if not keep.any():
        raise ValueError(f"without the classes {list(bystanders)} no retained image is left")
    return replace(task, retain=task.retain.select(keep))


def class_groups(model: ZeroShotClip, label: int) -> dict[str, list[int]]:
    """Classes by how close their text is to that of `label`, for `effects`.

    neighbours: the nearest tenth of the classes, two at least. others: the rest. near bystander, far
    bystander: the nearest and the farthest class.
    """
    order = neighbours(model, label)
    count = max(2, (len(order) + 1) // 10)
    return {
        "neighbours": order[:count],
        "others": order[count:],
        "near bystander": order[:1],
        "far bystander": order[-1:],
    }


def effects(
    model: ZeroShotClip,
    task: ForgetTask,
    groups: Mapping[str, Sequence[int]],
    original: ZeroShotClip | None = None,
) -> dict[str, float]:
    """Side effects on test images, in percent.

    forgotten, WORDING and retained, WORDING: zero-shot accuracy on test images of the forgotten class and
    of the others, for each wording in `ASKED`. One accuracy, by the prompt, for each group of classes.
    retrieval, retained retrieval: `retrieval_precision` of the forgotten class, and the mean of the
    others. With the original: images moved, texts moved: accuracy on the forgotten class with this
    model's images among the original's texts, and the other way round.
    Raises ValueError if no class is to be forgotten.
    """
    if task.label is None:
        raise ValueError(f"side effects are those of forgetting a class; the task is to forget {task.kind}")
    z, labels = embed(as_classifier(model), task.test), task.test.labels
    words = wordings(task.classes)
    forgotten = labels == task.label
    found = {}
    for name in ASKED:
        hits = _hits(model.asked(words[name]), z, labels)
        found[f"forgotten, {name}"] = percent(hits[forgotten])
        found[f"retained, {name}"] = percent(hits[~forgotten])
    hits = _hits(model, z, labels)
    for name, group in groups.items():
        found[name] = percent(hits[torch.isin(labels, torch.tensor(list(group), device=labels.device))])
    found["retrieval"] = retrieval_precision(z, labels, task.label)
    rest = [retrieval_precision(z, labels, label) for label in range(len(task.classes)) if label != task.label]
    found["retained retrieval"] = sum(rest) / len(rest)
    if original is not None:
        found["images moved"] = percent(_hits(original, z, labels)[forgotten])
        old = embed(as_classifier(original), task.test)
        found["texts moved"] = percent(_hits(model, old, labels)[forgotten])
    return found


def _hits(model: ZeroShotClip, z: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return (z @ model.class_embeddings().T).argmax(dim=1) == labels
