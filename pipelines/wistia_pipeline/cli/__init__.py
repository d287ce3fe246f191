"""The command line: `wistia-pipeline` and its commands."""

import click

from .loads import backfill, sync
from .models import docs, models
from .outputs import export, report
from .tries import demo, sandbox


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dlt-source-wistia")
def main() -> None:
    """Loads Wistia video analytics into a warehouse, hour after hour."""


for command in (sync, backfill, models, docs, report, export, demo, sandbox):
    main.add_command(command)
