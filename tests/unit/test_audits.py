"""Answers, relearning and the whole audit: closed forms, plain steps, and models whose audit is known."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from cu_helpers import answers, audits, views
from cu_helpers.data import Dataset, ForgetTask, forget_class, forget_samples
from cu_helpers.inference import embed, predict_logits, run
from cu_helpers.models import EmbeddingClassifier, build_model
from cu_helpers.relearning import RelearnSettings, relearn
from cu_helpers.training import TrainSettings, accuracy, train
from cu_helpers.unlearning import unlearn

SMALL = 400  # test images, so that a look takes a second
QUICK = TrainSettings(epochs=20, batch_size=20, learning_rate=0.05, precision="float32")


@pytest.fixture(scope="module")
def class_task(digits: Dataset) -> ForgetTask:
    return forget_class(replace(digits, test=digits.test.first(SMALL)), 5)


@pytest.fixture(scope="module")
def sample_task(digits: Dataset) -> ForgetTask:
    return forget_samples(replace(digits, test=digits.test.first(SMALL)), 36)


@pytest.fixture(scope="module")
def without_class(class_task: ForgetTask) -> EmbeddingClassifier:
    return train(build_model("resnet18", 10, width=8, seed=3), class_task.retain, QUICK)


@pytest.fixture(scope="module")
def without_samples(sample_task: ForgetTask) -> EmbeddingClassifier:
    return train(build_model("resnet18", 10, width=8, seed=3), sample_task.retain, QUICK)


@pytest.fixture(scope="module")
def class_audits(
    class_task: ForgetTask, fitted: EmbeddingClassifier, without_class: EmbeddingClassifier
) -> dict[str, audits.Audit]:
    masked = unlearn("logit_mask", fitted, class_task).model
    models = {"original": fitted, "retrain": without_class, "logit_mask": masked}
    return audits.audit_all(models, class_task, fitted, without_class)


@pytest.fixture(scope="module")
def sample_audits(
    sample_task: ForgetTask, fitted: EmbeddingClassifier, without_samples: EmbeddingClassifier
) -> dict[str, audits.Audit]:
    models = {"original": fitted, "retrain": without_samples}
    return audits.audit_all(models, sample_task, fitted, without_samples)


def number(found: audits.Audit, name: str) -> float:
    value = found[name]
    assert isinstance(value, float)
    return value


def test_answers_are_the_best_of_the_others() -> None:
    logits = torch.tensor([[9.0, 1, 2], [0.0, 5, 4], [3.0, 2, 1]])
    assert answers.other_answers(logits, torch.tensor([0, 1, 2])).tolist() == [2, 2, 0]
    shares = answers.shares(torch.tensor([2, 2, 0, 2]), 4)
    assert shares.tolist() == [0.25, 0, 0.75, 0]
    assert answers.total_variation(shares, shares) == 0
    assert answers.total_variation(shares, torch.tensor([0, 0, 0, 1.0]).double()) == 100
    assert answers.total_variation(shares, torch.tensor([0.5, 0, 0.5, 0]).double()) == pytest.approx(25)


def test_calibration_has_its_closed_form() -> None:
    """Half the images are answered at 0.8 and 60 % right, half at 0.6 and always right: (0.2 + 0.4) / 2."""
    sure = torch.tensor([0.8] * 10 + [0.6] * 10, dtype=torch.float64)
    logits = torch.stack([sure, 1 - sure], dim=1).log()
    labels = torch.tensor([0] * 6 + [1] * 4 + [0] * 10)
    assert answers.calibration_error(logits, labels) == pytest.approx(30)
    assert answers.calibration_error(logits, labels, bins=1) == pytest.approx(100 * abs(0.8 - 0.7))
    assert answers.confidence(logits).tolist() == pytest.approx(sure.tolist())
    certain = 1e4 * F.one_hot(labels, 2).double()
    assert answers.calibration_error(certain, labels) == pytest.approx(0)
    assert answers.calibration_error(certain, 1 - labels) == pytest.approx(100)


def test_calibration_equals_loops() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, labels = 2 * torch.randn(200, 5, generator=draw), torch.randint(5, (200,), generator=draw)
    p = logits.double().softmax(dim=1)
    expected = 0.0
    for low in range(15):
        inside = [i for i in range(200) if low / 15 < p[i].max() <= (low + 1) / 15]
        if inside:
            right = sum(int(p[i].argmax() == labels[i]) for i in inside) / len(inside)
            mean = sum(float(p[i].max()) for i in inside) / len(inside)
            expected += len(inside) / 200 * abs(right - mean)
    assert answers.calibration_error(logits, labels) == pytest.approx(100 * expected)


def test_a_view_is_what_the_model_says(fitted: EmbeddingClassifier, class_task: ForgetTask) -> None:
    seen = views.view(fitted, class_task.forget)
    assert torch.allclose(seen.z, embed(fitted, class_task.forget, "float32"), atol=1e-6)
    assert torch.allclose(seen.logits, predict_logits(fitted, class_task.forget, "float32"), atol=1e-5)
    assert torch.allclose(seen.features, run(fitted, class_task.forget, fitted.features, "float32"), atol=1e-6)
    some = seen.where(torch.arange(len(seen.z)) < 4)
    assert torch.equal(some.z, seen.z[:4])
    assert len(some.logits) == len(some.labels) == len(some.features) == 4


def test_draws_keep_class_proportions() -> None:
    labels = torch.tensor([0, 0, 1, 3])
    offered = torch.tensor([0] * 9 + [1] * 7 + [2] * 5 + [3] * 4)
    chosen = offered[views.like(labels, offered)]
    assert torch.bincount(chosen, minlength=4).tolist() == [8, 4, 0, 4]
    with pytest.raises(ValueError, match="expected as many of each class"):
        views.like(torch.tensor([3] * 5), offered)


def test_relearning_is_plain_steps(fitted: EmbeddingClassifier, class_task: ForgetTask) -> None:
    assert class_task.forget_test is not None
    before = copy.deepcopy(fitted.state_dict())
    shown = views.joined(class_task.forget.first(5), class_task.retain.first(5))
    settings = RelearnSettings(steps=4, learning_rate=1e-2)
    found = relearn(fitted, shown, 100.0, class_task.forget_test, settings, label=5)
    assert all(torch.equal(value, before[name]) for name, value in fitted.state_dict().items())

    plain = copy.deepcopy(fitted).eval()
    with torch.no_grad():
        plain.head.weight[5] = 0
        plain.head.bias[5] = sum(plain.head.bias[c] for c in range(10) if c != 5) / 9
    curve = [accuracy(plain, class_task.forget_test, "float32")]
    speed = {name: torch.zeros_like(p) for name, p in plain.named_parameters()}
    x = torch.cat([class_task.forget.batch(torch.arange(5))[0], class_task.retain.batch(torch.arange(5))[0]])
    y = torch.cat([class_task.forget.labels[:5], class_task.retain.labels[:5]])
    for _ in range(4):
        gradients = torch.autograd.grad(F.cross_entropy(plain(x), y), list(plain.parameters()))
        with torch.no_grad():
            for (name, p), g in zip(plain.named_parameters(), gradients, strict=True):
                speed[name] = 0.9 * speed[name] + g
                p -= 1e-2 * speed[name]
        curve.append(accuracy(plain, class_task.forget_test, "float32"))
    assert list(found.curve) == pytest.approx(curve, abs=1.0)
    assert curve[0] < 20, "without its row of the head no model knows the class"


def test_relearning_counts_steps_and_gives_up(
    fitted: EmbeddingClassifier, class_task: ForgetTask, sample_task: ForgetTask
) -> None:
    shown = sample_task.forget
    assert relearn(fitted, shown, 0.0).steps == 0
    fresh = build_model("resnet18", 10, width=8, seed=9)
    slow = relearn(fresh, shown, 100.0, settings=RelearnSettings(steps=3, learning_rate=1e-9))
    assert slow.steps == 4
    assert len(slow.curve) == 4
    assert slow.curve[0] == accuracy(fresh, shown, "float32")
    both = views.joined(class_task.forget, class_task.retain.first(18))
    found = relearn(fitted, both, 80.0, class_task.forget, label=5)
    assert 1 < found.steps == len(found.curve) - 1 <= 60
    assert max(found.curve[:-1]) < 80 <= found.curve[-1]
    with pytest.raises(ValueError, match="expected an accuracy"):
        relearn(fresh, shown, 120.0)


def test_a_logit_mask_leaves_everything_behind(
    class_audits: dict[str, audits.Audit], class_task: ForgetTask, fitted: EmbeddingClassifier
) -> None:
    masked = unlearn("logit_mask", fitted, class_task).model
    assert accuracy(masked, class_task.forget) == 0
    outputs = {"confidence", "confidence_unseen", "calibration"}
    for name, value in class_audits["original"].items():
        if name not in outputs:
            assert class_audits["logit_mask"][name] == value, name
    assert class_audits["logit_mask"]["confidence"] != class_audits["original"]["confidence"]


def test_class_audit_of_the_references(class_audits: dict[str, audits.Audit]) -> None:
    original, retrain = class_audits["original"], class_audits["retrain"]
    json.dumps(class_audits, allow_nan=False)
    assert number(retrain, "answers_distance") == 0
    assert number(retrain, "answers_agreement") == 100
    assert number(retrain, "cka_forget") == pytest.approx(1)
    assert number(retrain, "structure_retrain") == pytest.approx(1)
    assert number(original, "structure") == pytest.approx(1)
    assert number(original, "structure_retrain") == pytest.approx(number(retrain, "structure"))
    # Retrain never saw the class: its training images are like its test images. The original's are not.
    assert number(retrain, "mmd") < number(retrain, "mmd_limit")
    assert number(original, "mmd") > 2 * number(original, "mmd_limit")
    assert number(original, "told_apart") > 75
    assert number(original, "mmd_retained") > 2 * number(original, "mmd_limit_retained")
    assert number(original, "knn_z") > number(retrain, "knn_z")
    assert number(original, "centroid") > number(retrain, "centroid")
    assert number(original, "relearn_steps") < number(retrain, "relearn_steps")
    shares = original["answers"]
    assert isinstance(shares, list)
    assert shares[5] == 0
    assert sum(shares) == pytest.approx(1)


def test_sample_audit_of_the_references(sample_audits: dict[str, audits.Audit]) -> None:
    original, retrain = sample_audits["original"], sample_audits["retrain"]
    json.dumps(sample_audits, allow_nan=False)
    assert number(original, "probe_z") > 95
    assert number(original, "relearn_steps") == 0
    assert number(retrain, "relearn_steps") > 0
    assert number(original, "relearn_unseen") > 0
    assert number(original, "mmd") > number(original, "mmd_limit")
    assert number(original, "margin") > number(original, "margin_unseen") + 0.05
    gap = abs(number(retrain, "margin") - number(retrain, "margin_unseen"))
    assert gap < number(original, "margin") - number(original, "margin_unseen")


def test_an_audit_repeats_and_changes_no_model(sample_task: ForgetTask, fitted: EmbeddingClassifier) -> None:
    before = copy.deepcopy(fitted.state_dict())
    one = audits.audit(fitted, sample_task, fitted, fitted, seed=1)
    again = audits.audit_all({"a": fitted}, sample_task, fitted, fitted, seed=1, relearning=False)["a"]
    assert {name: value for name, value in one.items() if "relearn" not in name} == again
    assert all(torch.equal(value, before[name]) for name, value in fitted.state_dict().items())
    broken = copy.deepcopy(fitted)
    with torch.no_grad():
        broken.head.bias[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        audits.audit(broken, sample_task, fitted, fitted)
