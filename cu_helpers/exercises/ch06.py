"""Chapter 06: the gradient of Eq. 11, queue lengths, momentum, a test for the flipped sign."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..losses import queue_unlearning_loss
from .compare import contrastive_case, match, need
from .core import Candidate, exercise

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def closed_form(z: Tensor, y: Tensor, keys: Tensor, labels: Tensor, tau: float) -> Tensor:
    """Gradient (anchors, dim) of the sum over anchors of Eq. 11."""
    leaf = z.clone().requires_grad_()
    return torch.autograd.grad(queue_unlearning_loss(leaf, y, keys, labels, tau, "sum"), leaf)[0]


@exercise("06-1", closed_form)
def check_closed_form(f: Candidate, seed: int) -> None:
    """A random case."""
    z, y, keys, labels = case = contrastive_case(seed)
    tau = 0.3
    right = closed_form(*case, tau)
    same = y[:, None] == labels[None, :]
    plain = [chosen.double() @ keys / chosen.sum(dim=1, keepdim=True) for chosen in (same, ~same)]
    s = (z @ keys.T / tau).softmax(dim=1)
    unmasked = ((s * same) @ keys - (s * ~same) @ keys) / tau
    match(
        f(*case, tau),
        right,
        {
            "The sign is turned: the loss falls towards other classes, so the gradient points to the own one.": -right,
            "The factor 1 / tau is missing.": right * tau,
            "Divide by nothing: the sum over anchors was asked for.": right / len(z),
            "You take plain means of the keys; the derivative of a log-sum-exp weighs them by a soft-max.": (
                plain[0] - plain[1]
            )
            / tau,
            "One soft-max runs over all keys: mask first, then a soft-max on each side.": unmasked,
        },
    )


def places_needed(classes: int, percent: float) -> int:
    """The fewest keys with which at most `percent` of the anchors find none of their class."""
    return math.ceil(math.log(percent / 100) / math.log(1 - 1 / classes))


@exercise("06-2", places_needed)
def check_places_needed(f: Candidate, seed: int) -> None:
    """Numbers of classes, one of them drawn."""
    for classes, percent in ((10, 1.0), (100, 1.0), (4 + seed % 13, 5.0)):
        exact = math.log(percent / 100) / math.log(1 - 1 / classes)
        match(
            f(classes, percent),
            math.ceil(exact),
            {
                "You round down: the queue is then just too short.": math.floor(exact),
                "You did not round: a queue has a whole number of places.": exact,
                "`percent` is in percent: divide it by 100.": math.ceil(math.log(percent) / math.log(1 - 1 / classes)),
                "A key misses the class with probability 1 - 1/C, not 1/C.": math.ceil(
                    math.log(percent / 100) / math.log(1 / classes)
                ),
            },
            tolerance=1e-9,
            what=f"places_needed({classes}, {percent:g})",
        )


def momentum_for(steps: int, left: float) -> float:
    """The momentum with which the share `left` of the original remains after `steps`."""
    return float(left ** (1 / steps))


@exercise("06-3", momentum_for)
def check_momentum_for(f: Candidate, seed: int) -> None:
    """The text's value and others."""
    for steps, left in ((40, 0.5), (10, 0.2), (100 + seed % 50, 0.9)):
        match(
            f(steps, left),
            left ** (1 / steps),
            {
                "You spread the loss evenly over the steps; each step keeps a *factor* m.": 1 - (1 - left) / steps,
                "This is the share that is replaced in a step; m is what is kept.": 1 - left ** (1 / steps),
                "You raise to the power of the steps; invert it: the power is 1 / steps.": left**steps,
                "You divide the share by the steps; m is multiplied with itself `steps` times.": left / steps,
            },
            what=f"momentum_for({steps}, {left})",
        )


def unlearns(loss: Loss) -> bool:
    """Whether a step down `loss` moves an anchor from its own class to another."""
    keys, labels = torch.eye(2), torch.tensor([0, 1])
    z = F.normalize(torch.tensor([[1.0, 1.0]]), dim=1).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(z, torch.tensor([0]), keys, labels), z)
    change = (F.normalize(z - 0.01 * gradient, dim=1) - z)[0]
    return bool(change[0] < 0 < change[1])


def _from_own(z: Tensor, y: Tensor, keys: Tensor, labels: Tensor) -> Tensor:
    return (z @ keys.T * (y[:, None] == labels[None, :])).sum()


def _to_others(z: Tensor, y: Tensor, keys: Tensor, labels: Tensor) -> Tensor:
    return -(z @ keys.T * (y[:, None] != labels[None, :])).sum()


@exercise("06-4", unlearns)
def check_unlearns(f: Candidate, seed: int) -> None:
    """Losses that unlearn, and losses that do the contrary."""
    good: tuple[Loss, ...] = (queue_unlearning_loss, lambda *a: _from_own(*a) + _to_others(*a))
    need(f(good[0]) is not None, "Your function returns None: a `return` is missing.")
    for loss in good:
        need(
            f(loss),
            "Eq. 11 fails your test. A step goes *down* the gradient: subtract it; then the similarity with the own "
            "class falls and the other rises. Bring the anchor back to unit length, and start between the two keys.",
        )
    need(
        not f(lambda *a: -queue_unlearning_loss(*a)),
        "A loss with the sign turned passes your test: check the direction of the change, not only that there is one.",
    )
    need(
        not f(lambda *a: (a[0] - a[2][:1] * 2).square().sum()),
        "A loss that pulls an anchor to its own class passes your test: look at the similarity with the own class.",
    )
