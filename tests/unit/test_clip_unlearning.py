"""Forgetting a class in CLIP: written-out steps, what must not move, when it stops."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from clip_helpers import CAPTIONS, dataset, distance, task, tiny_clip, weights
from torch import Tensor
from torch.nn import functional as F

from cu_helpers.clip import (
    CLIP_METHODS,
    ClipContrastiveSettings,
    ClipFinetuneSettings,
    ClipGradientAscentSettings,
    ClipTrainSettings,
    Wording,
    ZeroShotClip,
    train_clip,
    unlearn_clip,
)
from cu_helpers.data import forget_samples
from cu_helpers.devices import generator
from cu_helpers.errors import NonFiniteError
from cu_helpers.training import accuracy
from cu_helpers.unlearning import Stopping

CPU = torch.device("cpu")
TASK = task()
PLAIN: dict[str, Any] = {
    "learning_rate": 1e-3,
    "batch_size": 8,
    "max_rounds": 1,
    "precision": "float32",
    "stopping": Stopping(rule="none"),
}


@pytest.fixture(scope="module")
def learned() -> ZeroShotClip:
    """A CLIP that tells the three brightnesses apart. Tests must not change it."""
    settings = ClipTrainSettings(epochs=25, batch_size=24, learning_rate=2e-3, precision="float32")
    return train_clip(tiny_clip(), dataset().train, settings)


def cosines(a: Tensor, b: Tensor) -> Tensor:
    return F.normalize(a, dim=1) @ F.normalize(b, dim=1).T


def step_by_hand(model: ZeroShotClip, method: str, settings: Any, seed: int) -> ZeroShotClip:
    """One round of a method, from its formula, without the package's loop or losses."""
    model = copy.deepcopy(model).train()
    net, draw, prompts = model.net, generator(seed, CPU), model.prompts[:, 0]
    groups = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), eps=1e-6)

    def pairs(images: Tensor, texts: Tensor) -> Tensor:
        s, own = net.logit_scale.exp() * cosines(images, texts), torch.arange(len(images))
        return (F.cross_entropy(s, own, reduction="none") + F.cross_entropy(s.T, own, reduction="none")) / 2

    images = TASK.retain if method == "finetune" else TASK.forget
    for index in torch.randperm(len(images), generator=draw).split(settings.batch_size):
        n = len(index)
        for _ in range(settings.omega if method == "contrastive" else 1):
            if method == "finetune":
                x, y = TASK.retain.batch(index)
                torch.randint(1, (n,), generator=draw)
                loss = pairs(net.encode_image(x), net.encode_text(prompts[y])).mean()
            else:
                x_u, _ = TASK.forget.batch(index)
                x_r, y_r = TASK.retain.batch(torch.randint(len(TASK.retain), (n,), generator=draw))
                torch.randint(1, (n,), generator=draw)
                z = net.encode_image(torch.cat([x_u, x_r]))
                t_r, own = net.encode_text(prompts[y_r]), net.encode_text(prompts[1:2])
            if method == "contrastive":
                away = cosines(z[:n], own)[:, 0] / settings.temperature
                towards = cosines(z[:n], torch.cat([z[n:], t_r])).mean(dim=1) / settings.temperature
                loss = settings.lambda_clip * pairs(z[n:], t_r).mean() + settings.lambda_ul * (away - towards).mean()
            if method == "gradient_ascent":
                torch.randint(1, (n,), generator=draw)
                both = pairs(z, torch.cat([own.expand(n, -1), t_r]))
                loss = both[n:].mean() - settings.ascent * both[:n].mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return model


SETTINGS = {
    "contrastive": ClipContrastiveSettings(omega=2, lambda_ul=0.3, lambda_clip=0.7, temperature=0.2, **PLAIN),
    "finetune": ClipFinetuneSettings(**PLAIN),
    "gradient_ascent": ClipGradientAscentSettings(ascent=0.6, **PLAIN),
}


@pytest.mark.parametrize("method", list(SETTINGS))
def test_a_round_equals_its_formula(method: str, learned: ZeroShotClip) -> None:
    settings = SETTINGS[method]
    ours = unlearn_clip(method, learned, TASK, settings, seed=4)
    moved = distance(ours.model, learned)  # type: ignore[arg-type]
    assert distance(ours.model, step_by_hand(learned, method, settings, seed=4)) < 0.02 * moved  # type: ignore[arg-type]
    wrong = copy.copy(settings)
    name, value = {
        "contrastive": ("lambda_ul", -0.3),
        "finetune": ("weight_decay", 20.0),
        "gradient_ascent": ("ascent", 0.0),
    }[method]
    object.__setattr__(wrong, name, value)
    far = distance(ours.model, step_by_hand(learned, method, wrong, seed=4))  # type: ignore[arg-type]
    assert far > 0.2 * moved, "another formula must be seen"
    batches = {"contrastive": 2, "finetune": 4, "gradient_ascent": 2}[method]
    assert ours.steps == batches * (2 if method == "contrastive" else 1)
    assert ours.samples_seen == {"contrastive": 64, "finetune": 32, "gradient_ascent": 32}[method]
    assert ours.forget_share == (0 if method == "finetune" else 1)
    assert ours.stopped_by == "rounds"
    assert not ours.model.training


@pytest.mark.parametrize("method", list(CLIP_METHODS))
def test_the_model_passed_in_stays_and_the_seed_decides(method: str, learned: ZeroShotClip) -> None:
    before = weights(learned).clone()
    one, same, other = (unlearn_clip(method, learned, TASK, SETTINGS[method], seed).model for seed in (1, 1, 2))
    assert torch.equal(weights(learned), before)
    assert not learned.training
    assert torch.equal(weights(one), weights(same))  # type: ignore[arg-type]
    assert not torch.equal(weights(one), weights(other))  # type: ignore[arg-type]


FORGET = ClipContrastiveSettings(
    learning_rate=3e-4,
    batch_size=4,
    max_rounds=15,
    lambda_ul=0.3,
    precision="float32",
    stopping=Stopping(check_every=1),
)


def test_contrast_forgets_below_a_guess_and_its_absence_does_not(learned: ZeroShotClip) -> None:
    assert TASK.forget_test is not None
    assert TASK.retain_test is not None
    assert accuracy(learned, TASK.forget_test) > 70  # type: ignore[arg-type]
    result = unlearn_clip("contrastive", learned, TASK, FORGET)
    assert result.stopped_by == "rule"
    assert result.history[-1]["forget_accuracy"] <= 100 / 3
    assert all(row["reference_accuracy"] == pytest.approx(100 / 3) for row in result.history)
    assert accuracy(result.model, TASK.retain_test) > 80
    without = replace(FORGET, lambda_ul=0.0, max_rounds=-(-result.steps // 12), stopping=Stopping(rule="none"))
    control = unlearn_clip("contrastive", learned, TASK, without)
    assert accuracy(control.model, TASK.forget_test) > accuracy(result.model, TASK.forget_test) + 20


def test_no_test_image_is_looked_at(learned: ZeroShotClip) -> None:
    noise = replace(TASK.test, images=torch.zeros_like(TASK.test.images))
    blind = replace(TASK, test=noise, forget_test=noise, retain_test=noise)
    one, other = (unlearn_clip("contrastive", learned, of, FORGET) for of in (TASK, blind))
    assert one.steps == other.steps
    assert torch.equal(weights(one.model), weights(other.model))  # type: ignore[arg-type]
    flipped = replace(TASK, validation=replace(TASK.validation, labels=(TASK.validation.labels + 1) % 3))
    assert unlearn_clip("contrastive", learned, flipped, FORGET).steps != one.steps, "validation images decide"


def test_all_captions_of_the_class_are_its_positives(learned: ZeroShotClip) -> None:
    """With several templates the anchors are pushed from all of them: the loss sees log-sum-exp over four texts."""
    asked = learned.asked(CAPTIONS)
    result = unlearn_clip("contrastive", asked, TASK, replace(FORGET, max_rounds=1, stopping=Stopping(rule="none")))
    assert result.model.prompts.shape[1] == 4  # type: ignore[attr-defined]
    assert not torch.equal(weights(result.model), weights(learned))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", list(CLIP_METHODS))
def test_divergence_names_the_setting_and_keeps_the_good_weights(method: str, learned: ZeroShotClip) -> None:
    settings = replace(SETTINGS[method], learning_rate=1e30, max_rounds=2)
    with pytest.raises(NonFiniteError, match=rf"{method}: .*lower learning_rate") as caught:
        unlearn_clip(method, learned, TASK, settings)
    assert weights(caught.value.model).isfinite().all()  # type: ignore[arg-type]


def test_bad_input_is_refused(learned: ZeroShotClip) -> None:
    with pytest.raises(ValueError, match="unknown CLIP unlearning method 'scrub'; expected one of: contrastive, fine"):
        unlearn_clip("scrub", learned, TASK)
    with pytest.raises(ValueError, match="CLIP forgets a class here; the task is to forget samples"):
        unlearn_clip("contrastive", learned, forget_samples(dataset(), 4))
    with pytest.raises(ValueError, match="the task's forget set is empty"):
        unlearn_clip("contrastive", learned, replace(TASK, forget=TASK.forget.first(0)))
    with pytest.raises(ValueError, match="asked for 2 classes and the task has 3; expected a wording of tiny's"):
        unlearn_clip("contrastive", learned.asked(Wording((("a",), ("b",)))), TASK)
    with pytest.raises(TypeError, match="settings are ClipFinetuneSettings; contrastive expects ClipContrastive"):
        unlearn_clip("contrastive", learned, TASK, ClipFinetuneSettings())
    with pytest.raises(ValueError, match="omega is 0; expected a finite number above 0"):
        ClipContrastiveSettings(omega=0)
    with pytest.raises(ValueError, match="temperature is 0"):
        ClipContrastiveSettings(temperature=0)
    with pytest.raises(ValueError, match="ascent is -1; expected 0 or more"):
        ClipGradientAscentSettings(ascent=-1)
