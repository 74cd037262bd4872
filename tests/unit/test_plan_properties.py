"""From a cell of the grid to a run's settings, for any cell: its table, what it changes, and whether it waits."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any
from unittest import mock

import pytest
from conftest import image_data
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import FEW

from cu_helpers import grid
from cu_helpers.ablations import BATCH_SIZES, OMEGAS, TEMPERATURES, fitting, variants
from cu_helpers.batches import IN_PROPORTION, batch_sizes
from cu_helpers.data import Dataset, forget_class, forget_samples
from cu_helpers.errors import DataFileError
from cu_helpers.grid import (
    CURVES,
    EVERY_LOOK,
    NO_CONTRAST,
    TABLES,
    Cell,
    needs_search,
    planned,
    samples_of,
    settings_of,
)
from cu_helpers.profiles import get_profile
from cu_helpers.tuning import GRIDS, Trial, record_search, trials_of
from cu_helpers.unlearning import METHODS, ContrastiveSettings

kinds = st.sampled_from(["class", "samples"])
methods = st.sampled_from(sorted(METHODS))
datasets = st.sampled_from(["digits", "cifar10"])


@contextmanager
def without_records() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, CU_RESULTS=folder):
        yield


def cell_of(kind: str, method: str, variant: str, profile: str = "smoke", dataset: str = "digits") -> Cell:
    size = get_profile(profile, dataset)
    amount = size.label if kind == "class" else samples_of(method, size)
    return Cell(profile, dataset, "resnet18", kind, amount, method, variant, 0)


def changed(new: Any, old: Any) -> dict[str, Any]:
    """The fields in which two settings of one class differ, with the new values."""
    assert type(new) is type(old)
    return {f.name: getattr(new, f.name) for f in fields(new) if getattr(new, f.name) != getattr(old, f.name)}


@given(methods, st.integers(1, 1000))
@settings(max_examples=FEW)
def test_lcodec_alone_forgets_few_samples_and_never_more_than_there_are(method: str, count: int) -> None:
    size = replace(get_profile("laptop", "cifar10"), count=count)
    assert samples_of(method, size) == (min(count, grid.FEW) if method == "lcodec" else count)


@given(kinds, methods, datasets, st.integers(-2, 2), st.sampled_from(["tuned", "timed"]))
@settings(max_examples=FEW)
def test_a_main_run_has_the_tasks_settings_and_another_amount_another_table(
    kind: str, method: str, dataset: str, more: int, variant: str
) -> None:
    assume(kind in METHODS[method].tasks)
    main = cell_of(kind, method, variant, dataset=dataset)
    cell = replace(main, amount=main.amount + more)
    with without_records():
        table, name, chosen, watched = planned(cell)
        assert chosen == settings_of(cell.size, kind, method) == cell.size.settings(method, kind)
    other = {"class": "Table 9", "samples": "Table 11"}[kind]
    assert (table, name, watched) == (other if more else TABLES[kind], variant, ())


@given(kinds, datasets, st.sampled_from([NO_CONTRAST, EVERY_LOOK, "curve", "no classification", "authors' numbers"]))
@settings(max_examples=FEW)
def test_a_control_changes_what_it_names_and_nothing_else(kind: str, dataset: str, variant: str) -> None:
    cell = cell_of(kind, "contrastive", variant, dataset=dataset)
    with without_records():
        table, name, chosen, watched = planned(cell)
        ours = settings_of(cell.size, kind, "contrastive")
    assert (table, name) == (TABLES[kind], variant)
    assert watched == (("forget", "retain_test") if variant == "curve" else ())
    stopping = {} if variant not in (EVERY_LOOK, "curve") else changed(chosen.stopping, ours.stopping)
    expected: dict[str, Any] = {
        NO_CONTRAST: {"lambda_ul": 0.0},
        "no classification": {"lambda_ce": 0.0},
        EVERY_LOOK: {"stopping": chosen.stopping} if stopping else {},
        "curve": {"stopping": chosen.stopping, "max_rounds": 1},
    }.get(variant, changed(ContrastiveSettings(batch_size=chosen.batch_size), ours))
    assert changed(chosen, ours) == expected
    if variant == EVERY_LOOK:
        assert chosen.stopping.check_every == 1
        assert set(stopping) <= {"check_every"}
    if variant == "curve":
        assert (chosen.stopping.rule, chosen.stopping.check_every) == ("none", CURVES["contrastive"])


@given(st.integers(1, 3000), st.floats(0.1, 3), st.integers(1, 300), kinds)
@settings(max_examples=FEW)
def test_ablations_are_named_for_the_one_thing_they_change(count: int, weight: float, size: int, kind: str) -> None:
    ours = ContrastiveSettings(lambda_ul=weight, batch_size=size, learning_rate=0.02)
    runs = variants(ours, kind, count)
    named = {variant: (table, chosen, watched) for table, variant, chosen, watched in runs}
    assert len(named) == len(runs)
    assert changed(named["no classification"][1], ours) == {"lambda_ce": 0.0}
    if kind == "class":
        assert len(runs) == 2
        return
    for tau in TEMPERATURES:
        table, chosen, watched = named[f"tau {tau:g}"]
        assert (table, watched) == ("Table 12", ())
        assert changed(chosen, ours) == ({"temperature": tau} if tau != ours.temperature else {})
    batches = fitting(BATCH_SIZES, count)
    assert len(runs) == 2 + len(TEMPERATURES) + len(batches) * len(OMEGAS)
    for batch in batches:
        for omega in OMEGAS:
            _, chosen, watched = named[f"batch {batch} omega {omega}"]
            assert (chosen.batch_size, chosen.omega, chosen.stopping.rule) == (batch, omega, "none")
            assert set(changed(chosen, ours)) <= {"batch_size", "omega", "stopping"}
            assert watched == ("forget", "test")


@given(st.sampled_from(["contrastive", "contrastive_queue"]), datasets, st.booleans(), st.integers(0, 3))
@settings(max_examples=FEW)
def test_a_batch_of_table_14_has_its_size_and_its_rule_for_the_rate(
    method: str, dataset: str, slower: bool, place: int
) -> None:
    size = get_profile("smoke", dataset)
    sizes = batch_sizes(size.count)
    batch = sizes[place % len(sizes)]
    suffix = IN_PROPORTION if slower and batch < max(sizes) else ""
    cell = cell_of("samples", method, f"batch {batch}{suffix}", dataset=dataset)
    with without_records():
        table, name, chosen, watched = planned(cell)
        ours = settings_of(size, "samples", method)
    assert (table, name, watched) == ("Table 14", cell.variant, ())
    assert chosen.batch_size == batch
    assert chosen.learning_rate == pytest.approx(ours.learning_rate * (batch / max(sizes) if suffix else 1))
    assert set(changed(chosen, ours)) <= {"batch_size", "learning_rate", "stopping"}


@given(kinds, st.sampled_from(["contrastive", "contrastive_queue", "finetune", "salun"]), st.text("abc 1", max_size=5))
@settings(max_examples=FEW)
def test_a_run_that_is_not_planned_is_refused_by_its_name(kind: str, method: str, variant: str) -> None:
    with (
        without_records(),
        pytest.raises(ValueError, match=f"no run of {method} is called '{variant}'; see grid_parts"),
    ):
        planned(cell_of(kind, method, variant))


@given(kinds, methods, st.sampled_from(["smoke", "laptop", "paper"]))
@settings(max_examples=FEW)
def test_a_cell_waits_for_its_search_unless_it_is_smoke_or_has_nothing_to_tune(
    kind: str, method: str, profile: str
) -> None:
    assume(kind in METHODS[method].tasks)
    cell = cell_of(kind, method, "tuned", profile)
    data = Dataset("digits", *(image_data(count, seed=count) for count in (18, 9, 12)), ("dark", "grey", "bright"))
    task = forget_class(data, 1) if kind == "class" else forget_samples(data, 4)
    with without_records():
        waits = needs_search(cell)
        assert waits == (profile != "smoke" and method in GRIDS)
        if waits:
            with pytest.raises(DataFileError):
                planned(cell)
            trial = Trial(trials_of(method)[-1], {}, 1.0, 1.0, 1, 1)
            record_search(cell.size, task, method, cell.size.settings(method, kind), 100, [trial])
            assert not needs_search(cell)
            assert planned(cell)[2] == replace(cell.size.settings(method, kind), **trials_of(method)[-1])
