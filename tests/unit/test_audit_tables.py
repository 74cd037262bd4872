"""Tables of audits from numbers that are known, and what must not enter them."""

import math
from pathlib import Path

import pytest
from records import write_run

from cu_helpers import audit_measures, audit_tables
from cu_helpers.audit_measures import Measure
from cu_helpers.audit_tables import Findings
from cu_helpers.audits import Audit

KNN = audit_measures.number("neighbours (%)", "knn_z")


@pytest.fixture
def findings() -> Findings:
    return {
        "original": {0: {"knn_z": 90.0, "margin": 0.6}, 1: {"knn_z": 94.0, "margin": 0.7}},
        "retrain": {0: {"knn_z": 30.0, "margin": 0.1}, 1: {"knn_z": 40.0, "margin": 0.1}},
        "scrub": {
            0: {"knn_z": 60.0, "margin": 0.1},
            1: {"knn_z": 67.0, "margin": 0.1},
            2: {"knn_z": 5.0, "margin": 0.0},
        },
    }


def row(table: str, label: str) -> list[str]:
    (line,) = [line for line in table.split("\n") if line.startswith(f"| {label} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_gaps_are_paired_by_seed(findings: Findings) -> None:
    found = audit_tables.gap(findings, "scrub", KNN)
    assert found is not None
    assert found.mean == pytest.approx((30 + 27) / 2)
    assert found.count == 2, "a seed without a Retrain has no gap"
    assert found.half == pytest.approx(12.706204736 * math.sqrt(4.5) / math.sqrt(2))
    table = audit_tables.audit_table(findings, [KNN, audit_measures.number("margin", "margin", 2)])
    assert row(table, "SCRUB")[:2] == ["SCRUB", "3"]
    assert row(table, "SCRUB")[2].startswith("44.0 ± ")
    assert row(table, "SCRUB")[3] == f"+28.5 ± {found.half:.1f}"
    assert row(table, "SCRUB")[5] == "+0.00 ± 0.00"
    assert row(table, "Retrain")[3] == "reference"
    single: Findings = {name: {0: audits[0]} for name, audits in findings.items()}
    assert row(audit_tables.audit_table(single, [KNN]), "Original")[2] == "90.0 (one run)"
    assert audit_tables.audit_table({}, [KNN]) == audit_tables.NONE_AUDITED
    del findings["scrub"][0], findings["scrub"][1]
    assert row(audit_tables.audit_table(findings, [KNN]), "SCRUB")[3] == "–"


def test_progress_runs_from_the_original_to_retrain(findings: Findings) -> None:
    margin = audit_measures.number("margin", "margin")
    assert audit_tables.progress(findings, "scrub", margin) is None, "apart by 0.5 and 0.6, which two seeds cannot show"
    findings["original"][1]["margin"] = 0.6
    assert audit_tables.progress(findings, "scrub", margin) == pytest.approx(1)
    assert audit_tables.progress(findings, "original", margin) == 0
    findings["scrub"][0]["margin"] = findings["scrub"][1]["margin"] = -0.4
    assert audit_tables.progress(findings, "scrub", margin) == pytest.approx(2)
    figure, found = audit_tables.progress_map(findings, [margin, KNN])
    assert found == {"scrub": [pytest.approx(2), pytest.approx((30 + 27) / (60 + 54))]}
    assert list(figure.data[0].y) == ["SCRUB (3)"]


def test_progress_of_a_run_with_few_seeds_is_over_its_own(findings: Findings) -> None:
    """The way from the original to Retrain is 60 for seed 0 and 54 for seed 1; the run has seed 1 alone."""
    del findings["scrub"][0], findings["scrub"][2]
    assert audit_tables.progress(findings, "scrub", KNN) == pytest.approx(27 / 54)


def test_measures_read_differences_and_curves(findings: Findings) -> None:
    audit: Audit = {"margin": 0.5, "margin_unseen": 0.2, "curve": [50.0, 90.0, 96.0, 100.0]}
    assert audit_measures.difference("d", "margin", "margin_unseen").read(audit) == pytest.approx(0.3)
    assert audit_measures.ratio("r", "margin", "margin_unseen").read(audit) == pytest.approx(2.5)
    for level, expected in ((40, 0), (95, 2), (100, 3), (101, 3)):
        measure = audit_measures.steps("s", "curve", level)
        assert measure.read(audit) == expected
        assert measure.censored(audit) == (level == 101)
    again = audit_measures.relearned("again")
    for taken, expected in ((2.0, (2.0, False)), (3.0, (2.0, True))):
        cut: Audit = {"relearn_steps": taken, "relearn_curve": [0.0, 50.0, 96.0]}
        assert (again.read(cut), again.censored(cut)) == expected
    with pytest.raises(ValueError, match="expected a single one"):
        audit_measures.number("c", "curve").read(audit)


def test_records_without_an_audit_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))

    def write(method: str, seed: int, knn: float | None, variant: str | None = None, task: str = "class5") -> None:
        audit = {} if knn is None else {"audit": {"knn_z": knn}}
        write_run(tmp_path, method=method, seed=seed, variant=variant, task=task, **audit)

    assert audit_tables.recorded_audits("cifar10", "class") == {}
    write("original", 0, 90.0)
    write("scrub", 0, 60.0, "tuned")
    assert audit_tables.recorded_audits("cifar10", "class") == {}, "without Retrain there is nothing to compare with"
    write("retrain", 0, 30.0)
    write("retrain", 1, None)
    write("retrain", 0, 10.0, task="class3")
    write("contrastive", 0, 70.0, "tuned")
    write("contrastive", 0, 40.0, "tuned, no contrast")
    write("contrastive", 0, 1.0, "curve")
    found = audit_tables.recorded_audits("cifar10", "class")
    read = {name: {seed: KNN.read(audit) for seed, audit in audits.items()} for name, audits in found.items()}
    expected = {"original": 90, "retrain": 30, "contrastive": 70, "scrub": 60, "no_contrast": 40}
    assert read == {name: {0: value} for name, value in expected.items()}
    assert list(read)[:2] == ["original", "retrain"]
    assert isinstance(KNN, Measure)


def test_a_curve_that_was_cut_is_no_number() -> None:
    slow, quick = [0.0, 10.0, 20.0], [0.0, 99.0, 99.0]
    found: Findings = {
        "original": {0: {"curve": quick}, 1: {"curve": quick}},
        "retrain": {0: {"curve": slow}, 1: {"curve": slow}},
        "scrub": {0: {"curve": slow}, 1: {"curve": quick}},
    }
    measure = audit_measures.steps("steps", "curve", 95)
    table = audit_tables.audit_table(found, [measure])
    assert row(table, "Retrain")[2:] == ["> 2 in 2 of 2", "reference"]
    assert row(table, "SCRUB")[2:] == ["> 2 in 1 of 2, else 1.0", "–"]
    assert audit_tables.progress(found, "scrub", measure) is None
