"""The command line: `wistia-pipeline` and its commands."""

# dlt takes a second to import: the commands that need it do so themselves, so that --help answers at once
from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

if TYPE_CHECKING:
    from .models import ModelsResult
    from .results import SyncResult

EXIT_FAILED, EXIT_PARTIAL = 1, 3
MOST_NAMED = 20


_VERBOSE = click.option("--verbose", is_flag=True, help="Show the traceback of a failure.")
_WHERE_THE_DATA_IS = click.option(
    "--destination", default="duckdb", show_default=True, help="Where the data is: duckdb or postgres."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dlt-source-wistia")
def main() -> None:
    """Loads Wistia video analytics into a warehouse, hour after hour."""


def _guarded(run: Callable[[], int], verbose: bool = False) -> None:
    """Ends the process with the code that `run` returns, or with what went wrong in one sentence."""
    from .failures import explain, stop_signal
    from .settings import use_defaults

    try:
        use_defaults()
        code = run()
    except (Exception, KeyboardInterrupt) as error:
        if verbose:
            traceback.print_exception(error)
        click.echo(f"Error: {explain(error)}", err=True)
        stopped = stop_signal(error)
        code = 128 + stopped if stopped else EXIT_FAILED
    sys.exit(code)


def _names(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    # an empty list is more likely an empty variable than a wish for everything
    return () if value is None else tuple(name.strip() for name in value.split(",") if name.strip()) or ("''",)


def _key(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    # as above
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty; name one, or leave the option out.")
    return value


def _loads(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that loads an account."""
    options = (
        click.option(
            "--destination",
            default="duckdb",
            show_default=True,
            help="Where to load: duckdb, postgres, or any other destination that dlt knows.",
        ),
        click.option("--select", callback=_names, metavar="NAMES", help="Only these resources: events,visitors,..."),
        click.option("--no-models", is_flag=True, help="Load only: leave the SQL models as they are."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object."),
        _VERBOSE,
    )
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@_loads
@click.option("--visitor-key", callback=_key, metavar="KEY", help="Refresh this one visitor and nothing else.")
@click.option("--event-key", callback=_key, metavar="KEY", help="Refresh this one viewing session and nothing else.")
@click.option("--dry-run", is_flag=True, help="Only say how many requests it would make, and why.")
def sync(
    visitor_key: str | None, event_key: str | None, dry_run: bool, select: tuple[str, ...], **options: Any
) -> None:
    """One incremental run: loads what is new or has changed.

    Exits with 0 when all is loaded, 1 when the run failed, 3 when only some medias or projects could not be read.
    """
    keys = {"visitor_key": visitor_key, "event_key": event_key}
    source_args = {name: key for name, key in keys.items() if key}
    if source_args:
        select = tuple(name.replace("_key", "s") for name in source_args)
    if dry_run:
        _foresee(source_args, select, **options)
    _load(source_args, select, **options)


@main.command()
@_loads
@click.option("--start", required=True, metavar="DAY", help="First day to read again, such as 2026-01-31.")
@click.option("--end", required=True, metavar="DAY", help="The day after the last one.")
def backfill(start: str, end: str, select: tuple[str, ...], **options: Any) -> None:
    """Reads past days again: viewing sessions, and what Wistia counts by day.

    Newest days first, a window of at most a month at a time, each loaded before the next. Stopped, the same command
    carries on where it was. What `sync` does next stays as it is. Says first how many requests it will take. Exits as
    `sync` does.
    """
    _load({"backfill_start": start, "backfill_end": end}, select, **options)


def _load(
    source_args: dict[str, Any],
    select: tuple[str, ...],
    destination: str,
    no_models: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    from .failures import explain, stop_signal
    from .progress import Progress
    from .results import SyncResult
    from .settings import use_defaults
    from .sync import make_pipeline, run_sync

    result, stopped = SyncResult(), None
    try:
        use_defaults()
        with Progress() as progress:
            pipeline = make_pipeline(destination, progress)
            run_sync(pipeline, progress, result, select, source_args, explain, models=not no_models)
    except (Exception, KeyboardInterrupt) as error:
        if verbose:
            traceback.print_exception(error)
        result.status, result.error, stopped = "failed", explain(error), stop_signal(error)
    again = "these are asked for again"
    if "backfill_start" in source_args:
        again = "the same command asks for these again"
    _show(result, as_json, again)
    if stopped:
        # requests under way may take a minute more, and nobody wants their answers
        sys.stdout.flush()
        os._exit(128 + stopped)
    sys.exit({"ok": 0, "failed": EXIT_FAILED, "partial": EXIT_PARTIAL}[result.status])


def _name_failures(what: str, failures: Sequence[str]) -> None:
    """What went wrong, on standard error: the first by name, and how many more there are."""
    for failure in failures[:MOST_NAMED]:
        click.echo(f"{what}: {failure}", err=True)
    more = len(failures) - MOST_NAMED
    if more > 0:
        click.echo(f"{what}: {more:,} more; --json names them all.", err=True)


def _foresee(
    source_args: dict[str, Any],
    select: tuple[str, ...],
    destination: str,
    as_json: bool,
    verbose: bool,
    **_: Any,
) -> None:
    """Prints what a sync would ask, and ends the process."""

    def run() -> int:
        from .dry_run import forecast
        from .progress import Progress
        from .sync import make_pipeline
        from .tables import forecast_table

        with Progress() as progress:
            found = forecast(make_pipeline(destination, progress), progress, select, source_args)
        if as_json:
            click.echo(json.dumps(asdict(found)))
        else:
            Console().print(forecast_table(found))
        return 0

    _guarded(run, verbose)


def _show_models(result: ModelsResult) -> None:
    """The models and data tests that failed, by name, on standard error."""
    _name_failures(
        "Failed", [f"{failure['kind']} {failure['name']}: {failure['error']}" for failure in result.failures]
    )
    if result.skipped:
        click.echo(f"Left out because of these: {', '.join(sorted(result.skipped))}.", err=True)
    if result.failures:
        click.echo("The data stays loaded; wistia-pipeline models tries again.", err=True)


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
        _name_failures(
            "Not loaded",
            [
                " of ".join(filter(None, (failure["resource"], failure["parent_id"]))) + f": {failure['error']}"
                for failure in result.failures
            ],
        )
        if result.failures:
            click.echo(f"Everything else is loaded; {again}.", err=True)
    if result.models:
        _show_models(result.models)
    for name, figures in result.resources.items():
        if count := figures["left_out"]:
            click.echo(
                f"Left out: {count:,} row{'' if count == 1 else 's'} of {name} that Wistia sent empty or without a "
                "key; please report it.",
                err=True,
            )
    if days := result.days_outside_band:
        named = ", ".join(map(str, days[:MOST_NAMED])) + (", ..." if len(days) > MOST_NAMED else "")
        click.echo(
            f"Warning: viewing sessions and plays are further apart than usual: {named} (days of UTC-5); read them "
            f"again with wistia-pipeline backfill --start {days[0].date} --end {days[-1].date + timedelta(days=2)}.",
            err=True,
        )
    if result.new_fields:
        click.echo(f"New from Wistia, loaded as text columns: {', '.join(result.new_fields)}.", err=True)


@main.command()
@_WHERE_THE_DATA_IS
@click.option("--full-refresh", is_flag=True, help="Build the incremental models anew, from all that is loaded.")
@_VERBOSE
def models(destination: str, full_refresh: bool, verbose: bool) -> None:
    """Builds the SQL models on what is loaded, and runs their data tests; `sync` does so by itself.

    Exits with 0 when all are built and hold, 1 when nothing could be built, 3 when some failed.
    """

    def run() -> int:
        from .models import rebuild
        from .progress import Progress
        from .sync import make_pipeline

        with Progress() as progress:
            progress.building_models()
            result = rebuild(make_pipeline(destination, progress), full_refresh=full_refresh)
        click.echo(result)
        _show_models(result)
        return EXIT_PARTIAL if result.failures else 0

    _guarded(run, verbose)


@main.command()
@_WHERE_THE_DATA_IS
@click.option(
    "--output",
    default="wistia_docs.html",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="The page to write; one that is there is replaced.",
)
@_VERBOSE
def docs(destination: str, output: str, verbose: bool) -> None:
    """Writes one page that describes all models: columns, tests and lineage."""

    def run() -> int:
        from .models import write_docs
        from .progress import Progress
        from .sync import make_pipeline

        with Progress() as progress:
            write_docs(make_pipeline(destination, progress), Path(output))
        click.echo(f"The models are described in {output}; open it in a browser.")
        return 0

    _guarded(run, verbose)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8787,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Port to listen on; 0 takes any free one.",
)
@click.option("--medias", default=150, show_default=True, type=click.IntRange(0), help="Medias of the account.")
@click.option("--projects", default=8, show_default=True, type=click.IntRange(1), help="Projects of the account.")
@click.option("--visitors", default=3_000, show_default=True, type=click.IntRange(1), help="Visitors of the account.")
@click.option(
    "--events",
    default=20_000,
    show_default=True,
    type=click.IntRange(0),
    help="Viewing sessions of the last two years.",
)
@click.option("--seed", default=1, show_default=True, help="Another seed makes another account.")
@click.option("--token", default="sandbox-token", show_default=True, help="The access token it accepts.")
@click.option(
    "--rate-limit",
    default=600,
    show_default=True,
    type=click.IntRange(1),
    help="Requests a minute before it answers 429.",
)
@click.option(
    "--latency", default=0.0, show_default=True, type=click.FloatRange(0), help="Seconds that each answer takes."
)
@click.option(
    "--page-cap", default=100, show_default=True, type=click.IntRange(1), help="Most rows on a page, whatever is asked."
)
def sandbox(
    host: str,
    port: int,
    medias: int,
    projects: int,
    visitors: int,
    events: int,
    seed: int,
    token: str,
    rate_limit: int,
    latency: float,
    page_cap: int,
) -> None:
    """A local Wistia API with made-up data that lives, for any client."""
    from .serve import serve

    serve(
        {"medias": medias, "projects": projects, "visitors": visitors, "events": events, "seed": seed},
        {
            "host": host,
            "port": port,
            "token": token,
            "rate_limit": rate_limit,
            "latency": latency,
            "page_cap": page_cap,
        },
    )


@main.command()
@click.option(
    "--output",
    default="wistia_demo.duckdb",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="The warehouse file to write; that of an earlier demo is replaced.",
)
def demo(output: str) -> None:
    """Loads a made-up account twice, an hour apart.

    Starts a local Wistia API, loads its account into a DuckDB file, lets an hour pass, loads again and shows what
    landed and how many requests it took.
    """

    def run() -> int:
        from .demo import run_demo

        run_demo(output)
        return 0

    _guarded(run)
