"""The paper's attack where the answer is known: synthetic outputs, and a model that knows its images by heart."""

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MEAN, STD, image_data
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from cu_helpers import attacks, devices
from cu_helpers.attack_data import LEAST, AttackSets, attack_sets
from cu_helpers.attack_scores import THRESHOLDS
from cu_helpers.attacks import (
    AttackOutputs,
    attack_features,
    attack_outputs,
    attack_report,
    fit_attack,
    member_rates,
    membership_inference,
    report_of,
)
from cu_helpers.data import Dataset, ImageData, forget_class, forget_samples
from cu_helpers.roc import auc, tpr_at


def outputs(count: int, top: float, seed: int, classes: int = 5) -> Tensor:
    """Logits whose softmax has probability `top`, give or take, at a random class."""
    draw = torch.Generator().manual_seed(seed)
    log_odds = torch.logit(torch.tensor(top)) + 0.3 * torch.randn(count, generator=draw)
    logits = torch.zeros(count, classes)
    place = torch.randint(classes, (count,), generator=draw)
    logits[torch.arange(count), place] = log_odds + torch.log(torch.tensor(classes - 1.0))
    return logits


def random(count: int, seed: int, classes: int = 4) -> Tensor:
    """Normal logits: nothing tells members from others."""
    return torch.randn(count, classes, generator=torch.Generator().manual_seed(seed))


def noise(count: int, seed: int) -> ImageData:
    """Random pixels with random labels: nothing about them can be known but by heart."""
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 3, 4, 4), generator=draw).to(torch.uint8)
    return ImageData(pixels, torch.randint(3, (count,), generator=draw), MEAN, STD)


class ByHeart(nn.Module):
    """Sure and right on the images that it has seen; what it says of others depends on their pixels alone."""

    def __init__(self, seen: ImageData) -> None:
        super().__init__()
        self.seen, self.labels = seen.normalise(seen.images).flatten(1), seen.labels
        self.weight = nn.Parameter(random(seen.images[0].numel(), 0, classes=3) / 5)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1)
        known = (rows[:, None] == self.seen[None]).all(dim=2)
        return rows @ self.weight + 6.0 * known.float() @ nn.functional.one_hot(self.labels, 3).float()


SEEN = noise(80, 0)
NOISE = Dataset("noise", SEEN, noise(60, 1), noise(240, 2), ("a", "b", "c"))


@pytest.fixture(scope="module")
def model() -> Any:
    """Knows `SEEN` by heart. Tests must not change it."""
    return ByHeart(SEEN).eval()


# What the attack model sees


def test_features_are_the_softmax_the_same_sorted_or_the_logits_in_double_precision() -> None:
    logits = 20 * random(7, 0)
    rows = logits.double().numpy()
    p = np.exp(rows - rows.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    expected = {"softmax": p, "sorted_softmax": -np.sort(-p, axis=1), "logits": rows}
    assert set(expected) == set(attacks.FEATURES)
    for features, values in expected.items():
        found = attack_features(logits, features)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, values, rtol=1e-12, err_msg=features)
    np.testing.assert_array_equal(attack_features(logits), attack_features(logits, "softmax"))


def test_the_attack_models_are_those_that_are_described() -> None:
    """Shown by their settings: a step more or less would change no answer that a test could ask for."""
    members, others = random(30, 0).double().numpy(), random(25, 1).double().numpy()
    by_default, logistic, mlp = (
        fit_attack(members, others),
        fit_attack(members, others, "logistic", 5),
        fit_attack(members, others, "mlp", 5),
    )
    for attack in (by_default, logistic, mlp):
        assert isinstance(attack[0], StandardScaler)
        np.testing.assert_allclose(attack[0].mean_, np.concatenate([members, others]).mean(axis=0))
        assert attack.classes_.tolist() == [0, 1]
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    assert logistic[1].get_params() == by_default[1].get_params() == LogisticRegression(max_iter=1000).get_params()
    shokri = MLPClassifier((64,), solver="lbfgs", alpha=0.01, max_iter=100, random_state=5)
    assert mlp[1].get_params() == shokri.get_params()
    assert fit_attack(members, others, "mlp")[1].random_state == 0


def test_members_are_called_1_and_the_two_may_differ_in_number() -> None:
    members, others = np.full((30, 2), 3.0), np.zeros((12, 2))
    attack = fit_attack(members + random(30, 0, 2).numpy(), others + random(12, 1, 2).numpy())
    assert attack.predict(members).tolist() == [1] * 30
    assert attack.predict(others).tolist() == [0] * 12


def test_an_attack_that_has_not_converged_is_silent_and_other_warnings_are_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Warns(StandardScaler):
        def fit(self, *args: Any, **kwargs: Any) -> Any:
            warnings.warn("of another kind", UserWarning, stacklevel=1)
            warnings.warn("not converged", ConvergenceWarning, stacklevel=1)
            return super().fit(*args, **kwargs)

    monkeypatch.setattr("sklearn.preprocessing.StandardScaler", Warns)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        fit_attack(random(20, 0).numpy(), random(20, 1).numpy())
    assert [str(one.message) for one in heard] == ["of another kind"]


# The attack on outputs


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
    members, others = random(200, 0) + torch.tensor([3.0, 0, 0, 0]), random(200, 1)
    for features in attacks.FEATURES:
        rates = member_rates(members, others, {"members": members, "others": others}, features=features)
        assert rates["members"] > rates["others"] + 20


@pytest.mark.parametrize(("seed", "attack_model"), [(0, "logistic"), (3, "mlp")])
def test_rates_are_what_a_balanced_draw_by_the_seed_gives(seed: int, attack_model: str) -> None:
    """The members are drawn first, and the MLP starts from the same seed."""
    members, others, target = random(50, 0) + 0.3, random(35, 1), random(800, 2)
    draw = np.random.default_rng(seed)
    chosen = [np.sort(draw.permutation(count)[:35]) for count in (50, 35)]
    kept = [of[rows].double().softmax(dim=1).numpy() for of, rows in zip((members, others), chosen, strict=True)]
    attack = fit_attack(*kept, attack_model, seed)
    says = attack.predict(target.double().softmax(dim=1).numpy())
    rates = member_rates(members, others, {"x": target, "y": members}, seed, attack_model=attack_model)
    assert rates["x"] == 100 * np.mean(says == 1)
    assert list(rates) == ["x", "y"]
    if attack_model == "mlp":
        otherwise = fit_attack(*kept, attack_model).predict(target.double().softmax(dim=1).numpy())
        assert np.mean(otherwise) != np.mean(says), "an MLP from another seed would be seen"
    if seed == 0:
        assert member_rates(members, others, {"x": target})["x"] == rates["x"], "both are the defaults"


def test_training_sets_are_balanced_and_drawn_by_the_seed() -> None:
    """With ten times as many non-members an unbalanced attack would call nearly nothing a member."""
    members, others = random(50, 0), random(500, 1)
    targets = {"x": random(1000, 2)}
    rates = [member_rates(members, others, targets, seed)["x"] for seed in (0, 0, 1)]
    assert all(10 < rate < 90 for rate in rates)
    assert rates[0] == rates[1] != rates[2]
    assert 10 < member_rates(others, members, targets)["x"] < 90


def test_the_least_number_is_enough_and_one_fewer_is_refused() -> None:
    enough, few, target = random(LEAST, 0), random(LEAST - 1, 1), {"x": random(5, 2)}
    assert 0 <= member_rates(enough, random(LEAST, 3), target)["x"] <= 100
    told = r"^there are {} members and {} non-members to train the attack; expected at least 20 of each$"
    with pytest.raises(ValueError, match=told.format(19, 20)):
        member_rates(few, enough, target)
    with pytest.raises(ValueError, match=told.format(20, 19)):
        member_rates(enough, few, target)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_outputs_that_are_not_finite_are_refused_wherever_they_are(place: int, bad: float) -> None:
    sets = [random(25, seed) for seed in range(3)]
    sets[place][4, 1] = bad
    with pytest.raises(ValueError, match=r"outputs are NaN or infinite for 1 of 25 images.*look for NaN"):
        member_rates(sets[0], sets[1], {"fine": random(3, 9), "x": sets[2]})


@pytest.mark.parametrize("place", [0, 1, 2])
def test_outputs_that_are_no_table_are_refused(place: int) -> None:
    sets = [random(25, seed) for seed in range(3)]
    sets[place] = sets[place][:, 0]
    with pytest.raises(ValueError, match=r"outputs have shape \(25,\); expected \(n, classes\)"):
        member_rates(sets[0], sets[1], {"x": sets[2]})


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^unknown attack features 'probabilities'; expected one of: logits, softmax"):
        attack_features(torch.zeros(2, 2), "probabilities")
    with pytest.raises(ValueError, match=r"^unknown attack model 'svm'; expected one of: logistic, mlp$"):
        fit_attack(torch.zeros(2, 2).numpy(), torch.zeros(2, 2).numpy(), "svm")


# The attack on a model


@pytest.mark.parametrize(("features", "attack_model"), [("sorted_softmax", "logistic"), ("softmax", "mlp")])
def test_the_attack_finds_what_a_model_knows_by_heart_and_not_what_it_never_saw(
    model: Any, features: str, attack_model: str
) -> None:
    odd = torch.arange(1, 80, 2)
    targets = {"held_out": SEEN.select(odd), "never": noise(120, 3), "unseen": NOISE.test.select(torch.arange(40, 240))}
    members, others = SEEN.select(odd - 1), NOISE.test.first(40)
    rates = membership_inference(model, members, others, targets, 0, features, attack_model)
    assert rates["held_out"] > 90
    assert rates["unseen"] < 30
    assert abs(rates["never"] - rates["unseen"]) < 15
    assert list(rates) == list(targets)


def test_every_set_is_put_through_the_model_and_keeps_its_labels(model: Any) -> None:
    sets = AttackSets(SEEN.first(30), NOISE.test.first(25), {"a": noise(7, 5), "b": noise(9, 6)})
    said = attack_outputs(model, sets)

    def by_hand(images: ImageData) -> Tensor:
        found: Tensor = model(images.normalise(images.images)).detach()
        return found

    torch.testing.assert_close(said.members, by_hand(sets.members))
    torch.testing.assert_close(said.non_members, by_hand(sets.non_members))
    assert set(said.targets) == set(said.labels) == {"a", "b"}
    for name, images in sets.targets.items():
        torch.testing.assert_close(said.targets[name], by_hand(images))
        assert torch.equal(said.labels[name], images.labels)


def test_outputs_are_full_float32_also_where_the_processor_has_bfloat16(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_cpu_has_bfloat16", lambda: True)
    assert devices.resolve_precision("auto", torch.device("cpu")) == "bfloat16"
    found = attacks.outputs(model, SEEN)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, model(SEEN.normalise(SEEN.images)).detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("chosen", [{}, {"seed": 2, "features": "sorted_softmax", "attack_model": "mlp"}])
def test_the_attack_on_a_model_is_the_attack_on_its_outputs(model: Any, chosen: dict[str, Any]) -> None:
    members, others, target = SEEN.first(45), noise(30, 4), {"x": noise(50, 5), "y": SEEN.select(torch.arange(45, 80))}
    found = membership_inference(model, members, others, target, **chosen)
    said = {name: attacks.outputs(model, images) for name, images in target.items()}
    plain = {"seed": 0, "features": "softmax", "attack_model": "logistic"} | chosen
    assert found == member_rates(attacks.outputs(model, members), attacks.outputs(model, others), said, **plain)


def test_overlapping_and_small_sets_are_refused() -> None:
    images = image_data(120)
    judge: Any = ByHeart(images)
    members, others, target, _ = [images.select(torch.arange(start, start + 30)) for start in (0, 30, 60, 90)]
    membership_inference(judge, members, others, {"x": target})
    with pytest.raises(ValueError, match=r"30 images are among the members and the non-members"):
        membership_inference(judge, members, members, {"x": target})
    for name, known in (("members", members), ("non-members", others)):
        mixed = images.select(torch.cat([torch.arange(60, 70), torch.arange(3) + (0 if known is members else 30)]))
        with pytest.raises(ValueError, match=rf"3 images of the target 'x' are among the {name} that train"):
            membership_inference(judge, members, others, {"x": mixed})
    with pytest.raises(ValueError, match=r"the target 'x' is empty"):
        membership_inference(judge, members, others, {"x": images.select(torch.arange(0))})
    with pytest.raises(ValueError, match=r"are 19 members and 30 non-members .* expected at least 20 of each"):
        membership_inference(judge, members.first(19), others, {"x": target})


def test_the_same_pixels_under_another_label_are_another_image() -> None:
    images = image_data(60)
    judge: Any = ByHeart(images)
    members, others = images.first(30), images.select(torch.arange(30, 60))
    renamed = replace(members, labels=(members.labels + 1) % 3)
    assert set(membership_inference(judge, members, others, {"x": renamed})) == {"x"}


def test_a_model_with_nan_weights_is_refused() -> None:
    broken: Any = ByHeart(SEEN)
    with torch.no_grad():
        broken.weight[0, 0] = torch.nan
    task = forget_samples(NOISE, 20)
    sets = attack_sets(task)
    with pytest.raises(ValueError, match=r"outputs are NaN or infinite for \d+ of \d+ images"):
        membership_inference(broken, sets.members, sets.non_members, sets.targets)
    with pytest.raises(ValueError, match=r"look for NaN in its weights"):
        attack_report(broken, task)


# The report


def said(unseen: int, of_class: int | None = None) -> AttackOutputs:
    """Outputs of an attack's sets, with so many unseen images (of the forgotten class)."""
    sizes = {"forgotten": 24, "held_out": 30, "unseen": unseen}
    if of_class is not None:
        sizes["unseen_of_class"] = of_class
    targets = {name: random(count, seed) for seed, (name, count) in enumerate(sizes.items())}
    targets["forgotten"][:, 0] += 1
    labels = {name: torch.arange(len(of)) % 4 for name, of in targets.items()}
    return AttackOutputs(random(28, 10) + 0.2, random(21, 11), targets, labels)


@pytest.mark.parametrize("of_class", [None, 26])
def test_the_report_holds_every_attack_as_it_would_be_made_alone(of_class: int | None) -> None:
    outs = said(100, of_class)
    report = report_of(outs, seed=2)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert set(report) == {"seed", "counts", "member_rates", "thresholds"}
    assert report["seed"] == 2
    sizes = {name: len(of) for name, of in outs.targets.items()}
    assert report["counts"] == {"members": 28, "non_members": 21, **sizes}
    assert report["member_rates"] == {
        f"{features}, {attack_model}": member_rates(
            outs.members, outs.non_members, outs.targets, 2, features, attack_model
        )
        for features, attack_model in attacks.VARIANTS
    }
    against = {"forgotten": "unseen" if of_class is None else "unseen_of_class", "held_out": "unseen"}
    assert set(report["thresholds"]) == set(THRESHOLDS)
    for score, function in THRESHOLDS.items():
        assert set(report["thresholds"][score]) == set(against)
        for target, other in against.items():
            pair = [function(outs.targets[name], outs.labels[name]).tolist() for name in (target, other)]
            found = report["thresholds"][score][target]
            assert found["auc"] == asdict(auc(*pair))
            rates = {} if len(pair[1]) < 100 else {"0.01": asdict(tpr_at(*pair, 0.01))}
            assert found["tpr_at"] == rates
            assert set(found) == {"auc", "tpr_at"}


@pytest.mark.parametrize(("unseen", "rates"), [(99, []), (100, ["0.01"]), (999, ["0.01"]), (1000, ["0.01", "0.001"])])
def test_a_rate_is_reported_from_the_count_on_that_allows_it(
    unseen: int, rates: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attacks, "VARIANTS", ())
    report = report_of(said(unseen))
    assert report["seed"] == 0
    for scored in report["thresholds"].values():
        assert [list(one["tpr_at"]) for one in scored.values()] == [rates, rates]


@pytest.mark.parametrize("make", [lambda: forget_samples(NOISE, 20, seed=1), lambda: forget_class(NOISE, 1)])
def test_a_models_report_is_of_the_sets_that_the_seed_draws(
    model: Any, make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attacks, "VARIANTS", (("softmax", "logistic"),))
    task = make()
    reports = [report_of(attack_outputs(model, attack_sets(task, seed)), seed) for seed in (0, 2)]
    assert [attack_report(model, task), attack_report(model, task, seed=2)] == reports
    assert reports[0]["member_rates"] != reports[1]["member_rates"]
    scored = reports[0]["thresholds"]["loss"]
    assert scored["forgotten"]["auc"]["value"] > 0.9, "nothing was forgotten"
    assert scored["held_out"]["auc"]["value"] > 0.9
    assert ("unseen_of_class" in reports[0]["counts"]) == (task.kind == "class")


def test_a_report_repeats_and_leaves_the_model_and_torchs_generator_alone(model: Any) -> None:
    task = forget_samples(NOISE, 20, seed=1)
    state, weight = torch.get_rng_state(), model.weight.clone()
    assert attack_report(model, task) == attack_report(model, task)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(weight, model.weight)
    assert not model.training
