"""What Eq. 6 does to a trained model: the mean that pulls, and one short step (chapter 04)."""

import copy
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .geometry import pairwise_cosines, tangent
from .losses import class_unlearning_loss
from .models import EmbeddingClassifier

SHORT = 1e-4  # length of a short step over the length of the weights that move

Batch = tuple[Tensor, Tensor]  # normalised images (n, 3, h, w) and their labels (n,)


def pull(others: Tensor, centre: Tensor) -> tuple[float, float, float]:
    """Length of the mean of `others` (n, d), its cosine with `centre` (d,), and its part tangent to the sphere there.

    Times 1 / temperature the last is the length of Eq. 6's gradient, on the sphere, at an anchor at `centre`.
    """
    mean, centre = others.mean(dim=0), F.normalize(centre, dim=0)
    length, cosine = mean.norm().item(), (F.normalize(mean, dim=0) @ centre).item()
    return length, cosine, length * math.sqrt(max(0.0, 1 - cosine**2))


def one_step(
    original: EmbeddingClassifier, forget: Batch, retain: Batch, detached: bool = False, fixed: bool = False
) -> dict[str, Tensor]:
    """What one short step down Eq. 6 alone changes, over the relative length of the step; `original` is not changed.

    Both batches, images (n, 3, h, w) with labels (n,), pass the encoder together, in float64. detached: retained
    embeddings get no gradient. fixed: BatchNorm uses its running statistics. logits (classes,): mean change on the
    forgotten images. The others are means, scalar: the change of retained images' own logit, how far embeddings
    move, the cosine of anchors' ways with the direction that Eq. 6 asks for, and that of two anchors' ways.
    """
    model = copy.deepcopy(original).double().train(not fixed)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.0  # batch statistics are used, running ones stay
    x, n = torch.cat([forget[0], retain[0]]).double(), len(forget[0])
    z = model.encode(x)
    class_unlearning_loss(z[:n], z[n:].detach() if detached else z[n:]).backward()  # type: ignore[no-untyped-call]
    slopes = {w: w.grad for w in model.parameters() if w.grad is not None}  # the head has none
    weights, slope = (torch.stack([one.norm() for one in part]).norm() for part in (slopes, slopes.values()))
    with torch.no_grad():
        before = model.classify(z)
        for w, grad in slopes.items():
            w.sub_(SHORT * weights / slope * grad)
        new = model.encode(x)
        logits, way = (model.classify(new) - before) / SHORT, (new - z) / SHORT
        asked = tangent(z[n:].mean(dim=0).expand_as(z[:n]), z[:n])
        found = {
            "logits": logits[:n].mean(dim=0),
            "retained own logit": logits[n:].gather(1, retain[1][:, None]).mean(),
            "forgotten moved": way[:n].norm(dim=1).mean(),
            "retained moved": way[n:].norm(dim=1).mean(),
            "cosine with what Eq. 6 asks": F.cosine_similarity(way[:n], asked, dim=1).mean(),
            "cosine of two anchors' ways": pairwise_cosines(way[:n]).mean(),
        }
    return {name: value.cpu() for name, value in found.items()}


def stacked(draws: Sequence[Mapping[str, Tensor]], label: int) -> dict[str, Tensor]:
    """The numbers of several `one_step`, a row each (draws,) or (draws, classes), and two of the logits by themselves.

    Those are the change of the logit of class `label` and the mean change of all others, both (draws,).
    """
    found = {name: torch.stack([one[name] for one in draws]) for name in draws[0]}
    logits = found["logits"]
    others = torch.arange(logits.shape[1]) != label
    return {"forgotten own logit": logits[:, label], "their other logits": logits[:, others].mean(dim=1), **found}


def step_table(variants: Mapping[str, Mapping[str, Tensor]]) -> str:
    """A text table of what `stacked` gives for each variant, (draws,) each: mean ± standard deviation over draws."""
    lines = [f"{'mean ± standard deviation over draws':38}" + "".join(f"{name:>18}" for name in variants)]
    for key in next(iter(variants.values())):
        if key == "logits":
            continue
        digits = 2 if "cosine" in key else 0
        cells = [f"{found[key].mean():+10.{digits}f} ± {found[key].std():5.{digits}f}" for found in variants.values()]
        lines.append(f"{key:38}" + "".join(cells))
    return "\n".join(lines)
