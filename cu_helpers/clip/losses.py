"""CLIP's contrastive loss, and the unlearning loss of Eq. 5 with texts among the embeddings."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..losses import sample_unlearning_loss


def _check_pairs(image_z: Tensor, text_z: Tensor) -> None:
    if image_z.ndim != 2 or image_z.shape != text_z.shape or len(image_z) == 0:
        raise ValueError(
            f"image_z has shape {tuple(image_z.shape)} and text_z {tuple(text_z.shape)}; "
            "expected the same shape (pairs, dim) in both, with one pair or more"
        )


def similarity_logits(image_z: Tensor, text_z: Tensor, scale: Tensor | float) -> Tensor:
    """scale * image_z . text_z, (images, texts), in float32 or better."""
    dtype = torch.promote_types(torch.promote_types(image_z.dtype, text_z.dtype), torch.float32)
    # A scale of up to 100 would blow up bfloat16's rounding of the cosines.
    with torch.autocast(image_z.device.type, enabled=False):
        return scale * (image_z.to(dtype) @ text_z.to(dtype).T)


def clip_pair_losses(image_z: Tensor, text_z: Tensor, scale: Tensor | float) -> Tensor:
    """Each pair's share of CLIP's loss (Radford et al. 2021, figure 3), (pairs,).

    Half the cross-entropy of choosing the pair's text among all texts, given its image, and half
    that of choosing its image among all images, given its text.

    image_z, text_z: unit-norm rows, (pairs, dim); row i of both is pair i. scale: what multiplies
    the cosines, exp(logit_scale) of the model. Raises ValueError for shapes that do not fit.
    """
    _check_pairs(image_z, text_z)
    logits = similarity_logits(image_z, text_z, scale)
    own = torch.arange(len(logits), device=logits.device)
    of_image = F.cross_entropy(logits, own, reduction="none")
    of_text = F.cross_entropy(logits.T, own, reduction="none")
    return (of_image + of_text) / 2


def clip_loss(image_z: Tensor, text_z: Tensor, scale: Tensor | float) -> Tensor:
    """CLIP's symmetric contrastive loss: the mean of `clip_pair_losses`, a scalar.

    Two pairs of one class count as each other's negatives, as in CLIP itself: with each of C
    classes n times among the pairs, all captions of a class alike, the loss cannot fall below log n.
    """
    return clip_pair_losses(image_z, text_z, scale).mean()


def clip_unlearning_loss(
    forget_z: Tensor,
    own_text_z: Tensor,
    retain_image_z: Tensor,
    retain_text_z: Tensor,
    temperature: float = 0.07,
    reduction: str = "mean",
) -> Tensor:
    """Eq. 5 for images of one class in a model of images and texts.

    For a forgotten image u_i, the class's own texts P and the retained images and texts N:

        L_i = log sum_{t in P} exp(u_i . t / tau) - (1/|N|) sum_{v in N} u_i . v / tau

    forget_z: anchors u, (B, dim), unit norm. own_text_z: embedded captions of the class, (P, dim).
    retain_image_z, retain_text_z: retained pairs of other classes, (R, dim) each. temperature: tau,
    from 1e-3 to 1e3. reduction: "mean" or "sum" over anchors. Returns a scalar in float32 or better.
    Raises ValueError for shapes that do not fit, a temperature out of range or an unknown reduction.
    """
    _check_pairs(retain_image_z, retain_text_z)
    others = torch.cat([own_text_z, retain_image_z, retain_text_z])
    is_other = torch.arange(len(others), device=others.device) >= len(own_text_z)
    forgotten = torch.zeros(len(forget_z), dtype=torch.int64, device=forget_z.device)
    return sample_unlearning_loss(forget_z, forgotten, others, is_other.to(torch.int64), temperature, reduction)
