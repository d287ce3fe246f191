"""The commands to try it out, without an account: `sandbox` and `demo`."""

# dlt takes a second to import: the commands that need it do so themselves, so that --help answers at once
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event
from typing import Any

import click

from .options import finite, guarded


def _number(name: str, default: int, least: int, meaning: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(name, default=default, show_default=True, type=click.IntRange(least), help=meaning)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8787,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Port to listen on; 0 takes any free one.",
)
@_number("--medias", 150, 0, "Medias of the account.")
@_number("--projects", 8, 1, "Projects of the account.")
@_number("--visitors", 3_000, 1, "Visitors of the account.")
@_number("--events", 20_000, 0, "Viewing sessions of the last two years.")
@click.option("--seed", default=1, show_default=True, help="Another seed makes another account.")
@click.option("--token", default="sandbox-token", show_default=True, help="The access token it accepts.")
@_number("--rate-limit", 600, 1, "Requests a minute before it answers 429.")
@click.option(
    "--latency",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0),
    callback=finite,
    help="Seconds that each answer takes.",
)
@_number("--page-cap", 100, 1, "Most rows on a page, whatever is asked.")
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
    from ..sandbox.answers import READ_MEDIA, READ_STATS

    account = {name: options.pop(name) for name in ("medias", "projects", "visitors", "events", "seed")}
    permissions = {"stats": READ_STATS, "media": READ_MEDIA}
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

    def run() -> None:
        from .demo import run_demo

        run_demo(output)

    guarded(run)
