"""The committed runs have the settings that their names promise: those of their own search, or of ResNet-18's."""

from dataclasses import replace
from pathlib import Path

import pytest

from cu_helpers.comparison import TRANSFERRED, rows_of, transferred_rows
from cu_helpers.experiments import KINDS
from cu_helpers.models import MODELS
from cu_helpers.profiles import get_profile
from cu_helpers.results import read_runs
from cu_helpers.tuning import GRIDS, SEARCH_MODEL, best, read_search, searched_with

OTHERS = [name for name in MODELS if name != SEARCH_MODEL]


@pytest.fixture(autouse=True)
def committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_RESULTS", str(Path(__file__).resolve().parents[2] / "book" / "results"))


@pytest.mark.parametrize("model", OTHERS)
def test_other_architectures_run_with_the_settings_that_the_tables_name(model: str) -> None:
    size, looked_at = get_profile("laptop", "digits", model), 0
    for kind in KINDS:
        task = size.task_name(kind)
        for method in GRIDS:
            for variant, of in (("tuned", size), (TRANSFERRED, replace(size, model=SEARCH_MODEL))):
                runs = read_runs("laptop", dataset="digits", model=model, task=task, method=method, variant=variant)
                for run in runs:
                    changes = best(read_search(of, kind, method)).changes
                    found = {name: run["settings"][method][name] for name in changes}
                    assert found == changes, f"{kind}, {method}, {variant}, seed {run['seed']}"
                    looked_at += 1
                if variant == TRANSFERRED and runs:
                    assert searched_with(size, kind, method) == model, "without a search the runs are the tuned ones"
    assert looked_at >= 20


def test_the_rows_of_transferred_settings_are_those_of_the_comparison() -> None:
    for kind in KINDS:
        ours = [(method, label) for method, variant, label in rows_of(kind) if variant != "equal seconds"]
        rows = transferred_rows(kind)
        assert [(method, label) for method, _, label in rows] == ours
        assert {variant for _, variant, _ in rows} == {None, TRANSFERRED, f"{TRANSFERRED}, no contrast"}
    assert f"settings of {SEARCH_MODEL}" == TRANSFERRED
