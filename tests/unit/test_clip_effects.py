"""Side effects against loops and known cases; Table 13 and the presets against their records."""

from pathlib import Path
from typing import Any

import pytest
import torch
from clip_helpers import NAMES, dataset, task, tiny_clip
from torch.nn import functional as F

from cu_helpers import clip
from cu_helpers.clip import (
    ZeroShotClip,
    class_groups,
    effects,
    effects_table,
    method_settings,
    neighbours,
    retrieval_precision,
    table_13,
    train_settings,
    without_bystanders,
    wordings,
)
from cu_helpers.comparison import NONE_RECORDED
from cu_helpers.data import forget_samples
from cu_helpers.inference import embed, predict_logits
from cu_helpers.profiles import get_profile
from cu_helpers.results import record
from cu_helpers.tuning import best

TASK = task()


class PlantedTexts(ZeroShotClip):
    """A CLIP whose class embeddings are given."""

    def __init__(self, z: torch.Tensor) -> None:
        super().__init__(tiny_clip().net, wordings(tuple(f"class {n}" for n in range(len(z))))["prompt"])
        self.planted = z

    def class_embeddings(self) -> torch.Tensor:
        return self.planted


def angles(*degrees: float) -> torch.Tensor:
    at = torch.tensor(degrees).deg2rad()
    return torch.stack([at.cos(), at.sin()], dim=1)


def test_neighbours_are_ordered_by_their_texts() -> None:
    model = PlantedTexts(angles(0, 100, 10, 50, -20))
    assert neighbours(model, 0) == [2, 4, 3, 1]
    assert neighbours(model, 1) == [3, 2, 0, 4]
    groups = class_groups(model, 0)
    assert groups == {"neighbours": [2, 4], "others": [3, 1], "near bystander": [2], "far bystander": [1]}


def test_of_many_classes_a_tenth_are_neighbours() -> None:
    groups = class_groups(PlantedTexts(angles(*[3.0 * n for n in range(40)])), 0)
    assert groups["neighbours"] == [1, 2, 3, 4]
    assert len(groups["others"]) == 35


def test_image_search_is_a_loops() -> None:
    draw = torch.Generator().manual_seed(0)
    z = F.normalize(torch.randn(40, 3, generator=draw), dim=1)
    labels = torch.arange(40) % 3
    for label, count in ((0, 10), (1, 4), (2, 30)):
        members = [i for i in range(40) if labels[i] == label]
        shares = []
        for i in members:
            order = sorted((j for j in range(40) if j != i), key=lambda j, i=i: -float(z[i] @ z[j]))
            found = order[: min(count, len(members) - 1)]
            shares.append(sum(int(labels[j]) == label for j in found) / len(found))
        assert retrieval_precision(z, labels, label, count) == pytest.approx(100 * sum(shares) / len(shares))


def test_image_search_knows_a_tight_class_and_a_class_alone() -> None:
    z = F.normalize(torch.tensor([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 15), dim=1)
    labels = torch.tensor([0] * 5 + [1] * 15)
    assert retrieval_precision(z, labels, 0, 10) == 100, "four others are all that can be found"
    with pytest.raises(ValueError, match="class 2 has 0 of 20 images; expected two or more"):
        retrieval_precision(z, labels, 2)


def test_bystanders_leave_the_retained_pairs_alone() -> None:
    without = without_bystanders(TASK, [2])
    assert set(without.retain.labels.tolist()) == {0}
    assert len(without.forget) == len(TASK.forget)
    assert len(without.test) == len(TASK.test)
    with pytest.raises(ValueError, match="class 1 is to be forgotten; a bystander is another class"):
        without_bystanders(TASK, [1])
    with pytest.raises(ValueError, match=r"without the classes \[0, 2\] no retained image is left"):
        without_bystanders(TASK, [0, 2])


def percent(logits: torch.Tensor, labels: torch.Tensor, of: torch.Tensor) -> float:
    return 100 * (logits.argmax(dim=1) == labels)[of].double().mean().item()


def test_effects_are_accuracies_by_prompt_and_group() -> None:
    model, original = tiny_clip(3), tiny_clip(4)
    found = effects(model, TASK, {"neighbours": [0], "others": [2]}, original)
    labels = TASK.test.labels
    words = wordings(NAMES)
    for name in ("prompt", "held-out templates", "bare name"):
        logits = predict_logits(model.asked(words[name]), TASK.test)  # type: ignore[arg-type]
        assert found[f"forgotten, {name}"] == pytest.approx(percent(logits, labels, labels == 1), abs=5.1)
        assert found[f"retained, {name}"] == pytest.approx(percent(logits, labels, labels != 1), abs=2.6)
    logits = predict_logits(model, TASK.test)  # type: ignore[arg-type]
    assert found["neighbours"] == pytest.approx(percent(logits, labels, labels == 0), abs=5.1)
    assert found["others"] == pytest.approx(percent(logits, labels, labels == 2), abs=5.1)
    with torch.no_grad():
        new, old = (embed(one, TASK.test) for one in (model, original))  # type: ignore[arg-type]
        texts, old_texts = model.class_embeddings(), original.class_embeddings()
    assert found["images moved"] == pytest.approx(percent(new @ old_texts.T, labels, labels == 1))
    assert found["texts moved"] == pytest.approx(percent(old @ texts.T, labels, labels == 1))
    assert found["retrieval"] == pytest.approx(retrieval_precision(new, labels, 1))
    others = [retrieval_precision(new, labels, label) for label in (0, 2)]
    assert found["retained retrieval"] == pytest.approx(sum(others) / 2)
    assert "images moved" not in effects(model, TASK, {})


def test_effects_need_a_forgotten_class() -> None:
    with pytest.raises(ValueError, match="the task is to forget samples"):
        effects(tiny_clip(), forget_samples(dataset(), 4), {})


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    return tmp_path


def one_run(method: str, seed: int, forgotten: float, retained: float, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "table": "Table 13",
        "profile": "laptop",
        "dataset": "digits",
        "model": "small_clip",
        "method": method,
        "variant": None,
        "task": "class5",
        "seed": seed,
        "settings": {"training": {"epochs": 1}},
        "metrics": {"forget_test": forgotten, "retain_test": retained, "retrieval": forgotten},
        "seconds": 2.0,
        "steps": 10,
        "samples_seen": 100,
        "stopped_by": "rule",
    }
    record(torch.device("cpu"), **{**fields, **changes})


def test_table_13_without_records_says_so(results: Path) -> None:
    assert table_13() == NONE_RECORDED
    assert clip.recorded_search("digits", "small", "contrastive") == []
    assert effects_table({"Original": []}, {"retrieval": "found (%)"}) == "\n".join(
        ["| run | found (%) |", "|---|---|", "| Original | – |"]
    )


def test_table_13_pairs_seeds_and_marks_what_is_lost(results: Path) -> None:
    for seed, (reference, ours) in enumerate([(4.0, 1.0), (2.0, 3.0)]):
        one_run("retrain", seed, reference, 90.0 + seed, stopped_by="finished")
        one_run("contrastive", seed, ours, 88.0)
        one_run("contrastive", seed, 60.0, 88.0, variant="no contrast")
    lines = table_13().split("\n")
    assert len(lines) == 5, "no row without a run"
    assert lines[2].startswith("| Retrain | 2 | 3.0 ± ")
    assert "| reference | reference |" in lines[2]
    assert lines[2].endswith("| finished 2 | – | – |")
    assert lines[3].startswith("| Contrastive | 2 | 2.0 ± ")
    assert "| -1.0 ± " in lines[3], "the mean of 1 - 4 and 3 - 2"
    assert lines[3].endswith("| rule 2 | lost | lost |")
    assert lines[4].startswith("| Contrastive without L_UL | 2 | 60.0 ± ")
    assert lines[4].endswith("| rule 2 | – | – |"), "the paper has no such row"
    one_run("contrastive", 0, 50.0, 50.0, profile="paper", dataset="cifar100", model="ViT-B-32_clip", task="class1")
    assert table_13("cifar100", "ViT-B-32") == NONE_RECORDED, "no Retrain of that seed, so no pair"
    one_run("retrain", 0, 80.0, 70.0, profile="paper", dataset="cifar100", model="ViT-B-32_clip", task="class1")
    assert "| Contrastive | 1 | 50.0 (one run) |" in table_13("cifar100", "ViT-B-32")
    runs = clip.recorded_runs(variant="no contrast")
    assert [(own["forget_test"], reference["forget_test"]) for own, reference in runs] == [(60, 4), (60, 2)]
    shown = effects_table({"Ours": [own for own, _ in runs]}, {"retrieval": "found (%)", "absent": "x"})
    assert shown.split("\n")[2] == "| Ours | 60.0 ± 0.0 | – |"


@pytest.mark.parametrize("method", list(clip.CLIP_METHODS))
def test_the_small_clips_settings_are_the_best_of_the_recorded_search(method: str) -> None:
    trials = clip.recorded_search("digits", "small", method)
    grid = clip.CLIP_GRIDS[method]
    assert len(trials) == 6
    assert all(set(trial.changes) == set(grid) for trial in trials)
    settings = method_settings("small", get_profile("laptop", "digits"), method)
    assert {name: getattr(settings, name) for name in grid} == best(trials).changes


def test_the_real_clip_takes_the_papers_settings() -> None:
    profile = get_profile("paper", "cifar100")
    assert clip.clip_label(profile) == 1
    assert clip.clip_label(get_profile("laptop", "digits")) == 5
    training = train_settings("ViT-B-32", profile)
    assert (training.epochs, training.learning_rate, training.wording) == (10, 1e-5, "prompt")
    ours = method_settings("ViT-B-32", profile, "contrastive")
    assert (ours.omega, ours.temperature, ours.lambda_ul, ours.max_rounds) == (3, 0.07, 0.5, 10)
    with pytest.raises(ValueError, match="unknown CLIP model 'tiny'"):
        train_settings("tiny", profile)
    with pytest.raises(ValueError, match="unknown CLIP unlearning method 'fisher'"):
        method_settings("small", profile, "fisher")
