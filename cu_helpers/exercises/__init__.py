"""The readers' checks: one module a chapter, one check an exercise.

    right = exercises.check("03-1", loss_with_loops)

prints a verdict and returns the function that the chapter goes on with: the reader's if it is right,
else the reference. `grade` is the same test for nbgrader: it raises where `check` prints.
"""

from .core import Exercise, Mistake, check, find, grade, names

__all__ = ["Exercise", "Mistake", "check", "find", "grade", "names"]
