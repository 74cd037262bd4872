"""What contrastive unlearning's own settings change: the runs of Tables 11 and 12 and of Figs. 3 and 4."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .unlearning import ContrastiveSettings, Stopping

Planned = tuple[str, str, Any, tuple[str, ...]]  # table, variant, settings, sets watched at every stop check
TEMPERATURES = (0.007, 0.07, 0.7, 7.0, 70.0)  # Table 12's, as far as they can be read
BATCH_SIZES = (32, 64, 128, 256)  # Figs. 3 and 4
OMEGAS = (1, 2, 4)  # Figs. 3 and 4; the paper takes at most four
COUNTS = (200, 1000, 2000)  # Table 11 beside its 500
SWEEP = "Figs. 3 and 4"


def fitting(sizes: Sequence[int], count: int) -> tuple[int, ...]:
    """These sizes if the largest holds no more than all `count` images; else a ninth, a quarter, a half and all."""
    if count >= max(sizes):
        return tuple(sizes)
    return tuple(sorted({max(1, count // part) for part in (9, 4, 2, 1)}))


def variants(ours: ContrastiveSettings, kind: str, count: int) -> list[Planned]:
    """Table, variant, settings and curve of each run of one seed on the profile's task, `count` samples or a class."""
    released = replace(ours, learning_rate=1e-3, lambda_ul=3.0, omega=4, max_rounds=30)
    every_round = Stopping(rule="none")
    main = "Table 1" if kind == "class" else "Table 3"
    runs: list[Planned] = [
        (main, "authors' numbers", replace(released, stopping=Stopping()), ()),
        (main, "no classification", replace(ours, lambda_ce=0.0), ()),
    ]
    if kind == "samples":
        runs += [("Table 12", f"tau {tau:g}", replace(ours, temperature=tau), ()) for tau in TEMPERATURES]
        runs += [
            (
                SWEEP,
                f"batch {size} omega {omega}",
                replace(ours, batch_size=size, omega=omega, stopping=every_round),
                ("forget", "test"),
            )
            for size in fitting(BATCH_SIZES, count)
            for omega in OMEGAS
        ]
    return runs
