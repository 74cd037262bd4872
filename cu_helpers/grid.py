"""One cell of the reproduction's grid: a run, its record, its models and its settings."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from . import ablations, batches, comparison
from .data import Dataset, ForgetTask, forget_class, forget_samples
from .errors import DataFileError, choose
from .experiments import KINDS
from .profiles import Profile, get_profile
from .results import record_path
from .tuning import GRIDS, SEARCH_MODEL, read_search, tuned_settings
from .unlearning import METHODS, Stopping

TABLES = {"class": "Table 1", "samples": "Table 3"}
REFERENCES = ("original", "retrain")
# Fig. 2's methods, and after how many batches each is looked at.
CURVES = {
    "contrastive": 4,
    "finetune": 14,
    "gradient_ascent": 4,
    "boundary_shrink": 4,
    "boundary_expansion": 4,
    "scrub": 15,
    "unsir": 15,
}
FEW = 50  # samples that LCODEC forgets on natural images; it takes hours for the paper's 500
NO_CONTRAST = comparison.NO_CONTRAST
EVERY_LOOK = "looked at after every batch"


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    amount: the class that is forgotten (kind "class"), or how many samples (kind "samples").
    method: one of METHODS, or "original". variant: what is special about its settings.
    """

    profile: str
    dataset: str
    model: str
    kind: str
    amount: int
    method: str
    variant: str | None
    seed: int

    def __post_init__(self) -> None:
        choose("kind of task", self.kind, KINDS)
        choose("method", self.method, ["original", *METHODS])

    @property
    def task_name(self) -> str:
        """The task's name in records: "class5", "samples500"."""
        return f"{self.kind}{self.amount}"

    @property
    def record(self) -> Path:
        """Where the cell's record belongs."""
        return record_path({**asdict(self), "task": self.task_name})

    @property
    def name(self) -> str:
        """The record's name without its ending; no two cells of a profile share it."""
        return self.record.stem

    @property
    def size(self) -> Profile:
        """The cell's profile, for its data set and model."""
        return get_profile(self.profile, self.dataset, self.model)

    @property
    def verified(self) -> bool:
        """Whether the run is attacked and audited: other architectures are compared by accuracy alone."""
        return self.model == SEARCH_MODEL and self.variant in ("tuned", NO_CONTRAST) and self.amount == self._main

    @property
    def _main(self) -> int:
        if self.kind == "class":
            return self.size.label
        return samples_of(self.method, self.size)

    @property
    def reference_amount(self) -> int:
        """What the retrained model was trained without: the cell's own amount.

        LCODEC's few samples are the first of the profile's: Retrain without all of those never saw
        the few either.
        """
        few = self.kind == "samples" and self.method == "lcodec" and self.amount < self.size.count
        return self.size.count if few else self.amount

    @property
    def original_key(self) -> str:
        """Names the original model that the cell starts from."""
        return f"{self.dataset}-{self.model}-seed{self.seed}"

    @property
    def retrained_key(self) -> str | None:
        """Names the retrained model that the run is held against; None for a run that stands alone."""
        if self.method not in REFERENCES and not self.verified and not (self.variant or "").startswith("batch"):
            return None
        if "omega" in (self.variant or ""):
            return None
        return f"{self.dataset}-{self.model}-{self.kind}{self.reference_amount}-seed{self.seed}"

    def task(self, dataset: Dataset, amount: int | None = None) -> ForgetTask:
        """The cell's task on the profile's data; amount: None means the cell's."""
        amount = self.amount if amount is None else amount
        if self.kind == "class":
            return forget_class(dataset, amount, self.seed)
        return forget_samples(dataset, amount, self.seed)


def samples_of(method: str, size: Profile) -> int:
    """How many samples a method forgets in the main comparison: the profile's number, or LCODEC's few."""
    return FEW if method == "lcodec" and size.count > FEW else size.count


def settings_of(size: Profile, kind: str, method: str) -> Any:
    """What a recorded search found; at profile smoke, without one, what the profile says.

    Raises DataFileError where there is no search at the other profiles.
    """
    try:
        return tuned_settings(size, kind, method)
    except DataFileError:
        if size.name != "smoke":
            raise
        return size.settings(method, kind)


def needs_search(cell: Cell) -> bool:
    """Whether the cell's settings come from a search that is not recorded yet."""
    if cell.profile == "smoke" or cell.method not in GRIDS:
        return False
    try:
        read_search(cell.size, cell.kind, cell.method)
    except DataFileError:
        return True
    return False


def planned(cell: Cell) -> ablations.Planned:
    """Table, variant, settings and watched sets of a cell that unlearns. Raises ValueError if no run has its name."""
    size, variant = cell.size, cell.variant or ""
    ours = settings_of(size, cell.kind, cell.method)
    main = TABLES[cell.kind]
    if variant == NO_CONTRAST and hasattr(ours, "lambda_ul"):
        return main, variant, replace(ours, lambda_ul=0.0), ()
    if variant == EVERY_LOOK and hasattr(ours, "stopping"):
        return main, variant, replace(ours, stopping=replace(ours.stopping, check_every=1)), ()
    if variant == "curve" and cell.method in CURVES:
        once = {"max_rounds": 1} if hasattr(ours, "max_rounds") else {}
        watched = replace(ours, stopping=Stopping(rule="none", check_every=CURVES[cell.method]), **once)
        return main, variant, watched, ("forget", "retain_test")
    if variant in ("tuned", "timed"):
        if cell.kind == "class" and cell.amount != size.label:
            main = "Table 9"
        elif cell.kind == "samples" and cell.amount != samples_of(cell.method, size):
            main = "Table 11"
        return main, variant, ours, ()
    for plan in ablations.variants(ours, cell.kind, size.count) if cell.method == "contrastive" else []:
        if plan[1] == variant:
            return plan
    base = {cell.method: ours} if cell.method in batches.BOTH else {}
    for one in batches.plans(base, batches.batch_sizes(size.count)):
        if one.variant == variant:
            return "Table 14", variant, one.settings, ()
    raise ValueError(f"no run of {cell.method} is called {variant!r}; see grid_parts.cells")
