"""The settings of each CLIP and profile: the paper's for ViT-B-32, found ones for the small CLIP."""

from dataclasses import replace
from typing import Any

from ..errors import choose
from ..profiles import Profile
from ..unlearning.stopping import Stopping
from .models import CLIP_MODELS
from .training import ClipTrainSettings
from .unlearning import (
    CLIP_METHODS,
    ClipContrastiveSettings,
    ClipFinetuneSettings,
    ClipGradientAscentSettings,
)

# Six trials for each method, on validation images and a seed that no table reports.
CLIP_GRIDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "contrastive": {"learning_rate": (3e-6, 1e-5, 3e-5), "lambda_ul": (0.1, 0.5)},
    "finetune": {"learning_rate": (1e-4, 5e-4, 2e-3), "batch_size": (18, 36)},
    "gradient_ascent": {"learning_rate": (1e-4, 3e-4, 1e-3), "ascent": (0.3, 1.0)},
}


def clip_label(profile: Profile) -> int:
    """The class to forget: class 1 of CIFAR-100, as in the paper's section D.6, else the profile's."""
    return 1 if profile.dataset == "cifar100" else profile.label


def train_settings(clip_model: str, profile: Profile) -> ClipTrainSettings:
    """How the original and the retrained CLIP are trained.

    ViT-B-32 is finetuned as in the paper. The small CLIP learns from nothing: more steps, a larger rate,
    all captions, and rotated and cropped images, since 180 scans are few for eight texts each.
    """
    choose("CLIP model", clip_model, CLIP_MODELS)
    smoke = profile.name == "smoke"
    if clip_model == "ViT-B-32":
        return ClipTrainSettings(epochs=1 if smoke else 10)
    small = ClipTrainSettings(learning_rate=5e-4, wording="captions", augment=True, precision="float32")
    if profile.dataset == "digits":
        return replace(small, epochs=12 if smoke else 40, batch_size=36)
    return replace(small, epochs=4 if smoke else 10, learning_rate=1e-3)


def method_settings(clip_model: str, profile: Profile, method: str) -> Any:
    """The settings of an unlearning method.

    ViT-B-32 takes the released code's where there are any. The small CLIP's learning rates and weights
    are the best of the recorded search on digits; a class of digits has three batches of six, and the stop rule
    is looked at after each.
    """
    choose("CLIP model", clip_model, CLIP_MODELS)
    choose("CLIP unlearning method", method, tuple(CLIP_METHODS))
    if clip_model == "ViT-B-32":
        return CLIP_METHODS[method].settings()
    smoke, digits = profile.name == "smoke", profile.dataset == "digits"
    shared: dict[str, Any] = {
        "batch_size": 6 if digits else 64,
        "max_rounds": 3 if smoke else 30,
        "precision": "float32",
        "stopping": Stopping(check_every=1),
    }
    if method == "contrastive":
        return ClipContrastiveSettings(learning_rate=1e-5, lambda_ul=0.1, **shared)
    if method == "gradient_ascent":
        return ClipGradientAscentSettings(learning_rate=3e-4, ascent=0.3, **shared)
    # Passes over all retained pairs, not over a class; the rule is looked at after each.
    passes = {"max_rounds": 2 if smoke else 20, "batch_size": 18 if digits else 128, "stopping": Stopping()}
    return ClipFinetuneSettings(learning_rate=5e-4, **{**shared, **passes})
