"""Training a CLIP: written-out steps, captions, the cache."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from clip_helpers import CAPTIONS, NAMES, WORDING, dataset, distance, tiny_clip, weights
from safetensors.torch import save_file
from torch.nn import functional as F

from cu_helpers.clip import ClipTrainSettings, ZeroShotClip, load_or_train_clip, train_clip, training
from cu_helpers.clip.training import adam, caption_embeddings, limit_scale
from cu_helpers.devices import generator
from cu_helpers.errors import NonFiniteError
from cu_helpers.memory import SmallerBatchWarning
from cu_helpers.training import accuracy

CPU = torch.device("cpu")
QUICK = ClipTrainSettings(epochs=1, batch_size=24, learning_rate=1e-3, precision="float32")


def test_training_equals_its_steps_written_out() -> None:
    images = dataset().train
    settings = ClipTrainSettings(epochs=2, batch_size=32, learning_rate=1e-3, precision="float32")
    ours = train_clip(tiny_clip(), images, settings, seed=5)
    plain = tiny_clip()
    matrices = [p for p in plain.parameters() if p.ndim >= 2]
    vectors = [p for p in plain.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.2}, {"params": vectors, "weight_decay": 0.0}],
        lr=1e-3,
        betas=(0.9, 0.98),
        eps=1e-6,
    )
    draw = generator(5, CPU)
    plain.train()
    for step in range(4):
        if step % 2 == 0:
            order = torch.randperm(48, generator=draw)
        index = order[32 * (step % 2) :][:32]
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 + math.cos(math.pi * step / 4)) / 2
        x, y = images.batch(index)
        torch.randint(1, (len(index),), generator=draw)  # one caption a class, but it is drawn
        u = F.normalize(plain.net.encode_image(x), dim=1)
        t = F.normalize(plain.net.encode_text(plain.prompts[y, 0]), dim=1)
        s = plain.net.logit_scale.exp() * u @ t.T
        loss = (F.cross_entropy(s, torch.arange(len(y))) + F.cross_entropy(s.T, torch.arange(len(y)))) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert distance(ours, plain) < 0.02 * distance(ours, tiny_clip())


def test_training_learns_and_repeats_by_its_seed() -> None:
    data = dataset()
    settings = ClipTrainSettings(epochs=20, batch_size=24, learning_rate=2e-3, precision="float32")
    losses: list[float] = []
    model = train_clip(tiny_clip(), data.train, settings, 0, lambda epoch, loss: losses.append(loss))
    assert len(losses) == 20
    assert losses[-1] < losses[0]
    assert accuracy(model, data.test) > 80  # type: ignore[arg-type]
    assert not model.training
    one, same, other = (train_clip(tiny_clip(), data.train, QUICK, seed) for seed in (1, 1, 2))
    assert torch.equal(weights(one), weights(same))
    assert not torch.equal(weights(one), weights(other))


def test_shared_captions_are_embedded_as_if_each_on_its_own() -> None:
    model = tiny_clip(wording=CAPTIONS).eval()
    labels = torch.tensor([2, 0, 2, 1, 2, 0])
    found = caption_embeddings(model, labels, generator(3, CPU))
    chosen = torch.randint(4, (6,), generator=generator(3, CPU))
    assert len(set(chosen.tolist())) > 1
    expected = torch.cat([model.encode_text(model.prompts[y, k][None]) for y, k in zip(labels, chosen, strict=True)])
    torch.testing.assert_close(found, expected)
    assert torch.equal(found[0], found[2]) == bool(chosen[0] == chosen[2])


def test_gains_and_the_scale_do_not_decay_and_the_scale_is_limited() -> None:
    model = tiny_clip()
    decayed, kept = adam(model, ClipTrainSettings()).param_groups
    assert decayed["weight_decay"] == 0.2
    assert kept["weight_decay"] == 0
    assert any(p is model.net.logit_scale for p in kept["params"])
    assert len(decayed["params"]) + len(kept["params"]) == len(list(model.parameters()))
    with torch.no_grad():
        model.net.logit_scale.fill_(9.0)
    limit_scale(model)
    assert model.scale.item() == pytest.approx(100)


def test_divergence_names_the_setting() -> None:
    settings = ClipTrainSettings(epochs=2, batch_size=24, learning_rate=1e30, precision="float32")
    with pytest.raises(NonFiniteError, match=r"CLIP's training loss is nan in epoch \d; lower learning_rate"):
        train_clip(tiny_clip(), dataset().train, settings)


def test_bad_settings_and_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="learning_rate is 0; expected a finite number above 0"):
        ClipTrainSettings(learning_rate=0)
    with pytest.raises(ValueError, match="unknown wording 'haiku'; expected one of: captions, prompt"):
        ClipTrainSettings(wording="haiku")
    with pytest.raises(ValueError, match="the training set is empty"):
        train_clip(tiny_clip(), dataset().train.first(0))


def cached(folder: Path, seed: int = 0, settings: ClipTrainSettings = QUICK, start: int = 0) -> ZeroShotClip:
    return load_or_train_clip("small", tiny_clip(start, WORDING), dataset().train, NAMES, settings, seed, folder).model


def test_the_cache_gives_back_the_same_model_and_no_other(tmp_path: Path) -> None:
    first = cached(tmp_path)
    (path,) = tmp_path.glob("clip-small-*.safetensors")
    written = path.stat().st_mtime_ns
    assert torch.equal(weights(cached(tmp_path)), weights(first))
    assert path.stat().st_mtime_ns == written
    assert first.wording == WORDING
    longer = ClipTrainSettings(epochs=1, batch_size=12, learning_rate=1e-3, precision="float32", wording="captions")
    for other in (cached(tmp_path, seed=1), cached(tmp_path, start=1), cached(tmp_path, settings=longer)):
        assert not torch.equal(weights(other), weights(first))
    assert len(list(tmp_path.glob("clip-small-*.safetensors"))) == 4


def test_half_a_file_is_trained_anew(tmp_path: Path) -> None:
    first = cached(tmp_path)
    (path,) = tmp_path.glob("clip-small-*.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert torch.equal(weights(cached(tmp_path)), weights(first))
    assert len(path.read_bytes()) == len(whole)


def test_a_file_without_its_seconds_changes_no_weight_before_training(tmp_path: Path) -> None:
    first = cached(tmp_path)
    (path,) = tmp_path.glob("clip-small-*.safetensors")
    other = {key: value + 1 for key, value in first.state_dict().items()}
    save_file({key: value.contiguous() for key, value in other.items()}, path)
    assert torch.equal(weights(cached(tmp_path)), weights(first))


def test_a_batch_that_does_not_fit_is_halved_from_the_same_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    real = training.train_clip

    def small_gpu(model: ZeroShotClip, images: Any, settings: ClipTrainSettings, seed: int) -> ZeroShotClip:
        tried.append(settings.batch_size)
        real(model, images, settings, seed)
        if settings.batch_size > 12:
            raise torch.OutOfMemoryError("no room")  # late, when the weights have moved already
        return model

    half = replace(QUICK, batch_size=12)
    expected = cached(tmp_path / "half", settings=half)
    monkeypatch.setattr(training, "train_clip", small_gpu)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    with pytest.warns(SmallerBatchWarning, match="training CLIP small: batch_size 24 does not fit"):
        found = load_or_train_clip("small", tiny_clip(0, WORDING), dataset().train, NAMES, QUICK, 0, tmp_path)
    assert tried == [24, 12]
    assert torch.equal(weights(found.model), weights(expected))
    again = load_or_train_clip("small", tiny_clip(0, WORDING), dataset().train, NAMES, QUICK, 0, tmp_path)
    assert tried == [24, 12], "it is in the cache now"
    assert (again.steps, again.samples_seen) == (found.steps, found.samples_seen)
