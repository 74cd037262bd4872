"""The time to read, and links to the glossary at first use."""

from pathlib import Path

import pytest
from cu_words import EVERYDAY, add_words, link_first, minutes, terms
from nbformat.v4 import new_code_cell, new_markdown_cell

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = (
    "# G\n\n```{glossary}\nanchor\n  A thing.\n\nforget set\n  Images.\n\nRetrain\n  A model.\n\nrun\n  One.\n```\n"
)


def test_terms_are_those_of_the_glossary_without_everyday_words() -> None:
    assert set(terms(GLOSSARY)) == {"anchor", "forget set", "Retrain"}
    whole = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    assert set(terms(whole)) & EVERYDAY == set()
    assert all(f"\n{word}\n" in whole for word in EVERYDAY), "an excluded word is not in the glossary"


@pytest.mark.parametrize(
    ("source", "linked"),
    [
        ("An anchor and an anchor.", "An {term}`anchor <anchor>` and an anchor."),
        ("Two Anchors.", "Two {term}`Anchors <anchor>`."),
        ("the forget\nset", "the {term}`forget set <forget set>`"),
        ("We retrain; Retrain is", "We retrain; {term}`Retrain <Retrain>` is"),
        ("`anchor` and $anchor$ and [anchor](a.md)", "`anchor` and $anchor$ and [anchor](a.md)"),
        ("**anchor** then anchor", "**anchor** then {term}`anchor <anchor>`"),
        ("# The anchor\n\n| anchor |\n|---|\n\nanchored", "# The anchor\n\n| anchor |\n|---|\n\nanchored"),
    ],
)
def test_a_first_use_is_linked_and_nothing_else(source: str, linked: str) -> None:
    assert link_first(source, terms(GLOSSARY)) == linked


def test_a_word_is_linked_once_in_a_chapter() -> None:
    cells = [new_markdown_cell("# 1"), new_markdown_cell("An anchor."), new_markdown_cell("An anchor.")]
    add_words(cells, GLOSSARY)
    assert [cell.source.count("{term}") for cell in cells] == [0, 1, 0]


def test_minutes_count_prose_and_shown_code_but_no_exercise() -> None:
    prose, code = new_markdown_cell("word " * 400), new_code_cell("\n".join(["x = 1"] * 40))
    hidden = new_code_cell("x = 1\n" * 400, metadata={"tags": ["hide-input"]})
    assert minutes([prose, code, hidden]) == 400 // 200 + 40 // 20
    exercise = new_markdown_cell("word " * 4000, metadata={"tags": ["exercise:01-1"]})
    cells = [new_markdown_cell("# 1"), prose, exercise]
    add_words(cells, GLOSSARY)
    assert cells[0].source.endswith("*About 2 minutes to read, without the exercises.*")
