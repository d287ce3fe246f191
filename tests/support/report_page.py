"""A report in a real browser: what it shows, what it said and what it asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

SIZES = {"wide": (1200, 900), "phone": (320, 640)}


def chromium() -> str | None:
    """A browser of the system."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@dataclass
class Opened:
    """A page that is open, and what it said and asked for."""

    page: Page
    said: list[str]
    asked: list[str]

    def texts(self, selector: str) -> list[str]:
        """What elements say."""
        return self.page.locator(selector).all_text_contents()

    def table(self, name: str) -> list[list[str]]:
        """The rows of a table, without its head."""
        cells: list[list[str]] = self.page.eval_on_selector_all(
            f"#{name} tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        )
        return cells

    def marks(self, name: str, kind: str) -> int:
        """How many marks of a kind a chart has that have an outline."""
        drawn = f"#{name} svg g.mark-{kind}.role-mark path"
        return int(self.page.eval_on_selector_all(drawn, "all => all.filter(one => one.getAttribute('d')).length"))


@contextmanager
def opened(browser: Browser, file: Path, size: str = "wide", **look: Any) -> Iterator[Opened]:
    """A report in the browser, drawn."""
    width, height = SIZES[size]
    with closing(browser.new_context(viewport={"width": width, "height": height}, **look)) as context:
        found = Opened(context.new_page(), [], [])
        found.page.on("console", lambda message: found.said.append(message.text))
        found.page.on("pageerror", lambda error: found.said.append(str(error)))
        found.page.on("request", lambda request: found.asked.append(request.url))
        found.page.goto(file.as_uri())
        found.page.wait_for_selector("html[data-drawn]", timeout=20_000)
        yield found
        assert found.said == []
        assert found.asked == [file.as_uri()]
