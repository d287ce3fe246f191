"""What the tests share: a local Wistia API over real HTTP, a real DuckDB, a real Postgres."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import dlt
import duckdb
import hypothesis
import psycopg2
import pytest
from dlt.common.pipeline import LoadInfo
from dlt.extract import DltSource
from rich.console import Console
from wistia_pipeline.destinations.duckdb_loads import duckdb as duckdb_file
from wistia_pipeline.progress import Progress
from wistia_pipeline.results import SyncResult, failures_of
from wistia_pipeline.sandbox import Account, Call, Sandbox
from wistia_pipeline.settings import use_defaults
from wistia_pipeline.sync import make_empty_tables, run_sync

from tests.support.postgres import installations, postgres_server
from wistia_source import wistia

_BEGAN = os.environ.setdefault("WISTIA_TESTS_BEGAN", datetime.now(UTC).isoformat(timespec="seconds"))
BEGAN = datetime.fromisoformat(_BEGAN)
"""When the tests began, by the clock: the same for all workers of pytest, which have their environment from the process
that starts them."""
NOW = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
"""The time of a first run in the tests."""

START = "2026-05-01"
"""The first day that small accounts are read from, if a module has no other."""

TOKEN = "s3cret-token-of-the-tests"

RUN_LOG = ("sync_runs", "sync_failures", "restatements")

UNLIMITED = 100_000

# the machine may be busy with other tests: how long an example takes says nothing
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


def files_with_token(folder: Path) -> list[Path]:
    """Files below the folder that hold the access token of the tests' sandboxes."""
    return [path for path in folder.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees another's state, or the settings of the machine; and none leaves the access token in its folder."""
    for name in [name for name in os.environ if name.startswith(("SOURCES__", "DESTINATION__"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.chdir(tmp_path)
    use_defaults()
    yield
    assert {path.name for path in files_with_token(tmp_path)} <= {"secrets.toml"}


@pytest.fixture(scope="session")
def account() -> Account:
    """More than 100 medias, every quirk, and few enough rows to compare them all."""
    return Account(seed=7, start=NOW, medias=130, projects=8, visitors=700, events=3_000, days=400)


@pytest.fixture
def sandbox(account: Account) -> Iterator[Sandbox]:
    """The account over HTTP, its clock at NOW. Tests that change the account make their own."""
    with Sandbox(account, now=lambda: NOW, rate_limit=None, token=TOKEN) as server:
        yield server


@pytest.fixture
def living(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """The small account that the module calls ACCOUNT, new for each test, which may change it."""
    with Sandbox(Account(start=NOW, **request.module.ACCOUNT), rate_limit=None, token=TOKEN) as server:
        yield server


def calls(sandbox: Sandbox, since: int, path: str) -> list[Call]:
    """Requests for a path since a number of them."""
    return [call for call in list(sandbox.log)[since:] if path in call.path]


def at(row: dict[str, Any], name: str) -> str:
    """A row's moment in one form, whichever side it comes from."""
    value = row[name] if isinstance(row[name], datetime) else datetime.fromisoformat(row[name])
    return f"{value.astimezone(UTC):%F %T}"


def sessions(rows: list[dict[str, Any]], *names: str) -> Counter[tuple[Any, ...]]:
    """Sessions as they can be compared: some come without a key."""
    return Counter(
        (at(row, "received_at"), row["media_id"], row["visitor_key"] or "", *(row[name] for name in names))
        for row in rows
    )


def failed_in(source: DltSource) -> set[tuple[str, str]]:
    """What a run of the source could not read: resource and parent."""
    return {(failure["resource"], failure["parent_id"]) for failure in failures_of(source)}


def sync(warehouse: Warehouse, sandbox: Sandbox, now: datetime = NOW, **more: Any) -> SyncResult:
    """One run from START of the small accounts on; `select` and `result` are the warehouse's, all else the source's."""
    select, result = more.pop("select", ()), more.pop("result", None)
    return warehouse.sync(settings_for(sandbox, now, **({"start_date": START} | more)), select, result)


def settings_for(sandbox: Sandbox, now: datetime = NOW, **arguments: Any) -> dict[str, Any]:
    """Arguments of the source that point it at a sandbox, in a hurry; the sandbox's clock is set too."""
    sandbox.now = lambda: now
    defaults: dict[str, Any] = {
        "access_token": sandbox.token,
        "base_url": sandbox.url,
        "requests_per_minute": UNLIMITED,
        "start_date": "2026-01-01",
        "backoff_seconds": 0.001,
        "now": now,
    }
    return defaults | arguments


def source_of(sandbox: Sandbox, now: datetime = NOW, **arguments: Any) -> DltSource:
    """The source pointed at a sandbox, in a hurry."""
    return wistia(**settings_for(sandbox, now, **arguments))


def without_models(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Loads alone, where a command would build the models too: they have tests of their own."""
    return (*arguments, "--no-models") if arguments and arguments[0] in ("sync", "backfill") else arguments


@dataclass
class Warehouse:
    """One real destination, empty at first."""

    name: str
    destination: Any
    connect: Callable[[], Any]
    dataset: str

    @property
    def marts(self) -> str:
        """The schema of the models that people query."""
        return self.dataset.replace("_raw", "")

    def pipeline(self) -> dlt.Pipeline:
        """The pipeline that loads it."""
        made: dlt.Pipeline = dlt.pipeline("wistia", destination=self.destination, dataset_name=self.dataset)
        return made

    def load(self, source: DltSource) -> LoadInfo:
        """Runs a source into it."""
        pipeline = self.pipeline()
        info = pipeline.run(source, loader_file_format="parquet")
        make_empty_tables(pipeline)
        return info

    def sync(
        self,
        settings: dict[str, Any],
        select: Sequence[str] = (),
        result: SyncResult | None = None,
        *,
        models: bool = False,
    ) -> SyncResult:
        """Runs what `wistia-pipeline sync` and `backfill` run. `result` is for runs that raise."""
        result = result or SyncResult()
        with Progress(Console(file=StringIO())) as progress:
            run_sync(self.pipeline(), progress, result, select, settings, models=models)
        return result

    def clear(self) -> None:
        """Takes all of it away."""
        with self.pipeline().sql_client() as client:
            client.drop_dataset()

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """What queries are asked by."""
        with closing(self.connect()) as connection, closing(connection.cursor()) as cursor:
            yield cursor

    def rows(self, table: str, columns: str = "*") -> list[dict[str, Any]]:
        """A table's rows as dicts."""
        with self.cursor() as cursor:
            cursor.execute(f"select {columns} from {self.dataset}.{table}")
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def contents(
        self, without: Iterable[str] = (), but: Collection[str] = ("_dlt_load_id",)
    ) -> dict[str, Counter[str]]:
        """Every row of the tables, as they can be compared, without some tables and but for some columns."""
        return {
            table: Counter(
                repr(sorted((name, value) for name, value in row.items() if name not in but))
                for row in self.rows(table)
            )
            for table in sorted(self.tables() - set(without))
        }

    def tables(self) -> set[str]:
        """Names of the tables that dlt did not make for itself."""
        with self.cursor() as cursor:
            cursor.execute(f"select table_name from information_schema.tables where table_schema = '{self.dataset}'")
            return {name for (name,) in cursor.fetchall() if not name.startswith("_dlt")}


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A Postgres server for the whole session: WISTIA_TEST_POSTGRES_URL, or one of our own."""
    if url := os.environ.get("WISTIA_TEST_POSTGRES_URL"):
        yield url
        return
    with postgres_server(installations()[0]) as url:
        yield url


@pytest.fixture
def duckdb_warehouse(tmp_path: Path) -> Warehouse:
    """An empty DuckDB file."""
    path = str(tmp_path / "warehouse.duckdb")

    def connect() -> Any:
        connection = duckdb.connect(path, read_only=True)
        connection.execute("set timezone = 'UTC'")
        return connection

    return Warehouse("duckdb", duckdb_file(path), connect, "wistia_raw")


@pytest.fixture
def postgres_warehouse(postgres_url: str) -> Iterator[Warehouse]:
    """An empty schema in Postgres."""
    yield from _schema_of(postgres_url)


@pytest.fixture(params=installations()[1:], ids=lambda folder: folder.parent.name)
def other_postgres_warehouse(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """An empty schema in each further release of Postgres at hand."""
    with postgres_server(request.param) as url:
        yield from _schema_of(url)


def _schema_of(postgres_url: str) -> Iterator[Warehouse]:
    dataset = f"wistia_raw_{uuid4().hex[:8]}"
    made = Warehouse(
        "postgres", dlt.destinations.postgres(postgres_url), lambda: psycopg2.connect(postgres_url), dataset
    )
    yield made
    with closing(psycopg2.connect(postgres_url)) as connection, connection, connection.cursor() as cursor:
        for schema in (
            *(dataset, f"{dataset}_staging"),
            *(made.marts, f"{made.marts}_staging", f"{made.marts}_intermediate"),
        ):
            cursor.execute(f"drop schema if exists {schema} cascade")


IN_BOTH = pytest.mark.parametrize("warehouse", ["duckdb", "postgres"], indirect=True)
"""Tests that run on both destinations even when only the quick ones run."""


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.slow)])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    """Each test that uses it runs on both destinations; on Postgres with the slow ones, unless it is `IN_BOTH`."""
    chosen: Warehouse = request.getfixturevalue(f"{request.param}_warehouse")
    return chosen
