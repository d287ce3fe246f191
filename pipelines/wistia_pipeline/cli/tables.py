"""Results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from ..runs.dry_run import Forecast
from ..runs.results import SyncResult


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
