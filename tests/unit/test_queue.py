"""The key queue against a deque, the key encoder against its closed form, the method against a plain loop."""

import copy
from collections import deque
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import CPU, unit_rows
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cu_helpers.data import Dataset, ForgetTask, forget_class, forget_samples
from cu_helpers.devices import generator
from cu_helpers.losses import queue_unlearning_loss
from cu_helpers.models import EmbeddingClassifier, build_model
from cu_helpers.profiles import get_profile
from cu_helpers.unlearning import ContrastiveQueueSettings, Stopping, unlearn
from cu_helpers.unlearning.contrastive_queue import full_queue
from cu_helpers.unlearning.queue import KeyQueue, key_encoder, momentum_update

SETTINGS = ContrastiveQueueSettings(
    learning_rate=1e-3,
    queue_size=40,
    key_momentum=0.5,
    batch_size=6,
    max_rounds=1,
    omega=2,
    precision="float32",
    stopping=Stopping(rule="none"),
)


@pytest.fixture(scope="module")
def tasks(digits: Dataset) -> dict[str, ForgetTask]:
    return {"class": forget_class(digits, 5), "samples": forget_samples(digits, 14, seed=1)}


@pytest.fixture(scope="module")
def model() -> EmbeddingClassifier:
    return build_model("resnet18", 10, width=4, seed=3)


# The queue


def key_of(number: int) -> list[float]:
    """A key that no other number has, and from which its label can be read."""
    return [float(number), float(number % 7), -float(number)]


def label_of(number: int) -> int:
    return number % 7


actions = st.lists(st.tuples(st.sampled_from(["enqueue", "dequeue"]), st.integers(0, 9)), max_size=40)


def replay(queue: KeyQueue, sequence: list[tuple[str, int]]) -> None:
    """Do the same to `queue` and to a deque, and compare after each step."""
    plain: deque[int] = deque(maxlen=queue.size)
    handed: list[tuple[Tensor, Tensor, list[int]]] = []
    number = 0
    for action, count in sequence:
        if action == "enqueue":
            entered = list(range(number, number + min(count, queue.size)))
            number += len(entered)
            queue.enqueue(
                torch.tensor([key_of(n) for n in entered]).reshape(-1, 3),
                torch.tensor([label_of(n) for n in entered], dtype=torch.int64),
            )
            plain.extend(entered)
        else:
            count = min(count, len(plain))
            queue.dequeue(count)
            for _ in range(count):
                plain.popleft()
        assert len(queue) == len(plain)
        handed.append((*queue.contents(), list(plain)))
    # Also what was handed out long ago still says what it said then.
    for z, y, numbers in handed:
        assert z.tolist() == [key_of(n) for n in numbers]
        assert y.tolist() == [label_of(n) for n in numbers]


@given(st.integers(1, 8), actions)
def test_the_queue_is_a_deque_and_every_key_keeps_its_label(size: int, sequence: list[tuple[str, int]]) -> None:
    replay(KeyQueue(size, 3, CPU), sequence)


class LabelsOneBehind(KeyQueue):
    """A mistake: labels are written one place further than their keys."""

    def enqueue(self, z: Tensor, y: Tensor) -> None:
        super().enqueue(z, y)
        self._y = self._y.roll(1)


class NewestOverwritten(KeyQueue):
    """A mistake: a full queue drops its newest keys."""

    def dequeue(self, count: int) -> None:
        self._count -= count


class HandsOutItself(KeyQueue):
    """A mistake: what is handed out is the ring's own memory, which later keys overwrite."""

    def contents(self) -> tuple[Tensor, Tensor]:
        return self._z[: len(self)], self._y[: len(self)]


@pytest.mark.parametrize("wrong", [LabelsOneBehind, NewestOverwritten, HandsOutItself])
def test_the_comparison_catches_the_mistake(wrong: type[KeyQueue]) -> None:
    sequence = [("enqueue", 3)] * 4
    replay(KeyQueue(5, 3, CPU), sequence)
    with pytest.raises(AssertionError):
        replay(wrong(5, 3, CPU), sequence)


def test_an_anchor_is_compared_with_the_newest_keys_only() -> None:
    """A key that has left no longer pulls: the loss is that of the last keys alone, in any order."""
    queue = KeyQueue(6, 4, CPU)
    z, y = unit_rows(15, 4, 0, torch.float32), torch.arange(15) % 3
    for start in (0, 5, 10):
        queue.enqueue(z[start : start + 5], y[start : start + 5])
    anchors, labels = unit_rows(3, 4, 1, torch.float32), torch.arange(3)
    found = queue_unlearning_loss(anchors, labels, *queue.contents())
    shuffled = torch.tensor([14, 9, 11, 13, 10, 12])
    assert found.item() == pytest.approx(queue_unlearning_loss(anchors, labels, z[shuffled], y[shuffled]).item())


def test_keys_carry_no_gradient_and_may_change_before_the_backward_pass() -> None:
    queue = KeyQueue(4, 3, CPU)
    z = unit_rows(4, 3, 0, torch.float32).requires_grad_()
    queue.enqueue(z, torch.arange(4))
    keys, labels = queue.contents()
    assert not keys.requires_grad
    anchor = unit_rows(1, 3, 1, torch.float32).requires_grad_()
    loss = queue_unlearning_loss(anchor, torch.tensor([0]), keys, labels)
    queue.enqueue(z, torch.arange(4))
    loss.backward()  # type: ignore[no-untyped-call]
    assert anchor.grad is not None
    assert z.grad is None


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda q: q.enqueue(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64)), r"of shape \(2, 4\); .*\(n, 3\)"),
        (lambda q: q.enqueue(torch.zeros(3), torch.zeros(3, dtype=torch.int64)), r"of shape \(3,\)"),
        (lambda q: q.enqueue(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2)), r"keys are torch.int64"),
        (lambda q: q.enqueue(torch.zeros(2, 3), torch.zeros(1, dtype=torch.int64)), r"expected whole .* of shape \(2,"),
        (lambda q: q.enqueue(torch.zeros(2, 3), torch.zeros(2)), r"labels are torch.float32"),
        (
            lambda q: q.enqueue(torch.zeros(6, 3), torch.zeros(6, dtype=torch.int64)),
            "6 keys were to enter a queue of 5; take smaller batches or a longer queue",
        ),
        (lambda q: q.dequeue(1), "1 keys were to leave a queue that holds 0; expected 0 to 0"),
        (lambda q: q.dequeue(-1), "-1 keys were to leave"),
        (lambda q: KeyQueue(0, 3, CPU), "a queue of 0 keys of length 3 was asked for; expected at least 1"),
        (lambda q: KeyQueue(3, 0, CPU), "a queue of 3 keys of length 0"),
    ],
)
def test_the_queue_refuses_what_does_not_fit(act: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        act(KeyQueue(5, 3, CPU))


# The key encoder


def drawn_again(model: EmbeddingClassifier, seed: int) -> EmbeddingClassifier:
    """The same architecture with every weight and every statistic drawn anew, in float64."""
    draw = generator(seed, CPU)
    other = copy.deepcopy(model).double()
    with torch.no_grad():
        for value in other.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=draw, dtype=value.dtype))
            else:
                value.fill_(100 + seed)
    return other


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.999, 1.0])
def test_weights_and_statistics_are_the_closed_form_moving_average(model: EmbeddingClassifier, momentum: float) -> None:
    queries = [drawn_again(model, seed) for seed in range(6)]
    key = key_encoder(queries[0])
    library = AveragedModel(queries[0], multi_avg_fn=get_ema_multi_avg_fn(momentum), use_buffers=True)
    library.update_parameters(queries[0])  # torch copies the first one
    for query in queries[1:]:
        momentum_update(key, query, momentum)
        library.update_parameters(query)
    states = [query.state_dict() for query in queries]
    for name, value in key.state_dict().items():
        if not value.is_floating_point():
            assert torch.equal(value, states[-1][name]), "a count of batches is copied"
            continue
        expected = momentum**5 * states[0][name]
        for step in range(1, 6):
            expected = expected + (1 - momentum) * momentum ** (5 - step) * states[step][name]
        assert torch.allclose(value, expected, rtol=1e-12, atol=1e-12), name
    for ours, theirs in zip(key.parameters(), library.module.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_key_depends_on_its_image_alone_and_moves_no_statistic(
    model: EmbeddingClassifier, tasks: dict[str, ForgetTask]
) -> None:
    key = key_encoder(copy.deepcopy(model).train())
    before = {name: value.clone() for name, value in key.state_dict().items()}
    x, _ = tasks["class"].retain.batch(torch.arange(8))
    with torch.no_grad():
        together = key.encode(x)
        alone = torch.cat([key.encode(image[None]) for image in x])
        mixed = copy.deepcopy(model).train().encode(x)
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(together, mixed, atol=1e-2), "with statistics of the batch it would depend on company"
    assert all(torch.equal(value, before[name]) for name, value in key.state_dict().items())
    assert not any(p.requires_grad for p in key.parameters())
    assert not any(module.training for module in key.modules())


# The method


def plain_queue(
    model: EmbeddingClassifier, task: ForgetTask, settings: ContrastiveQueueSettings, seed: int, mutant: str = ""
) -> EmbeddingClassifier:
    """Appendix D.7 once more: a list as the queue, SGD and the moving average by hand."""
    net, key = copy.deepcopy(model).train(), copy.deepcopy(model).eval()
    draw = generator(seed, CPU)
    first = torch.randperm(len(task.retain), generator=draw)[: settings.queue_size]
    x, y = task.retain.batch(first)
    with torch.no_grad():
        queue = list(zip(key.encode(x), y, strict=True))
    velocity = [torch.zeros_like(p) for p in net.parameters()]
    assert settings.batch_size is not None
    for index in torch.randperm(len(task.forget), generator=draw).split(settings.batch_size):
        for _ in range(settings.omega):
            chosen = torch.randint(len(task.retain), (len(index),), generator=draw)
            (x_u, y_u), (x_r, y_r) = task.forget.batch(index), task.retain.batch(chosen)
            with torch.no_grad():
                queue = (queue + list(zip(key.encode(x_r), y_r, strict=True)))[-settings.queue_size :]
            z = net.encode(torch.cat([x_u, x_r]))
            keys, labels = torch.stack([k for k, _ in queue]), torch.stack([label for _, label in queue])
            if mutant == "labels turned":
                labels = labels.flip(0)
            if mutant == "no queue":
                keys, labels = z[len(index) :].detach(), y_r
            l_ul = queue_unlearning_loss(z[: len(index)], y_u, keys, labels, settings.temperature)
            l_ce = F.cross_entropy(net.classify(z[len(index) :]), y_r)
            gradients = torch.autograd.grad(
                settings.lambda_ce * l_ce + settings.lambda_ul * l_ul, list(net.parameters())
            )
            with torch.no_grad():
                for p, g, v in zip(net.parameters(), gradients, velocity, strict=True):
                    v.mul_(settings.momentum).add_(g + settings.weight_decay * p)
                    p.sub_(settings.learning_rate * v)
                m = 1.0 if mutant == "frozen key encoder" else settings.key_momentum
                for name, value in key.state_dict().items():
                    if value.is_floating_point():
                        value.copy_(m * value + (1 - m) * net.state_dict()[name])
    return net


def distance(a: torch.nn.Module, b: torch.nn.Module) -> float:
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return max((x - y).abs().max().item() for x, y in pairs)


@pytest.mark.parametrize("kind", ["class", "samples"])
def test_the_method_equals_a_plain_loop(kind: str, model: EmbeddingClassifier, tasks: dict[str, ForgetTask]) -> None:
    settings = replace(SETTINGS, learning_rate=3e-3)
    result = unlearn("contrastive_queue", model, tasks[kind], settings, seed=4)
    assert distance(result.model, plain_queue(model, tasks[kind], settings, 4)) < 5e-5
    # In a class task no key has an anchor's label, so that turned labels change nothing there.
    mutants = ("labels turned", "no queue", "frozen key encoder") if kind == "samples" else ("no queue",)
    for mutant in mutants:
        assert distance(result.model, plain_queue(model, tasks[kind], settings, 4, mutant)) > 1e-4, mutant
    n, batches = len(tasks[kind].forget), -(-len(tasks[kind].forget) // 6)
    assert result.steps == batches * 2
    assert result.samples_seen == 40 + 3 * n * 2, "the first keys, and each retained image through both encoders"


def test_the_queue_starts_with_different_retained_images_and_their_labels(
    model: EmbeddingClassifier, tasks: dict[str, ForgetTask]
) -> None:
    task = tasks["samples"]
    queue = full_queue(key_encoder(model), task, SETTINGS, generator(0, CPU))
    keys, labels = queue.contents()
    x, y = task.retain.batch(torch.arange(len(task.retain)))
    with torch.no_grad():
        of_image = copy.deepcopy(model).eval().encode(x)
    found = torch.cdist(keys, of_image).argmin(dim=1)
    assert len(queue) == 40
    assert len(set(found.tolist())) == 40
    assert torch.equal(labels, y[found])


def test_a_queue_longer_than_what_is_retained_is_refused(
    model: EmbeddingClassifier, tasks: dict[str, ForgetTask]
) -> None:
    with pytest.raises(ValueError, match="queue_size is 2000 and 162 images are retained; expected no more places"):
        unlearn("contrastive_queue", model, tasks["class"])
    with pytest.raises(ValueError, match="6 keys were to enter a queue of 4; take smaller batches or a longer queue"):
        unlearn("contrastive_queue", model, tasks["class"], replace(SETTINGS, queue_size=4))


@pytest.mark.parametrize("name", ["smoke", "laptop"])
def test_the_digits_have_room_for_their_queue(name: str, digits: Dataset) -> None:
    profile = get_profile(name, "digits")
    for kind, retained in (("class", 162), ("samples", 144)):
        assert profile.settings("contrastive_queue", kind).queue_size <= retained


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"queue_size": 0}, "ContrastiveQueueSettings: queue_size is 0; expected a finite number above 0"),
        ({"key_momentum": 1.5}, "ContrastiveQueueSettings: key_momentum is 1.5; expected a number from 0 to 1"),
        ({"key_momentum": float("nan")}, "key_momentum is nan"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"lambda_ul": -1.0}, "lambda_ul is -1.0; expected 0 or more"),
        ({"omega": 0}, "omega is 0"),
    ],
)
def test_settings_refuse_what_makes_no_sense(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContrastiveQueueSettings(**wrong)
