"""The command that builds the SQL models on Spark: `spark`."""

# dlt takes a second to import: the commands that need it do so themselves, so that --help answers at once
from __future__ import annotations

import re

import click

from .options import EXIT_PARTIAL, key, reported, show_models, warehouse


def _settings(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Settings of Spark by their names."""
    if wrong := [value for value in values if not re.match(r"spark\.[^\s=]+=", value)]:
        raise click.BadParameter(f"{wrong[0]!r} is not of the form spark.name=value.")
    return dict(value.split("=", 1) for value in values)


@click.command()
@warehouse("Where the files are: filesystem, or what a destination of that type is called.", "filesystem")
@click.option(
    "--master",
    default="local[*]",
    show_default=True,
    callback=key,
    metavar="URL",
    help="A cluster that runs, such as spark://host:7077, or so many cores of this machine, such as local[2].",
)
@click.option(
    "--conf",
    "settings",
    multiple=True,
    callback=_settings,
    metavar="NAME=VALUE",
    help="A setting of Spark; once for each.",
)
@reported
def spark(destination: str, master: str, settings: dict[str, str]) -> int:
    """Builds the SQL models on Spark, from the files that `sync --destination filesystem` has loaded.

    Rebuilds all of them and runs their data tests; where all are built and hold, the marts are published beside the
    loaded files, as Parquet. Exits with 0 then, with 1 when nothing could be built, 3 when some failed.
    """
    from ..models.spark.build import build_on_spark
    from ..runs.progress import Progress
    from ..runs.sync import make_pipeline

    with Progress() as progress:
        progress.building_models()
        result = build_on_spark(make_pipeline(destination, progress), master, settings)
    click.echo(result)
    if result.address:
        click.echo(f"The marts are in {result.address}, a folder of Parquet files each.")
    show_models(result, "The marts of the last build stay; wistia-pipeline spark tries again.")
    return EXIT_PARTIAL if result.failures else 0
