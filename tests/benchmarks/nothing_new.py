"""A sync that finds nothing new, against an empty dlt run and a build of the same models; and the state it carries.

`uv run python -m tests.benchmarks.nothing_new`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import dlt
from rich.console import Console
from wistia_pipeline.models.build import build_models
from wistia_pipeline.runs.progress import Progress
from wistia_pipeline.runs.sync import make_pipeline
from wistia_pipeline.runtime.settings import use_defaults
from wistia_pipeline.warehouses.duckdb.loads import duckdb as duckdb_file

from tests.benchmarks.runs import cost_of, served, sync

ROUNDS = 5


def floor(file: str) -> None:
    """A dlt run of one resource without rows, and the build of the models, in one process."""
    os.environ["DLT_DATA_DIR"] = str(Path(file).parent)
    use_defaults()

    @dlt.resource
    def nothing() -> Iterator[dict[str, int]]:
        yield from ()

    dlt.pipeline("nothing", destination=duckdb_file(file), dataset_name="nothing").run(nothing)
    with Progress(Console(file=StringIO())) as progress:
        build_models(make_pipeline(duckdb_file(file), progress))


def run(medias: int) -> float:
    """The ratio of the best of some rounds of each; prints it."""
    account = {"seed": 3, "medias": medias, "projects": 5, "visitors": 500, "events": 5_000, "days": 60}
    with served(**account, hourly_events=1) as api, TemporaryDirectory() as folder:
        file = f"{folder}/w.duckdb"
        for _ in range(2):
            sync(api.url, api.token, file, models=True)
        empty = min(cost_of(floor, file).seconds for _ in range(ROUNDS))
        ours = min(cost_of(sync, api.url, api.token, file, models=True).seconds for _ in range(ROUNDS))
    print(
        f"{ours / empty:.2f} times as long as an empty dlt run and a build of the models ({ours:.2f} s, {empty:.2f} s)"
    )
    return ours / empty


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
