"""Chapter 04: Eq. 6 from two means, a denominator that damps, batch sizes, the temperature."""

import math

import torch
from torch import Tensor

from ..losses import class_unlearning_loss
from .compare import choose, generator, match, need, unit_rows
from .core import Candidate, exercise


def _case(seed: int) -> tuple[Tensor, Tensor]:
    draw = generator(seed)
    return unit_rows(7, 6, draw), unit_rows(30, 6, draw)


def loss_of_means(forget_z: Tensor, retain_z: Tensor, tau: float) -> Tensor:
    """The mean form of Eq. 6."""
    return class_unlearning_loss(forget_z, retain_z, tau)


@exercise("04-1", loss_of_means)
def check_loss_of_means(f: Candidate, seed: int) -> None:
    """A random case."""
    z_u, z_r = _case(seed)
    tau = 0.4
    pull = (z_u.mean(dim=0) @ z_r.mean(dim=0)) / tau
    log = math.log(len(z_r))
    match(
        f(z_u, z_r, tau),
        log - pull,
        {
            "The constant log R is missing.": -pull,
            "The temperature is missing.": log - pull * tau,
            "The sign of the pull is turned: similar means make the loss small.": log + pull,
            "You add the anchors instead of taking their mean.": log - pull * len(z_u),
            "The constant is the log of the number of retained embeddings, not of anchors.": math.log(len(z_u)) - pull,
        },
        tolerance=1e-9,
    )


def damped(forget_z: Tensor, retain_z: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """Loss and anchors' gradient of Eq. 6 with a log-sum-exp in the place of log R."""
    s = forget_z @ retain_z.T / tau
    gradient = (s.softmax(dim=1) @ retain_z - retain_z.mean(dim=0)) / tau / len(forget_z)
    return (s.logsumexp(dim=1) - s.mean(dim=1)).mean(), gradient


@exercise("04-2", damped)
def check_damped(f: Candidate, seed: int) -> None:
    """A random case: the loss first, then its gradient."""
    z_u, z_r = _case(seed)
    tau = 0.4
    loss, gradient = damped(z_u, z_r, tau)
    got = f(z_u, z_r, tau)
    need(isinstance(got, tuple) and len(got) == 2, "Return two things: the loss and its gradient.")
    match(
        got[0],
        loss,
        {
            "This is Eq. 6 itself: the sum of exponentials has to replace |N|.": class_unlearning_loss(z_u, z_r, tau),
            "You return the sum over anchors; the mean was asked for.": loss * len(z_u),
            "The sign is turned.": -loss,
        },
        what="Your loss",
    )
    match(
        got[1],
        gradient,
        {
            "The sign of the gradient is turned: weighted mean minus plain mean.": -gradient,
            "Divide the gradient by the number of anchors, as the mean does.": gradient * len(z_u),
            "The gradient lacks the factor 1 / tau.": gradient * tau,
            "You left the plain mean out of the gradient: it comes from the pull.": (z_u @ z_r.T / tau).softmax(dim=1)
            @ z_r
            / tau
            / len(z_u),
        },
        what="Your gradient",
    )


def batch_for(length: float, cosine: float) -> int:
    """The smallest R whose mean points within `cosine` of the retained mean."""
    return math.ceil(_exact(length, cosine))


def _exact(length: float, cosine: float) -> float:
    return cosine**2 * (1 - length**2) / (length**2 * (1 - cosine**2))


@exercise("04-3", batch_for)
def check_batch_for(f: Candidate, seed: int) -> None:
    """The text's two values, and a drawn one."""
    drawn = 0.2 + 0.5 * torch.rand(1, generator=generator(seed)).item()
    for length, cosine in ((0.5, 0.95), (0.1, 0.95), (drawn, 0.9)):
        exact = _exact(length, cosine)
        match(
            f(length, cosine),
            math.ceil(exact),
            {
                "You round down: the cosine is then just missed.": math.floor(exact),
                "You did not round: a batch is a whole number.": exact,
                "The cosine is not squared.": math.ceil(cosine * (1 - length**2) / (length**2 * (1 - cosine))),
                "The length is not squared.": math.ceil(cosine**2 * (1 - length) / (length * (1 - cosine**2))),
            },
            tolerance=1e-9,
            what=f"batch_for({length:.2f}, {cosine})",
        )


@exercise("04-4", lambda: "a")
def check_prediction(f: Candidate, seed: int) -> None:
    """Temperature and direction in Eq. 6."""
    choose(
        f(),
        "a",
        {
            "b": "A tau twice as large makes every similarity half as large, so the gradient halves.",
            "c": "There is no soft-max in Eq. 6 that could choose other embeddings: only a mean, and a constant.",
            "d": "The similarity is divided by tau, and the gradient with it; only log R is free of tau.",
        },
    )
