"""The command that forgets people: `forget`."""

# dlt takes a second to import: the commands that need it do so themselves, so that --help answers at once
from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from .options import (
    ACCOUNT,
    AS_JSON,
    EXIT_CODES,
    VERBOSE,
    WHERE_THE_DATA_IS,
    counted,
    explained,
    key,
    noted,
    show_models,
)

if TYPE_CHECKING:
    from ..runs.accounts import WistiaAccount
    from ..runs.forget import ForgetResult


@click.command()
@click.option("--visitor", callback=key, metavar="KEY", help="Forget this visitor, by the key.")
@click.option("--email", callback=key, metavar="ADDRESS", help="Forget whoever is known under this address.")
@click.option(
    "--mode",
    type=click.Choice(["remove", "hash"]),
    default="remove",
    show_default=True,
    help="Remove the rows, or keep them as those of nobody; hash needs pii_secret.",
)
@WHERE_THE_DATA_IS
@ACCOUNT
@AS_JSON
@VERBOSE
def forget(
    visitor: str | None,
    email: str | None,
    mode: Any,
    destination: str,
    account: WistiaAccount | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Forgets one person: in tables, marts and data that waits to be loaded, and in every later load.

    In all accounts of the warehouse, which share one pii_secret; --account says with whose settings it is found.

    What is remembered is a digest, not who it was. Stopped, the next run of any kind ends it. Exits with 0 when the
    person is gone, known before or not, 1 when it failed, 3 when the person is gone but models failed or the file could
    not be written anew.
    """
    from ..runs.forget import ForgetResult, run_forget
    from ..runs.progress import Progress
    from ..runs.sync import make_pipeline

    if (visitor is None) == (email is None):
        raise click.UsageError("Name one person: either --visitor KEY or --email ADDRESS.")
    result = ForgetResult(mode=mode)

    def run() -> None:
        with Progress() as progress:
            pipeline = make_pipeline(destination, progress)
            kind, text = ("visitor_key", visitor) if email is None else ("email", email)
            explain = partial(explained, account=account)
            run_forget(pipeline, progress, result, kind, text, explain, account)  # type: ignore[arg-type]

    stopped = noted(run, result, verbose, account)
    _show(result, as_json)
    if stopped:
        sys.exit(128 + stopped)
    sys.exit(EXIT_CODES[result.status])


def _show(result: ForgetResult, as_json: bool) -> None:
    """What was done on standard output, what went wrong on standard error; never who it was."""
    if as_json:
        click.echo(json.dumps(asdict(result), default=str))
    elif result.status != "failed":
        done = "Hashed" if result.mode == "hash" else "Removed"
        counts = [f"{counted(count, 'row')} of {table}" for table, count in result.rows.items() if count]
        click.echo(f"{done}: {', '.join(counts)}." if counts else "Nothing of this person was loaded.")
        if result.pages:
            click.echo(f"Taken out of the page of {counted(result.pages, 'session')} of others.")
        if result.models:
            click.echo(result.models)
        click.echo("This is remembered: later loads leave the person out.")
    if result.error:
        click.echo(f"Error: {result.error}", err=True)
        if result.status == "failed" and result.remembered:
            click.echo("The person is remembered: the next run of any kind ends this.", err=True)
    if result.models:
        show_models(result.models)
        if result.models.failures:
            click.echo("The person is gone from the marts, but their sums are of before.", err=True)
