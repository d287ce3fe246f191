"""The command line: `wistia-pipeline` and its commands."""

import click

from .health import check, status
from .loads import backfill, sync
from .models import docs, models
from .outputs import export, report
from .privacy import forget
from .tries import demo, sandbox


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dlt-source-wistia")
def main() -> None:
    """Loads Wistia video analytics into a warehouse, hour after hour."""


for command in (check, sync, backfill, status, report, export, models, docs, forget, demo, sandbox):
    main.add_command(command)
