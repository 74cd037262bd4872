"""Verdicts on attacks whose quality is known, and tables from reports whose numbers are known."""

from pathlib import Path
from typing import Any

import pytest
from records import write_run

from cu_helpers import paper
from cu_helpers.attack_reports import auc_verdict, recorded_reports, verdict_of
from cu_helpers.attacks import VARIANTS
from cu_helpers.calibration import advantage, calibration_verdict, distance_verdict
from cu_helpers.verification_tables import (
    NONE_RECORDED,
    member_table,
    overview_table,
    power_table,
    spread,
    table_19,
)


@pytest.mark.parametrize(
    ("forgotten", "held_out", "words"),
    [
        (50.0, 52.0, "works (power 52.0)"),
        (26.0, 52.0, "works (power 52.0)"),
        (25.0, 52.0, "broken: calls the original's forgotten images non-members (25.0 of 52.0)"),
        (9.0, 9.9, "broken: too weak (power 9.9, at least 10 asked)"),
        (60.0, -30.0, "broken: too weak (power -30.0, at least 10 asked)"),
        (-5.0, 10.0, "broken: calls the original's forgotten images non-members (-5.0 of 10.0)"),
    ],
)
def test_the_rule(forgotten: float, held_out: float, words: str) -> None:
    found = calibration_verdict(forgotten, held_out)
    assert found.words == words
    assert found.works == words.startswith("works")


def test_an_auc_and_a_rate_are_on_one_scale() -> None:
    """A decision with member rates a and b has the AUC (1 + a - b) / 2."""
    assert advantage(0.5) == 0
    assert advantage((1 + 0.9 - 0.3) / 2) == pytest.approx(60)


def test_a_distance_is_read_with_its_interval() -> None:
    assert distance_verdict([10.0, 11.0, 12.0]) == "remembers"
    assert distance_verdict([-10.0, -11.0, -12.0]) == "over-forgets"
    assert distance_verdict([-10.0, 0.0, 12.0]) == "not told apart (3 seeds)"
    assert distance_verdict([40.0]) == "one run"


def report(forgotten: float, held_out: float, unseen: float, auc: float = 0.6, retained: float = 0.8) -> dict[str, Any]:
    """A report in which every attack has the same numbers."""
    rates = {"forgotten": forgotten, "held_out": held_out, "unseen": unseen}

    def scored(value: float) -> dict[str, Any]:
        tpr = {"value": value / 10, "low": 0.0, "high": 1.0}
        return {"auc": {"value": value, "low": 0.0, "high": 1.0}, "tpr_at": {"0.01": tpr, "0.001": tpr}}

    return {
        "seed": 0,
        "counts": {},
        "member_rates": {f"{a}, {b}": dict(rates) for a, b in VARIANTS},
        "thresholds": {name: {"forgotten": scored(auc), "held_out": scored(retained)} for name in ("loss", "entropy")},
    }


REPORTS = {
    "original": {0: report(90, 95, 40, 0.85), 1: report(94, 97, 42, 0.85)},
    "retrain": {0: report(50, 96, 45, 0.5), 1: report(54, 94, 47, 0.5)},
    "contrastive": {0: report(20, 80, 40, 0.3, 0.9), 1: report(25, 82, 40, 0.3, 0.9)},
    "scrub": {1: report(60, 80, 40)},
}


def cells(table: str, label: str) -> list[str]:
    (row,) = [line for line in table.split("\n") if line.startswith(f"| {label} |")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_member_table_shows_both_references_distances_and_the_verdict() -> None:
    table = member_table(REPORTS, paper_model="resnet18")
    assert cells(table, "Original")[1:6] == ["2", "92.0 ± 2.8", "96.0 ± 1.4", "41.0 ± 1.4", "+40.0 ± 0.0"]
    assert cells(table, "Retrain")[5] == "reference"
    found = cells(table, "Contrastive")
    assert found[5:7] == ["-29.5 ± 0.7", "over-forgets"], "20 - 50 and 25 - 54"
    assert found[7:] == ["60.88 ± 0.78", "91.05 ± 0.59", "-2.4"]
    assert cells(table, "SCRUB")[1:3] == ["1", "60.0 (one run)"]
    assert cells(table, "SCRUB")[5:7] == ["+6.0 (one run)", "one run"], "paired with the Retrain of its own seed"
    assert table.endswith("|\n\nThis attack: **works (power 55.0)**"), (
        "a line of its own: in a cell it would be a column of words"
    )
    blind = member_table({**REPORTS, "original": {0: report(50, 52, 50)}})
    assert "**broken: too weak (power 2.0, at least 10 asked)**" in blind
    assert cells(blind, "Contrastive")[5:] == ["-29.5 ± 0.7", "attack broken"], "a broken attack reads nothing"
    deaf = {**REPORTS, "original": {0: report(42, 95, 40)}}
    assert "broken: calls the original's forgotten images non-members (2.0 of 55.0)" in member_table(deaf)


def test_the_overview_has_a_row_and_a_verdict_for_each_attack() -> None:
    table = overview_table(REPORTS)
    assert len(table.split("\n")) == 2 + len(VARIANTS) + 2
    assert cells(table, "member rate: softmax, mlp")[1:] == [
        "works (power 55.0)",
        "92.0",
        "52.0",
        "22.5 (-29.5, over-forgets)",
        "60.0 (+6.0, one run)",
    ]
    assert cells(table, "AUC: loss")[1:4] == ["works (power 60.0)", "85.0", "50.0"]
    assert auc_verdict({"original": {0: report(0, 0, 0, 0.5, 0.9)}}, "loss").words.startswith("broken: calls")


def test_a_class_is_judged_against_its_own_unseen_images() -> None:
    """A class that the attack finds easy looks like members in training and test images alike."""
    easy = report(90, 95, 40)
    for rates in easy["member_rates"].values():
        rates["unseen_of_class"] = 88
    assert verdict_of({"original": {0: easy}}, "softmax, mlp").words.startswith("broken: calls")
    for rates in easy["member_rates"].values():
        rates["unseen_of_class"] = 30
    assert verdict_of({"original": {0: easy}}, "softmax, mlp").works
    table = member_table({"original": {0: easy}, "retrain": {0: easy}})
    assert table.split(" | ")[5:7] == ["unseen of the class (%)", "forgotten minus Retrain's"]
    assert cells(table, "Retrain")[4:7] == ["40.0 (one run)", "30.0 (one run)", "reference"]


def test_the_power_table_shows_what_happened_to_those_who_stayed() -> None:
    table = power_table(REPORTS)
    assert cells(table, "Contrastive") == [
        "Contrastive",
        "30.0 ± 0.0",
        "-20.0 ± 0.0",
        "over-forgets",
        "90.0 ± 0.0",
        "+10.0 ± 0.0",
        *["3.0 ± 0.0", "9.0 ± 0.0"] * 2,
    ]
    assert table.endswith("\n\nThis score: **works (power 60.0)**")
    weak = {**REPORTS, "original": {0: report(90, 95, 40, 0.5, 0.9)}}
    assert cells(power_table(weak), "Contrastive")[3] == "attack broken", "it misses the original's forgotten images"
    few = {**REPORTS, "scrub": {1: report(60, 80, 40)}}
    for score in few["scrub"][1]["thresholds"].values():
        score["forgotten"]["tpr_at"] = {}
    assert cells(power_table(few), "SCRUB")[6:] == ["too few images", "8.0 [0.0, 100.0]"] * 2


def test_other_forgotten_images_than_retrains_have_no_distance() -> None:
    def counted(found: dict[str, Any], count: int) -> dict[str, Any]:
        return {**found, "counts": {"forgotten": count}}

    few = {method: {0: counted(of[0], 500)} for method, of in REPORTS.items() if 0 in of}
    few["lcodec"] = {0: counted(report(80, 90, 45), 50)}
    assert cells(member_table(few), "LCODEC (50 images)")[1:] == [
        "1",
        *["80.0 (one run)", "90.0 (one run)"],
        "45.0 (one run)",
        "–",
        "–",
    ]
    assert cells(power_table(few), "LCODEC (50 images)")[2:4] == ["–", "–"]
    assert "| LCODEC (50 images) |" in overview_table(few)
    assert cells(overview_table(few), "AUC: loss")[5] == "60.0", "no distance behind it"


def test_without_both_references_there_is_no_table() -> None:
    for build in (member_table, overview_table, power_table):
        for missing in ("original", "retrain"):
            assert build({key: of for key, of in REPORTS.items() if key != missing}) == NONE_RECORDED
        assert build({}) == NONE_RECORDED


def write(folder: Path, **run: Any) -> None:
    write_run(folder, **{"dataset": "svhn", "model": "resnet101", "task": "samples500", **run})


def test_records_without_an_attack_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    assert recorded_reports("svhn", "samples", model="resnet101") == {}
    assert table_19().count("not run") == 5 * 2 * 6
    write(tmp_path, method="retrain", attack=report(50, 60, 45))
    write(tmp_path, method="original", attack=report(90, 95, 45))
    write(tmp_path, method="contrastive", variant="tuned", attack=report(58, 60, 45))
    write(tmp_path, method="contrastive", variant="tuned", seed=1, attack=report(56, 60, 45))
    write(tmp_path, method="finetune", variant="tuned")
    write(tmp_path, method="scrub", variant="equal seconds", attack=report(1, 1, 1))
    write(tmp_path, method="ssd", variant="tuned", task="samples36", attack=report(1, 1, 1))
    write(tmp_path, method="lcodec", variant="tuned", task="samples50", attack=report(80, 90, 45))
    found = recorded_reports("svhn", "samples", model="resnet101")
    assert {method: sorted(of) for method, of in found.items()} == {
        "original": [0],
        "retrain": [0],
        "contrastive": [0, 1],
        "lcodec": [0],
    }
    table = table_19()
    (row,) = [line for line in table.split("\n") if line.startswith("| resnet101 | forgotten (%)")]
    assert row.split(" | ")[2:5] == ["52.04 / 50.0 (one run)", "58.24 / 57.0 ± 1.4", "54.22 / not run"]
    (lost,) = [line for line in table.split("\n") if line.startswith("| resnet50 | held-out")]
    assert lost.count("lost / not run") == 6


def test_the_papers_rates_stand_as_printed() -> None:
    assert paper.TABLE_4.value("resnet34", "contrastive", "forgotten") == "53.51"
    assert paper.TABLE_4.value("vit_small", "lcodec", "held_out_sd") == "1.43"
    assert paper.TABLE_19.value("resnet101", "contrastive", "held_out") == "73.66"
    assert paper.TABLE_19.value("resnet50", "contrastive", "held_out") == paper.LOST
    assert paper.TABLE_19.value("resnet18", "retrain", "forgotten") == paper.LOST
    assert spread([1.0, 3.0]) == "2.0 ± 1.4"
