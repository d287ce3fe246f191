"""The commands that load an account: `sync` and `backfill`."""

# dlt takes a second to import: the commands that need it do so themselves, so that --help answers at once
from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from ..warehouses.kinds import ANY_DESTINATION
from .options import (
    ACCOUNT,
    AS_JSON,
    EXIT_CODES,
    MOST_NAMED,
    VERBOSE,
    counted,
    guarded,
    key,
    lost,
    name_failures,
    names,
    noted,
    show_models,
    warehouse,
)

if TYPE_CHECKING:
    from wistia_source.request import RunRequest

    from ..runs.accounts import WistiaAccount
    from ..runs.results import SyncResult


def _loads(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that loads an account."""
    options = (
        warehouse(f"Where to load: {ANY_DESTINATION}."),
        ACCOUNT,
        click.option("--select", callback=names, metavar="NAMES", help="Only these resources: events,visitors,..."),
        click.option("--no-models", is_flag=True, help="Load only: leave the SQL models as they are."),
        AS_JSON,
        VERBOSE,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@_loads
@click.option("--visitor-key", callback=key, metavar="KEY", help="Refresh this one visitor and nothing else.")
@click.option("--event-key", callback=key, metavar="KEY", help="Refresh this one viewing session and nothing else.")
@click.option("--dry-run", is_flag=True, help="Only say how many requests it would make, and why.")
def sync(
    visitor_key: str | None, event_key: str | None, dry_run: bool, select: tuple[str, ...], **options: Any
) -> None:
    """One incremental run: loads what is new or has changed.

    Exits with 0 when all is loaded, 1 when the run failed, 3 when only some medias or projects could not be read.
    """
    from wistia_source.request import RunRequest

    keys = {"visitors": visitor_key, "events": event_key}
    request = RunRequest(select, {name: key for name, key in keys.items() if key}, dry_run=dry_run)
    run = _foresee if dry_run else _load
    run(request, **options)


@click.command()
@_loads
@click.option("--start", required=True, metavar="DAY", help="First day to read again, such as 2026-01-31.")
@click.option("--end", required=True, metavar="DAY", help="The day after the last one.")
def backfill(start: str, end: str, select: tuple[str, ...], **options: Any) -> None:
    """Reads past days again: viewing sessions, and what Wistia counts by day.

    Newest days first, a window of at most a month at a time, each loaded before the next. Stopped, the same command
    carries on where it was. What `sync` does next stays as it is. Says first how many requests it will take. Exits as
    `sync` does.
    """
    from wistia_source.request import RunRequest

    _load(RunRequest(select, backfill_start=start, backfill_end=end), **options)


def _load(
    request: RunRequest,
    destination: str,
    account: WistiaAccount,
    no_models: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    from ..runs.progress import Progress
    from ..runs.results import SyncResult
    from ..runs.sync import make_pipeline, run_sync

    result = SyncResult()

    def run() -> None:
        with Progress() as progress:
            pipeline = make_pipeline(destination, progress, account.pipeline_name)
            run_sync(pipeline, progress, result, request, account, models=not no_models)

    stopped = noted(run, result, verbose, account)
    whoever = "the same command asks for these" if request.is_backfill else "these are asked for"
    _show(result, as_json, f"{whoever} again")
    if stopped:
        # requests under way may take a minute more, and nobody wants their answers
        sys.stdout.flush()
        os._exit(128 + stopped)
    sys.exit(EXIT_CODES[result.status])


def _foresee(
    request: RunRequest, destination: str, account: WistiaAccount, as_json: bool, verbose: bool, **_: Any
) -> None:
    """Prints what a sync would ask, and ends the process."""
    from ..runs.dry_run import forecast
    from ..runs.progress import Progress
    from .tables import forecast_table

    def run() -> None:
        with Progress() as progress:
            found = forecast(destination, progress, request, account)
        if as_json:
            click.echo(json.dumps(asdict(found)))
        else:
            Console().print(forecast_table(found))

    guarded(run, verbose, account)


def _show(result: SyncResult, as_json: bool, again: str) -> None:
    """The result on standard output, what went wrong on standard error; `again` is how that is mended."""
    from .tables import resources_table

    if as_json:
        click.echo(json.dumps(asdict(result), default=str))
    elif result.status != "failed":
        Console().print(resources_table(result))
        if result.models:
            click.echo(result.models)
    if result.error:
        click.echo(f"Error: {result.error}", err=True)
    if result.status == "partial":
        name_failures("Not loaded", [lost(failure) for failure in result.failures])
        if result.failures:
            click.echo(f"Everything else is loaded; {again}.", err=True)
    if result.models:
        show_models(result.models)
    for name, figures in result.resources.items():
        if count := figures["left_out"]:
            rows = f"{counted(count, 'row')} of {name} that Wistia sent empty or without a key"
            click.echo(f"Left out: {rows}; please report it.", err=True)
    if days := result.days_outside_band:
        named = ", ".join(map(str, days[:MOST_NAMED])) + (", ..." if len(days) > MOST_NAMED else "")
        click.echo(
            f"Warning: viewing sessions and plays are further apart than usual: {named} (days of UTC-5); read them "
            f"again with wistia-pipeline backfill --start {days[0].date} --end {days[-1].date + timedelta(days=2)}.",
            err=True,
        )
    if result.new_fields:
        click.echo(f"New from Wistia, loaded as text columns: {', '.join(result.new_fields)}.", err=True)
