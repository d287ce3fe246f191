"""The commands for the health of a warehouse: `check`, `status` and `maintain`."""

# dlt takes a second to import: the commands that need it do so themselves, so that --help answers at once
from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from ..warehouses.kinds import ANY_DESTINATION
from .options import ACCOUNT, AS_JSON, EXIT_FAILED, WHERE_THE_DATA_IS, finite, reported, warehouse

if TYPE_CHECKING:
    from ..runs.accounts import WistiaAccount


@click.command()
@warehouse(f"Where a sync would load: {ANY_DESTINATION}.")
@ACCOUNT
@AS_JSON
@reported
def check(destination: str, account: WistiaAccount, as_json: bool) -> int:
    """Says whether a sync would work, and what to do where not.

    Looks at the settings, asks Wistia for one row of each endpoint, and tries the warehouse; loads nothing and leaves
    nothing behind. Exits with 1 when something will fail, else with 0.
    """
    from ..health.check import check as check_all
    from .tables import show_checks

    found = check_all(destination, account=account)
    if as_json:
        checks = [asdict(check) for check in found.checks]
        click.echo(json.dumps({"ok": found.ok, "checks": checks, "requests": found.requests}))
    else:
        show_checks(found)
    return 0 if found.ok else EXIT_FAILED


@click.command()
@WHERE_THE_DATA_IS
@click.option(
    "--max-age",
    default=3.0,
    show_default=True,
    metavar="HOURS",
    type=click.FloatRange(0, min_open=True),
    callback=finite,
    help="Hours since a resource was last read, from which on it is old.",
)
@AS_JSON
@reported
def status(destination: str, max_age: float, as_json: bool) -> int:
    """Says how fresh the warehouse is, and what its runs came to.

    Reads the warehouse only. Exits with 1 when a resource was last read longer ago than --max-age, or when nothing can
    be read, else with 0.
    """
    from ..health.status import status as read_status
    from ..runs.sync import make_pipeline, working_folder
    from ..warehouses.failures import explain
    from ..warehouses.reading import reading
    from .tables import show_status

    try:
        # dlt would make the real folder where there is none yet
        with (
            TemporaryDirectory(prefix="wistia-status-") as folder,
            reading(make_pipeline(destination, pipelines_dir=folder)) as reader,
        ):
            found = read_status(reader, max_age, working_folder(destination))
    except Exception as error:
        if as_json:
            click.echo(json.dumps({"fresh": False, "error": explain(error)}))
        raise
    if as_json:
        # moments and days as ISO 8601 has them
        click.echo(json.dumps({**asdict(found), "error": None}, default=lambda moment: moment.isoformat()))
    else:
        show_status(found)
    return 0 if found.fresh else EXIT_FAILED


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
def maintain(destination: str, keep_days: float) -> None:
    """Keeps a warehouse small and fast: once a day for a lake, and now and then for the others.

    Of a lake it merges small files, drops deleted rows from files, lets go of older states, and deletes files that
    nothing has needed for a day. A DuckDB file is written anew; the tables of Postgres are vacuumed. Waits for a load
    that is under way.
    """
    from ..runs.sync import make_pipeline
    from ..warehouses.kinds import destination_of

    done = destination_of(make_pipeline(destination)).maintain(timedelta(days=keep_days))
    lines = [f"{what}: {count:,}" for what, count in done.items() if count > 0]
    click.echo("\n".join(line.capitalize() for line in lines) or "Nothing to do.")
