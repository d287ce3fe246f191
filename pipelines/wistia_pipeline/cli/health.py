"""The commands that look and change nothing: `check` and `status`."""

# dlt takes a second to import: the commands that need it do so themselves, so that --help answers at once
from __future__ import annotations

import json
from dataclasses import asdict

import click

from .options import AS_JSON, EXIT_FAILED, VERBOSE, guarded


@click.command()
@click.option(
    "--destination",
    default="duckdb",
    show_default=True,
    help="Where a sync would load: duckdb, postgres, or any other destination that dlt knows.",
)
@AS_JSON
@VERBOSE
def check(destination: str, as_json: bool, verbose: bool) -> None:
    """Says whether a sync would work, and what to do where not.

    Looks at the settings, asks Wistia for one row of each endpoint, and tries the warehouse; loads nothing and leaves
    nothing behind. Exits with 1 when something will fail, else with 0.
    """

    def run() -> int:
        from ..check import check as check_all
        from ..tables import show_checks

        found = check_all(destination)
        if as_json:
            click.echo(json.dumps({"ok": found.ok, **asdict(found)}))
        else:
            show_checks(found)
        return 0 if found.ok else EXIT_FAILED

    guarded(run, verbose)
