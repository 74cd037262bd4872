"""The table of chapters, which stands in the README and on the front page."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_readme_and_front_page_name_the_same_chapters_and_questions() -> None:
    rows = [
        re.findall(
            r"^\| \[?(\d\d [^\]|]+?)(?:\]\((\w+)\))? \| (.+) \|$", (ROOT / page).read_text("utf-8"), re.MULTILINE
        )
        for page in ("README.md", "book/index.md")
    ]
    readme, front = ([(name, question) for name, _, question in found] for found in rows)
    assert readme == front
    linked = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.py"))
    assert [link for _, link, _ in rows[1]] == linked
    titles = [re.search(r"^# # (.+)$", (ROOT / "notebooks" / f"{link}.py").read_text("utf-8"), re.M) for link in linked]
    assert [title[1][:2] for title in titles if title] == [name[:2] for name, _ in front]
