"""CLIP's arithmetic for any texts and images: cosines, neighbours, image search, wordings, and who is kept."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from clip_helpers import task
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FEW, order, rows, seeds, turn
from torch import Tensor, nn
from torch.nn import functional as F

from cu_helpers.clip.captions import DIGIT_WORDS, OTHER_NAMES, TEMPLATES, first_name, tokenise, wordings
from cu_helpers.clip.effects import class_groups, neighbours, retrieval_precision, without_bystanders
from cu_helpers.clip.losses import similarity_logits
from cu_helpers.clip.training import MAX_SCALE, ClipTrainSettings, adam, limit_scale
from cu_helpers.data import ForgetTask

TASK = task()
labels_of = st.lists(st.integers(0, 2), min_size=3, max_size=12).map(torch.tensor)


def texts(z: Tensor) -> Any:
    """A stand-in for a CLIP whose class embeddings are z."""
    return SimpleNamespace(class_embeddings=lambda: z)


def unit(count: int, dim: int, seed: int) -> Tensor:
    return F.normalize(rows(count, dim, seed), dim=1)


@given(seeds, st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.floats(0.1, 100))
@settings(max_examples=FEW)
def test_logits_are_scaled_cosines_of_images_with_texts(seed: int, n: int, m: int, dim: int, scale: float) -> None:
    images, sentences = unit(n, dim, seed), unit(m, dim, seed + 1)
    found = similarity_logits(images, sentences, scale)
    for row, image in zip(found.tolist(), images.tolist(), strict=True):
        dots = [sum(a * b for a, b in zip(image, text, strict=True)) for text in sentences.tolist()]
        assert row == pytest.approx([scale * dot for dot in dots], rel=1e-9, abs=1e-12)
    torch.testing.assert_close(similarity_logits(sentences, images, torch.tensor(scale).double()).T, found)
    axes = turn(dim, seed)
    torch.testing.assert_close(similarity_logits(images @ axes, sentences @ axes, scale), found)


@given(seeds, st.sampled_from([torch.bfloat16, torch.float32]), st.sampled_from([torch.bfloat16, torch.float32]))
@settings(max_examples=FEW)
def test_narrow_embeddings_and_autocast_lose_nothing_beyond_float32(seed: int, a: Any, b: Any) -> None:
    images, sentences = unit(3, 16, seed).to(a), unit(4, 16, seed + 1).to(b)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = similarity_logits(images, sentences, 100.0)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), 100 * images.double() @ sentences.double().T, rtol=1e-5, atol=1e-4)


@given(seeds, st.integers(2, 8))
@settings(max_examples=FEW)
def test_neighbours_are_all_others_from_near_to_far_whatever_the_names_and_axes(seed: int, classes: int) -> None:
    z, names, label = unit(classes, 3, seed), order(classes, seed), seed % classes
    found = neighbours(texts(z), label)
    dots = [sum(a * b for a, b in zip(z[other].tolist(), z[label].tolist(), strict=True)) for other in range(classes)]
    assert found == sorted(set(range(classes)) - {label}, key=lambda other: -dots[other])
    assert neighbours(texts(z @ turn(3, seed)), label) == found
    renamed = torch.empty_like(z)
    renamed[names] = z  # class c is called names[c]
    assert neighbours(texts(renamed), int(names[label])) == [int(names[other]) for other in found]


@given(seeds, st.integers(4, 60))
@settings(max_examples=FEW)
def test_groups_are_a_cut_of_the_neighbours_two_or_a_tenth(seed: int, classes: int) -> None:
    model, label = texts(unit(classes, 3, seed)), seed % classes
    ranked, found = neighbours(model, label), class_groups(model, label)
    assert found["neighbours"] + found["others"] == ranked
    assert len(found["neighbours"]) == max(2, classes // 10)
    assert (found["near bystander"], found["far bystander"]) == (ranked[:1], ranked[-1:])


@given(seeds, labels_of, st.integers(1, 8))
@settings(max_examples=FEW)
def test_image_search_is_a_loop_over_queries_that_never_finds_itself(seed: int, labels: Tensor, count: int) -> None:
    z = unit(len(labels), 3, seed)
    of_class = [at for at, label in enumerate(labels.tolist()) if label == 1]
    if len(of_class) < 2 or len(labels) <= count:
        with pytest.raises(ValueError, match=f"class 1 has {len(of_class)} of {len(labels)} images; expected two"):
            retrieval_precision(z, labels, 1, count)
        return
    found, before = [], z.clone()
    for query in of_class:
        others = sorted(set(range(len(labels))) - {query}, key=lambda at: -float(z[query] @ z[at]))
        found += [float(labels[at] == 1) for at in others[: min(count, len(of_class) - 1)]]
    assert retrieval_precision(z, labels, 1, count) == pytest.approx(100 * sum(found) / len(found))
    assert torch.equal(z, before)
    rank = order(len(labels), seed)
    assert retrieval_precision(z[rank], labels[rank], 1, count) == pytest.approx(100 * sum(found) / len(found))
    apart = F.normalize(torch.eye(3, dtype=z.dtype)[labels] + z / 100, dim=1)
    assert retrieval_precision(apart, labels, 1, count) == 100


@given(st.sets(st.integers(0, 2)))
@settings(max_examples=10)
def test_without_bystanders_only_retained_pairs_are_fewer(bystanders: set[int]) -> None:
    if TASK.label in bystanders:
        with pytest.raises(ValueError, match=f"class {TASK.label} is to be forgotten; a bystander is another class"):
            without_bystanders(TASK, sorted(bystanders))
        return
    left = [label for label in TASK.retain.labels.tolist() if label not in bystanders]
    if not left:
        with pytest.raises(ValueError, match=r"without the classes \[0, 2\] no retained image is left"):
            without_bystanders(TASK, sorted(bystanders))
        return
    found: ForgetTask = without_bystanders(TASK, sorted(bystanders))
    assert found.retain.labels.tolist() == left
    assert replace(found, retain=TASK.retain) == TASK, "all else is the same"


@given(st.lists(st.sampled_from([*"0123456789", "cat", "aquarium_fish", "oak_tree", "12"]), min_size=1, max_size=4))
@settings(max_examples=FEW)
def test_wordings_name_each_class_in_its_place(classes: list[str]) -> None:
    found = wordings(classes)
    first = [DIGIT_WORDS["0123456789".index(c)] if c in [*"0123456789"] else c.replace("_", " ") for c in classes]
    assert [first_name(label) for label in classes] == first
    for own, one in zip(first, zip(*(found[name].captions() for name in found), strict=True), strict=True):
        said = dict(zip(found, one, strict=True))
        assert said["prompt"] == (f"a photo of a {own}",)
        assert said["bare name"] == (own,)
        assert said["other name"] == (f"a photo of a {OTHER_NAMES.get(own, own)}",)
        assert set(said["prompt"] + said["trained templates"] + said["other name"]) <= set(said["captions"])
        assert not set(said["held-out templates"]) & set(said["captions"])
        assert len(said["captions"]) == 2 * len(TEMPLATES)


@given(st.lists(st.sampled_from(["black cat", "a photo of a dog", "number 7", "oak tree"]), min_size=1, max_size=4))
@settings(max_examples=10)
def test_tokens_are_of_each_text_alone_and_padded_behind_the_end(sentences: list[str]) -> None:
    found = tokenise(sentences, 12)
    assert found.shape == (len(sentences), 12)
    for row, text in zip(found, sentences, strict=True):
        assert torch.equal(tokenise([text], 12)[0], row)
        used = int((row != 0).sum())
        assert int(row.argmax()) == used - 1, "the end token is the largest"
        assert torch.equal(tokenise([text], 20)[0, :12], row)
        assert torch.equal(tokenise([text], used)[0], row[:used]), "it just fits"
        with pytest.raises(ValueError, match=f"'{text}' has {used} tokens; expected at most {used - 1}"):
            tokenise(["a", text], used - 1)


@given(st.floats(-5, 10))
@settings(max_examples=FEW)
def test_the_scale_of_the_logits_is_cut_at_100_and_only_there(size: float) -> None:
    scale = nn.Parameter(torch.tensor(size))
    limit_scale(SimpleNamespace(net=SimpleNamespace(logit_scale=scale)))  # type: ignore[arg-type]
    assert scale.exp().item() == pytest.approx(min(math.exp(size), MAX_SCALE), rel=1e-5)


@given(st.lists(st.lists(st.integers(1, 3), max_size=3), min_size=1, max_size=5), st.floats(0, 1), st.floats(1e-6, 1))
@settings(max_examples=FEW)
def test_weights_decay_only_as_matrices(shapes: list[list[int]], decay: float, rate: float) -> None:
    weights = nn.ParameterList([nn.Parameter(torch.zeros(shape)) for shape in shapes])
    found = adam(weights, ClipTrainSettings(learning_rate=rate, weight_decay=decay))  # type: ignore[arg-type]
    decays = {id(weight): group["weight_decay"] for group in found.param_groups for weight in group["params"]}
    assert len(decays) == len(shapes)
    assert [decays[id(weight)] for weight in weights] == [decay if len(shape) > 1 else 0 for shape in shapes]
    assert {group["lr"] for group in found.param_groups} == {rate}
