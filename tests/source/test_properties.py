"""Whatever happens to an account, its warehouse ends up with what it shows: random stories, through the front door."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dlt
import duckdb
import psycopg2
import pytest
from hypothesis import given, settings
from wistia_pipeline.sandbox import Account
from wistia_pipeline.warehouses.duckdb.loads import duckdb as duckdb_file
from wistia_pipeline.warehouses.postgres import postgres

from tests.support.follower import Follower
from tests.support.postgres import database
from tests.support.sandbox import NOW, files_with_token
from tests.support.stories import DAY, HOUR, Growing, Run, Story, World, stories
from tests.support.warehouse import Warehouse

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


class OwnFolder(Warehouse):
    """A warehouse whose runs have a working folder of their own, which is its name."""

    def pipeline(self) -> dlt.Pipeline:
        made: dlt.Pipeline = dlt.pipeline(
            "wistia", destination=self.destination, dataset_name=self.dataset, pipelines_dir=self.name
        )
        return made


@contextmanager
def in_duckdb() -> Iterator[Warehouse]:
    """A new file."""
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        path = f"{folder}/warehouse.duckdb"

        def connect() -> Any:
            connection = duckdb.connect(path, read_only=True)
            connection.execute("set timezone = 'UTC'")
            return connection

        yield OwnFolder(folder, duckdb_file(path), connect, path)
        assert not files_with_token(Path(folder))


@contextmanager
def in_postgres(url: str) -> Iterator[Warehouse]:
    """A new database."""
    with database(url) as own, TemporaryDirectory(dir=Path.cwd()) as folder:
        yield OwnFolder(folder, postgres(own), lambda: psycopg2.connect(own), own)
        assert not files_with_token(Path(folder))


lively = stories().filter(lambda story: any(run.changes for run in story.runs))
"""Hypothesis begins with a story in which nothing happens."""


def live(story: Story, warehouse: Warehouse, *, each_twice: bool = False) -> None:
    """A whole story. A day after its end all that was promised must have come true.

    The last run is made twice, or each of them.
    """
    # all is history, told as time passes: the sandbox makes four medias a day in the time after it
    account = Account(seed=5, start=NOW + 45 * DAY, medias=5, projects=2, visitors=120, events=700, days=90)
    with Growing(account) as sandbox:
        follower = Follower(World(sandbox, HOUR * story.ahead), warehouse, story.lookbacks)
        last = Run()
        for run in (*story.runs, last):
            follower.live(run)
            if run is last or (each_twice and not run.trouble and not run.backfill):
                follower.run_again(run)


@settings(max_examples=1, derandomize=True)
@given(story=lively)
def test_a_warehouse_in_duckdb_holds_what_the_account_shows(story: Story) -> None:
    with in_duckdb() as warehouse:
        live(story, warehouse)


@pytest.mark.deep
@settings(max_examples=25)
@given(story=stories())
def test_many_more_stories_end_well_in_duckdb(story: Story) -> None:
    with in_duckdb() as warehouse:
        live(story, warehouse, each_twice=True)


@pytest.mark.deep
@settings(max_examples=5)
@given(story=stories())
def test_many_more_stories_end_well_in_postgres(story: Story, postgres_url: str) -> None:
    with in_postgres(postgres_url) as warehouse:
        live(story, warehouse, each_twice=True)
