"""Where a number comes from: links from a table's cells to the records behind them."""

import html
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any


class Ledger:
    """Collects the records that cells are made of; one number for each set of records."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], int] = {}
        self._runs: dict[str, Mapping[str, Any]] = {}

    def cite(self, text: str, runs: Iterable[Mapping[str, Any]]) -> str:
        """`text` as a link to the entry of its records; the text alone if there are none."""
        names = []
        for run in runs:
            name = f"{run['profile']}/{run['path']}"
            self._runs[name] = run
            names.append(name)
        key = tuple(dict.fromkeys(names))
        if not key:
            return text
        number = self._groups.setdefault(key, len(self._groups) + 1)
        return f'<a href="#runs-{number}">{text}</a>'

    def __len__(self) -> int:
        """How many records were cited."""
        return len(self._runs)

    def entries(self) -> str:
        """Every cited set of records as HTML: how many and of which device, and folded in it each file and its commit.

        Where GITHUB_REPOSITORY (owner/name) is set, a file's name is a link into that repository.
        """
        repository = os.environ.get("GITHUB_REPOSITORY", "")
        base = f"https://github.com/{repository}/blob/main/" if re.fullmatch(r"[\w.-]+/[\w.-]+", repository) else ""
        lines = []
        for names, number in self._groups.items():
            told = []
            for name in names:
                run, path = self._runs[name], html.escape(f"book/results/{name}")
                shown = f'<a href="{base}{path}">{path}</a>' if base else f"<code>{path}</code>"
                told.append(f"{shown} ({html.escape(str(run['device']))}; commit {html.escape(str(run['commit']))})")
            devices = sorted({html.escape(str(self._runs[name]["device"])) for name in names})
            summary = f"{len(names)} record{'s' if len(names) > 1 else ''}: {', '.join(devices)}"
            folded = f"<details><summary>{summary}</summary>{'<br>'.join(told)}</details>"
            lines.append(f'<li id="runs-{number}" value="{number}">{folded}</li>')
        return f"<ol>{''.join(lines)}</ol>" if lines else "<p>No record was cited.</p>"
