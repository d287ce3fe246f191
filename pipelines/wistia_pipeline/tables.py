"""Results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .dry_run import Forecast
from .results import SyncResult
from .verdicts import Checks, Status


def resources_table(result: SyncResult, title: str | None = None) -> Table:
    """Rows, requests and seconds of each resource of a run."""
    rows = [
        (name, f"{figures['rows']:,}", f"{figures['requests']:,}", f"{figures['seconds']:.1f}")
        for name, figures in result.resources.items()
    ]
    loaded = sum(figures["rows"] for figures in result.resources.values())
    table = plain_table(("resource", "rows new or changed", "requests", "seconds"), rows, title)
    table.add_section()
    table.add_row(f"all ({result.status})", f"{loaded:,}", f"{result.requests:,}", f"{result.seconds:.1f}")
    return table


def forecast_table(found: Forecast) -> Table:
    """Requests of each resource of a run to come, and why that many parents are asked."""
    rows = [
        (name, "one for each 100" if (requests := figures["requests"]) is None else f"{requests:,}", _why(figures))
        for name, figures in found.resources.items()
    ]
    table = plain_table(("resource", "requests, about", "medias or projects"), rows)
    table.add_section()
    known = f"{found.requests:,}"
    table.add_row(
        "all",
        known if found.complete else f"{known} and more",
        f"{found.minutes:,.1f} minutes at the quota, for {known}",
    )
    return table


REASONS: dict[str, str] = {
    "new": "never asked",
    "earlier start": "with an earlier start",
    "watched": "watched",
    "turn": "in turn",
    "quiet": "quiet and spared",
}
"""What the reasons of `wistia_source.plan` are called."""


def _why(figures: dict[str, Any]) -> str:
    return ", ".join(f"{count:,} {REASONS[reason]}" for reason, count in figures["reasons"].items())


def plain_table(header: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """A table whose first column is text and whose others are figures."""
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(str, row))
    return table


_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "warning": ("!", "yellow"),
    "failed": ("✗", "red"),
    "skipped": ("-", "dim"),
}


def plain_console() -> Console:
    """Standard output, with colours only on a terminal."""
    console = Console()
    # FORCE_COLOR, which continuous integration likes to set, makes a pipe look like a terminal to rich
    return console if console.file.isatty() else Console(force_terminal=False, no_color=True)


def show_checks(found: Checks) -> None:
    """A line for each check, and below it what to do about it."""
    console = plain_console()
    for _, same in groupby(found.checks, key=lambda check: check.detail if check.status == "skipped" else check.name):
        check, *more = same
        mark, colour = _MARKS[check.status]
        # one thing that is wrong leaves many others untried
        name = f"{len(more) + 1} more" if more else check.name
        lines = [f"{name:<22} {check.detail}", *([f"  {check.advice}"] if check.advice else [])]
        text = Text("\n".join(lines), "dim" if check.status == "skipped" else "")
        console.print(Text(f"{mark} ", colour) + text, soft_wrap=True)
    failed, warnings = (sum(check.status == status for check in found.checks) for status in ("failed", "warning"))
    verdict = "A sync will work" if found.ok else "A sync will not load everything"
    console.print(
        f"{verdict}: {failed} failed, {warnings} warning{'' if warnings == 1 else 's'}; asked {found.requests} times.",
        highlight=False,
        soft_wrap=True,
    )
