"""The commands about the SQL models: `models` and `docs`."""

# dlt takes a second to import: the commands that need it do so themselves, so that --help answers at once
from __future__ import annotations

from pathlib import Path

import click

from .options import EXIT_PARTIAL, WHERE_THE_DATA_IS, reported, show_models


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
def docs(destination: str, output: str) -> int:
    """Writes one page that describes all models: columns, tests and lineage."""
    from ..models.build import write_docs
    from ..runs.progress import Progress
    from ..runs.sync import make_pipeline

    with Progress() as progress:
        write_docs(make_pipeline(destination, progress), Path(output))
    click.echo(f"The models are described in {output}; open it in a browser.")
    return 0
