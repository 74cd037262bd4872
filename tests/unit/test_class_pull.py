"""Eq. 6 on a model: the pull of ideal geometries, and a short step held against the derivative along it."""

import copy
import math

import pytest
import torch
from torch.func import functional_call, jvp

from cu_helpers import class_pull
from cu_helpers.data import Dataset, forget_class
from cu_helpers.losses import class_unlearning_loss
from cu_helpers.models import EmbeddingClassifier


def test_a_simplex_has_no_tangent_pull_and_orthogonal_means_have_nothing_else() -> None:
    axes = torch.eye(5, dtype=torch.float64)
    simplex = torch.nn.functional.normalize(axes - axes.mean(dim=0), dim=1)
    assert class_pull.pull(simplex[1:], simplex[0]) == pytest.approx((1 / 4, -1, 0), abs=1e-7)
    assert class_pull.pull(axes[1:], 3 * axes[0]) == pytest.approx((1 / 2, 0, 1 / 2), abs=1e-9)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("detached", [False, True])
def test_a_short_step_is_the_derivative_along_the_gradient(
    digits: Dataset, fitted: EmbeddingClassifier, detached: bool, fixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_pull, "SHORT", 1e-7)  # so short that the curvature of the loss does not show
    task = forget_class(digits, 5)
    forget, retain = task.forget.first(6), task.retain.first(6)
    both = [part.batch(torch.arange(6, device=part.device)) for part in (forget, retain)]
    kept = {name: value.clone() for name, value in fitted.state_dict().items()}
    found = class_pull.one_step(fitted, both[0], both[1], detached, fixed)
    assert all(torch.equal(value, kept[name]) for name, value in fitted.state_dict().items()), "the model is as it was"

    net = copy.deepcopy(fitted).double().train(not fixed)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.track_running_stats = fixed
            if not fixed:
                module.running_mean = module.running_var = None  # batch statistics, nothing to change in place
    x = torch.cat([both[0][0], both[1][0]]).double()
    weights = {name: w.detach() for name, w in net.named_parameters() if not name.startswith("head")}
    z = net.encode(x)
    loss = class_unlearning_loss(z[:6], z[6:].detach() if detached else z[6:])
    loss.backward()
    slope = {name: w.grad for name, w in net.named_parameters() if name in weights}
    assert all(grad is not None for grad in slope.values())

    def size(values: "dict[str, torch.Tensor]") -> float:
        return math.sqrt(sum(float(value.square().sum()) for value in values.values()))

    gradient = {name: grad for name, grad in slope.items() if grad is not None}
    way = {name: -grad * size(weights) / size(gradient) for name, grad in gradient.items()}

    class Both(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            embeddings = self.net.encode(images)
            return torch.cat([embeddings, self.net.classify(embeddings)], dim=1)

    def of(part: "dict[str, torch.Tensor]") -> torch.Tensor:
        return functional_call(Both(), {f"net.{name}": value for name, value in part.items()}, (x,))

    slopes = jvp(of, (weights,), (way,))[1].detach()
    moved, logits = slopes[:, : z.shape[1]], slopes[:, z.shape[1] :]
    # Not to rounding: in training mode some ReLUs stand at their kink, of which a step sees one side and a slope none.
    assert torch.allclose(found["logits"], logits[:6].mean(dim=0).cpu(), rtol=0, atol=5e-3 * float(logits.abs().max()))
    assert float(found["forgotten moved"]) == pytest.approx(float(moved[:6].norm(dim=1).mean()), rel=0.02)
    assert float(found["retained moved"]) == pytest.approx(float(moved[6:].norm(dim=1).mean()), rel=0.02)
    own = logits[6:].gather(1, both[1][1][:, None]).mean()
    assert float(found["retained own logit"]) == pytest.approx(
        float(own), rel=0.02, abs=5e-3 * float(logits.abs().max())
    )
    for name in ("cosine with what Eq. 6 asks", "cosine of two anchors' ways"):
        assert -1 <= float(found[name]) <= 1


def test_the_table_has_means_and_deviations_over_draws() -> None:
    draws = [
        {"logits": torch.tensor([1.0, 5.0, 3.0]), "cosine of two anchors' ways": torch.tensor(0.25)},
        {"logits": torch.tensor([3.0, 9.0, 5.0]), "cosine of two anchors' ways": torch.tensor(0.75)},
    ]
    found = class_pull.stacked(draws, 1)
    assert found["forgotten own logit"].tolist() == [5, 9]
    assert found["their other logits"].tolist() == [2, 4]
    head, own, others, ways = class_pull.step_table({"Eq. 6": found}).split("\n")
    assert head.endswith("Eq. 6")
    assert own.split() == ["forgotten", "own", "logit", "+7", "±", "3"], "4 over the root of two"
    assert others.split()[-3:] == ["+3", "±", "1"]
    assert ways.split()[-3:] == ["+0.50", "±", "0.35"]
