"""Scores from logits against the same formulas on probabilities with a hundred digits."""

from collections.abc import Iterator
from decimal import Decimal, localcontext

import pytest
import torch
from torch import Tensor

from cu_helpers import attack_scores
from cu_helpers.attack_scores import THRESHOLDS


@pytest.fixture(autouse=True)
def _digits() -> Iterator[None]:
    with localcontext() as context:
        context.prec = 400
        yield


def probabilities(row: list[float]) -> list[Decimal]:
    weights = [Decimal(value).exp() for value in row]
    return [weight / sum(weights) for weight in weights]


def by_definition(name: str, row: list[float], label: int) -> float:
    p = probabilities(row)
    if name == "loss":
        return float(p[label].ln())
    if name == "confidence":
        return float(max(p).ln())
    if name == "entropy":
        return float(sum(q * q.ln() for q in p))
    if name == "logit":
        return float((p[label] / (1 - p[label])).ln())
    wrong = sum(q * (1 - q).ln() for k, q in enumerate(p) if k != label)
    return float((1 - p[label]) * p[label].ln() + wrong)


LOGITS = [[0.3, -1.2, 2.0], [0.0, 0.0, 0.0], [60.0, 0.0, -5.0], [-40.0, 90.0, 89.0], [300.0, -300.0, 0.0]]


@pytest.mark.parametrize("name", [*THRESHOLDS, "logit"])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_scores_equal_their_definitions_also_where_a_softmax_would_round(name: str, label: int) -> None:
    function = attack_scores.logit_score if name == "logit" else THRESHOLDS[name]
    found = function(torch.tensor(LOGITS, dtype=torch.float64), torch.full((len(LOGITS),), label))
    assert found.dtype == torch.float64
    assert found.isfinite().all()
    for value, row in zip(found.tolist(), LOGITS, strict=True):
        assert value == pytest.approx(by_definition(name, row, label), rel=1e-9, abs=1e-15)


def test_modified_entropy_tells_a_sure_wrong_answer_from_a_sure_right_one() -> None:
    logits = torch.tensor([[40.0, 0.0, 0.0]])
    right, wrong = (attack_scores.modified_entropy_score(logits, torch.tensor([y])).item() for y in (0, 1))
    assert right == pytest.approx(0, abs=1e-12)
    assert wrong < -70
    plain = {y: attack_scores.entropy_score(logits, torch.tensor([y])).item() for y in (0, 1)}
    assert plain[0] == plain[1], "plain entropy cannot"


def test_song_and_mittals_example() -> None:
    """Two predictions over three classes: worked by hand from the formula, 0.162 and 0.322 rounded."""
    logits = torch.tensor([[0.9, 0.05, 0.05], [0.8, 0.1, 0.1]]).log()
    found = -attack_scores.modified_entropy_score(logits, torch.tensor([0, 0]))
    expected = [-0.1 * torch.tensor(0.9).log() - 0.1 * torch.tensor(0.95).log()]
    expected.append(-0.2 * torch.tensor(0.8).log() - 0.2 * torch.tensor(0.9).log())
    torch.testing.assert_close(found.float(), torch.stack(expected))


@pytest.mark.parametrize("function", [*THRESHOLDS.values(), attack_scores.logit_score])
def test_bad_outputs_are_refused(function: attack_scores.Score) -> None:
    bad = torch.tensor([[0.0, 1.0], [torch.nan, 0.0], [torch.inf, 0.0]])
    with pytest.raises(ValueError, match=r"outputs are NaN or infinite for 2 of 3 images"):
        function(bad, torch.zeros(3, dtype=torch.int64))
    shapes: list[tuple[Tensor, Tensor]] = [
        (torch.zeros(3, 1), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(3), torch.zeros(3, dtype=torch.int64)),
    ]
    for logits, labels in shapes:
        with pytest.raises(ValueError, match=r"expected \(n, classes\) with two classes or more, and \(n,\)"):
            function(logits, labels)
