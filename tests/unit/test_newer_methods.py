"""NegGrad+, selective synaptic dampening and SalUn against plain steps and closed forms."""

import copy

import pytest
import torch
from torch.nn import functional as F

from cu_helpers.data import Dataset, ForgetTask, forget_class
from cu_helpers.devices import generator
from cu_helpers.models import EmbeddingClassifier, build_model
from cu_helpers.unlearning import NegGradPlusSettings, SalunSettings, SsdSettings, unlearn
from cu_helpers.unlearning.salun import saliency
from cu_helpers.unlearning.ssd import dampened, importance

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def task(digits: Dataset) -> ForgetTask:
    return forget_class(digits, 5)


@pytest.fixture(scope="module")
def model() -> EmbeddingClassifier:
    return build_model("resnet18", 10, width=4, seed=3)


def test_neggrad_plus_descends_its_weighted_difference(model: EmbeddingClassifier, task: ForgetTask) -> None:
    size = len(task.retain)
    settings = NegGradPlusSettings(
        retain_weight=0.8, learning_rate=0.1, batch_size=size, max_rounds=1, precision="float32"
    )
    ours = unlearn("neggrad_plus", model, task, settings, seed=4)
    draw = generator(4, CPU)
    order = torch.randperm(size, generator=draw)
    chosen = torch.randint(len(task.forget), (len(task.forget),), generator=draw)
    plain = copy.deepcopy(model).train()
    (x_r, y_r), (x_u, y_u) = task.retain.batch(order), task.forget.batch(chosen)
    loss = 0.8 * F.cross_entropy(plain(x_r), y_r) - 0.2 * F.cross_entropy(plain(x_u), y_u)
    loss.backward()  # type: ignore[no-untyped-call]
    for after, start in zip(ours.model.parameters(), plain.parameters(), strict=True):
        assert start.grad is not None
        assert torch.allclose(after, start - 0.1 * start.grad, atol=1e-5)
    assert ours.samples_seen == size + len(task.forget)


def test_importance_is_the_mean_squared_gradient(model: EmbeddingClassifier, task: ForgetTask) -> None:
    images = task.forget.first(5)
    net = copy.deepcopy(model).eval()
    singly = importance(net, images, 1, generator(0, CPU))
    expected = {name: torch.zeros_like(weight) for name, weight in net.named_parameters()}
    for position in range(5):
        x, y = images.batch(torch.tensor([position]))
        gradients = torch.autograd.grad(F.cross_entropy(net(x), y), list(net.parameters()))
        for name, gradient in zip(expected, gradients, strict=True):
            expected[name] += gradient.square() / 5
    assert all(torch.allclose(singly[name], expected[name], rtol=1e-3, atol=1e-9) for name in expected)
    at_once = importance(net, images, 5, generator(0, CPU))
    assert not torch.allclose(at_once["head.weight"], expected["head.weight"], rtol=0.1), "a batch's is another number"


def test_dampening_in_closed_form() -> None:
    weight = torch.tensor([1.0, 2.0, -3.0, 4.0])
    everything = torch.tensor([1.0, 1.0, 1.0, 0.0])
    forget = torch.tensor([9.0, 20.0, 40.0, 0.0])
    new = dampened(weight, forget, everything, SsdSettings(selection=10, dampening=1))
    assert torch.allclose(new, torch.tensor([1.0, 2 / 20, -3 / 40, 4.0]))
    strong = dampened(weight, forget, everything, SsdSettings(selection=10, dampening=30))
    assert torch.allclose(strong, torch.tensor([1.0, 2.0, -3 * 30 / 40, 4.0])), "a factor never grows a weight"


def test_ssd_only_shrinks(model: EmbeddingClassifier, task: ForgetTask) -> None:
    result = unlearn("ssd", model, task, SsdSettings(selection=1.5, batch_size=40))
    pairs = list(zip(result.model.parameters(), model.parameters(), strict=True))
    assert any(not torch.equal(ours, theirs) for ours, theirs in pairs)
    assert all((ours.abs() <= theirs.abs()).all() for ours, theirs in pairs)
    assert (result.steps, result.samples_seen) == (0, len(task.forget) + len(task.train))


def test_saliency_keeps_the_asked_share(model: EmbeddingClassifier, task: ForgetTask) -> None:
    net = copy.deepcopy(model).eval()
    masks = saliency(net, task.forget, 0.3)
    flat = torch.cat([mask.flatten() for mask in masks.values()])
    assert flat.float().mean().item() == pytest.approx(0.3, abs=1e-3)
    x, y = task.forget.batch(torch.arange(len(task.forget)))
    gradients = torch.autograd.grad(F.cross_entropy(net(x), y), list(net.parameters()))
    sizes = torch.cat([gradient.abs().flatten() for gradient in gradients])
    assert sizes[flat].min() >= 0.99 * sizes[~flat].max()


def test_salun_moves_the_salient_weights_alone(
    model: EmbeddingClassifier, task: ForgetTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[torch.Tensor] = []
    entropy = F.cross_entropy

    def watched(logits: torch.Tensor, labels: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
        if reduction == "mean":
            shown.append(labels)
        return entropy(logits, labels, reduction=reduction)

    monkeypatch.setattr(F, "cross_entropy", watched)
    settings = SalunSettings(kept_share=0.2, batch_size=200, max_rounds=40, precision="float32")
    result = unlearn("salun", model, task, settings, seed=1)
    monkeypatch.undo()
    masks = saliency(copy.deepcopy(model), task.forget, 0.2)
    pairs = zip(result.model.named_parameters(), model.parameters(), strict=True)
    moved = [(name, (ours != theirs)) for (name, ours), theirs in pairs]
    assert not any((changed & ~masks[name]).any() for name, changed in moved)
    assert any(changed.any() for _, changed in moved)
    random = torch.cat(shown[::2])
    assert len(random) == 40 * 18
    assert random.bincount(minlength=10).min() > 40, "uniform over all classes, the true one too"
    assert all(torch.equal(labels.sort().values, task.retain.labels.sort().values) for labels in shown[1::2])
