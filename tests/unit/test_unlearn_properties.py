"""Every unlearning method, for any seed, batch size and number of rounds: what stays, what repeats, what is counted."""

from dataclasses import replace
from math import ceil
from typing import Any

import pytest
import torch
from conftest import image_data
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, seeds
from torch import nn

from cu_helpers.checkpoints import fingerprint
from cu_helpers.data import Dataset, ForgetTask, forget_class, forget_samples
from cu_helpers.models import EmbeddingClassifier, build_model
from cu_helpers.training import TrainSettings
from cu_helpers.unlearning import METHODS, Stopping, UnlearningResult, unlearn
from cu_helpers.unlearning.stopping import stop_rule

PAIRS = [(method, kind) for method in METHODS for kind in METHODS[method].tasks]
WITHOUT_ROUNDS = ("retrain", "fisher", "lcodec", "ssd", "logit_mask")
WITH_A_RULE = [method for method in METHODS if hasattr(METHODS[method].settings(), "stopping") and method != "lcodec"]
NO_RULE = Stopping(rule="none")
NAMES = ("dark", "grey", "bright")

sizes = st.integers(2, 14)
rounds_of = st.integers(1, 2)


def task_of(kind: str, seed: int, count: int = 3) -> ForgetTask:
    data = Dataset("tiny", *(image_data(images, side=10, seed=seed + images) for images in (19, 9, 8)), NAMES)
    return forget_class(data, seed % 3, seed) if kind == "class" else forget_samples(data, count, seed)


def model_of(seed: int) -> EmbeddingClassifier:
    """A narrow ResNet that tells images apart: its BatchNorms have the statistics of a batch."""
    model = build_model("resnet18", 3, width=4, feature_dim=6, seed=seed).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    usual, images = norms[0].momentum, image_data(16, side=10, seed=seed)
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model(images.normalise(images.images))
    for norm in norms:
        norm.momentum = usual
    return model


def short(method: str, batch: int, rounds: int, omega: int) -> Any:
    """The method's settings for a run of a few steps, without a stop rule."""
    chosen: dict[str, Any] = {
        "contrastive": {"omega": omega},
        "contrastive_queue": {"omega": omega, "queue_size": 7},
        "scrub": {"max_steps": 1, "forget_batch_size": batch, "retain_batch_size": batch + 1},
        "unsir": {"noise_size": 2, "noise_steps": 3, "noise_copies": omega, "retain_per_class": 4},
        "retrain": {"training": TrainSettings(epochs=rounds, batch_size=batch, precision="float32")},
        "fisher": {"directions": 1, "max_images": 5},
        "lcodec": {"perturbations": 12, "max_units": 2, "damping": 0.5},
    }.get(method, {})
    base = METHODS[method].settings()
    usual = {"batch_size": batch, "max_rounds": rounds, "repair_epochs": rounds, "precision": "float32"}
    usual |= {"stopping": NO_RULE}
    return replace(base, **{name: value for name, value in usual.items() if hasattr(base, name)}, **chosen)


def counts(method: str, task: ForgetTask, batch: int, rounds: int, omega: int) -> tuple[int, int, float, int]:
    """Steps, samples seen, the share of the forget set that is visited, and rows of the history, from `short`."""
    lost, kept = len(task.forget), len(task.retain)
    once, over = ceil(lost / batch), ceil(kept / batch)
    some = sum(min(4, int((task.retain.labels == label).sum())) for label in range(3))  # UNSIR's retained images
    return {
        "retrain": (rounds * over, rounds * kept, 0, 1),
        "contrastive": (rounds * once * omega, 2 * rounds * lost * omega, 1, rounds),
        "contrastive_queue": (rounds * once * omega, 7 + 3 * rounds * lost * omega, 1, rounds),
        "finetune": (rounds * over, rounds * kept, 0, rounds),
        "gradient_ascent": (rounds * once, rounds * lost, 1, rounds),
        "fisher": (0, 5, 0, 1),
        "lcodec": (lost, 2 * (lost + kept) + lost * 14, 1, 1),
        "boundary_shrink": (rounds * once, rounds * lost, 1, rounds),
        "boundary_expansion": (rounds * once, rounds * lost, 1, rounds),
        "scrub": (once + rounds * ceil(kept / (batch + 1)), lost + rounds * kept, 1, rounds),
        "unsir": (
            ceil((some + 2 * omega) / batch) + rounds * ceil(some / batch),
            6 + some + 2 * omega + rounds * some,
            0,
            1 + rounds,
        ),
        "neggrad_plus": (rounds * over, rounds * (kept + over * min(batch, lost)), 0, rounds),
        "ssd": (0, 2 * lost + kept, 0, 1),
        "salun": (rounds * (once + over), lost + rounds * (lost + kept), 1, rounds),
        "logit_mask": (0, 0, 0, 1),
    }[method]


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: value.detach().numpy().tobytes() for name, value in model.state_dict().items()}


def off_the_clock(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize(("method", "kind"), PAIRS)
@given(seeds, sizes, rounds_of, st.integers(1, 2))
@settings(max_examples=5)
def test_a_run_leaves_its_model_repeats_bit_for_bit_and_counts_what_it_did(
    method: str, kind: str, seed: int, batch: int, rounds: int, omega: int
) -> None:
    task, model, chosen = task_of(kind, seed), model_of(seed).train(seed % 2 == 0), short(method, batch, rounds, omega)
    before, images = bits(model), fingerprint(task.train)
    shown: list[dict[str, float]] = []
    first = unlearn(method, model, task, chosen, seed)
    again = unlearn(method, model, task, chosen, seed, lambda seen, row: shown.append(row))
    assert bits(model) == before
    assert model.training == (seed % 2 == 0)
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    assert fingerprint(task.train) == images
    assert bits(first.model) == bits(again.model)
    left = method == "lcodec" and first.steps == first.history[-1]["undone"]  # it may find nothing, or undo its step
    assert (bits(first.model) != before) == (not left)
    assert not any(module.training for module in first.model.modules())
    assert first.model.config == model.config

    steps, samples, share, rows = counts(method, task, batch, rounds, omega)
    assert (first.samples_seen, first.forget_share) == (samples, share)
    assert first.steps == steps or (method == "lcodec" and 0 <= first.steps < steps)
    assert len(first.history) == rows
    assert first.stopped_by == ("finished" if method in WITHOUT_ROUNDS and method != "lcodec" else "rounds")
    assert (first.method, first.settings) == (method, chosen)
    assert 0 <= first.check_seconds <= first.seconds

    assert off_the_clock(first.history) == off_the_clock(again.history)
    assert off_the_clock(shown[-rows:]) == off_the_clock(again.history)
    begun = shown[:-rows]
    assert [row["steps"] for row in begun] == [0] * (method != "retrain"), "the original is shown once, but to Retrain"
    assert [row["round"] for row in first.history] == list(range(1, rows + 1))
    last = first.history[-1]
    assert (last["steps"], last["samples_seen"]) == (first.steps, first.samples_seen)
    for name in ("steps", "samples_seen", "seconds"):
        values = [row[name] for row in first.history]
        assert values == sorted(values)


@pytest.mark.parametrize("method", WITH_A_RULE)
@given(seeds, st.integers(1, 3), st.sampled_from(["validation", "test"]))
@settings(max_examples=6)
def test_a_run_ends_at_the_first_check_at_which_its_rule_holds(method: str, seed: int, every: int, where: str) -> None:
    task, model = task_of(METHODS[method].tasks[-1], seed), model_of(seed)
    stopping = Stopping(check_every=every, data=where)
    chosen = replace(short(method, 2, 2, 1), stopping=stopping)
    result: UnlearningResult = unlearn(method, model, task, chosen, seed)
    met = [row["forget_accuracy"] <= row["reference_accuracy"] for row in result.history]
    assert not any(met[:-1])
    assert result.stopped_by == ("rule" if met[-1] else "rounds")
    most = counts(method, task, 2, 2, 1)[0]
    assert result.steps == most if not met[-1] else 0 < result.steps <= most
    assert all(row["batch"] % every == 0 for row in result.history[:-1] if row["round"] == result.history[-1]["round"])
    rule = stop_rule(task, stopping)
    assert result.history[-1]["forget_accuracy"] == pytest.approx(rule.forget(result.model))
    assert result.history[-1]["reference_accuracy"] == pytest.approx(rule.reference(result.model))


@given(st.sampled_from(sorted(METHODS)), st.sampled_from(sorted(METHODS)), st.sampled_from(["forget", "retain"]), seeds)
@settings(max_examples=FEW)
def test_what_does_not_fit_a_method_is_refused_before_anything_moves(
    method: str, other: str, empty: str, seed: int
) -> None:
    model, kinds = model_of(seed), METHODS[method].tasks
    task = task_of(kinds[0], seed)
    nothing = replace(task, **{empty: task.forget.first(0)})
    with pytest.raises(ValueError, match=f"the task's {empty} set is empty"):
        unlearn(method, model, nothing)
    with pytest.raises(ValueError, match="the model has 3 classes and the task 2; expected a model trained on tiny"):
        unlearn(method, model, replace(task, classes=NAMES[:2]))
    with pytest.raises(ValueError, match=f"unknown unlearning method 'no {method}'"):
        unlearn(f"no {method}", model, task)
    if other != method:
        own, wrong = METHODS[method].settings.__name__, METHODS[other].settings.__name__
        with pytest.raises(TypeError, match=f"settings are {wrong}; {method} expects {own}"):
            unlearn(method, model, task, METHODS[other].settings())
    if len(kinds) == 1:
        unsuited = task_of("samples" if kinds == ("class",) else "class", seed)
        with pytest.raises(ValueError, match=f"{method} forgets a {kinds[0]}; the task is to forget {unsuited.kind}"):
            unlearn(method, model, unsuited)
