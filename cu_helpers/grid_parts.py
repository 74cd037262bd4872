"""Which cells the reproduction has: the runs of every table, for a profile, a data set and some models."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import ablations, batches
from .data import CLASSES
from .errors import choose
from .experiments import KINDS
from .grid import CURVES, EVERY_LOOK, NO_CONTRAST, REFERENCES, Cell, samples_of
from .profiles import Profile, get_profile
from .tuning import SEARCH_MODEL
from .unlearning import METHODS

PARTS = {
    "class": "Tables 1, 2 and 8, Fig. 2 and their audits",
    "samples": "Tables 3, 4, 5 and 8 and their audits",
    "classes": "Table 9 (CIFAR-10) and 10 (SVHN): every class in turn",
    "counts": "Table 11: other numbers of samples",
    "settings": "Table 12, Figs. 3 and 4: temperature, batch size, omega",
    "queue": "Table 14: the momentum queue",
    "looks": "the methods with a stop rule, each looked at after every batch",
    "timed": "Tables 2 and 5 once more, each run with the device to itself",
}
# The paper's own comparison, which is what other architectures than the searched one take part in.
PAPER_METHODS = {
    "class": ("contrastive", "boundary_shrink", "boundary_expansion", "scrub", "unsir"),
    "samples": ("contrastive", "finetune", "gradient_ascent", "fisher", "lcodec"),
}
# Profile smoke shows that everything works: two methods and one seed do.
SMOKE_PARTS, SMOKE_METHODS, SMOKE_SEEDS = ("class", "samples"), ("contrastive", "finetune"), (0,)


@dataclass(frozen=True)
class Wanted:
    """What of the grid is wanted, for one model. None: everything, but part "timed" only by name."""

    size: Profile
    parts: tuple[str, ...]
    methods: tuple[str, ...] | None
    seeds: tuple[int, ...] | None

    def amount(self, kind: str) -> int:
        """The class, or the number of samples, of the main comparison."""
        return self.size.label if kind == "class" else self.size.count

    def seeds_of(self, kind: str) -> tuple[int, ...]:
        """The wanted seeds, or the profile's."""
        own = self.size.class_seeds if kind == "class" else self.size.sample_seeds
        return own if self.seeds is None else self.seeds

    def has(self, method: str) -> bool:
        """Whether the method is wanted."""
        return self.methods is None or method in self.methods

    def methods_of(self, kind: str) -> list[str]:
        """The methods of the main comparison."""
        known = [name for name in METHODS if kind in METHODS[name].tasks and name not in REFERENCES]
        if self.methods is None and self.size.model != SEARCH_MODEL:
            return [name for name in known if name in PAPER_METHODS[kind]]
        return [name for name in known if self.has(name)]

    def cell(self, kind: str, method: str, variant: str | None, seed: int, amount: int | None = None) -> Cell:
        """A cell; amount: None means the main comparison's."""
        amount = self.amount(kind) if amount is None else amount
        return Cell(self.size.name, self.size.dataset, self.size.model, kind, amount, method, variant, seed)


def _main(wanted: Wanted, kind: str, seed: int) -> Iterator[Cell]:
    yield from (wanted.cell(kind, method, None, seed) for method in REFERENCES)
    for method in wanted.methods_of(kind):
        amount = samples_of(method, wanted.size) if kind == "samples" else None
        yield wanted.cell(kind, method, "tuned", seed, amount)
        if method == "contrastive":
            yield wanted.cell(kind, method, NO_CONTRAST, seed)
        if kind == "class" and method in CURVES and wanted.size.dataset != "digits":  # chapters draw digits live
            yield wanted.cell(kind, method, "curve", seed)


def _timed(wanted: Wanted, kind: str, seed: int) -> Iterator[Cell]:
    for method in wanted.methods_of(kind):
        if method not in ("lcodec", "logit_mask"):
            yield wanted.cell(kind, method, "timed", seed)


def _classes(wanted: Wanted, seed: int) -> Iterator[Cell]:
    if wanted.has("contrastive"):
        for label in range(CLASSES[wanted.size.dataset]):
            yield wanted.cell("class", "contrastive", "tuned", seed, label)


def _settings(wanted: Wanted, kind: str, seed: int) -> Iterator[Cell]:
    if wanted.has("contrastive"):
        ours = wanted.size.settings("contrastive", kind)  # for the names alone
        for _, variant, _, _ in ablations.variants(ours, kind, wanted.size.count):
            yield wanted.cell(kind, "contrastive", variant, seed)


def counts(size: Profile) -> tuple[int, ...]:
    """How many samples Table 11 forgets beside the profile's own number; of few images a half and twice it."""
    return ablations.COUNTS if size.count >= ablations.COUNTS[0] else (size.count // 2, 2 * size.count)


def _counts(wanted: Wanted, seed: int) -> Iterator[Cell]:
    for count in counts(wanted.size):
        yield wanted.cell("samples", "retrain", None, seed, count)
        for method in filter(wanted.has, ("contrastive", "fisher")):
            yield wanted.cell("samples", method, "tuned", seed, count)


def _queue(wanted: Wanted, seed: int) -> Iterator[Cell]:
    yield from (wanted.cell("samples", method, None, seed) for method in REFERENCES)
    for method in filter(wanted.has, batches.BOTH):
        base = {method: METHODS[method].settings()}  # for the names alone
        for plan in batches.plans(base, batches.batch_sizes(wanted.size.count)):
            yield wanted.cell("samples", method, plan.variant, seed)


def _looks(wanted: Wanted, kind: str, seed: int) -> Iterator[Cell]:
    for method in wanted.methods_of(kind):
        stopping = getattr(wanted.size.settings(method, kind), "stopping", None)
        # The others run a fixed length, or are looked at that often in the main comparison already.
        if stopping is not None and stopping.rule != "none" and stopping.check_every != 1:
            yield wanted.cell(kind, method, EVERY_LOOK, seed)


def _of_kind(wanted: Wanted, kind: str) -> Iterator[Cell]:
    searched = wanted.size.model == SEARCH_MODEL
    for seed in wanted.seeds_of(kind):
        if kind in wanted.parts:
            yield from _main(wanted, kind, seed)
        if "timed" in wanted.parts:
            yield from _timed(wanted, kind, seed)
        if "settings" in wanted.parts and searched:
            yield from _settings(wanted, kind, seed)
        if "classes" in wanted.parts and searched and kind == "class":
            yield from _classes(wanted, seed)
        if "counts" in wanted.parts and searched and kind == "samples":
            yield from _counts(wanted, seed)
        if "looks" in wanted.parts and searched:
            yield from _looks(wanted, kind, seed)
        if "queue" in wanted.parts and searched and kind == "samples":
            yield from _queue(wanted, seed)


def cells(
    profile: str,
    dataset: str,
    models: Sequence[str] = (SEARCH_MODEL,),
    parts: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Cell]:
    """Every wanted cell once, references first.

    parts: None means all of PARTS but "timed". methods: None means all for the searched
    architecture and the paper's for the others. seeds: None means the profile's. At profile smoke,
    None means the few that its name promises. Raises ValueError for an unknown name.
    """
    for part in parts or ():
        choose("part of the grid", part, list(PARTS))
    for method in methods or ():
        choose("method", method, list(METHODS))
    if profile == "smoke":
        parts, methods, seeds = parts or SMOKE_PARTS, methods or SMOKE_METHODS, seeds or SMOKE_SEEDS
    chosen = tuple(parts or [part for part in PARTS if part != "timed"])
    found: dict[Cell, None] = {}
    for model in models:
        wanted = Wanted(
            get_profile(profile, dataset, model),
            chosen,
            tuple(methods) if methods else None,
            tuple(seeds) if seeds else None,
        )
        for kind in KINDS:
            found.update(dict.fromkeys(_of_kind(wanted, kind)))
    return sorted(found, key=lambda cell: cell.method not in REFERENCES)
