"""The commands that give the data to people: `export` and `report`."""

# dlt takes a second to import: the commands that need it do so themselves, so that --help answers at once
import os
import signal
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import click

from .options import WHERE_THE_DATA_IS, counted, key, names, reported


def _day(name: str, meaning: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """An option that is a day."""
    return click.option(
        name,
        metavar="DAY",
        type=click.DateTime(["%Y-%m-%d"]),
        callback=lambda _context, _option, moment: moment and moment.date(),
        help=meaning,
    )


@click.command()
@click.argument("model")
@click.option(
    "--format",
    "as_format",
    type=click.Choice(["csv", "json", "ndjson", "parquet"]),
    help="Without it the ending of the file says.",
)
@click.option("--output", required=True, callback=key, metavar="FILE", help="The file to write; - is standard output.")
@_day("--start", "First day, such as 2026-01-31; without it from the first one on.")
@_day("--end", "The day after the last one; without it up to the newest.")
@click.option("--columns", callback=names, metavar="NAMES", help="Only these columns, in this order: date,...")
@WHERE_THE_DATA_IS
@reported
def export(
    model: str,
    as_format: str | None,
    output: str,
    start: date | None,
    end: date | None,
    columns: tuple[str, ...],
    destination: str,
) -> None:
    """Writes a model to a file, whatever its size: MODEL is media_daily, sessions, leads, ...

    All rows are of one moment. The file is there when it is whole; until then an earlier one stays.
    """
    from ..models.marts import mart_named
    from ..outputs.export import export as write_rows
    from ..outputs.export import format_of
    from ..runs.sync import make_pipeline
    from ..runtime.files import replaced_when_whole
    from ..warehouses.reading import reading

    _require_days(start, end)
    mart, file = mart_named(model), Path(output)
    chosen = format_of(file, as_format)
    with reading(make_pipeline(destination)) as reader:
        if output == "-":
            _end_with_the_reader_of_a_pipe()
            with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as pipe:
                write_rows(reader, mart, pipe, chosen, columns, start, end)
            return
        with replaced_when_whole(file) as whole, whole.open("wb") as opened:
            count = write_rows(reader, mart, opened, chosen, columns, start, end)
    click.echo(f"{counted(count, 'row')} of {mart.name} in {output}.")


@click.command()
@click.option(
    "--output",
    default="report.html",
    show_default=True,
    callback=key,
    metavar="FILE",
    help="The page to write; one that is there is replaced.",
)
@_day("--start", "First day, such as 2026-01-31; without it 90 days before the end.")
@_day("--end", "The day after the last one; without it the day after the newest one.")
@WHERE_THE_DATA_IS
@reported
def report(output: str, start: date | None, end: date | None, destination: str) -> None:
    """Writes one page that shows how the account's medias are watched.

    It needs no network, and can be sent to others: it names no viewer.
    """
    from ..outputs.report.figures import read_figures
    from ..outputs.report.page import page
    from ..runs.sync import make_pipeline
    from ..runtime.files import replaced_when_whole
    from ..warehouses.reading import reading

    _require_days(start, end)
    with replaced_when_whole(Path(output)) as whole:
        with reading(make_pipeline(destination)) as reader:
            figures = read_figures(reader, start, end)
        whole.write_text(page(figures), "utf-8")
    click.echo(f"The report of {figures.start} to {figures.last} is {output}; open it in a browser.")


def _require_days(start: date | None, end: date | None) -> None:
    """Refuses days of which there can be none."""
    if start and end and start >= end:
        raise click.UsageError(f"--end {end} must be after --start {start}: it is not read itself.")


def _end_with_the_reader_of_a_pipe() -> None:
    """As Unix tools do: `| head` takes what it wants, and nothing is wrong."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
