"""Captions, zero-shot classification against a loop and open_clip, loading without a network."""

import importlib
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import pytest
import torch
from clip_helpers import NAMES, WORDING, dataset, tiny_clip
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional as F

from cu_helpers.clip import CLIP_MODELS, TEMPLATES, Wording, ZeroShotClip, load_clip, tokenise, wordings
from cu_helpers.clip.captions import HELD_OUT_TEMPLATES
from cu_helpers.data import Dataset
from cu_helpers.errors import CheckpointError
from cu_helpers.inference import embed, predict_logits

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def test_the_words_of_the_digits() -> None:
    words = wordings(tuple("0123456789"))
    assert words["prompt"].captions()[5] == ("a photo of a five",)
    assert words["bare name"].captions()[7] == ("seven",)
    assert words["other name"].captions()[7] == ("a photo of a 7",)
    assert len(words["captions"].captions()[0]) == 2 * len(TEMPLATES)
    assert {"a picture of the three", "a picture of the 3"} <= set(words["captions"].captions()[3])
    assert wordings(("aquarium_fish", "apple"))["prompt"].captions() == (
        ("a photo of a aquarium fish",),
        ("a photo of a apple",),
    )


def test_held_out_templates_are_in_no_caption() -> None:
    words = wordings(CIFAR)
    trained = {text for of_class in words["captions"].captions() for text in of_class}
    assert not trained & {text for of_class in words["held-out templates"].captions() for text in of_class}
    assert {text for of_class in words["other name"].captions() for text in of_class} <= trained
    assert not set(TEMPLATES) & set(HELD_OUT_TEMPLATES)


@pytest.mark.parametrize("classes", [tuple("0123456789"), CIFAR])
def test_every_caption_fits_the_small_clip(classes: tuple[str, ...]) -> None:
    for wording in wordings(classes).values():
        for of_class in wording.captions():
            tokenise(of_class, 16)


def test_tokens_are_clips() -> None:
    tokens = tokenise(["a photo of a five", "five"], 16)
    assert torch.equal(tokens, open_clip.get_tokenizer("ViT-B-32")(["a photo of a five", "five"])[:, :16])
    assert tokens[0, 0] == 49406
    assert tokens[0].max() == 49407, "start and end of CLIP's vocabulary"
    assert tokens[0].argmax() == 6
    assert len(set(map(tuple, tokenise([*CIFAR], 16).tolist()))) == 10, "no two names read alike"


def test_a_text_that_would_be_cut_is_refused() -> None:
    assert tokenise(["one two three"], 5).shape == (1, 5)
    with pytest.raises(ValueError, match="'one two three' has 5 tokens; expected at most 4, so shorten it"):
        tokenise(["one two three"], 4)


@pytest.mark.parametrize("names", [(), ((),), (("a",), ("b", "c"))])
def test_uneven_names_are_refused(names: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(ValueError, match="expected the same number of names, at least one, a class"):
        Wording(names)


@pytest.mark.parametrize("templates", [(), ("a photo",), ("{} and {}",)])
def test_templates_without_a_place_are_refused(templates: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"templates are .* hold one \{\} each"):
        Wording((("a",),), templates)


def test_zero_shot_is_the_loops_and_open_clips() -> None:
    model = tiny_clip(wording=Wording(tuple((name, name + "er") for name in NAMES), TEMPLATES)).eval()
    images = dataset().test.first(7)
    logits = predict_logits(model, images, "float32")  # type: ignore[arg-type]
    with torch.no_grad():
        x = images.normalise(images.images)
        for row in range(len(x)):
            z = model.net.encode_image(x[row : row + 1])[0]
            for label, captions in enumerate(model.wording.captions()):
                embedded = [model.net.encode_text(tokenise([text], 10))[0] for text in captions]
                centre = torch.stack([one / one.norm() for one in embedded]).mean(dim=0)
                cosine = (z @ centre / z.norm() / centre.norm()).item()
                expected = cosine * model.net.logit_scale.exp().item()
                assert logits[row, label].item() == pytest.approx(expected, rel=1e-4, abs=1e-4)
        theirs = open_clip.build_zero_shot_classifier(
            model.net, lambda texts: tokenise(texts, 10), NAMES, [lambda name: f"a photo of a {name}"]
        )
        torch.testing.assert_close(model.asked(WORDING).class_embeddings().T, theirs)


def test_embeddings_have_unit_norm_and_asking_shares_the_network() -> None:
    model = tiny_clip()
    assert embed(model, dataset().test).norm(dim=1).allclose(torch.ones(60))  # type: ignore[arg-type]
    other = model.asked(Wording(tuple((name,) for name in NAMES), ("the {}",)))
    assert other.net is model.net
    assert not torch.equal(other.prompts, model.prompts)
    assert set(model.state_dict()) == set(other.state_dict()), "prompts are no weights"


class Pixels(torch.nn.Module):
    """A stand-in network whose image embedding is the image it is given."""

    context_length = 16

    def __init__(self) -> None:
        super().__init__()
        self.visual = torch.nn.Identity()
        self.visual.image_size = 224  # type: ignore[assignment]
        self.logit_scale = torch.nn.Parameter(torch.zeros(()))

    def encode_image(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def test_images_reach_the_network_as_open_clip_prepares_them() -> None:
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    prepare = open_clip.image_transform(224, is_train=False, mean=mean, std=std)
    draw = torch.Generator().manual_seed(0)
    pixels = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8, generator=draw), size=(32, 32), mode="bilinear")
    images = (255 * pixels).round().to(torch.uint8)
    expected = torch.stack([prepare(Image.fromarray(one.permute(1, 2, 0).numpy())) for one in images]).flatten(1)
    shift, scale = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (mean, std))
    found = ZeroShotClip(Pixels(), WORDING).encode((images / 255 - shift) / scale)  # type: ignore[arg-type]
    assert (found - F.normalize(expected, dim=1)).abs().max() * expected.norm(dim=1).max() < 0.05


def test_the_small_clip_is_open_clips_class_and_drawn_by_its_seed(digits: Dataset) -> None:
    wording = wordings(digits.classes)["prompt"]
    before = torch.random.get_rng_state()
    one, images = load_clip("small", digits, wording, seed=1)
    same, other = (load_clip("small", digits, wording, seed=seed)[0] for seed in (1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert images is digits
    assert type(one.net) is open_clip.CLIP
    vector = [torch.cat([p.flatten() for p in model.parameters()]) for model in (one, same, other)]
    assert torch.equal(vector[0], vector[1])
    assert not torch.equal(vector[0], vector[2])


def test_unknown_names_and_needless_files_are_refused(digits: Dataset) -> None:
    wording = wordings(digits.classes)["prompt"]
    with pytest.raises(ValueError, match="unknown CLIP model 'ViT-L-14'; expected one of: ViT-B-32, small"):
        load_clip("ViT-L-14", digits, wording)
    with pytest.raises(ValueError, match="the small CLIP is trained here and takes no file"):
        load_clip("small", digits, wording, weights="weights.safetensors")
    assert CLIP_MODELS == ("small", "ViT-B-32")


def test_without_a_network_one_sentence_says_what_is_missing(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError) as caught:
        load_clip("ViT-B-32", digits, wordings(digits.classes)["prompt"], cache_dir=tmp_path)
    message = str(caught.value)
    assert message.startswith("the OpenAI weights of ViT-B-32 are not here and could not be fetched (")
    assert "connect to the internet once, or pass weights=PATH of open_clip_model.safetensors" in message
    assert message.endswith("choose the CLIP model 'small'")
    assert "\n" not in message
    assert "ERROR" not in capfd.readouterr().err


def test_a_wrong_file_is_refused(digits: Dataset, tmp_path: Path) -> None:
    wording = wordings(digits.classes)["prompt"]
    (tmp_path / "noise.safetensors").write_bytes(b"not weights at all")
    save_file({"logit_scale": torch.zeros(()), "a": torch.zeros(2)}, tmp_path / "other.safetensors")
    for name, reason in (
        ("absent.safetensors", "is not a file"),
        ("noise.safetensors", "is not a safetensors file"),
        ("other.safetensors", "does not hold the weights of ViT-B-32"),
    ):
        with pytest.raises(CheckpointError, match=rf"{name} {reason}.*; expected open_clip_model.safetensors of timm/"):
            load_clip("ViT-B-32", digits, wording, weights=tmp_path / name)


def test_without_open_clip_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("cu_helpers.clip")]:
        monkeypatch.delitem(sys.modules, name)
    blocked: dict[str, Any] = {"open_clip": None}
    for name, value in blocked.items():
        monkeypatch.setitem(sys.modules, name, value)
    with pytest.raises(ImportError, match=r"cu_helpers.clip needs open_clip.*install it with `pip install open_clip"):
        importlib.import_module("cu_helpers.clip")


@pytest.mark.slow
def test_the_real_architecture_loads_from_a_file_and_classifies(digits: Dataset, tmp_path: Path) -> None:
    """Random weights in the place of OpenAI's: every array must arrive, and pixels go in as open_clip wants them."""
    torch.manual_seed(0)
    net = open_clip.create_model("ViT-B-32", force_quick_gelu=True).eval()
    path = tmp_path / "open_clip_model.safetensors"
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, path)
    model, images = load_clip("ViT-B-32", digits, wordings(digits.classes)["prompt"], weights=path)
    for name, value in net.state_dict().items():
        assert torch.equal(model.net.state_dict()[name], value)
    prepare = open_clip.image_transform(
        224, is_train=False, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD
    )
    pixels = digits.test.images[:2]
    with torch.no_grad():
        x = torch.stack([prepare(Image.fromarray(one.permute(1, 2, 0).numpy())) for one in pixels])
        text = open_clip.get_tokenizer("ViT-B-32")([f"a photo of a {word}" for word in ("zero", "nine")])
        expected = F.normalize(net.encode_image(x), dim=1) @ F.normalize(net.encode_text(text), dim=1).T
    found = predict_logits(model, images.test.first(2), "float32")[:, [0, 9]]  # type: ignore[arg-type]
    torch.testing.assert_close(found, net.logit_scale.exp().detach() * expected, rtol=0, atol=0.05)
