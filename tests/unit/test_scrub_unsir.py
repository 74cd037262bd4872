"""SCRUB and UNSIR against torch's own KL, plain steps and what must not move."""

import copy
import math

import pytest
import torch
from torch.nn import functional as F

from cu_helpers.data import Dataset, ForgetTask, forget_class, forget_samples
from cu_helpers.devices import generator
from cu_helpers.models import EmbeddingClassifier
from cu_helpers.training import accuracy
from cu_helpers.unlearning import ScrubSettings, UnsirSettings, unlearn
from cu_helpers.unlearning.scrub import distillation_kl, rewind_choice, rewind_images
from cu_helpers.unlearning.unsir import learn_noise, retained_subset

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def task(digits: Dataset) -> ForgetTask:
    return forget_class(digits, 5)


@pytest.fixture
def model(fitted: EmbeddingClassifier) -> EmbeddingClassifier:
    return fitted


def test_the_kl_is_torchs() -> None:
    draw = torch.Generator().manual_seed(0)
    student, teacher = (3 * torch.randn(6, 5, generator=draw, dtype=torch.float64) for _ in range(2))
    for temperature in (1.0, 4.0):
        expected = temperature**2 * F.kl_div(
            F.log_softmax(student / temperature, dim=1),
            F.softmax(teacher / temperature, dim=1),
            reduction="batchmean",
        )
        assert distillation_kl(student, teacher, temperature).item() == pytest.approx(expected.item(), rel=1e-12)
    assert distillation_kl(student, teacher, 1.0) != distillation_kl(teacher, student, 1.0)
    assert distillation_kl(teacher, teacher, 4.0).abs() < 1e-12


def steps(model: EmbeddingClassifier, task: ForgetTask, settings: ScrubSettings, moving_teacher: bool) -> None:
    """SCRUB's epochs by hand, in place, with whole sets as batches and a teacher that may be shared."""
    teacher = model if moving_teacher else copy.deepcopy(model).eval()
    draw = generator(4, CPU)
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate, momentum=0.9, weight_decay=5e-4)
    for epoch in range(1, settings.max_rounds + 1):
        model.train()
        for images, climbs in ((task.forget, True), (task.retain, False)):
            if climbs and epoch > settings.max_steps:
                continue
            x, y = images.batch(torch.randperm(len(images), generator=draw))
            target = teacher(x).detach()
            logits = model(x)
            kl = F.kl_div((logits / 4).log_softmax(1), (target / 4).softmax(1), reduction="batchmean") * 16
            loss = -kl if climbs else settings.gamma * F.cross_entropy(logits, y) + settings.alpha * kl
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def test_scrub_equals_its_algorithm_and_the_teacher_stays(model: EmbeddingClassifier, task: ForgetTask) -> None:
    settings = ScrubSettings(
        learning_rate=1e-3, alpha=0.5, max_rounds=2, max_steps=1, retain_batch_size=1000, precision="float32"
    )
    ours = unlearn("scrub", model, task, settings, seed=4)

    def distance(moving_teacher: bool) -> float:
        plain = copy.deepcopy(model)
        steps(plain, task, settings, moving_teacher)
        pairs = zip(ours.model.parameters(), plain.parameters(), strict=True)
        return max((a - b).abs().max().item() for a, b in pairs)

    moved = max((a - b).abs().max().item() for a, b in zip(ours.model.parameters(), model.parameters(), strict=True))
    assert distance(moving_teacher=False) < 0.01 * moved
    assert distance(moving_teacher=True) > 0.1 * moved, "a teacher that shares the student's weights must fail"
    assert ours.steps == 3
    assert ours.samples_seen == len(task.forget) + 2 * len(task.retain)
    assert ours.forget_share == 1


def test_scrub_lowers_its_rate_after_the_decay_epochs(
    model: EmbeddingClassifier, task: ForgetTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = torch.optim.SGD.step

    def watched(self: torch.optim.SGD, closure: None = None) -> None:
        rates.append(self.param_groups[0]["lr"])
        step(self, closure)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    settings = ScrubSettings(max_rounds=4, max_steps=0, decay_epochs=(1, 3), retain_batch_size=1000)
    unlearn("scrub", model, task, settings)
    assert rates == pytest.approx([5e-4, 5e-5, 5e-5, 5e-6])


def test_rewind_hands_out_the_checkpoint_it_chose(model: EmbeddingClassifier, digits: Dataset) -> None:
    assert rewind_choice([10.0, 40.0, 70.0], 45.0) == 1
    assert rewind_choice([10.0, 40.0, 50.0], 45.0) == 2, "of equally near ones the last"
    for task in (forget_class(digits, 5), forget_samples(digits, 18, seed=2)):
        settings = ScrubSettings(learning_rate=2e-2, max_rounds=4, max_steps=4, rewind=True, precision="float32")
        errors: list[float] = []
        states = []

        def look(
            net: EmbeddingClassifier, row: dict[str, float], errors: list[float] = errors, task: ForgetTask = task
        ) -> None:
            errors.append(100 - accuracy(net, task.forget))
            states.append(copy.deepcopy(net))  # noqa: B023

        result = unlearn("scrub", model, task, settings, observer=look)
        assert result.stopped_by == "rewind"
        like = rewind_images(task)
        assert (like.labels == 5).all() if task.kind == "class" else len(like) == len(task.validation)
        chosen = rewind_choice(errors[1:], 100 - accuracy(states[-1], like))
        for ours, theirs in zip(result.model.parameters(), states[1 + chosen].parameters(), strict=True):
            assert torch.equal(ours, theirs)


def test_noise_is_hard_for_the_class_and_moves_nothing(model: EmbeddingClassifier) -> None:
    settings = UnsirSettings(noise_size=32, precision="float32")
    net = copy.deepcopy(model)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    noise = learn_noise(net, 5, (3, 8, 8), settings, generator(1, CPU))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    start = torch.randn(32, 3, 8, 8, generator=generator(1, CPU))
    labels = torch.full((32,), 5)

    def objective(images: torch.Tensor) -> tuple[float, float]:
        with torch.no_grad():
            loss = F.cross_entropy(net(images), labels).item()
        return loss, -loss + 0.1 * images.square().sum(dim=(1, 2, 3)).mean().item()

    assert objective(noise)[1] < objective(start)[1]
    # Five times the authors' steps: how far these few get depends on the processor's rounding.
    free = UnsirSettings(noise_size=32, noise_penalty=0.0, noise_steps=5 * settings.noise_steps, precision="float32")
    hard = learn_noise(net, 5, (3, 8, 8), free, generator(1, CPU))
    assert objective(hard)[0] > objective(start)[0] + 0.5


def test_the_subset_has_its_number_of_each_class(task: ForgetTask) -> None:
    rows = retained_subset(task.retain.labels, 4, generator(0, CPU))
    counts = task.retain.labels[rows].bincount(minlength=10).tolist()
    assert counts == [4, 4, 4, 4, 4, 0, 4, 4, 4, 4]
    assert len(set(rows.tolist())) == 36
    assert len(retained_subset(task.retain.labels, 1000, generator(0, CPU))) == len(task.retain)


def test_unsir_impairs_with_labelled_noise_then_repairs(
    model: EmbeddingClassifier, task: ForgetTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[torch.Tensor] = []
    entropy = F.cross_entropy

    def watched(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        shown.append(labels)
        return entropy(logits, labels)

    monkeypatch.setattr(F, "cross_entropy", watched)
    settings = UnsirSettings(noise_size=6, noise_steps=2, noise_copies=3, retain_per_class=4, batch_size=20)
    result = unlearn("unsir", model, task, settings)
    monkeypatch.undo()
    labels = [batch.bincount(minlength=10) for batch in shown[2:]]
    impair = torch.stack(labels[: math.ceil((36 + 18) / 20)]).sum(dim=0)
    repair = torch.stack(labels[math.ceil((36 + 18) / 20) :]).sum(dim=0)
    assert impair.tolist() == [4, 4, 4, 4, 4, 18, 4, 4, 4, 4]
    assert repair.tolist() == [4, 4, 4, 4, 4, 0, 4, 4, 4, 4]
    assert result.steps == 3 + 2
    assert result.samples_seen == 2 * 6 + 54 + 36
    assert result.forget_share == 0, "no forgotten image is looked at"
