"""The paper's attack where the answer is known: synthetic outputs, a model that memorised, one that never saw."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from conftest import MEAN, STD, image_data
from torch import Tensor

from cu_helpers import attacks, training
from cu_helpers.attack_data import attack_sets, check_disjoint, image_keys
from cu_helpers.attack_scores import THRESHOLDS, loss_score
from cu_helpers.attacks import attack_report, member_rates, membership_inference
from cu_helpers.data import Dataset, ForgetTask, ImageData, forget_class, forget_samples
from cu_helpers.models import EmbeddingClassifier, build_model
from cu_helpers.roc import auc, tpr_at


def outputs(count: int, top: float, seed: int, classes: int = 5) -> Tensor:
    """Logits whose softmax has probability `top`, give or take, at a random class."""
    draw = torch.Generator().manual_seed(seed)
    log_odds = torch.logit(torch.tensor(top)) + 0.3 * torch.randn(count, generator=draw)
    logits = torch.zeros(count, classes)
    place = torch.randint(classes, (count,), generator=draw)
    logits[torch.arange(count), place] = log_odds + torch.log(torch.tensor(classes - 1.0))
    return logits


def noise(count: int, seed: int) -> ImageData:
    """Random pixels with random labels: nothing about them can be known but by heart."""
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 3, 8, 8), generator=draw).to(torch.uint8)
    return ImageData(pixels, torch.randint(3, (count,), generator=draw), MEAN, STD)


SEEN = noise(80, 0)
NOISE = Dataset("noise", SEEN, noise(60, 1), noise(1300, 2), ("a", "b", "c"))


@pytest.fixture(scope="module")
def memoriser() -> EmbeddingClassifier:
    """A network that has learned `SEEN` by heart. Tests must not change it."""
    settings = training.TrainSettings(epochs=40, batch_size=20, learning_rate=0.05, precision="float32")
    return training.train(build_model("resnet18", 3, width=8, feature_dim=16, seed=1), SEEN, settings)


@pytest.mark.parametrize(("features", "attack_model"), attacks.VARIANTS)
def test_confident_members_are_told_apart_unless_the_attack_is_linear_in_the_softmax(
    features: str, attack_model: str
) -> None:
    """A probability of 0.95 against 0.6, at any class: by symmetry a linear map of the softmax cannot see it."""
    members, others = outputs(600, 0.95, 0), outputs(600, 0.6, 1)
    targets = {"like members": outputs(400, 0.95, 2), "like others": outputs(400, 0.6, 3)}
    rates = member_rates(members, others, targets, 0, features, attack_model)
    if (features, attack_model) == ("softmax", "logistic"):
        assert abs(rates["like members"] - rates["like others"]) < 15
    else:
        assert rates["like members"] > 95
        assert rates["like others"] < 5


def test_linear_attacks_see_a_class_that_members_have_more_often() -> None:
    members, others = torch.randn(200, 4) + torch.tensor([3.0, 0, 0, 0]), torch.randn(200, 4)
    for features in attacks.FEATURES:
        rates = member_rates(members, others, {"members": members, "others": others}, features=features)
        assert rates["members"] > rates["others"] + 20


@pytest.mark.parametrize(("features", "attack_model"), [("sorted_softmax", "logistic"), ("softmax", "mlp")])
def test_the_attack_finds_what_a_model_memorised_and_not_what_it_never_saw(
    memoriser: EmbeddingClassifier, features: str, attack_model: str
) -> None:
    assert training.accuracy(memoriser, SEEN) > 95
    assert training.accuracy(memoriser, NOISE.test) < 45, "a third is chance"
    odd = torch.arange(1, 80, 2)
    targets = {
        "held_out": SEEN.select(odd),
        "never": noise(600, 3),
        "unseen": NOISE.test.select(torch.arange(700, 1300)),
    }
    non_members = NOISE.test.first(700)
    rates = membership_inference(memoriser, SEEN.select(odd - 1), non_members, targets, 0, features, attack_model)
    assert rates["held_out"] > rates["unseen"] + 20
    assert abs(rates["never"] - rates["unseen"]) < 10
    assert set(rates) == set(targets)


def test_losses_find_what_was_memorised_and_not_what_was_never_seen(memoriser: EmbeddingClassifier) -> None:
    def score(images: ImageData, name: str) -> Tensor:
        return THRESHOLDS[name](attacks.outputs(memoriser, images), images.labels)

    for name in THRESHOLDS:
        unseen = score(NOISE.test, name)
        assert auc(score(SEEN, name), unseen).low > 0.6
        never = auc(score(noise(600, 3), name), unseen)
        assert never.low - 0.02 < 0.5 < never.high + 0.02


def test_training_sets_are_balanced_and_drawn_by_the_seed() -> None:
    """With ten times as many non-members an unbalanced attack would call nearly nothing a member."""
    members, others = torch.randn(50, 4), torch.randn(500, 4)
    targets = {"x": torch.randn(1000, 4)}
    rates = [member_rates(members, others, targets, seed)["x"] for seed in (0, 0, 1)]
    assert all(10 < rate < 90 for rate in rates)
    assert rates[0] == rates[1] != rates[2]


@pytest.mark.parametrize("kind", ["samples", "class"])
def test_the_sets_share_nothing_and_a_class_is_in_none_but_its_own(digits: Dataset, kind: str) -> None:
    task = forget_samples(digits, 36, seed=1) if kind == "samples" else forget_class(digits, 3)
    sets = attack_sets(task, seed=0)
    everything = {"members": sets.members, "non_members": sets.non_members, **sets.targets}
    keys = [key for images in everything.values() for key in image_keys(images)]
    assert len(keys) == len(set(keys))
    of_task = {name: set(image_keys(getattr(task, name))) for name in ("forget", "retain", "test")}
    assert set(image_keys(sets.members)) | set(image_keys(sets.targets["held_out"])) == of_task["retain"]
    assert set(image_keys(sets.targets["forgotten"])) == of_task["forget"]
    assert set(image_keys(sets.non_members)) < of_task["test"]
    assert len(sets.members) == len(sets.non_members) == len(task.retain) // 2
    if kind == "class":
        assert (sets.targets["unseen_of_class"].labels == 3).all()
        for name in ("members", "non_members"):
            assert not (everything[name].labels == 3).any()
        assert not (sets.targets["unseen"].labels == 3).any()
    other = attack_sets(task, seed=1)
    assert set(image_keys(other.members)) != set(image_keys(sets.members))


def with_copies(task: ForgetTask) -> ForgetTask:
    """The task with copies in it: forgotten images retained and tested, retained ones tested and doubled."""

    def join(first: ImageData, second: ImageData) -> ImageData:
        return replace(
            first, images=torch.cat([first.images, second.images]), labels=torch.cat([first.labels, second.labels])
        )

    few = torch.arange(5)
    forget, retain = task.forget.select(few), task.retain.select(few)
    return replace(task, retain=join(join(task.retain, forget), retain), test=join(join(task.test, forget), retain))


def test_copies_are_left_out_of_the_draw(digits: Dataset) -> None:
    task = forget_samples(digits, 36, seed=1)
    clean, mixed = attack_sets(task), attack_sets(with_copies(task))
    assert len(mixed.members) == len(clean.members)
    assert len(mixed.targets["unseen"]) == len(clean.targets["unseen"])
    check_disjoint(mixed.members, mixed.non_members, mixed.targets)


def test_the_report_is_plain_and_says_what_was_scored(memoriser: EmbeddingClassifier) -> None:
    task = forget_samples(NOISE, 20, seed=1)
    report = attack_report(memoriser, task, seed=2)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["counts"]["forgotten"] == 20
    assert set(report["member_rates"]) == {f"{a}, {b}" for a, b in attacks.VARIANTS}
    sets = attack_sets(task, 2)
    for features, attack_model in attacks.VARIANTS:
        alone = membership_inference(memoriser, sets.members, sets.non_members, sets.targets, 2, features, attack_model)
        assert report["member_rates"][f"{features}, {attack_model}"] == alone
    scored = report["thresholds"]["loss"]["forgotten"]
    assert scored["auc"]["value"] > 0.75, "nothing was forgotten: the samples are members"
    assert set(scored["tpr_at"]) == {"0.01", "0.001"}
    forgotten, unseen = (attacks.outputs(memoriser, of) for of in (task.forget, sets.targets["unseen"]))
    by_hand = tpr_at(loss_score(forgotten, task.forget.labels), loss_score(unseen, sets.targets["unseen"].labels), 0.01)
    assert scored["tpr_at"]["0.01"] == asdict(by_hand)


def test_a_class_is_scored_against_its_own_test_images(memoriser: EmbeddingClassifier) -> None:
    task = forget_class(NOISE, 1)
    report = attack_report(memoriser, task)
    assert "unseen_of_class" in report["member_rates"]["softmax, mlp"]
    assert task.forget_test is not None
    scores = [loss_score(attacks.outputs(memoriser, of), of.labels) for of in (task.forget, task.forget_test)]
    found = report["thresholds"]["loss"]["forgotten"]
    assert found["auc"] == asdict(auc(*scores))
    assert set(found["tpr_at"]) == {"0.01"}, "too few test images of the class for 0.1 %"


def test_a_report_repeats_and_leaves_the_model_and_torchs_generator_alone(memoriser: EmbeddingClassifier) -> None:
    task = forget_samples(NOISE, 20, seed=1)
    state = torch.get_rng_state()
    assert attack_report(memoriser, task) == attack_report(memoriser, task)
    assert torch.equal(state, torch.get_rng_state())
    assert not memoriser.training


def test_overlapping_and_small_sets_are_refused(tiny_model: EmbeddingClassifier) -> None:
    images = image_data(120)
    parts = [images.select(torch.arange(start, start + 30)) for start in (0, 30, 60, 90)]
    members, others, target, _ = parts
    membership_inference(tiny_model, members, others, {"x": target})
    with pytest.raises(ValueError, match=r"30 images are among the members and the non-members"):
        membership_inference(tiny_model, members, members, {"x": target})
    for name, known in (("members", members), ("non-members", others)):
        mixed = images.select(torch.cat([torch.arange(60, 70), torch.arange(3) + (0 if known is members else 30)]))
        with pytest.raises(ValueError, match=rf"3 images of the target 'x' are among the {name} that train"):
            membership_inference(tiny_model, members, others, {"x": mixed})
    with pytest.raises(ValueError, match=r"the target 'x' is empty"):
        membership_inference(tiny_model, members, others, {"x": images.select(torch.arange(0))})
    with pytest.raises(ValueError, match=r"are 19 members and 30 non-members .* expected at least 20 of each"):
        membership_inference(tiny_model, members.first(19), others, {"x": target})


def test_the_same_pixels_under_another_label_are_another_image(tiny_model: EmbeddingClassifier) -> None:
    images = image_data(60)
    members, others = images.first(30), images.select(torch.arange(30, 60))
    renamed = replace(members, labels=(members.labels + 1) % 3)
    assert set(membership_inference(tiny_model, members, others, {"x": renamed})) == {"x"}


def test_too_small_a_task_names_what_it_needs(digits: Dataset) -> None:
    small = replace(digits, train=digits.train.first(50))
    with pytest.raises(ValueError, match=r"39 retained and 1294 test images leave 19 .* so 40 of each"):
        attack_sets(forget_samples(small, 11))


def test_a_model_with_nan_weights_is_refused(digits: Dataset, tiny_model: EmbeddingClassifier) -> None:
    broken = build_model("resnet18", 10, width=4, seed=0)
    with torch.no_grad():
        broken.head.bias[0] = torch.nan
    task = forget_samples(digits, 36)
    sets = attack_sets(task)
    with pytest.raises(ValueError, match=r"outputs are NaN or infinite for \d+ of \d+ images"):
        membership_inference(broken, sets.members, sets.non_members, sets.targets)
    with pytest.raises(ValueError, match=r"look for NaN in its weights"):
        attack_report(broken, task)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown attack features 'probabilities'"):
        attacks.attack_features(torch.zeros(2, 2), "probabilities")
    with pytest.raises(ValueError, match=r"unknown attack model 'svm'"):
        attacks.fit_attack(torch.zeros(2, 2).numpy(), torch.zeros(2, 2).numpy(), "svm")
