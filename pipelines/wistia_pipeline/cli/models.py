"""The commands about the SQL models: `models`, `spark` and `docs`."""

# dlt takes a second to import: the commands that need it do so themselves, so that --help answers at once
import re
from pathlib import Path

import click

from .options import EXIT_PARTIAL, WHERE_THE_DATA_IS, key, reported, show_models, warehouse


@click.command()
@WHERE_THE_DATA_IS
@click.option("--full-refresh", is_flag=True, help="Build the incremental models anew, from all that is loaded.")
@reported
def models(destination: str, full_refresh: bool) -> int:
    """Builds the SQL models on what is loaded, and runs their data tests; `sync` does so by itself.

    Exits with 0 when all are built and hold, 1 when nothing could be built, 3 when some failed.
    """
    from ..models.build import rebuild
    from ..runs.progress import Progress
    from ..runs.sync import make_pipeline

    with Progress() as progress:
        progress.building_models()
        result = rebuild(make_pipeline(destination, progress), full_refresh=full_refresh)
    click.echo(result)
    show_models(result)
    return EXIT_PARTIAL if result.failures else 0


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
        result, address = build_on_spark(make_pipeline(destination, progress), master, settings)
    click.echo(result)
    if address:
        click.echo(f"The marts are in {address}, a folder of Parquet files each.")
    show_models(result, "The marts of the last build stay; wistia-pipeline spark tries again.")
    return EXIT_PARTIAL if result.failures else 0


@click.command()
@WHERE_THE_DATA_IS
@click.option(
    "--output",
    default="wistia_docs.html",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="The page to write; one that is there is replaced.",
)
@reported
def docs(destination: str, output: str) -> None:
    """Writes one page that describes all models: columns, tests and lineage."""
    from ..models.build import write_docs
    from ..runs.sync import make_pipeline

    write_docs(make_pipeline(destination), Path(output))
    click.echo(f"The models are described in {output}; open it in a browser.")
