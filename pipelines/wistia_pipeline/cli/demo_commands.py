"""The commands to try it out, without an account: `sandbox` and `demo`."""

# dlt takes a second to import: the commands that need it do so themselves, so that --help answers at once
from __future__ import annotations

from datetime import UTC, datetime
from threading import Event
from typing import Any

import click

from .options import finite, guarded


@click.command()
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
    "--latency",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0),
    callback=finite,
    help="Seconds that each answer takes.",
)
@click.option(
    "--page-cap", default=100, show_default=True, type=click.IntRange(1), help="Most rows on a page, whatever is asked."
)
@click.option(
    "--without-permission",
    "lacking",
    multiple=True,
    type=click.Choice(["stats", "media"]),
    help="A permission that its token lacks; may be given twice.",
)
def sandbox(lacking: tuple[str, ...], **options: Any) -> None:
    """A local Wistia API with made-up data that lives, for any client."""
    from ..sandbox import Account, Sandbox
    from ..sandbox.answers import DETAILED_STATS, FOLDERS_AND_MEDIAS

    account = {name: options.pop(name) for name in ("medias", "projects", "visitors", "events", "seed")}
    permissions = {"stats": DETAILED_STATS, "media": FOLDERS_AND_MEDIAS}
    scopes = [scope for name, scope in permissions.items() if name not in lacking]
    try:
        with Sandbox(Account(start=datetime.now(UTC), **account), **options, scopes=scopes) as server:
            click.echo(f"A Wistia API with made-up data answers at {server.url} (Ctrl-C stops it). Try:")
            click.echo(f'  curl -H "Authorization: Bearer {server.token}" {server.url}/v1/stats/account.json')
            click.echo(
                f"  SOURCES__WISTIA__BASE_URL={server.url} SOURCES__WISTIA__ACCESS_TOKEN={server.token} "
                "wistia-pipeline sync"
            )
            Event().wait()
    except KeyboardInterrupt:
        click.echo("Stopped.")
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {options['host']}:{options['port']}: {error.strerror}; choose another --port or --host."
        ) from error


@click.command()
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

    guarded(run)
