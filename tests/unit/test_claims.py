"""Verdicts from made-up records whose answer is known, and the tables with links to their records."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from records import write_run

from cu_helpers import claim_evidence, claim_rules, claims, readings, reproduction
from cu_helpers import claim_rules_appendix as appendix
from cu_helpers import claim_rules_privacy as privacy
from cu_helpers.ablations import BATCH_SIZES, OMEGAS, SWEEP, TEMPERATURES, fitting
from cu_helpers.attack_reports import PAPER_ATTACK
from cu_helpers.claim_list import CLAIMS, SCALES
from cu_helpers.claims import FAILS, HOLDS, IN_PART, NOT, OPEN, PARTLY, REPRODUCED, UNTESTED, Claim, Outcome
from cu_helpers.ledger import Ledger

PLACE = ("cifar10", "paper")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CU_RESULTS", str(tmp_path))
    return tmp_path


def put(folder: Path, method: str, variant: str | None = "tuned", seed: int = 0, **fields: Any) -> None:
    variant = None if method in ("original", "retrain") else variant
    write_run(folder, **{"profile": "paper", "method": method, "variant": variant, "seed": seed, **fields})


def of_class(forget: float, kept: float) -> dict[str, float]:
    return {"forget": forget, "forget_test": forget, "retain_test": kept}


def says(outcome: Outcome | None) -> str | None:
    return outcome and outcome.says


def test_a_verdict_takes_all_scales_together() -> None:
    def verdict(*words: str) -> str:
        return claims.verdict([Outcome("here", word, "") for word in words])

    assert verdict() == verdict(OPEN) == UNTESTED
    assert verdict(HOLDS, HOLDS) == verdict(HOLDS, OPEN) == REPRODUCED
    assert verdict(FAILS, FAILS) == NOT
    assert verdict(HOLDS, FAILS) == verdict(IN_PART) == verdict(HOLDS, IN_PART) == PARTLY
    assert [claims.of_parts(*parts) for parts in ((True, True), (True, False), (False,))] == [HOLDS, IN_PART, FAILS]
    with pytest.raises(ValueError, match="one part or more"):
        claims.of_parts()
    with pytest.raises(ValueError, match="unknown outcome 'perhaps'"):
        Outcome("here", "perhaps", "")


def test_without_records_every_claim_is_untested() -> None:
    assert claims.counted(claims.judge_all(CLAIMS, SCALES))[UNTESTED] == [claim.name for claim in CLAIMS]
    table = claims.verdict_table(claims.judge_all(CLAIMS, SCALES))
    assert table.count("no such run is recorded") == len(CLAIMS)
    assert all(claim.test.__doc__ for claim in CLAIMS), "a rule says what counts"


@pytest.mark.parametrize(
    ("left", "kept", "expected"),
    [(0.5, 86.5, HOLDS), (1.5, 86.5, IN_PART), (0.0, 80.0, IN_PART), (5.0, 80.0, FAILS)],
)
def test_zero_with_utility(folder: Path, left: float, kept: float, expected: str) -> None:
    put(folder, "retrain", metrics=of_class(0.0, 88.0))
    put(folder, "contrastive", metrics=of_class(left, kept))
    assert says(claim_rules.zero_with_utility(*PLACE)) == expected
    assert claim_rules.only_one_at_zero(*PLACE) is None, "alone there is nothing to be the only one of"
    put(folder, "scrub", metrics=of_class(0.0, 88.0))
    assert says(claim_rules.only_one_at_zero(*PLACE)) == FAILS
    put(folder, "scrub", metrics=of_class(30.0, 88.0))
    assert says(claim_rules.only_one_at_zero(*PLACE)) == (HOLDS if expected == HOLDS else FAILS)


def test_the_fastest_is_found_in_retrains_steps_among_runs_alone_on_their_device(folder: Path) -> None:
    rule = claim_rules.fastest("class")

    def timed(method: str, seconds: float, step: float, **fields: Any) -> None:
        common = {"metrics": of_class(0.0, 80.0), "seconds": seconds, "retrain_step_seconds": step}
        put(folder, method, **common | fields)

    put(folder, "retrain", metrics=of_class(0.0, 80.0), seconds=500.0, steps=900)
    timed("contrastive", 9.0, 0.1)
    timed("scrub", 20.0, 0.1)
    assert says(rule(*PLACE)) == HOLDS
    timed("contrastive", 90.0, 1.0)
    assert says(rule(*PLACE)) == HOLDS, "the machine was ten times slower, and so was a step of Retrain"
    timed("scrub", 5.0, 0.1)
    found = rule(*PLACE)
    assert says(found) == IN_PART, "faster than Retrain, not the fastest"
    assert found is not None
    assert found.evidence.startswith(
        "in Retrain's steps: 90.0 steps, rank 2 of 2, the smallest is SCRUB with 50.0 steps; Retrain: 900;"
    )
    assert found.evidence.endswith("; not timed: Boundary expansion, Boundary shrink, UNSIR")
    timed("scrub", 20.0, 0.1)
    timed("contrastive", 9.0, 0.1, metrics=of_class(30.0, 80.0))
    assert says(rule(*PLACE)) == IN_PART, "the class is still there"
    timed("contrastive", 9.0, 0.1)
    timed("scrub", 5.0, 0.1, metrics=of_class(0.0, 59.0))
    found = rule(*PLACE)
    assert says(found) == OPEN, "the only rival lost the rest"
    assert found is not None
    assert "; lost the rest too: SCRUB" in found.evidence
    timed("unsir", 20.0, 0.1)
    assert says(rule(*PLACE)) == HOLDS
    rule_on = {"settings": {"contrastive": {"stopping": {"rule": "paper"}}}, "stopped_by": "rounds"}
    timed("contrastive", 9.0, 0.1, **rule_on)
    found = rule(*PLACE)
    assert says(found) == OPEN, "a run that never met its rule did not end first"
    assert found is not None
    assert "; never at its stop rule: Contrastive" in found.evidence
    timed("contrastive", 9.0, 0.1, **rule_on | {"stopped_by": "rule"})
    assert says(rule(*PLACE)) == HOLDS
    timed("scrub", 5.0, 0.1, shared=4)
    timed("unsir", 5.0, 0.1, shared=4)
    assert rule(*PLACE) is None


def test_the_attack_rate_is_judged_in_every_reading_that_works_on_the_original(folder: Path) -> None:
    other = "softmax, mlp"

    def attack(forgotten: float, held_out: float, mlp: tuple[float, float] = (46.0, 46.0)) -> dict[str, Any]:
        rates = {
            name: {"forgotten": first, "held_out": second, "unseen": 45.0}
            for name, (first, second) in {PAPER_ATTACK: (forgotten, held_out), other: mlp}.items()
        }
        return {"member_rates": rates}

    common = {"task": "samples500", "metrics": {"forget": 80.0, "test": 80.0}}
    put(folder, "original", attack=attack(46, 46), **common)
    put(folder, "contrastive", attack=attack(50, 80, (70, 80)), **common)
    put(folder, "finetune", attack=attack(60, 80, (60, 80)), **common)
    found = privacy.lowest_attack(*PLACE)
    assert says(found) == OPEN
    assert found is not None
    assert found.evidence.startswith("none of 2 readings works on the original")
    put(folder, "original", attack=attack(90, 95), **common)
    assert says(privacy.lowest_attack(*PLACE)) == HOLDS, "the other reading is broken and takes no part"
    put(folder, "original", attack=attack(90, 95, (90, 95)), **common)
    found = privacy.lowest_attack(*PLACE)
    assert says(found) == IN_PART, "finetuning is lower in the other reading"
    assert found is not None
    assert "softmax, mlp: 70.0 %, rank 2 of 2, the smallest is Finetune" in found.evidence
    assert found.evidence.endswith("not attacked: Gradient ascent, Fisher, LCODEC")
    put(folder, "finetune", attack=attack(49, 80, (60, 80)), **common)
    assert says(privacy.lowest_attack(*PLACE)) == FAILS
    put(folder, "retrain", **common)
    lost = {"task": "samples500", "metrics": {"forget": 10.0, "test": 59.0}}
    put(folder, "finetune", attack=attack(49, 80, (60, 80)), **lost)
    put(folder, "fisher", attack=attack(60, 80, (80, 80)), **common)
    found = privacy.lowest_attack(*PLACE)
    assert says(found) == HOLDS, "finetuning lost 21 points of the rest: nobody can be told from anybody"
    assert found is not None
    assert "; lost the rest too and not compared: Finetune; not attacked: " in found.evidence


@pytest.mark.parametrize(
    ("ours", "original", "expected"), [(0.0, 3.0, HOLDS), (1.5, 3.0, IN_PART), (2.9, 3.0, FAILS), (0.0, 0.1, OPEN)]
)
def test_a_stronger_attack_is_believed_where_it_finds_what_was_not_forgotten(
    monkeypatch: pytest.MonkeyPatch, ours: float, original: float, expected: str
) -> None:
    """Scores of members lie this far above those of others, whose spread is one; Retrain's lie level."""
    draw = np.random.default_rng(0)
    above = {"contrastive": ours, "original": original, "retrain": 0.0}
    scores = {stage: (draw.normal(size=200) + far, draw.normal(size=200)) for stage, far in above.items()}
    assert privacy.withstands_u_lira("digits", "laptop") is None, "no shadow model is recorded"
    records = SimpleNamespace(phi=above, trained=[None] * 40)
    monkeypatch.setattr(privacy, "read_shadows", lambda *_: records)
    monkeypatch.setattr(privacy, "u_lira", lambda _, stage: scores[stage])
    found = privacy.withstands_u_lira("digits", "laptop")
    assert found is not None
    assert (found.says, found.scale) == (expected, "digits, profile laptop, 40 shadow models")


def test_distances_to_retrain_decide_samples_controls_and_the_queue(folder: Path) -> None:
    common = {"task": "samples500"}
    put(folder, "retrain", metrics={"forget": 85.0, "test": 86.0}, **common)
    put(folder, "contrastive", metrics={"forget": 84.0, "test": 85.0}, **common)
    put(folder, "finetune", metrics={"forget": 95.0, "test": 86.0}, **common)
    assert says(claim_rules.nearest_on_samples(*PLACE)) == HOLDS
    put(folder, "contrastive", "tuned, no contrast", metrics={"forget": 99.0, "test": 86.0}, **common)
    assert says(claim_rules.contrast_forgets("samples")(*PLACE)) == HOLDS
    put(folder, "contrastive", "tuned, no contrast", metrics={"forget": 83.1, "test": 86.0}, **common)
    assert says(claim_rules.contrast_forgets("samples")(*PLACE)) == FAILS, "0.9 points nearer is a tie"
    assert claim_rules.ce_helps_forgetting(*PLACE) is None
    for seed in range(3):
        put(folder, "retrain", seed=seed, metrics={"forget": 85.0, "test": 86.0}, **common)
        put(folder, "contrastive", seed=seed, metrics={"forget": 84.0, "test": 85.0}, **common)
        put(folder, "contrastive", "no classification", seed, metrics={"forget": 85.0, "test": 80.0}, **common)
        assert says(claim_rules.ce_helps_forgetting(*PLACE)) == (FAILS if seed == 2 else OPEN), "two pairs are too few"
    put(folder, "contrastive", "no classification", metrics={"forget": 85.0, "test": 30.0}, **common)
    found = claim_rules.ce_helps_forgetting(*PLACE)
    assert says(found) == OPEN, "a model that lost everything tells nothing about forgetting"
    assert found is not None
    assert found.evidence.endswith("0.0 without; 1 of 3 pairs lose the rest as well and are not counted")
    put(folder, "ssd", metrics={"forget": 85.0, "test": 86.0}, **common)
    found = claim_rules.nearest_on_samples(*PLACE)
    assert says(found) == HOLDS, "SSD is nearer and not in the paper's table"
    assert found is not None
    assert found.evidence.endswith("nearer, but not in the paper's table: SSD 0.0 (one run)")
    put(folder, "contrastive_queue", metrics={"forget": 80.0, "test": 85.0}, **common)
    assert says(appendix.queue_works(*PLACE)) == FAILS


def test_temperature_needs_every_row_and_both_accuracies_flat(folder: Path) -> None:
    for number, tau in enumerate(TEMPERATURES):
        assert appendix.flat_in_temperature(*PLACE) is None
        put(folder, "contrastive", f"tau {tau:g}", task="samples500", metrics={"test": 85.0, "forget": 80.0 + number})
    assert says(appendix.flat_in_temperature(*PLACE)) == IN_PART


def put_sweep(folder: Path, sizes: tuple[int, ...], change: Callable[[int, int], float]) -> None:
    """Runs of Figs. 3 and 4 whose test accuracy changes by this much, of batch size and omega, in omega steps."""
    for size in sizes:
        for omega in OMEGAS:
            curve = [
                {"test": 80.0 + (number % 2) * change(size, omega), "steps": omega * number} for number in range(3)
            ]
            settings = {"contrastive": {"batch_size": size, "omega": omega}}
            name, common = f"batch {size} omega {omega}", {"task": "samples500", "table": SWEEP, "settings": settings}
            put(folder, "contrastive", name, curve=curve, **common)


def test_steadier_runs_are_counted_in_pairs_per_round_and_per_step(folder: Path) -> None:
    by_omega, by_batch = appendix.larger_is_steadier("omega"), appendix.larger_is_steadier("batch")
    assert by_omega(*PLACE) is None
    put_sweep(folder, BATCH_SIZES[:1], lambda _, omega: 10 / omega)
    found = by_omega(*PLACE)
    assert found is not None
    assert found.says == OPEN, "three pairs, all of one batch size"
    assert found.evidence.endswith("in 3 per round and in 3 per step, which are too few")
    put_sweep(folder, BATCH_SIZES, lambda _, omega: 10 / omega)
    assert says(by_omega(*PLACE)) == HOLDS
    found = by_batch(*PLACE)
    assert found is not None
    assert found.evidence.startswith("of 18 pairs that differ in batch alone the larger is steadier in 18 per round")
    assert found.says == HOLDS, "as steady counts"
    put_sweep(folder, BATCH_SIZES, lambda _, omega: 10 * omega)
    assert says(by_omega(*PLACE)) == OPEN, "rougher per round, as steady per step"
    put_sweep(folder, BATCH_SIZES, lambda _, omega: 10 * omega**2)
    assert says(by_omega(*PLACE)) == FAILS
    assert appendix.roughness([{"test": 1.0, "steps": 0}]) == 0
    assert appendix.roughness([{"test": 1.0, "steps": 4}, {"test": 4.0, "steps": 8}], each="step") == 0.75


def test_the_ce_term_keeps_what_stays(folder: Path) -> None:
    assert claim_rules.ce_keeps_rest(*PLACE) is None
    put(folder, "retrain", metrics=of_class(0.0, 88.0))
    put(folder, "contrastive", metrics=of_class(0.0, 87.0))
    put(folder, "contrastive", "no classification", metrics=of_class(0.0, 60.0))
    assert says(claim_rules.ce_keeps_rest(*PLACE)) == HOLDS
    put(folder, "contrastive", "no classification", metrics=of_class(0.0, 80.0))
    assert says(claim_rules.ce_keeps_rest(*PLACE)) == IN_PART, "without it little is lost"
    put(folder, "contrastive", metrics=of_class(0.0, 80.0))
    assert says(claim_rules.ce_keeps_rest(*PLACE)) == FAILS


def test_batches_of_a_sweep_fit_the_samples() -> None:
    assert fitting(BATCH_SIZES, 500) == BATCH_SIZES
    assert fitting(BATCH_SIZES, 36) == (4, 9, 18, 36)
    assert fitting(BATCH_SIZES, 3) == (1, 3)


def test_many_samples_takes_the_mean_over_seeds(folder: Path) -> None:
    for seed, ours in enumerate((80.0, 90.0)):
        assert appendix.many_samples(*PLACE) is None, "one run of each says too little"
        for method, test, left in (("contrastive", ours, 85.0), ("fisher", 86.0, 98.0), ("retrain", 87.0, 85.0)):
            metrics = {"test": test, "forget": left}
            put(folder, method, seed=seed, task="samples200", table="Table 11", metrics=metrics)
    found = appendix.many_samples(*PLACE)
    assert says(found) == HOLDS, "Fisher keeps its accuracy and forgets nothing"
    for seed in (0, 1):
        for method, test in (("contrastive", 40.0), ("fisher", 80.0), ("retrain", 87.0)):
            metrics = {"forget": 80.0, "test": test}
            put(folder, method, seed=seed, task="samples1000", table="Table 11", metrics=metrics)
    assert says(appendix.many_samples(*PLACE)) == IN_PART
    assert found is not None
    assert found.evidence == (
        "samples200: Contrastive 2.0 points off (85.0 % of the forgotten, 85.0 % of the test images right), "
        "Fisher 14.0 points off (98.0 % of the forgotten, 86.0 % of the test images right)"
    )


def test_every_class_and_other_architectures(folder: Path) -> None:
    for label, left in enumerate((0.0, 0.5, 9.0)):
        put(folder, "contrastive", task=f"class{label}", metrics=of_class(left, 80.0))
    found = appendix.every_class(*PLACE)
    assert says(found) == OPEN, "three classes are not every class"
    assert found is not None
    assert found.evidence == "2 of 3 classes at zero; most is left of class2: 9.0 %; the data set has 10"
    for label in range(3, 10):
        put(folder, "contrastive", task=f"class{label}", metrics=of_class(0.0, 80.0))
    found = appendix.every_class(*PLACE)
    assert says(found) == IN_PART
    assert found is not None
    assert found.evidence == "9 of 10 classes at zero; most is left of class2: 9.0 %"
    assert appendix.other_models(*PLACE) is None
    put(folder, "retrain", model="resnet34", metrics=of_class(0.0, 88.0))
    put(folder, "contrastive", model="resnet34", metrics=of_class(0.0, 87.0))
    assert says(appendix.other_models(*PLACE)) == HOLDS
    put(folder, "contrastive", model="resnet34", metrics={**of_class(0.0, 87.0), "forget_test": 9.0})
    assert says(appendix.other_models(*PLACE)) == FAILS, "unseen images of the class count as well"
    assert appendix.other_data(*PLACE) is None
    put(folder, "retrain", dataset="svhn", metrics=of_class(0.0, 88.0))
    put(folder, "contrastive", dataset="svhn", metrics=of_class(0.0, 87.0))
    assert says(appendix.other_data("svhn", "paper")) == HOLDS


def test_the_curve_is_read_in_forget_batches(folder: Path) -> None:
    curve = [{"steps": 200, "forget": 50.0}, {"steps": 220, "forget": 0.4}]
    put(folder, "contrastive", "curve", settings={"contrastive": {"omega": 4}}, curve=curve)
    found = claim_rules.quick_curve(*PLACE)
    assert found is not None
    assert (found.says, found.evidence) == (HOLDS, "zero first seen at batch 55")


def test_embeddings_are_held_against_the_permutation_limit(folder: Path) -> None:
    for method, mmd in (("original", 4.0), ("contrastive", 1.5), ("retrain", 0.2)):
        put(folder, method, task="samples500", audit={"mmd": mmd, "mmd_limit": 1.0})
    found = privacy.like_unseen(*PLACE)
    assert says(found) == IN_PART
    assert found is not None
    assert found.evidence == "MMD over its limit, samples: Original 4.00, Contrastive 1.50, Retrain 0.20"
    for method, mmd in (("original", 4.0), ("contrastive", 5.0), ("retrain", 0.2)):
        put(folder, method, audit={"mmd": mmd, "mmd_limit": 1.0})
    found = privacy.like_unseen(*PLACE)
    assert says(found) == IN_PART
    assert found is not None
    assert found.evidence.startswith(
        "MMD over its limit, class: Original 4.00, Contrastive 5.00, Retrain 0.20; samples"
    )
    put(folder, "retrain", audit={"mmd": 2.0, "mmd_limit": 1.0})
    found = privacy.like_unseen(*PLACE)
    assert found is not None
    assert "(not judged)" in found.evidence, "where Retrain itself is told apart the measure is no measure"


def test_a_cell_links_to_its_records(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, kept in enumerate((86.0, 88.0)):
        put(folder, "contrastive", seed=seed, metrics=of_class(0.0, kept))
    ledger = Ledger()
    table = reproduction.method_table("Table 1", ledger)
    (line,) = (line for line in table.splitlines() if line.startswith("| cifar10 | paper | resnet18 | Contrastive"))
    assert '| 85.79 | <a href="#runs-1">87.0 ± 12.7</a> | 0 | <a href="#runs-1">0.0 ± 0.0</a> |' in line
    assert table.count("not run") == 3 * (5 * 6 - 1)
    assert "| vit_small | Retrain | lost | not run | lost | not run |" in table
    entries = ledger.entries()
    assert '<li id="runs-1"' in entries
    assert "<code>book/results/paper/cifar10-resnet18-class5-contrastive-tuned-seed1.json</code>" in entries
    assert "<details><summary>2 records: " in entries
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/book")
    assert 'href="https://github.com/someone/book/blob/main/book/results/paper/' in ledger.entries()
    assert Ledger().entries() == "<p>No record was cited.</p>"


def test_every_table_of_the_paper_has_a_layout(folder: Path) -> None:
    ledger = Ledger()
    for name in reproduction.METHOD_TABLES:
        assert "not run" in reproduction.method_table(name, ledger)
    for table in (
        reproduction.class_table("Table 9", ledger),
        reproduction.class_table("Table 10", ledger),
        reproduction.count_table(ledger),
        reproduction.temperature_table(ledger),
        reproduction.original_table(ledger),
    ):
        widths = {line.count("|") for line in table.splitlines()}
        assert len(widths) == 1
        assert "not run" in table
    assert "| omega | lost | 4 |" in reproduction.settings_table("Table 6")
    assert "| batch size | 256 | 256 | 128 | 128 |" in reproduction.settings_table("Table 7")
    assert reproduction.lost_share("Table 14").startswith("2 of the paper's 2 numbers are lost.")
    assert len(ledger) == 0


def test_seconds_of_a_shared_retrain_come_from_its_steps(folder: Path) -> None:
    put(folder, "retrain", metrics=of_class(0.0, 88.0), seconds=900.0, steps=1000, shared=9)
    assert readings.timed_runs("paper", "cifar10", "class", "resnet18", "retrain") == []
    put(folder, "contrastive", "timed", metrics=of_class(0.0, 88.0), seconds=2.0, retrain_step_seconds=0.1)
    ((seconds, _),) = readings.timed_runs("paper", "cifar10", "class", "resnet18", "retrain")
    assert seconds == pytest.approx(100.0)
    ((seconds, _),) = readings.timed_runs("paper", "cifar10", "class", "resnet18", "contrastive")
    assert seconds == 2.0


def test_a_cell_says_why_it_has_no_plain_number(folder: Path) -> None:
    def row(table: str, start: str) -> list[str]:
        (line,) = (
            line for line in reproduction.method_table(table, Ledger()).splitlines() if line.startswith(f"| {start} |")
        )
        return line.strip("| ").split(" | ")

    put(folder, "scrub", metrics=of_class(0.0, 88.0), shared=4)
    assert row("Table 2", "cifar10 | paper | resnet18 | SCRUB")[5:] == ["shared device", "not run"]
    put(folder, "scrub", "timed", metrics=of_class(0.0, 88.0), seconds=6.0, retrain_step_seconds=0.5)
    assert [text.split(">")[1][:4] for text in row("Table 2", "cifar10 | paper | resnet18 | SCRUB")[5:]] == [
        "6.0 ",
        "12.0",
    ]
    rates = {"member_rates": {PAPER_ATTACK: {"forgotten": 50.0, "held_out": 51.0, "unseen": 49.0}}}
    common = {"metrics": {"forget": 80.0, "test": 80.0}, "attack": rates}
    put(folder, "original", task="samples500", **common)
    put(folder, "lcodec", task="samples50", **common)
    found = row("Table 4", "cifar10 | paper | resnet18 | LCODEC (50 samples)")
    assert found[5].startswith("broken: <a href")


def test_how_many_runs_a_scale_has_is_told() -> None:
    assert claim_evidence.at_scale("digits", "laptop", 1) == "digits, profile laptop, 1 run"
    assert claim_evidence.at_scale("digits", "laptop", 3, [2, 1, 2]).endswith("3 runs; 1 to 2 runs of each rival")


def test_a_claim_is_judged_only_where_it_has_runs() -> None:
    claim = Claim("a", "1", lambda dataset, _: Outcome(dataset, HOLDS, "seen") if dataset == "digits" else None)
    assert [outcome.scale for outcome in claims.judge(claim, SCALES)] == ["digits"]
    assert claims.counted(claims.judge_all([claim], SCALES))[REPRODUCED] == ["a (small scale only)"]
    large = Claim("b", "1", lambda dataset, profile: Outcome(profile, HOLDS if profile == "paper" else OPEN, ""))
    assert claims.counted(claims.judge_all([large], SCALES))[REPRODUCED] == ["b"]
    told = claims.verdict_table(claims.judge_all([claim], SCALES))
    assert "| a (1) | **reproduced** | **holds** (digits): seen |" in told
    both = {"a": 2.0, "scrub": 1.0}
    assert claims.fewest(both, "a", "s") == "2.0 s, rank 2 of 2, the smallest is SCRUB with 1.0 s"
    assert claims.fewest(both, "scrub", "s") == "1.0 s, rank 1 of 2, next is a with 2.0 s"
