"""A run that trains nothing: it notes the settings it was given and answers with made-up accuracies."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .compare import need


class Recorder:
    """Stands in for `run(settings)`: accuracies in percent by set, in the chapter's words."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.answer = dict(answer)
        self.given: list[Any] = []

    def __call__(self, settings: Any) -> dict[str, Any]:
        """Note the settings and return the made-up answer."""
        self.given.append(settings)
        return dict(self.answer)

    def expect(self, base: Any, **changes: Any) -> None:
        """Raise Mistake unless there was one run, with `base` changed in the given fields and no other."""
        need(self.given, "You never call `run(settings)`.")
        need(len(self.given) == 1, f"You call `run` {len(self.given)} times; once is enough.")
        (got,) = self.given
        need(type(got) is type(base), f"You run with a {type(got).__name__}; pass changed settings: `replace(...)`.")
        for one in fields(base):
            want = changes.get(one.name, getattr(base, one.name))
            have = getattr(got, one.name)
            if one.name in changes:
                need(have == want, f"You run with {one.name} = {have!r}; {want!r} was asked for.")
            else:
                need(have == want, f"You also changed {one.name}; change what was asked for and nothing else.")
