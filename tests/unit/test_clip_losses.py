"""CLIP's loss against open_clip's own and a loop; the unlearning loss against a loop."""

import math
from collections.abc import Callable
from functools import partial

import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from cu_helpers.clip.losses import clip_loss, clip_pair_losses, clip_unlearning_loss

sizes = st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 5), st.integers(0, 10_000))


def unit(rows: int, dim: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, dim, generator=draw, dtype=torch.float64), dim=1).to(dtype)


def loop_pair_losses(image_z: Tensor, text_z: Tensor, scale: float) -> list[float]:
    """Figure 3 of Radford et al., number by number."""
    n = len(image_z)
    s = [[scale * math.fsum((image_z[i] * text_z[j]).tolist()) for j in range(n)] for i in range(n)]
    losses = []
    for i in range(n):
        of_image = math.log(math.fsum(math.exp(s[i][j]) for j in range(n))) - s[i][i]
        of_text = math.log(math.fsum(math.exp(s[j][i]) for j in range(n))) - s[i][i]
        losses.append((of_image + of_text) / 2)
    return losses


def loop_unlearning_loss(u: Tensor, own: Tensor, images: Tensor, texts: Tensor, temperature: float) -> float:
    """Eq. 5 with the class's texts as positives and retained images and texts as negatives."""
    terms = []
    for anchor in u:
        push = math.log(math.fsum(math.exp(float(anchor @ t) / temperature) for t in own))
        others = [float(anchor @ v) / temperature for v in [*images, *texts]]
        terms.append(push - math.fsum(others) / len(others))
    return math.fsum(terms) / len(terms)


@given(sizes, st.floats(0.5, 30))
def test_clip_loss_is_the_loops_and_open_clips(size: tuple[int, int, int, int], scale: float) -> None:
    _, pairs, dim, seed = size
    image_z, text_z = unit(pairs, dim, seed), unit(pairs, dim, seed + 1)
    expected = loop_pair_losses(image_z, text_z, scale)
    assert clip_pair_losses(image_z, text_z, scale).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)
    found = clip_loss(image_z, text_z, scale).item()
    assert found == pytest.approx(math.fsum(expected) / pairs, rel=1e-9, abs=1e-9)
    theirs = open_clip.ClipLoss()(image_z, text_z, torch.tensor(scale, dtype=torch.float64)).item()
    assert found == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("mistake", ["images only", "texts only", "no scale", "summed"])
def test_a_wrong_clip_loss_would_be_seen(mistake: str) -> None:
    image_z, text_z, own = unit(5, 4, 0), unit(5, 4, 1), torch.arange(5)
    s = (1 if mistake == "no scale" else 7) * image_z @ text_z.T
    of_image, of_text = F.cross_entropy(s, own), F.cross_entropy(s.T, own)
    wrong = {"images only": of_image, "texts only": of_text, "summed": of_image + of_text}
    found = wrong.get(mistake, (of_image + of_text) / 2).item()
    assert found != pytest.approx(math.fsum(loop_pair_losses(image_z, text_z, 7)) / 5, rel=1e-3)


def test_equal_captions_put_a_floor_under_the_loss() -> None:
    """Three pairs of each of four classes, perfectly embedded, at a huge scale: log 3."""
    z = torch.eye(4, dtype=torch.float64).repeat(3, 1)
    assert clip_loss(z, z, 500.0).item() == pytest.approx(math.log(3), abs=1e-12)


def test_a_batch_of_one_class_cannot_move_the_mean_similarity() -> None:
    """The reason why gradient ascent needs retained pairs in its batch."""
    image_z, text = unit(6, 4, 0).requires_grad_(), unit(1, 4, 1)
    (gradient,) = torch.autograd.grad(clip_loss(image_z, text.expand(6, 4), 10.0), image_z)
    assert gradient.norm() > 1e-3, "it spreads the images"
    assert (gradient @ text[0]).sum().abs() < 1e-12, "and moves them all nowhere"
    mixed = torch.cat([text.expand(3, 4), unit(3, 4, 2)])
    (gradient,) = torch.autograd.grad(clip_pair_losses(image_z, mixed, 10.0)[:3].mean(), image_z)
    assert (gradient[:3] @ text[0]).sum().abs() > 1e-2, "retained pairs as negatives do move them"


@given(sizes, st.floats(0.02, 30))
def test_the_unlearning_loss_is_the_loops(size: tuple[int, int, int, int], temperature: float) -> None:
    anchors, retained, dim, seed = size
    u, own = unit(anchors, dim, seed), unit(1 + seed % 3, dim, seed + 1)
    images, texts = unit(retained, dim, seed + 2), unit(retained, dim, seed + 3)
    expected = loop_unlearning_loss(u, own, images, texts, temperature)
    found = clip_unlearning_loss(u, own, images, texts, temperature).item()
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    total = clip_unlearning_loss(u, own, images, texts, temperature, "sum").item()
    assert total == pytest.approx(anchors * expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("mistake", ["retained texts left out", "retained images left out", "own text a negative"])
def test_a_wrong_set_would_be_seen(mistake: str) -> None:
    u, own, images, texts = unit(4, 5, 0), unit(2, 5, 1), unit(6, 5, 2), unit(6, 5, 3)
    sets = {
        "retained texts left out": (own, images, images),
        "retained images left out": (own, texts, texts),
        "own text a negative": (own, torch.cat([images, own]), torch.cat([texts, own])),
    }
    found = clip_unlearning_loss(u, *sets[mistake], 0.5).item()
    assert found != pytest.approx(loop_unlearning_loss(u, own, images, texts, 0.5), rel=1e-3)


@pytest.mark.parametrize("temperature", [0.05, 0.7, 20.0])
def test_both_losses_pass_gradcheck(temperature: float) -> None:
    inputs = tuple(unit(rows, 3, seed).requires_grad_() for seed, rows in enumerate((4, 2, 5, 5)))
    assert torch.autograd.gradcheck(partial(clip_unlearning_loss, temperature=temperature), inputs)
    scale = torch.tensor(1 / temperature, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(clip_loss, (*inputs[2:], scale))


def test_a_step_moves_away_from_the_own_text_and_towards_the_others() -> None:
    u, own, images, texts = unit(1, 5, 0), unit(1, 5, 1), unit(3, 5, 2), unit(3, 5, 3)
    leaf = u.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(clip_unlearning_loss(leaf, own, images, texts, 0.5), leaf)
    step = -gradient[0]
    assert step @ (torch.cat([images, texts]).mean(dim=0) - own[0]) > 0
    torch.testing.assert_close(step, (torch.cat([images, texts]).mean(dim=0) - own[0]) / 0.5)


@pytest.mark.parametrize("loss", [clip_loss, clip_pair_losses])
def test_autocast_does_not_round_the_cosines(loss: Callable[..., Tensor]) -> None:
    image_z, text_z = unit(6, 8, 0, torch.float32), unit(6, 8, 1, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(image_z, text_z, 100.0), loss(image_z, text_z, torch.tensor(100.0)))
        inside = loss(image_z, text_z, 100.0)
    assert torch.equal(inside, loss(image_z, text_z, 100.0))
    assert inside.dtype == torch.float32


@pytest.mark.parametrize(
    ("image", "text"), [((3, 4), (2, 4)), ((3, 4), (3, 5)), ((0, 4), (0, 4)), ((4,), (4,))], ids=str
)
def test_pairs_that_do_not_fit_are_refused(image: tuple[int, ...], text: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected the same shape \(pairs, dim\) in both"):
        clip_loss(torch.zeros(image), torch.zeros(text), 1.0)
    with pytest.raises(ValueError, match="expected the same shape"):
        clip_unlearning_loss(torch.zeros(2, 4), torch.zeros(1, 4), torch.zeros(image), torch.zeros(text))


def test_what_eq5_refuses_is_refused_here() -> None:
    z = unit(2, 3, 0)
    with pytest.raises(ValueError, match="temperature is 0; expected"):
        clip_unlearning_loss(z, z, z, z, 0)
    with pytest.raises(ValueError, match="reduction is 'none'"):
        clip_unlearning_loss(z, z, z, z, reduction="none")
    with pytest.raises(ValueError, match="same embedding dimension"):
        clip_unlearning_loss(unit(2, 4, 0), z, z, z)
