"""Unlearning methods against plain loops, exact opposites and known refusals."""

import copy
import inspect
import sys
import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from cu_helpers.checkpoints import fingerprint
from cu_helpers.data import Dataset, ForgetTask, forget_class, forget_samples
from cu_helpers.devices import generator
from cu_helpers.errors import NonFiniteError
from cu_helpers.losses import class_unlearning_loss, sample_unlearning_loss
from cu_helpers.models import EmbeddingClassifier, build_model
from cu_helpers.training import TrainSettings, train
from cu_helpers.unlearning import (
    METHODS,
    BoundaryExpansionSettings,
    BoundaryShrinkSettings,
    ContrastiveQueueSettings,
    ContrastiveSettings,
    FinetuneSettings,
    FisherSettings,
    GradientAscentSettings,
    LcodecSettings,
    LogitMaskSettings,
    NegGradPlusSettings,
    RetrainSettings,
    SalunSettings,
    ScrubSettings,
    SsdSettings,
    Stopping,
    UnlearningResult,
    UnsirSettings,
    unlearn,
)
from cu_helpers.unlearning.contrastive import MINI_IMAGENET_DIM, contrastive, retained_batch, unlearning_loss

NO_RULE = Stopping(rule="none")
SHORT: dict[str, Any] = {
    "contrastive": ContrastiveSettings(batch_size=6, max_rounds=1, omega=2, precision="float32", stopping=NO_RULE),
    "contrastive_queue": ContrastiveQueueSettings(
        queue_size=20, batch_size=6, max_rounds=1, omega=2, precision="float32", stopping=NO_RULE
    ),
    "finetune": FinetuneSettings(batch_size=60, max_rounds=1, precision="float32", stopping=NO_RULE),
    "gradient_ascent": GradientAscentSettings(batch_size=6, max_rounds=1, precision="float32", stopping=NO_RULE),
    "retrain": RetrainSettings(TrainSettings(epochs=1, batch_size=60, precision="float32")),
    "fisher": FisherSettings(max_images=8, directions=1),
    "lcodec": LcodecSettings(perturbations=20, max_units=2, damping=0.5),
    "boundary_shrink": BoundaryShrinkSettings(learning_rate=1e-2, batch_size=6, max_rounds=1, precision="float32"),
    "boundary_expansion": BoundaryExpansionSettings(
        learning_rate=1e-2, batch_size=6, max_rounds=1, precision="float32"
    ),
    "scrub": ScrubSettings(max_rounds=1, max_steps=1, retain_batch_size=60, precision="float32"),
    "unsir": UnsirSettings(noise_size=4, noise_steps=2, noise_copies=2, retain_per_class=4, precision="float32"),
    "logit_mask": LogitMaskSettings(),
    "neggrad_plus": NegGradPlusSettings(batch_size=60, max_rounds=1, precision="float32"),
    "ssd": SsdSettings(batch_size=40, selection=2.0),
    "salun": SalunSettings(batch_size=60, max_rounds=1, precision="float32"),
}
PAIRS = [(method, kind) for method in sorted(METHODS) for kind in METHODS[method].tasks]


@pytest.fixture(scope="module")
def tasks(digits: Dataset) -> dict[str, ForgetTask]:
    return {
        "class": forget_class(digits, 5),
        "samples": forget_samples(digits, 14, seed=1),
        "few": forget_samples(digits, 3, seed=1),
    }


@pytest.fixture(scope="module")
def model() -> EmbeddingClassifier:
    return build_model("resnet18", 10, width=4, seed=3)


def distance(a: torch.nn.Module, b: torch.nn.Module) -> float:
    return max(
        (x.double() - y.double()).abs().max().item()
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def bits(model: torch.nn.Module) -> dict[str, bytes]:
    """Every weight and statistic byte for byte: -0.0 is not 0.0 here, and NaN is equal to itself."""
    return {name: value.detach().numpy().tobytes() for name, value in model.state_dict().items()}


def off_the_clock(result: UnlearningResult) -> tuple[Any, ...]:
    """All of a result but the weights and the seconds."""
    history = [{name: value for name, value in row.items() if name != "seconds"} for row in result.history]
    return history, result.settings, result.steps, result.samples_seen, result.forget_share, result.stopped_by


def test_every_method_and_every_kind_of_task_is_repeated_below() -> None:
    assert set(SHORT) == set(METHODS) == {method for method, _ in PAIRS}
    assert {kind for _, kind in PAIRS} == {"class", "samples"}


@pytest.mark.parametrize(("method", "kind"), PAIRS)
def test_the_input_model_stays_and_a_seed_repeats_bit_for_bit(
    method: str, kind: str, model: EmbeddingClassifier, tasks: dict[str, ForgetTask]
) -> None:
    task = tasks["few" if method == "lcodec" else kind]  # it takes seconds for each image
    before, images = bits(model), fingerprint(task.train)
    first = unlearn(method, model, task, SHORT[method], seed=1)
    torch.manual_seed(99)  # what else was drawn in between plays no part
    drawn = torch.get_rng_state()
    again = unlearn(method, model, task, SHORT[method], seed=1)
    assert torch.equal(torch.get_rng_state(), drawn), "torch's own generator is left alone"
    other = unlearn(method, model, task, SHORT[method], seed=2)
    assert bits(model) == before
    assert fingerprint(task.train) == images
    assert bits(first.model) != before
    assert bits(first.model) == bits(again.model)
    assert off_the_clock(first) == off_the_clock(again)
    assert method == "logit_mask" or bits(first.model) != bits(other.model)
    assert not first.model.training
    assert (first.method, first.settings) == (method, SHORT[method])


def test_contrastive_without_a_seed_takes_zero(model: EmbeddingClassifier, tasks: dict[str, ForgetTask]) -> None:
    plain = contrastive(copy.deepcopy(model), tasks["class"], SHORT["contrastive"]).model
    assert bits(plain) == bits(unlearn("contrastive", model, tasks["class"], SHORT["contrastive"], seed=0).model)


def plain_contrastive(
    model: EmbeddingClassifier, task: ForgetTask, settings: ContrastiveSettings, seed: int, mutant: str = ""
) -> EmbeddingClassifier:
    """Algorithm 1 once more, written from the paper: SGD by hand, one pair of batches a step."""
    net = copy.deepcopy(model).train()
    draw = generator(seed, torch.device("cpu"))
    velocity = [torch.zeros_like(p) for p in net.parameters()]
    for _ in range(settings.max_rounds):
        order = torch.randperm(len(task.forget), generator=draw)
        assert settings.batch_size is not None
        for index in order.split(settings.batch_size):
            for _ in range(settings.omega):
                chosen = torch.randint(len(task.retain), (len(index),), generator=draw)
                (x_u, y_u), (x_r, y_r) = task.forget.batch(index), task.retain.batch(chosen)
                z = net.encode(torch.cat([x_u, x_r]))
                z_u, z_r = z.split(len(index))
                if task.kind == "class":
                    l_ul = class_unlearning_loss(z_u, z_r, settings.temperature)
                else:
                    l_ul = sample_unlearning_loss(z_u, y_u, z_r, y_r, settings.temperature)
                l_ce = F.cross_entropy(net.classify(z_r), y_r)
                sign = -1 if mutant == "climbs" else 1
                weight = 0.0 if mutant == "no cross-entropy" else settings.lambda_ce
                loss = weight * l_ce + sign * settings.lambda_ul * l_ul
                gradients = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
                with torch.no_grad():
                    for p, g, v in zip(net.parameters(), gradients, velocity, strict=True):
                        step = (torch.zeros_like(p) if g is None else g) + settings.weight_decay * p
                        v.mul_(settings.momentum).add_(step)
                        p.sub_(settings.learning_rate * v)
    return net


@pytest.mark.parametrize("kind", ["class", "samples"])
def test_contrastive_equals_a_plain_loop(kind: str, model: EmbeddingClassifier, tasks: dict[str, ForgetTask]) -> None:
    # In double precision: an untrained network amplifies rounding from step to step.
    model = copy.deepcopy(model).double()
    model.backbone.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    settings = replace(SHORT["contrastive"], learning_rate=1e-3)
    ours = unlearn("contrastive", model, tasks[kind], settings, seed=4).model
    assert distance(ours, plain_contrastive(model, tasks[kind], settings, 4)) < 1e-9
    for mutant in ("climbs", "no cross-entropy"):
        assert distance(ours, plain_contrastive(model, tasks[kind], settings, 4, mutant)) > 5e-4, mutant


@pytest.mark.parametrize("kind", ["class", "samples"])
def test_counters_equal_the_formula(kind: str, model: EmbeddingClassifier, tasks: dict[str, ForgetTask]) -> None:
    settings = replace(SHORT["contrastive"], batch_size=4, max_rounds=2, omega=3)
    result = unlearn("contrastive", model, tasks[kind], settings)
    n = len(tasks[kind].forget)
    assert result.steps == 2 * -(-n // 4) * 3
    assert result.samples_seen == 2 * 2 * n * 3
    assert result.forget_share == 1.0
    assert result.stopped_by == "rounds"
    assert [row["round"] for row in result.history] == [1, 2]
    assert {"round", "batch", "steps", "samples_seen", "seconds", "loss"} <= result.history[0].keys()
    assert 0 <= result.check_seconds <= result.seconds


def test_the_rule_is_looked_at_as_often_as_asked(model: EmbeddingClassifier, tasks: dict[str, ForgetTask]) -> None:
    task = tasks["class"]  # an untrained model is no better than a guess on some class; take rule rows only
    settings = replace(SHORT["contrastive"], batch_size=6, stopping=Stopping(check_every=1))
    result = unlearn("contrastive", model, task, settings)
    assert all({"forget_accuracy", "reference_accuracy"} <= row.keys() for row in result.history)
    last = result.history[-1]
    held = last["forget_accuracy"] <= last["reference_accuracy"]
    assert (result.stopped_by == "rule") == held
    assert all(row["forget_accuracy"] > row["reference_accuracy"] for row in result.history[:-1])
    assert all(row["reference_accuracy"] == 10.0 for row in result.history)


def test_a_limit_of_seconds_ends_a_run_after_its_batch(
    model: EmbeddingClassifier, tasks: dict[str, ForgetTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10_000))  # every look at the clock is a second later than the one before
    monkeypatch.setattr("cu_helpers.unlearning.loop.perf_counter", lambda: float(next(clock)))
    settings = replace(SHORT["gradient_ascent"], batch_size=1, stopping=Stopping(rule="none", seconds=4.5))
    result = unlearn("gradient_ascent", model, tasks["class"], settings)
    assert (result.stopped_by, result.steps) == ("seconds", 5)
    assert result.history[-1]["steps"] == 5
    with pytest.raises(ValueError, match="Stopping: seconds is 0"):
        Stopping(seconds=0)


def test_gradient_ascent_is_exactly_minus_descent(model: EmbeddingClassifier, tasks: dict[str, ForgetTask]) -> None:
    task = tasks["samples"]
    settings = replace(SHORT["gradient_ascent"], momentum=0.0, batch_size=14, learning_rate=0.1)
    climbed = unlearn("gradient_ascent", model, task, settings).model
    descended = copy.deepcopy(model).train()
    index = torch.randperm(14, generator=generator(0, torch.device("cpu")))
    x, y = task.forget.batch(index)
    F.cross_entropy(descended(x), y).backward()  # type: ignore[no-untyped-call]
    for up, start in zip(climbed.parameters(), descended.parameters(), strict=True):
        assert start.grad is not None
        assert torch.allclose(up - start, 0.1 * start.grad, atol=1e-6)


def test_finetune_takes_a_plain_step_on_retained_images(
    model: EmbeddingClassifier, tasks: dict[str, ForgetTask]
) -> None:
    task = tasks["class"]
    size = len(task.retain)
    settings = FinetuneSettings(
        learning_rate=0.1, momentum=0.0, weight_decay=0.0, batch_size=size, max_rounds=1, precision="float32"
    )
    tuned = unlearn("finetune", model, task, replace(settings, stopping=NO_RULE))
    plain = copy.deepcopy(model).train()
    x, y = task.retain.batch(torch.randperm(size, generator=generator(0, torch.device("cpu"))))
    F.cross_entropy(plain(x), y).backward()  # type: ignore[no-untyped-call]
    for after, start in zip(tuned.model.parameters(), plain.parameters(), strict=True):
        assert start.grad is not None
        assert torch.allclose(after, start - 0.1 * start.grad, atol=1e-5)
    assert tuned.steps == 1
    assert tuned.samples_seen == size
    assert tuned.forget_share == 0


def test_retrain_is_training_anew(model: EmbeddingClassifier, tasks: dict[str, ForgetTask]) -> None:
    task, settings = tasks["class"], SHORT["retrain"]
    ours = unlearn("retrain", model, task, settings, seed=7)
    fresh = train(build_model("resnet18", 10, width=4, seed=7), task.retain, settings.training, 7)
    assert distance(ours.model, fresh) == 0
    other = build_model("resnet18", 10, width=4, seed=99)
    assert distance(unlearn("retrain", other, task, settings, seed=7).model, fresh) == 0, "input weights play no part"
    assert ours.steps == -(-len(task.retain) // 60)
    assert ours.stopped_by == "finished"


def test_first_takes_the_first_rows(tasks: dict[str, ForgetTask]) -> None:
    retain, draw = tasks["class"].retain, generator(0, torch.device("cpu"))
    first = replace(SHORT["contrastive"], retained="first")
    for repeat in (0, 1):
        _, labels = retained_batch(retain, 8, repeat, first, draw)
        assert torch.equal(labels, retain.labels[8 * repeat : 8 * repeat + 8])
    _, labels = retained_batch(retain, 100, 1, first, draw)
    assert torch.equal(labels, retain.labels[torch.arange(100, 200) % len(retain)])
    many = [retained_batch(retain, 50, 0, SHORT["contrastive"], draw)[1] for _ in range(2)]
    assert not torch.equal(*many)


def test_controls_switch_what_they_name(model: EmbeddingClassifier, tasks: dict[str, ForgetTask]) -> None:
    draw = torch.Generator().manual_seed(0)
    z = F.normalize(torch.randn(10, 6, generator=draw), dim=1).requires_grad_()
    y = torch.arange(10) % 3
    for name in ("detach_retained", "clamp_embeddings"):
        settings = replace(SHORT["contrastive"], **{name: True})
        (gradient,) = torch.autograd.grad(unlearning_loss(z[:4], y[:4], z[4:], y[4:], "samples", settings), z)
        if name == "detach_retained":
            assert gradient[:4].abs().sum() > 0
            assert gradient[4:].abs().sum() == 0
        else:
            assert (gradient[z < 0] == 0).all()
    frozen = unlearn("contrastive", model, tasks["class"], replace(SHORT["contrastive"], freeze_batch_norm=True)).model
    live = unlearn("contrastive", model, tasks["class"], SHORT["contrastive"]).model
    running = [name for name in model.state_dict() if "running_mean" in name]
    assert running
    assert all(torch.equal(frozen.state_dict()[name], model.state_dict()[name]) for name in running)
    assert not all(torch.equal(live.state_dict()[name], model.state_dict()[name]) for name in running)


@pytest.mark.parametrize("temperature", [0.1, 0.7, 5.0])
def test_the_settings_reach_the_loss(temperature: float) -> None:
    draw = torch.Generator().manual_seed(2)
    z = F.normalize(torch.randn(12, 6, generator=draw), dim=1)
    y = torch.arange(12) % 3  # a retained image of each anchor's class, so that Eqs. 5 and 6 differ
    batch = (z[:5], y[:5], z[5:], y[5:])
    for push_weight in ("paper", "released"):
        settings = replace(SHORT["contrastive"], temperature=temperature, push_weight=push_weight)
        expected = sample_unlearning_loss(*batch, temperature, push_weight=push_weight)
        assert torch.equal(unlearning_loss(*batch, "samples", settings), expected)
        assert torch.equal(
            unlearning_loss(*batch, "class", settings), class_unlearning_loss(batch[0], batch[2], temperature)
        )


def test_each_forget_batch_meets_omega_different_retained_batches(
    model: EmbeddingClassifier, tasks: dict[str, ForgetTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def look(retain: Any, size: int, repeat: int, *rest: Any) -> Any:
        asked.append((size, repeat))
        return retained_batch(retain, size, repeat, *rest)

    # The package has a function of the module's name.
    monkeypatch.setattr(sys.modules["cu_helpers.unlearning.contrastive"], "retained_batch", look)
    settings = replace(SHORT["contrastive"], batch_size=8, omega=3, retained="first")
    unlearn("contrastive", model, tasks["samples"], settings)  # of 14 images
    assert asked == [(8, 0), (8, 1), (8, 2), (6, 0), (6, 1), (6, 2)]


def test_the_precision_of_the_settings_is_used(model: EmbeddingClassifier, tasks: dict[str, ForgetTask]) -> None:
    made = [
        unlearn("contrastive", model, tasks["class"], replace(SHORT["contrastive"], omega=1, precision=precision)).model
        for precision in ("float32", "bfloat16")
    ]
    assert 0 < distance(*made) < 1, "the same run but for rounding"


def test_every_method_starts_from_seed_zero() -> None:
    defaults = {name: inspect.signature(method.function).parameters["seed"].default for name, method in METHODS.items()}
    assert defaults == dict.fromkeys(METHODS, 0)


def test_released_is_the_released_code() -> None:
    released = ContrastiveSettings.released(omega=2)
    assert (released.retained, released.push_weight, released.weight_decay) == ("first", "released", 0.0)
    assert released.clamp_embeddings
    assert released.stopping.data == "test"
    assert released.omega == 2


@pytest.mark.parametrize(
    ("model", "batch_size", "learning_rate", "feature_dim"),
    [
        ("resnet18", 256, 1e-3, 256),
        ("resnet34", 128, 1e-3, 256),
        ("resnet50", 128, 1e-4, 512),
        ("resnet101", 128, 1e-4, 512),
    ],
)
def test_table_seven_row_by_row(model: str, batch_size: int, learning_rate: float, feature_dim: int) -> None:
    settings = ContrastiveSettings.mini_imagenet(model)
    assert settings == ContrastiveSettings(batch_size=batch_size, learning_rate=learning_rate)
    assert MINI_IMAGENET_DIM[model] == feature_dim
    assert ContrastiveSettings.mini_imagenet(model, batch_size=7).batch_size == 7
    with pytest.raises(
        ValueError, match=r"^unknown model with settings in Table 7 'vit_small'; expected one of: resnet101"
    ):
        ContrastiveSettings.mini_imagenet("vit_small")


def test_an_observer_looks_first_and_off_the_clock(model: EmbeddingClassifier, tasks: dict[str, ForgetTask]) -> None:
    seen: list[float] = []

    def slow(net: EmbeddingClassifier, row: dict[str, float]) -> None:
        if not seen:
            assert distance(net, model) == 0
        seen.append(row["steps"])
        time.sleep(0.5)

    began = time.perf_counter()
    result = unlearn("contrastive", model, tasks["class"], SHORT["contrastive"], observer=slow)
    elapsed = time.perf_counter() - began
    assert seen[0] == 0
    assert seen[-1] == result.steps
    assert result.seconds <= elapsed - 0.5 * len(seen) + 0.05


@pytest.mark.parametrize("method", [name for name in sorted(METHODS) if name not in ("logit_mask", "retrain")])
def test_a_loss_that_is_not_finite_is_told_at_the_check(method: str, tasks: dict[str, ForgetTask]) -> None:
    broken = build_model("resnet18", 10, width=4, seed=0)
    with torch.no_grad():
        broken.head.weight.fill_(torch.nan)
    message = rf"{method}: the loss is nan by round 1.*learning_rate"
    if method == "fisher":
        message = "fisher: the model's logits are not finite; look for NaN"
    if method == "ssd":
        message = "ssd: a gradient is not finite; look for NaN"
    if method == "lcodec":
        message = r"lcodec: .* by round 1.*a larger damping"
    with pytest.raises(NonFiniteError, match=message):
        unlearn(method, broken, tasks[METHODS[method].tasks[0]], SHORT[method])


def test_the_last_good_weights_stay_in_hand(model: EmbeddingClassifier, tasks: dict[str, ForgetTask]) -> None:
    checks: list[EmbeddingClassifier] = []

    def look(net: EmbeddingClassifier, row: dict[str, float]) -> None:
        checks.append(copy.deepcopy(net))
        if row["round"] == 2:  # what a step too large does, as late as that
            with torch.no_grad():
                net.head.bias.fill_(torch.inf)

    settings = replace(SHORT["gradient_ascent"], max_rounds=4)
    with pytest.raises(NonFiniteError, match=r"gradient_ascent: .* by round 3, batch 3; lower learning_rate") as told:
        unlearn("gradient_ascent", model, tasks["class"], settings, observer=look)
    kept = told.value.model
    assert isinstance(kept, EmbeddingClassifier)
    assert distance(kept, checks[-1]) == 0
    assert distance(kept, model) > 0
    hot = RetrainSettings(TrainSettings(epochs=3, batch_size=60, learning_rate=1e30, precision="float32"))
    with pytest.raises(NonFiniteError, match=r"retrain: training loss is .*learning_rate") as told:
        unlearn("retrain", model, tasks["class"], hot)
    assert isinstance(told.value.model, EmbeddingClassifier)
    assert distance(told.value.model, model) == 0


@pytest.mark.parametrize(
    ("method", "kind"), [(m, k) for m in METHODS for k in ("class", "samples") if k not in METHODS[m].tasks]
)
def test_an_unsuited_task_is_refused(
    method: str, kind: str, model: EmbeddingClassifier, tasks: dict[str, ForgetTask]
) -> None:
    with pytest.raises(ValueError, match=f"{method} forgets a [a-z]+; the task is to forget {kind}"):
        unlearn(method, model, tasks[kind])


def test_bad_input_is_told_in_one_sentence(model: EmbeddingClassifier, tasks: dict[str, ForgetTask]) -> None:
    task = tasks["class"]
    with pytest.raises(ValueError, match=r"unknown unlearning method 'forgetting'; expected one of: .*contrastive"):
        unlearn("forgetting", model, task)
    with pytest.raises(TypeError, match="settings are FinetuneSettings; contrastive expects ContrastiveSettings"):
        unlearn("contrastive", model, task, FinetuneSettings())
    for name in ("forget", "retain"):
        empty = replace(task, **{name: getattr(task, name).first(0)})
        with pytest.raises(ValueError, match=f"the task's {name} set is empty"):
            unlearn("contrastive", model, empty)
    with pytest.raises(ValueError, match="the model has 7 classes and the task 10"):
        unlearn("contrastive", build_model("resnet18", 7, width=4, seed=0), task)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"temperature": 1e-4}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"lambda_ul": -1.0}, "lambda_ul is -1.0; expected 0 or more"),
        ({"omega": 0}, "omega is 0; expected a finite number above 0"),
        ({"learning_rate": float("inf")}, "learning_rate is inf"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"retained": "last"}, "unknown way to draw retained batches 'last'"),
        ({"push_weight": "double"}, "unknown push weight"),
    ],
)
def test_settings_refuse_what_makes_no_sense(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContrastiveSettings(**wrong)


@pytest.mark.parametrize(
    ("make", "wrong", "message"),
    [
        (FinetuneSettings, {"max_rounds": 0}, "FinetuneSettings: max_rounds is 0; expected a finite number above 0"),
        (GradientAscentSettings, {"max_rounds": 0}, "GradientAscentSettings: max_rounds is 0"),
        (GradientAscentSettings, {"momentum": -1}, "momentum is -1; expected 0 or more"),
        (BoundaryShrinkSettings, {"epsilon": 0.0}, "BoundaryShrinkSettings: epsilon is 0.0"),
        (BoundaryExpansionSettings, {"learning_rate": float("nan")}, "BoundaryExpansionSettings: learning_rate is nan"),
        (ScrubSettings, {"temperature": 0}, "ScrubSettings: temperature is 0"),
        (ScrubSettings, {"alpha": -0.1}, "ScrubSettings: alpha is -0.1; expected 0 or more"),
        (UnsirSettings, {"noise_copies": 0}, "UnsirSettings: noise_copies is 0"),
        (FisherSettings, {"alpha": -1e-6}, "FisherSettings: alpha is -1e-06"),
        (FisherSettings, {"directions": 0}, "FisherSettings: directions is 0"),
        (NegGradPlusSettings, {"retain_weight": 1.5}, "NegGradPlusSettings: retain_weight is 1.5; expected a share"),
        (SalunSettings, {"kept_share": 0.0}, "SalunSettings: kept_share is 0.0; expected a share"),
        (SsdSettings, {"selection": 0.0}, "SsdSettings: selection is 0.0"),
        (LcodecSettings, {"damping": 0.0}, "LcodecSettings: damping is 0.0"),
    ],
)
def test_other_settings_refuse_too(make: Any, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**wrong)


def test_stopping_refuses_too() -> None:
    with pytest.raises(ValueError, match="unknown stop rule"):
        Stopping(rule="never")
    with pytest.raises(ValueError, match="unknown set to stop on"):
        Stopping(data="training")
    with pytest.raises(ValueError, match="check_every is 0"):
        Stopping(check_every=0)
