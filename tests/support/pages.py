"""The README and the pages of the documentation, and the examples in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/*.md")))
}
"""Texts by their place in the project."""
_BLOCK = re.compile(
    r"(?:^<!-- not run here: (?P<why>.+) -->\n)?^```(?P<language>\w+)\n(?P<text>.+?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block. `why_not` says why it is not run, where it is not."""

    page: str
    language: str
    text: str
    why_not: str | None


def blocks(language: str, page: str | None = None) -> list[Block]:
    """The blocks of a language, in all pages or in one."""
    return [
        Block(name, found["language"], found["text"], found["why"])
        for name, text in PAGES.items()
        if page in (None, name)
        for found in _BLOCK.finditer(text)
        if found["language"] == language
    ]


def table(page: str, head: str) -> str:
    """The table of a page whose first row begins with this text."""
    return PAGES[page].split(f"| {head} |")[1].split("\n\n")[0]


def anchors(page: str) -> set[str]:
    """What links into a page can name: its headings, as GitHub does it."""
    headings = re.findall(r"^#+ (.+)$", PAGES[page], re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
