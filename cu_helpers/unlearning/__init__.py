"""Unlearning methods behind one call: `unlearn(method, model, task)`."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..data import ForgetTask
from ..errors import choose
from ..memory import batch_words, halved, until_it_fits
from ..models import EmbeddingClassifier
from .boundary_expansion import BoundaryExpansionSettings, boundary_expansion
from .boundary_shrink import BoundaryShrinkSettings, boundary_shrink
from .contrastive import BATCH_SIZES, ContrastiveSettings, contrastive
from .contrastive_queue import ContrastiveQueueSettings, contrastive_queue
from .finetune import FinetuneSettings, finetune
from .fisher import FisherSettings, fisher
from .gradient_ascent import GradientAscentSettings, gradient_ascent
from .lcodec import LcodecSettings, lcodec
from .logit_mask import LogitMaskSettings, logit_mask
from .loop import Observer, UnlearningResult
from .neggrad_plus import NegGradPlusSettings, neggrad_plus
from .retrain import RetrainSettings, retrain
from .salun import SalunSettings, salun
from .scrub import ScrubSettings, scrub
from .ssd import SsdSettings, ssd
from .stopping import Stopping
from .unsir import UnsirSettings, unsir

__all__ = [
    "METHODS",
    "BoundaryExpansionSettings",
    "BoundaryShrinkSettings",
    "ContrastiveQueueSettings",
    "ContrastiveSettings",
    "FinetuneSettings",
    "FisherSettings",
    "GradientAscentSettings",
    "LcodecSettings",
    "LogitMaskSettings",
    "Method",
    "NegGradPlusSettings",
    "RetrainSettings",
    "SalunSettings",
    "ScrubSettings",
    "SsdSettings",
    "Stopping",
    "UnlearningResult",
    "UnsirSettings",
    "unlearn",
]


@dataclass(frozen=True)
class Method:
    """One method: the function that changes a model in place, its settings class, the kinds of
    task it takes, and where it comes from."""

    function: Callable[..., UnlearningResult]
    settings: type
    tasks: tuple[str, ...]
    reference: str


BOTH = ("class", "samples")
METHODS: dict[str, Method] = {
    "retrain": Method(retrain, RetrainSettings, BOTH, "the exact reference"),
    "contrastive": Method(contrastive, ContrastiveSettings, BOTH, "Contrastive Unlearning, 2024, Algorithm 1"),
    "contrastive_queue": Method(
        contrastive_queue, ContrastiveQueueSettings, BOTH, "Contrastive Unlearning, 2024, appendix D.7"
    ),
    "finetune": Method(finetune, FinetuneSettings, BOTH, "Golatkar et al. 2020, section 6"),
    "gradient_ascent": Method(gradient_ascent, GradientAscentSettings, BOTH, "Golatkar et al. 2020; Thudi et al. 2022"),
    "fisher": Method(fisher, FisherSettings, BOTH, "Golatkar et al. 2020, section 4"),
    "lcodec": Method(lcodec, LcodecSettings, ("samples",), "Mehta et al. 2022, algorithm 1"),
    "boundary_shrink": Method(boundary_shrink, BoundaryShrinkSettings, ("class",), "Chen et al. 2023, section 3.2"),
    "boundary_expansion": Method(
        boundary_expansion, BoundaryExpansionSettings, ("class",), "Chen et al. 2023, section 3.3"
    ),
    "scrub": Method(scrub, ScrubSettings, BOTH, "Kurmanji et al. 2023, algorithm 1"),
    "unsir": Method(unsir, UnsirSettings, ("class",), "Tarun et al. 2023, algorithm 1"),
    "neggrad_plus": Method(neggrad_plus, NegGradPlusSettings, BOTH, "Kurmanji et al. 2023, a baseline there"),
    "ssd": Method(ssd, SsdSettings, BOTH, "Foster et al. 2024"),
    "salun": Method(salun, SalunSettings, BOTH, "Fan et al. 2024"),
    "logit_mask": Method(
        logit_mask, LogitMaskSettings, ("class",), "a trivial baseline: the class is never the answer"
    ),
}


def unlearn(
    method: str,
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: Any = None,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Forget `task.forget` from a copy of `model`; the model passed in is never changed.

    method: a name in `METHODS`. settings: an instance of its settings class; None means the
    defaults. seed: draws the batches. observer: called with the model and a history row before
    the first step and at each stop check, off the clock (for curves); it must not change the
    model. A history row whose round is 0 begins a run. Retrain, which starts from no old model, calls it
    but once, at the end.

    Where a batch does not fit into a GPU's memory, the run starts over from `model` with half of it:
    a warning says so, and the result's settings are those that were used.

    Raises ValueError for an unknown method, a task of a kind that the method does not take, an
    empty forget or retain set, or a model with another number of classes; TypeError for settings
    of another method; NonFiniteError, at a stop check, if the loss is NaN or infinite.
    """
    chosen = METHODS[choose("unlearning method", method, tuple(METHODS))]
    if task.kind not in chosen.tasks:
        raise ValueError(f"{method} forgets a {' or '.join(chosen.tasks)}; the task is to forget {task.kind}")
    for name, images in (("forget", task.forget), ("retain", task.retain)):
        if len(images) == 0:
            raise ValueError(f"the task's {name} set is empty; expected at least one image")
    if model.config.num_classes != len(task.classes):
        raise ValueError(
            f"the model has {model.config.num_classes} classes and the task {len(task.classes)}; "
            f"expected a model trained on {task.dataset}"
        )
    settings = settings if settings is not None else chosen.settings()
    if not isinstance(settings, chosen.settings):
        raise TypeError(f"settings are {type(settings).__name__}; {method} expects {chosen.settings.__name__}")

    def attempt(tried: Any) -> UnlearningResult:
        return chosen.function(copy.deepcopy(model).to(task.forget.device), task, tried, seed, observer)

    def sized(tried: Any) -> Any:
        if hasattr(tried, "batch_size") and tried.batch_size is None:
            return replace(tried, batch_size=BATCH_SIZES[task.kind])
        return tried

    result, _ = until_it_fits(
        attempt, settings, lambda tried: halved(sized(tried)), method, lambda tried: batch_words(sized(tried))
    )
    return result
