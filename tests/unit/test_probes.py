"""Probes, neighbours and centres on embeddings whose answer is known, and against loops."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cu_helpers import probes


def blobs(apart: float, count: int = 40, classes: int = 3, d: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """`count` rows of each class around centres that are `apart` spreads from each other along their own axes."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat(count)
    return apart * torch.eye(classes, d)[labels] + torch.randn(len(labels), d, generator=draw), labels


def test_a_probe_reads_what_is_there_and_nothing_else() -> None:
    for label in range(3):
        assert probes.class_probe(*blobs(12.0), label) == 100
        assert probes.class_neighbours(*blobs(12.0), label) == 100
    chance = [probes.class_probe(*blobs(0.0, seed=seed), 1) for seed in range(6)]
    assert abs(sum(chance) / 6 - 50) < 6, "on noise balanced accuracy is 50, whatever the class's share"
    x, labels = blobs(12.0)
    tiny = 1e-4 * x + 5
    assert probes.class_probe(tiny, labels, 1) == 100, "the scale of what is left does not hide it"


def test_a_probe_fitted_and_scored_on_the_same_rows_would_be_seen() -> None:
    """The mutant without held-out folds reads labels that are not there."""
    x, labels = blobs(0.0, count=20, d=40)
    fitted = probes._probe().fit(x.numpy(), (labels == 1).numpy())
    cheating = 100 * (fitted.predict(x.numpy()) == (labels == 1).numpy()).mean()
    assert cheating > 90
    assert probes.class_probe(x, labels, 1) < 70


def test_held_out_sets_are_scored_each_for_itself() -> None:
    x, labels = blobs(12.0)
    new, new_labels = blobs(12.0, seed=1)
    swapped = (new_labels + 1) % 3
    for read in (probes.label_probe, probes.label_neighbours):
        assert read(x, labels, (new, new_labels), (new, swapped)) == [100, 0]


def test_neighbours_equal_loops() -> None:
    x, labels = blobs(1.0, count=12)
    new, new_labels = blobs(1.0, count=9, seed=1)
    right = 0
    for row, label in zip(new, new_labels, strict=True):
        cosines = [float(F.cosine_similarity(row, other, dim=0)) for other in x]
        nearest = sorted(range(len(x)), key=lambda i: -cosines[i])[:5]
        votes = [sum(int(labels[i]) == c for i in nearest) for c in range(3)]
        right += votes.index(max(votes)) == int(label)
    assert probes.label_neighbours(x, labels, (new, new_labels)) == [pytest.approx(100 * right / len(new))]


def test_two_samples_of_one_law_are_not_told_apart() -> None:
    draw = torch.Generator().manual_seed(0)
    pairs = [(torch.randn(60, 5, generator=draw), torch.randn(200, 5, generator=draw)) for _ in range(6)]
    alike = [probes.two_sample_auc(a, b) for a, b in pairs]
    assert abs(sum(alike) / 6 - 50) < 7
    a, b = pairs[0]
    # Two unit Gaussians s apart along one axis: the best possible AUC is the normal distribution at s / sqrt(2).
    shifted = [probes.two_sample_auc(a + torch.eye(5)[0], b) for a, b in pairs]
    best = 100 * torch.distributions.Normal(0.0, 1.0).cdf(torch.tensor(2**-0.5)).item()
    assert abs(sum(shifted) / 6 - best) < 6
    assert probes.two_sample_auc(a + 10, b) == 100


def test_centres_come_from_few_images_of_few_classes() -> None:
    x, labels = blobs(12.0)
    z = F.normalize(x, dim=1)
    few, held = labels == 2, (z, labels)
    known = (z[~few], labels[~few])
    assert probes.centre_accuracy(known, (z[few], labels[few]), held, 3) == 100
    assert probes.centre_accuracy(known, (-z[few], labels[few]), held, 3) == pytest.approx(100 * 2 / 3)
    assert probes.centre_accuracy(held, None, held, 3, shots=1) > 95
    draw = torch.Generator().manual_seed(0)
    whole = probes.few_shot_centres(z, labels, 3, 1000, draw)
    for label in range(3):
        assert torch.allclose(whole[label], F.normalize(z[labels == label].sum(dim=0), dim=0), atol=1e-6)
    mixed = probes.few_shot_centres(z[few], labels[few], 3, 1000, draw, torch.zeros(3, 6))
    assert torch.allclose(mixed[2], whole[2], atol=1e-6)
    assert mixed[:2].abs().max() == 0, "a class without an image keeps the centre that is given"
    single = probes.few_shot_centres(z, labels, 3, 1, draw)
    assert all(any(torch.allclose(row, one, atol=1e-6) for one in z) for row in single)


def test_bad_input_is_refused_in_one_sentence() -> None:
    x, labels = blobs(1.0)
    with pytest.raises(ValueError, match="expected two groups or more of at least 5"):
        probes.class_probe(x[:9], labels[:9], 1)
    with pytest.raises(ValueError, match="expected two groups"):
        probes.class_probe(x, labels, 7)
    with pytest.raises(ValueError, match="one label a row"):
        probes.class_neighbours(x, labels[:-1], 1)
    with pytest.raises(ValueError, match="not finite"):
        probes.label_probe(x * torch.nan, labels, (x, labels))
    with pytest.raises(ValueError, match="4 images can vote"):
        probes.label_neighbours(x[:4], labels[:4], (x, labels))
    with pytest.raises(ValueError, match="expected one or more"):
        probes.few_shot_centres(x, labels, 3, 0, torch.Generator())
    assert probes.two_sample_auc(x[:60], x[60:], seed=1) == probes.two_sample_auc(x[:60], x[60:], seed=1)
