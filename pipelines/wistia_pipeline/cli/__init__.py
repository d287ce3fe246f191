"""The command line: `wistia-pipeline` and its commands."""

import signal
import sys
from io import TextIOWrapper
from typing import Any

import click

from .demo_commands import demo, sandbox
from .health import check, maintain, status
from .loads import backfill, sync
from .models import docs, models, spark
from .outputs import export, report
from .privacy import forget


class _Commands(click.Group):
    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            # before a command has come to where it answers this itself; click would exit with 1
            click.echo("Error: Stopped before anything was begun.", err=True)
            context.exit(128 + signal.SIGINT)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dlt-source-wistia")
def main() -> None:
    """Loads Wistia video analytics into a warehouse, hour after hour."""
    for stream in (sys.stdout, sys.stderr):
        # names of medias, and our own ticks, must not end a command where the terminal knows ASCII alone
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


for command in (check, sync, backfill, status, report, export, models, docs, spark, maintain, forget, demo, sandbox):
    main.add_command(command)
