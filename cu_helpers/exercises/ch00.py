"""Chapter 00: counting what a model answers, and comparing weights."""

import torch
from torch import Tensor

from .compare import choose, generator, match, need
from .core import Candidate, exercise


def share_right(answers: Tensor, labels: Tensor, label: int) -> float:
    """Percent of the images of one class that are answered right."""
    return 100 * (answers[labels == label] == label).double().mean().item()


@exercise("00-1", share_right)
def check_share_right(f: Candidate, seed: int) -> None:
    """Random answers of four classes, two of three right."""
    draw = generator(seed)
    labels = torch.arange(60) % 4
    right = torch.rand(60, generator=draw) < 0.66
    answers = torch.where(right, labels, (labels + 1) % 4)
    for label in (0, 2):
        hits = (answers == labels) & (labels == label)
        share = hits[labels == label].double().mean()
        match(
            f(answers, labels, label),
            100 * share,
            {
                "You return a share; percent was asked for.": share,
                "You divide by the number of all images; divide by those of the class.": 100 * hits.double().mean(),
                "You count the images of all classes; look at those of `label` alone.": 100
                * (answers == labels).double().mean(),
                "You divide by the number of images that were answered with the class; that is precision. "
                "Divide by those that belong to it.": 100 * hits.sum() / (answers == label).sum().clamp(min=1),
            },
        )


def destinations(answers: Tensor, classes: int) -> Tensor:
    """How many images get each class (classes,)."""
    return torch.bincount(answers, minlength=classes)


@exercise("00-2", destinations)
def check_destinations(f: Candidate, seed: int) -> None:
    """Random answers among ten classes, of which the last ones are never given."""
    answers = torch.randint(6, (50,), generator=generator(seed))
    got = f(answers, 10)
    need(got is not None, "Your function returns None: a `return` is missing.")
    need(
        len(got) == 10,
        f"You return {len(got)} counts for 10 classes: classes that nobody answers count too, as 0 (`minlength`).",
    )
    counts = torch.tensor([int((answers == label).sum()) for label in range(10)])
    match(got, counts, {"You return shares; counts were asked for.": counts / 50})


def same_weights(before: dict[str, Tensor], after: dict[str, Tensor]) -> bool:
    """Whether two state dictionaries hold the same names and exactly the same values."""
    return before.keys() == after.keys() and all(torch.equal(value, after[name]) for name, value in before.items())


@exercise("00-3", same_weights)
def check_same_weights(f: Candidate, seed: int) -> None:
    """Two weights and a buffer, one of them changed at a time."""
    draw = generator(seed)
    before = {name: torch.randn(3, generator=draw) for name in ("first.weight", "last.weight", "norm.running_mean")}
    copy = {name: value.clone() for name, value in before.items()}
    need(f(before, copy) is not None, "Your function returns None: a `return` is missing.")
    need(f(before, copy), "You call two equal states different: compare values, not the tensor objects.")
    for name in before:
        other = copy | {name: copy[name] + 1}
        what = "A buffer such as `running_mean`" if "running" in name else f"`{name}`"
        need(not f(before, other), f"{what} was changed and you did not notice: compare every entry.")
    tiny = copy | {"last.weight": copy["last.weight"] * (1 + 1e-6)}
    need(not f(before, tiny), "A change of one part in a million passed: use `torch.equal`, not `allclose`.")
    need(not f(before, copy | {"new": torch.ones(1)}), "An entry was added and you did not notice: compare the names.")


@exercise("00-4", lambda: "b")
def check_prediction(f: Candidate, seed: int) -> None:
    """Retrain's accuracy on forgotten samples."""
    choose(
        f(),
        "b",
        {
            "a": "Zero is for a whole class, which Retrain can't name. It has other images of a sample's class.",
            "c": "It never saw these images, so it can't know them better than it knows any unseen image.",
        },
    )
