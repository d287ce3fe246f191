"""The command that keeps a warehouse small and fast: `maintain`."""

# dlt takes a second to import: the commands that need it do so themselves, so that --help answers at once
from __future__ import annotations

from datetime import timedelta

import click

from .options import WHERE_THE_DATA_IS, finite, reported


@click.command()
@WHERE_THE_DATA_IS
@click.option(
    "--keep-days",
    default=7.0,
    show_default=True,
    metavar="DAYS",
    type=click.FloatRange(0),
    callback=finite,
    help="How long the older states of a lake can be queried yet.",
)
@reported
def maintain(destination: str, keep_days: float) -> int:
    """Keeps a warehouse small and fast: once a day for a lake, and now and then for the others.

    Of a lake it merges small files, drops deleted rows from files, lets go of older states, and deletes files that
    nothing has needed for a day. A DuckDB file is written anew; the tables of Postgres are vacuumed. Waits for a load
    that is under way.
    """
    from ..runs.progress import Progress
    from ..runs.sync import make_pipeline
    from ..warehouses.kinds import destination_of

    done = destination_of(make_pipeline(destination, Progress())).maintain(timedelta(days=keep_days))
    lines = [f"{what}: {count:,}" for what, count in done.items() if count > 0]
    click.echo("\n".join(line.capitalize() for line in lines) or "Nothing to do.")
    return 0
