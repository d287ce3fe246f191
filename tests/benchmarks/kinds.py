"""What the same account costs in each kind of warehouse: seconds and bytes, and against DuckDB.

`uv run python -m tests.benchmarks.kinds` (or `duckdb ducklake` for these alone; `--events 1000000` for a larger one).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from unittest.mock import patch

import psycopg2
from rich.console import Console
from wistia_pipeline.models.build import rebuild
from wistia_pipeline.models.spark.build import build_on_spark
from wistia_pipeline.runs.accounts import WistiaAccount
from wistia_pipeline.runs.progress import Progress
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.runs.sync import make_pipeline, run_sync
from wistia_pipeline.runtime.settings import use_defaults
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.warehouses.locks import Hold

from tests.benchmarks.runs import UNLIMITED
from tests.support.object_storage import object_storage
from tests.support.postgres import installations, server
from tests.support.sandbox import asked

START = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
DAYS, HOURLY = 700, 3_000
KINDS = ("duckdb", "postgres", "ducklake", "filesystem")


@dataclass
class Figures:
    """Of one kind of warehouse."""

    load_seconds: float
    """A first load, without the models."""
    load_turn_seconds: float
    """That part of it in which nobody else can load into the same warehouse."""
    build_seconds: float
    """All models, from nothing."""
    hour_load_seconds: float
    hour_turn_seconds: float
    """A sync an hour later, without the models, and its turn; then the models."""
    hour_build_seconds: float
    raw_bytes: int
    bytes: int
    """What is loaded, and that with the models."""


@contextmanager
def place(kind: str, folder: Path) -> Iterator[tuple[str, dict[str, str], Callable[[], int]]]:
    """A destination's name, its settings, and how many bytes it holds."""
    section = f"DESTINATION__{kind.upper()}__CREDENTIALS"
    if kind == "duckdb":
        file = folder / "w.duckdb"
        yield str(kind), {section: str(file)}, lambda: file.stat().st_size
        return
    if kind == "filesystem":
        files = folder / "files"
        size = lambda: sum(file.stat().st_size for file in files.rglob("*") if file.is_file())  # noqa: E731
        yield kind, {"DESTINATION__FILESYSTEM__BUCKET_URL": str(files)}, size
        return
    with server(installations()[0]) as url:
        if kind == "postgres":
            yield kind, {section: url}, lambda: _database_size(url)
            return
        with object_storage() as storage:
            storage.bucket("lake")
            own = {f"STORAGE__CREDENTIALS__{name}": value for name, value in storage.settings().items()}
            own |= {"CATALOG": url, "DUCKLAKE_NAME": "lake", "STORAGE__BUCKET_URL": "s3://lake/wistia"}
            settings = {f"{section}__{name}": value for name, value in own.items()}
            yield kind, settings, lambda: sum(map(len, storage.objects("lake").values()))


def _database_size(url: str) -> int:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("select pg_database_size(current_database())")
        return int(cursor.fetchall()[0][0])


@contextmanager
def turns() -> Iterator[list[float]]:
    """The seconds of each time in which one run alone can change the warehouse."""
    taken: list[float] = []

    def timed(alone: Callable[[Hold], AbstractContextManager[None]]) -> Callable[[Hold], AbstractContextManager[None]]:
        @contextmanager
        def held(hold: Hold) -> Iterator[None]:
            with alone(hold):
                began = perf_counter()
                yield
                taken.append(perf_counter() - began)

        return held

    with ExitStack() as stack:
        for kind in (Hold, *Hold.__subclasses__()):
            stack.enter_context(patch.object(kind, "alone", timed(kind.alone)))
        yield taken


def figures(kind: str, events: int) -> Figures:
    """Of a kind of warehouse, with so many events and then an hour more."""
    account = Account(
        seed=3,
        start=START,
        medias=400,
        projects=10,
        visitors=events // 4,
        events=events,
        days=DAYS,
        hourly_events=HOURLY,
    )
    with (
        TemporaryDirectory() as folder,
        Sandbox(account, rate_limit=None) as sandbox,
        place(kind, Path(folder)) as (destination, settings, size),
        patch.dict(os.environ, {"DLT_DATA_DIR": f"{folder}/dlt", **settings}),
    ):
        use_defaults()

        def load(now: datetime) -> tuple[float, float]:
            sandbox.now = lambda: now
            source = {"access_token": sandbox.token, "base_url": sandbox.url, "requests_per_minute": UNLIMITED}
            source |= {"now": now, "start_date": (START - timedelta(days=DAYS)).date().isoformat()}
            began = perf_counter()
            with Progress(Console(file=StringIO())) as progress, turns() as taken:
                pipeline = make_pipeline(destination, progress, WistiaAccount().pipeline_name)
                run_sync(pipeline, progress, SyncResult(), *asked(source), models=False)
            return perf_counter() - began, sum(taken)

        def build() -> float:
            pipeline = make_pipeline(destination, Progress(Console(file=StringIO())))
            result = build_on_spark(pipeline)[0] if kind == "filesystem" else rebuild(pipeline)
            assert result.failures == [], result.failures
            return result.seconds

        first, raw = load(START), size()
        built, whole = build(), size()
        return Figures(*first, built, *load(START + timedelta(hours=1)), build(), raw, whole)


def run(kinds: list[str], events: int) -> dict[str, Figures]:
    """The figures; prints them."""
    found: dict[str, Figures] = {}
    for kind in kinds:
        found[kind] = figures(kind, events)
        base = asdict(found[kinds[0]])
        print(f"{kind}, {events:,} events and an hour of {HOURLY:,} more:")
        for name, value in asdict(found[kind]).items():
            what = name.replace("_", " ")
            print(f"  {what}: {value:,.1f}, {value / base[name]:.2f} times {kinds[0]}'s", flush=True)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--events", type=int, default=200_000)
    chosen = parser.parse_args()
    run(chosen.kinds, chosen.events)
