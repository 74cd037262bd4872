"""What the site adds to a chapter's prose: the time to read it, and a link to the glossary at a word's first use."""

import re
from collections.abc import Iterable

from nbformat import NotebookNode

WORDS_A_MINUTE, LINES_A_MINUTE = 200, 20  # of prose; of code, which is read more slowly
# Glossary words that are everyday words as well. A link on each would be noise.
EVERYDAY = {
    *("calibration", "caption", "feature", "gap", "key, query", "member, non-member", "original", "profile", "prompt"),
    *("round", "run"),
}
# Code, formulas, links, roles, emphasis, tags and addresses stay as they are.
PROTECTED = re.compile(
    r"(```.*?```|\$\$.*?\$\$|\$[^$\n]+?\$|\{[a-z-]+\}`[^`]*`|`[^`]*`|!?\[[^\]]*\]\([^)]*\)|\*\*.*?\*\*|\*[^*]+?\*|<[^>]+>"
    r"|https?://\S+)",
    re.DOTALL,
)
APART = ("#", "|", "```", ":::", "> ")  # a paragraph that starts so is no prose


def terms(glossary: str) -> dict[str, re.Pattern[str]]:
    """Each term of the glossary's text that is to be linked, and the pattern of its uses, longest term first."""
    block = glossary.split("```{glossary}", 1)[1].split("\n```", 1)[0]
    names = [line for line in block.split("\n") if line and not line.startswith(" ")]
    found = {}
    for name in sorted(set(names) - EVERYDAY, key=lambda name: (-len(name), name)):
        words = re.escape(name).replace(r"\ ", r"\s+")
        # A capital is part of a name such as Retrain; of other words the case does not matter.
        flags = 0 if name[0].isupper() else re.IGNORECASE
        found[name] = re.compile(rf"(?<![\w-]){words}s?(?![\w-])", flags)
    return found


def link_first(source: str, wanted: dict[str, re.Pattern[str]]) -> str:
    """The source with the first use of each wanted term as a link; what has been linked leaves `wanted`."""
    paragraphs = source.split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        if paragraph.lstrip().startswith(APART):
            continue
        parts = PROTECTED.split(paragraph)
        for name, pattern in list(wanted.items()):
            for at in range(0, len(parts), 2):
                use = pattern.search(parts[at])
                if use:
                    told = re.sub(r"\s+", " ", use[0])
                    before, after = parts[at][: use.start()], parts[at][use.end() :]
                    parts[at : at + 1] = [before, f"{{term}}`{told} <{name}>`", after]
                    del wanted[name]
                    break
        paragraphs[number] = "".join(parts)
    return "\n\n".join(paragraphs)


def minutes(cells: Iterable[NotebookNode]) -> int:
    """How long the prose and the code of these cells take to read, in minutes, at least one."""
    words = lines = 0
    for cell in cells:
        if cell.cell_type == "markdown":
            words += len(PROTECTED.sub(" x ", cell.source).split())
        elif "hide-input" not in cell.metadata.get("tags", []):
            lines += sum(bool(line.strip()) for line in cell.source.split("\n"))
    return max(1, round(words / WORDS_A_MINUTE + lines / LINES_A_MINUTE))


def add_words(cells: list[NotebookNode], glossary: str) -> None:
    """Say in the first cell how long the chapter takes to read, and link first uses, in place.

    Exercises and solutions are neither counted nor linked.
    """
    plain = [
        cell
        for cell in cells
        if not any(tag.startswith(("exercise", "solution")) for tag in cell.metadata.get("tags", []))
    ]
    if not plain or not plain[0].source.startswith("# "):
        return
    spent = minutes(plain)
    wanted = terms(glossary)
    for cell in plain:
        if cell.cell_type == "markdown":
            cell.source = link_first(cell.source, wanted)
    plain[0].source += f"\n\n*About {spent} minute{'s' if spent > 1 else ''} to read, without the exercises.*"
