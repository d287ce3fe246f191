"""The local Wistia API as a program of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Event
from typing import Any

import click

from ..sandbox import Account, Sandbox
from ..sandbox.answers import DETAILED_STATS, FOLDERS_AND_MEDIAS

PERMISSIONS = {"stats": DETAILED_STATS, "media": FOLDERS_AND_MEDIAS}
"""What the command line calls the permissions of its token."""


def serve(account: Mapping[str, Any], server: Mapping[str, Any]) -> None:
    """Runs until interrupted. Raises `click.ClickException` where the port is taken."""
    try:
        with Sandbox(Account(start=datetime.now(UTC), **account), **server) as sandbox:
            click.echo(f"A Wistia API with made-up data answers at {sandbox.url} (Ctrl-C stops it). Try:")
            click.echo(f'  curl -H "Authorization: Bearer {sandbox.token}" {sandbox.url}/v1/stats/account.json')
            click.echo(
                f"  SOURCES__WISTIA__BASE_URL={sandbox.url} SOURCES__WISTIA__ACCESS_TOKEN={sandbox.token} "
                "wistia-pipeline sync"
            )
            Event().wait()
    except KeyboardInterrupt:
        click.echo("Stopped.")
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {server['host']}:{server['port']}: {error.strerror}; choose another --port or --host."
        ) from error
