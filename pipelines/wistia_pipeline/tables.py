"""Results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from .results import SyncResult


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


def plain_table(header: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """A table whose first column is text and whose others are figures."""
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(str, row))
    return table
