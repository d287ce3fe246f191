"""The command line: `wistia-pipeline sync`, `demo`, `sandbox`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console

from wistia_source.endpoints import BY_NAME

from .failures import explain
from .progress import Progress
from .settings import use_defaults
from .sync import SyncResult, make_pipeline, run_sync
from .tables import resources_table

EXIT_FAILED, EXIT_PARTIAL = 1, 3


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dlt-source-wistia")
def main() -> None:
    """Loads Wistia video analytics into a warehouse, hour after hour."""
    use_defaults()


def _selected(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in (value or "").split(",") if name.strip())
    if unknown := [name for name in names if name not in BY_NAME]:
        raise click.ClickException(f"There is no resource {', '.join(unknown)}; choose from {', '.join(BY_NAME)}.")
    return names


@main.command()
@click.option(
    "--destination",
    default="duckdb",
    show_default=True,
    help="Where to load: duckdb, postgres, or any other destination that dlt knows.",
)
@click.option("--select", callback=_selected, help="Only these resources, separated by commas.")
@click.option("--visitor-key", help="Refresh this one visitor and nothing else.")
@click.option("--event-key", help="Refresh this one viewing session and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("--verbose", is_flag=True, help="Show the traceback of a failure.")
def sync(
    destination: str,
    select: tuple[str, ...],
    visitor_key: str | None,
    event_key: str | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """One incremental run: loads what is new or has changed."""
    source_args: dict[str, Any] = {}
    if visitor_key:
        source_args["visitor_key"], select = visitor_key, (*select, "visitors")
    if event_key:
        source_args["event_key"], select = event_key, (*select, "events")
    result = SyncResult()
    try:
        with Progress() as progress:
            run_sync(make_pipeline(destination, progress), progress, result, select, source_args)
    except Exception as error:
        if verbose:
            raise
        result.status, result.error = "failed", explain(error)
    if as_json:
        click.echo(json.dumps(asdict(result)))
    elif result.status != "failed":
        Console().print(resources_table(result))
    if result.error:
        click.echo(f"Error: {result.error}", err=True)
    for failure in result.failures:
        click.echo(f"Not loaded: {failure['resource']} of {failure['parent_id']}: {failure['error']}", err=True)
    sys.exit({"ok": 0, "failed": EXIT_FAILED, "partial": EXIT_PARTIAL}[result.status])


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8787, show_default=True, help="Port to listen on; 0 takes any free one.")
@click.option("--medias", default=150, show_default=True, help="Medias of the account.")
@click.option("--projects", default=8, show_default=True, help="Projects of the account.")
@click.option("--visitors", default=3_000, show_default=True, help="Visitors of the account.")
@click.option("--events", default=20_000, show_default=True, help="Viewing sessions of the last two years.")
@click.option("--seed", default=1, show_default=True, help="Another seed makes another account.")
@click.option("--token", default="sandbox-token", show_default=True, help="The access token it accepts.")
@click.option("--rate-limit", default=600, show_default=True, help="Requests a minute before it answers 429.")
@click.option("--latency", default=0.0, show_default=True, help="Seconds that each answer takes.")
@click.option("--page-cap", default=100, show_default=True, help="Most rows on a page, whatever is asked.")
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
    """A local Wistia API with made-up data that lives, for any client to try."""
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
    help="The warehouse file to write; one that is there is replaced.",
)
def demo(output: str) -> None:
    """Loads a made-up account from a local Wistia API, lets an hour pass, and loads again."""
    from .demo import run_demo

    try:
        run_demo(output)
    except Exception as error:
        raise click.ClickException(explain(error)) from error
