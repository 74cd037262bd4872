"""CLIP through open_clip: zero-shot classification, contrastive training, forgetting one class.

`load_clip` gives the real ViT-B-32 or a small CLIP of the same class; everything after it is the
same for both.
"""

try:
    import open_clip as _open_clip  # noqa: F401
except ImportError as error:
    raise ImportError(
        "cu_helpers.clip needs open_clip, which cannot be imported here; install it with `pip install open_clip_torch`"
    ) from error

from .captions import OTHER_NAMES, TEMPLATES, Wording, tokenise, wordings
from .effects import ASKED, class_groups, effects, neighbours, retrieval_precision, without_bystanders
from .losses import clip_loss, clip_pair_losses, clip_unlearning_loss
from .models import CLIP_MODELS, ZeroShotClip, load_clip
from .presets import CLIP_GRIDS, clip_label, method_settings, train_settings
from .table import effects_table, recorded_runs, recorded_search, search_path, table_13
from .training import ClipTrainSettings, load_or_train_clip, train_clip
from .unlearning import (
    CLIP_METHODS,
    ClipContrastiveSettings,
    ClipFinetuneSettings,
    ClipGradientAscentSettings,
    unlearn_clip,
)

__all__ = [
    "ASKED",
    "CLIP_GRIDS",
    "CLIP_METHODS",
    "CLIP_MODELS",
    "OTHER_NAMES",
    "TEMPLATES",
    "ClipContrastiveSettings",
    "ClipFinetuneSettings",
    "ClipGradientAscentSettings",
    "ClipTrainSettings",
    "Wording",
    "ZeroShotClip",
    "class_groups",
    "clip_label",
    "clip_loss",
    "clip_pair_losses",
    "clip_unlearning_loss",
    "effects",
    "effects_table",
    "load_clip",
    "load_or_train_clip",
    "method_settings",
    "neighbours",
    "recorded_runs",
    "recorded_search",
    "retrieval_precision",
    "search_path",
    "table_13",
    "tokenise",
    "train_clip",
    "train_settings",
    "unlearn_clip",
    "without_bystanders",
    "wordings",
]
