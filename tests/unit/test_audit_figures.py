"""Chapter 15's pictures: their numbers, and the words that stand beside them."""

from typing import Any

import plotly.graph_objects as go
import pytest
import torch
from conftest import image_data
from torch.nn import functional as F

from cu_helpers import audit_figures, audit_measures
from cu_helpers.audit_tables import Findings

Shown = list[tuple[go.Figure, str, str]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    found: Shown = []
    monkeypatch.setattr(audit_figures, "show", lambda *parts: found.append(parts))
    return found


@pytest.fixture
def findings() -> Findings:
    def audit(knn: float, curve: list[float], answers: list[float]) -> "dict[str, Any]":
        return {"knn_z": knn, "relearn_curve": curve, "relearn_steps": float(len(curve) - 1), "answers": answers}

    return {
        "original": {0: audit(90.0, [0.0, 95.0], [0.0, 0.25, 0.75]), 1: audit(91.0, [0.0], [0.0, 1.0, 0.0])},
        "retrain": {0: audit(30.0, [0.0, 9.0, 90.0], [0.0, 1.0, 0.0]), 1: audit(31.0, [0.0], [0.0, 1.0, 0.0])},
        "contrastive": {0: audit(60.0, [2.0, 91.0], [0.0, 0.5, 0.5]), 1: audit(61.0, [0.0], [0.0, 1.0, 0.0])},
        "logit_mask": {0: audit(90.0, [0.0, 95.0], [0.0, 0.25, 0.75]), 1: audit(91.0, [0.0], [0.0, 1.0, 0.0])},
    }


def test_words_say_how_far_each_run_has_come(findings: Findings) -> None:
    measure = audit_measures.number("neighbours (%)", "knn_z")
    lines = audit_figures.told_progress(findings, [measure]).split("\n")
    assert [line.split() for line in lines] == [["Contrastive", "+0.50"], ["Logit", "mask", "+0.00"]]
    assert audit_figures.three_means(findings, measure) == (
        "Original 90.5 ± 6.4, Contrastive 60.5 ± 6.4, Retrain 30.5 ± 6.4"
    )
    single: Findings = {name: {0: of[0]} for name, of in findings.items()}
    assert audit_figures.told_progress(single, [measure]).split("\n")[0].split(maxsplit=1)[1] == "not told"
    told = audit_figures.near_and_far([0.8, 1.19, 1.2, 0.5, 0.49, -3.0, None])
    assert told == "near Retrain (0.8 to 1.2) on 2 of 6 measures, less than half-way on 2 of 6"


def test_curves_and_answers_are_the_audits(findings: Findings, shown: Shown) -> None:
    audit_figures.show_relearning(findings, 0, "caption")
    figure, caption, alt = shown[-1]
    assert [(curve.name, list(curve.y)) for curve in figure.data] == [
        ("Original", [0, 95]),
        ("Retrain", [0, 9, 90]),
        ("Contrastive", [2, 91]),
    ]
    assert caption == "caption"
    assert "Retrain 2 steps" in alt
    assert "Logit mask 1 steps" in alt
    audit_figures.show_answers(findings, 0, ("a", "b", "c"), "caption")
    figure, _, alt = shown[-1]
    assert figure.data[0].z.tolist() == [[0, 25, 75], [0, 100, 0], [0, 50, 50], [0, 25, 75]]
    assert list(figure.data[0].x) == ["a", "b", "c"]
    assert "Original class c (75 percent), Retrain class b (100 percent)" in alt
    audit_figures.show_shots({"retrain": ((1, 5), (10.0, 80.0))}, "caption")
    figure, _, alt = shown[-1]
    assert list(figure.data[0].y) == [10, 80]
    assert alt.endswith("Retrain 10 to 80 percent.")


def test_ranks_of_pairs_equal_a_loop() -> None:
    z = F.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64), dim=1)
    cosines = [float(z[i] @ z[j]) for i in range(6) for j in range(i + 1, 6)]
    ranks = [100 * sum(other <= own for other in cosines) / len(cosines) for own in cosines]
    assert audit_figures.pair_ranks(z).tolist() == pytest.approx(ranks)
    figure = audit_figures.ranks_figure(z, {"a": z, "b": -z}, ("#111111", "#222222"), ("a",), most=5)
    assert [trace.visible for trace in figure.data] == [True, "legendonly"]
    assert list(figure.data[0].x) == list(figure.data[0].y), "unchanged embeddings lie on the diagonal"
    assert len(figure.data[1].x) == 5


def test_the_extremes_of_memorisation_are_shown(shown: Shown) -> None:
    images = image_data(20)
    scores = torch.linspace(-0.2, 0.9, 20)
    audit_figures.show_scores(scores, images)
    grid, histogram = shown[0][0], shown[1][0]
    notes = [note.text for note in grid.layout.annotations]
    assert notes[0] == f"{images.labels[19]}, mem 0.90"
    assert notes[-1] == f"{images.labels[0]}, mem -0.20"
    assert len(histogram.data[0].x) == 20
    assert "from -0.20 to 0.90" in shown[1][2]
    audit_figures.show_scores(scores, image_data(5))
    assert len(shown) == 3, "images of another set are left out"
