"""What a check is: a test of the reader's function that names the likely mistake, and a reference."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Candidate = Callable[..., Any]
Test = Callable[[Candidate, int], None]  # takes the reader's function and a seed; raises Mistake

CHAPTERS = tuple(f"{number:02d}" for number in range(19))
GOES_ON = "The chapter goes on with the reference."


class Mistake(AssertionError):  # noqa: N818 (a reader's mistake, not the program's error)
    """What is wrong with an answer, in words for the reader."""


@dataclass(frozen=True)
class Exercise:
    """A checked exercise: its name such as 03-1, its test, and an answer that passes it."""

    name: str
    test: Test
    reference: Candidate

    def mistake(self, candidate: Candidate, seed: int = 0) -> str | None:
        """The first mistake of `candidate` in words, None if it is right. seed: of the random cases.

        Raises NotImplementedError if the function is the untouched stub.
        """
        try:
            self.test(candidate, seed)
        except NotImplementedError:
            raise
        except Mistake as found:
            return str(found)
        except Exception as error:  # whatever the reader's code raises is a mistake to tell, not a crash
            return f"Your function raises {type(error).__name__}: {error}."
        return None


_found: dict[str, Exercise] = {}
_verdicts: dict[str, str] = {}


def exercise(name: str, reference: Candidate) -> Callable[[Test], Test]:
    """Register the decorated test as the check of exercise `name`. Raises ValueError for a name taken."""

    def register(test: Test) -> Test:
        if name in _found:
            raise ValueError(f"exercise {name} has two checks: {_found[name].test.__name__} and {test.__name__}")
        _found[name] = Exercise(name, test, reference)
        return test

    return register


def find(name: str) -> Exercise:
    """The exercise called `name`, such as 03-1. Raises ValueError for a name that has no check."""
    chapter = name.partition("-")[0]
    if chapter in CHAPTERS:
        import_module(f".ch{chapter}", __package__)
    if name not in _found:
        raise ValueError(f"there is no check for exercise {name!r}; expected a name such as 03-1")
    return _found[name]


def names() -> list[str]:
    """The names of all checked exercises, in the book's order."""
    for chapter in CHAPTERS:
        import_module(f".ch{chapter}", __package__)
    return sorted(_found)


def check(name: str, candidate: Candidate, seed: int = 0) -> Candidate:
    """Print a verdict on the reader's function and return the one that the chapter goes on with.

    That is `candidate` if it is right, else the reference. Nothing is raised for a wrong answer.
    """
    one = find(name)
    try:
        mistake = one.mistake(candidate, seed)
        verdict = "right." if mistake is None else f"not right yet. {mistake}"
    except NotImplementedError:
        mistake = verdict = "not attempted yet."
    _verdicts[name] = verdict
    print(f"Exercise {name}: {verdict}" + ("" if mistake is None else f" {GOES_ON}"))
    return candidate if mistake is None else one.reference


def grade(name: str, candidate: Candidate, seed: int = 0) -> None:
    """The same test for nbgrader, with a seed of the instructor's. Raises AssertionError unless it passes.

    The reference does not pass: `check` put it in the place of an answer that was not right.
    """
    one = find(name)
    if candidate is one.reference:
        raise AssertionError(f"Exercise {name}: {_verdicts.get(name, 'not attempted yet.')}")
    try:
        mistake = one.mistake(candidate, seed)
    except NotImplementedError:
        mistake = "not attempted yet."
    if mistake is not None:
        raise AssertionError(f"Exercise {name}: {mistake}")
