"""Every exercise: its solution passes, its stub is 'not attempted', and likely mistakes are told by name."""

import re

import pytest
from lifting import CHECK, REGION, SCRIPTS, cells, function_of, mutate, solution_cells, stub
from mutants import MUTANTS

from cu_helpers import exercises
from cu_helpers.exercises.core import CHAPTERS

SOLUTIONS = {name: source for chapter in CHAPTERS for name, source in solution_cells(chapter).items()}
NAMES = sorted(SOLUTIONS)
CASES = [(name, number) for name in NAMES for number in range(len(MUTANTS.get(name, ())))]
SEEDS = (0, 1, 2026)


def written() -> set[str]:
    """Names of all exercises in the chapters that have checks, those answered in words among them."""
    heads = [head for chapter in CHAPTERS for head, _ in cells(chapter)]
    return {tag.split('"')[0] for head in heads for tag in head.split('"exercise:')[1:]}


def test_every_code_exercise_has_a_check_and_mutants() -> None:
    assert exercises.names() == NAMES
    assert sorted(MUTANTS) == NAMES
    assert all(len(found) >= 2 for found in MUTANTS.values()), "two or three plausible mistakes each"
    assert set(CHAPTERS) <= set(SCRIPTS)


def test_there_are_enough_exercises() -> None:
    assert len(written()) >= 60
    for chapter in CHAPTERS:
        count = sum(name.startswith(chapter) for name in written())
        assert 3 <= count <= 5, f"chapter {chapter} has {count} exercises"


def tasks() -> dict[str, str]:
    """Text of every exercise's task, by its name."""
    found = {}
    for chapter in CHAPTERS:
        for head, source in cells(chapter):
            if "[markdown]" in head and '"exercise:' in head:
                found[head.split('"exercise:')[1].split('"')[0]] = re.sub(r"(?m)^# ?", "", source)
    return found


KINDS = ("Predict", "Implement", "Find the planted bug", "Measure", "Criticise")
FORM = re.compile(
    r"### Exercise (?P<name>\d\d-\d) · \S.*\n\n"
    r"\*(?P<kind>[A-Z][a-z ]+) · difficulty [1-5] of 5 · importance [1-5] of 5 · \d+ minutes\*\n\n"
    r"(?P<task>(.|\n)+?)\n\n"
    r"<details><summary>Hint 1</summary>\n\n(?P<first>(.|\n)+?)\n\n</details>\n\n"
    r"<details><summary>Hint 2</summary>\n\n(?P<second>(.|\n)+?)\n\n</details>\n\n"
    r"\*\*Expect\*\*: (?P<expect>(.|\n)+)"
)


@pytest.mark.parametrize("name", sorted(written()))
def test_every_exercise_has_its_form(name: str) -> None:
    found = FORM.fullmatch(tasks()[name].strip())
    assert found, tasks()[name]
    assert found["name"] == name
    assert found["kind"] in KINDS


def test_every_kind_of_exercise_is_there() -> None:
    kinds = [found["kind"] for text in tasks().values() if (found := FORM.fullmatch(text.strip()))]
    assert all(kinds.count(kind) >= 4 for kind in KINDS), {kind: kinds.count(kind) for kind in KINDS}


@pytest.mark.parametrize("name", NAMES)
def test_the_cell_has_the_form_that_students_copies_need(name: str) -> None:
    source = SOLUTIONS[name]
    (found,) = CHECK.finditer(source)
    assert found["name"] == name
    assert found["target"] == found["argument"]
    region = REGION.search(source)
    assert region
    assert region["indent"] == "    ", "the solution is a function's body, so that a stub does not stop the chapter"
    assert source.index("### END SOLUTION") < found.start()


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_passes_with_any_seed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    solution = function_of(name[:2], SOLUTIONS[name])
    for seed in SEEDS:
        assert exercises.find(name).mistake(solution, seed) is None
        assert exercises.find(name).mistake(exercises.find(name).reference, seed) is None
    assert exercises.check(name, solution) is solution
    assert capsys.readouterr().out == f"Exercise {name}: right.\n"
    exercises.grade(name, solution, seed=7)


@pytest.mark.parametrize("name", NAMES)
def test_the_stub_is_not_attempted_and_the_chapter_goes_on(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    empty = function_of(name[:2], stub(SOLUTIONS[name]))
    assert exercises.check(name, empty) is exercises.find(name).reference
    assert capsys.readouterr().out.startswith(f"Exercise {name}: not attempted yet.")
    for candidate in (empty, exercises.find(name).reference):
        with pytest.raises(AssertionError, match="not attempted yet"):
            exercises.grade(name, candidate)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_likely_mistake_is_told_by_name(name: str, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, message = MUTANTS[name][number]
    wrong = function_of(name[:2], mutate(SOLUTIONS[name], old, new))
    for seed in SEEDS:
        told = exercises.find(name).mistake(wrong, seed)
        assert told is not None, "the mutant passes"
        assert message in told
    assert exercises.check(name, wrong) is exercises.find(name).reference
    assert "not right yet" in capsys.readouterr().out
    with pytest.raises(AssertionError):
        exercises.grade(name, wrong, seed=7)


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_function_does_the_chapter_goes_on(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise KeyError("nothing here")

    for candidate, words in ((breaks, "raises KeyError"), (lambda *_, **__: None, "not right yet")):
        assert exercises.check(name, candidate) is exercises.find(name).reference
        assert words in capsys.readouterr().out


def test_an_unknown_name_is_told() -> None:
    for name in ("99-1", "03-9", "x"):
        with pytest.raises(ValueError, match="there is no check for exercise"):
            exercises.find(name)
