"""The command that builds the SQL models on Spark: `spark`."""

# dlt takes a second to import: the commands that need it do so themselves, so that --help answers at once
from __future__ import annotations

import os
import re

import click
from click.core import ParameterSource

from .options import EXIT_PARTIAL, VERBOSE, guarded, key, show_models, warehouse

OWN_CLUSTER = ("workers", "cores", "memory")
"""Options of the cluster that is started here."""


def _settings(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Settings of Spark by their names."""
    pairs = [value.partition("=") for value in values]
    for (name, _, _), value in zip(pairs, values, strict=True):
        if "=" not in value or not re.fullmatch(r"spark\.\S+", name):
            raise click.BadParameter(f"{value!r} is not of the form spark.name=value.")
    return {name: value for name, _, value in pairs}


def _memory(_context: click.Context, _option: click.Parameter, value: str) -> str:
    """An amount of memory as Spark writes it, and enough for it to start."""
    found = re.fullmatch(r"(\d+)([mg])b?", value.strip().lower())
    if not found:
        raise click.BadParameter(f"{value!r} is not an amount such as 512m or 4g.")
    if int(found[1]) * (1024 if found[2] == "g" else 1) < 512:
        raise click.BadParameter(f"{value} is too little for Spark; give at least 512m.")
    return found[1] + found[2]


@click.command()
@warehouse("Where the files are: filesystem, or what a destination of that type is called.", "filesystem")
@click.option(
    "--master",
    callback=key,
    metavar="URL",
    help="A cluster that runs, such as spark://host:7077; without it one is started on this machine.",
)
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 1000), help="Workers of that one.")
@click.option("--cores", type=click.IntRange(1, 1000), help="What each worker has; without it all share the machine's.")
@click.option("--memory", default="1g", show_default=True, callback=_memory, help="What each worker has.")
@click.option(
    "--conf",
    "settings",
    multiple=True,
    callback=_settings,
    metavar="NAME=VALUE",
    help="A setting of Spark; once for each.",
)
@VERBOSE
@click.pass_context
def spark(
    context: click.Context,
    destination: str,
    master: str | None,
    workers: int,
    cores: int | None,
    memory: str,
    settings: dict[str, str],
    verbose: bool,
) -> None:
    """Builds the SQL models on Spark, from the files that `sync --destination filesystem` has loaded.

    All are built anew, and their data tests run; where all are built and hold, the marts are published beside the
    loaded files, as Parquet. Exits with 0 then, with 1 when nothing could be built, 3 when some failed.
    """
    given = [name for name in OWN_CLUSTER if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
    if master and given:
        raise click.UsageError(f"--{given[0]} is for the cluster that is started here; leave it or --master out.")

    def run() -> int:
        from ..models.spark import SparkBuild, build_on_spark
        from ..runs.progress import Progress
        from ..runs.sync import make_pipeline

        shared = max(1, (os.cpu_count() or 1) // workers)
        how = SparkBuild(master, workers, cores or shared, memory, settings)
        with Progress() as progress:
            progress.building_models()
            result = build_on_spark(make_pipeline(destination, progress), how)
        click.echo(result)
        if result.address:
            click.echo(f"The marts are in {result.address}, a folder of Parquet files each.")
        show_models(result, "The marts of the last build stay; wistia-pipeline spark tries again.")
        return EXIT_PARTIAL if result.failures else 0

    guarded(run, verbose)
