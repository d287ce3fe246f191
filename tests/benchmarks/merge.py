"""A merge of 3,000 events into a long table, against the same into a short one.

`uv run python -m tests.benchmarks.merge duckdb` (or `postgres`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import dlt
from rich.console import Console
from wistia_pipeline.runs.progress import Progress
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.runs.sync import make_pipeline, run_sync
from wistia_pipeline.runtime.settings import use_defaults
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.warehouses.duckdb.loads import duckdb

from tests.support.postgres import installations, server
from tests.support.sandbox import asked, settings_for

START = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
SHORT, LONG, NEW = 100_000, 10_000_000, 3_000
ROUNDS = 5
APART = "8 hours"
"""Between two copies of the loaded sessions: the long history is two years."""


@contextmanager
def destination(kind: str, folder: Path) -> Iterator[Any]:
    """An empty warehouse."""
    if kind == "duckdb":
        yield duckdb(str(folder / "w.duckdb"))
        return
    with server(installations()[0]) as url:
        yield dlt.destinations.postgres(url)


def lengthen(pipeline: dlt.Pipeline, count: int) -> None:
    """Copies of the loaded events with keys and times of their own, until there are so many."""
    with pipeline.sql_client() as client:
        if pipeline.destination.destination_name == "duckdb":
            # for this only: a load does with less
            client.execute_sql("set global memory_limit = '8GB'")
        table = client.make_qualified_table_name("events")
        columns = [
            name
            for (name,) in client.execute_sql(
                "select column_name from information_schema.columns where table_schema = %s and table_name = 'events'",
                pipeline.dataset_name,
            )
            or ()
        ]
        ((held,),) = client.execute_sql(f"select count(*) from {table}") or ((0,),)
        at = f"received_at - interval '{APART}' * copy"
        own = {
            # keys begin with the time of the session, in thousands of seconds
            "event_key": f"cast(floor(extract(epoch from {at}) / 1000) as bigint) || substr(event_key, 8) || copy",
            "received_at": at,
            "_row_hash": "_row_hash + copy",
        }
        client.execute_sql(
            f"insert into {table} ({', '.join(columns)}) select {', '.join(own.get(name, name) for name in columns)} "
            f"from {table} cross join generate_series(1, {count // held}) as copies (copy) order by copy desc"
        )
        client.execute_sql(f"analyze {table}")


def seconds(kind: str, count: int) -> float:
    """The load of one hour's events into so many; the best of some."""
    account = Account(
        seed=3, start=START, medias=20, projects=2, visitors=500, events=5_000, days=20, hourly_events=NEW
    )
    with TemporaryDirectory() as folder, Sandbox(account, rate_limit=None) as sandbox:
        os.environ["DLT_DATA_DIR"] = folder
        use_defaults()
        with destination(kind, Path(folder)) as where:
            times = []
            for hour in range(ROUNDS + 1):
                with Progress(Console(file=StringIO())) as progress:
                    pipeline = make_pipeline(where, progress)
                    loading: list[float] = []
                    load = pipeline.load

                    def timed(load: Any = load, loading: list[float] = loading) -> Any:
                        begun = perf_counter()
                        done = load()
                        loading.append(perf_counter() - begun)
                        return done

                    pipeline.load = timed  # type: ignore[method-assign, assignment]
                    settings = settings_for(sandbox, START + hour * HOUR, start_date="2026-05-25")
                    run_sync(pipeline, progress, SyncResult(), *asked(settings, ("events",)), models=False)
                if hour == 0:
                    lengthen(pipeline, count)
                else:
                    times.append(sum(loading))
            return min(times)


def run(kind: str) -> float:
    """The ratio; prints it."""
    short, long = seconds(kind, SHORT), seconds(kind, LONG)
    print(f"{kind}: {long / short:.2f} times as long into {LONG:,} events as into {SHORT:,} ({short:.2f} s)")
    return long / short


if __name__ == "__main__":
    run(sys.argv[1])
