"""The source as part of anyone's own dlt pipeline: destinations, selections, and what dlt lets its users add."""

from __future__ import annotations

import inspect
import os
import pickle
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext
from dlt.extract import DltResource, DltSource
from dlt.pipeline.exceptions import PipelineStepFailed
from rich.console import Console
from wistia_pipeline.runs.progress import Progress
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.runs.sync import make_pipeline, run_sync
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.sandbox.server import Reply

from tests.support.http import LONG, until
from tests.support.sandbox import NOW, START, TOKEN, UNLIMITED, asked, settings_for, source_of
from tests.support.shared import made_once
from tests.support.warehouse import Warehouse
from wistia_source import wistia
from wistia_source.endpoints import BY_NAME
from wistia_source.tuning import Tuning

ACCOUNT = {"seed": 5, "medias": 5, "projects": 2, "visitors": 30, "events": 120, "days": 40, "hourly_events": 6}
HOUR = timedelta(hours=1)
FAN_OUT = ("media_stats", "media_stats__actions", "refreshes")
"""A resource and its companions."""
SYNCED = ("medias", "events", "media_stats")
"""What the command line is made to load."""

Rows = dict[str, Counter[int]]


def source(living: Sandbox, hours: int = 0, **arguments: Any) -> DltSource:
    """The source, so many hours after the first run."""
    return source_of(living, NOW + hours * HOUR, **({"start_date": START} | arguments))


def run(warehouse: Warehouse, living: Sandbox, given: Any) -> int:
    """Runs what dlt can run in a pipeline of the user's; how many requests the server saw."""
    before = len(living.log)
    warehouse.pipeline().run(given, loader_file_format="parquet")
    return len(living.log) - before


def loaded(warehouse: Warehouse, prefix: str = "") -> Rows:
    """The rows that the warehouse holds of each resource, by their hashes."""
    tables = warehouse.tables()
    return {
        name: Counter(row["_row_hash"] for row in warehouse.rows(prefix + name, "_row_hash"))
        for name in BY_NAME
        if prefix + name in tables
    }


def iterated(given: DltSource, names: Iterable[str] = BY_NAME) -> Rows:
    """The same, of a source that no pipeline runs."""
    # else dlt would lend it the watermarks of the pipeline that ran last
    Container()[PipelineContext].deactivate()
    return {
        name: Counter(value for table in list(given.with_resources(name)) for value in table["_row_hash"].to_pylist())
        for name in names
    }


@dataclass
class Plain:
    """What two runs load, an hour apart, of a source to which nobody has added anything."""

    rows: list[Rows] = field(default_factory=list)
    """After each run."""
    requests: list[int] = field(default_factory=list)
    """Of each run."""


@pytest.fixture
def plain() -> Plain:
    """The two runs, made once for all tests."""
    return pickle.loads((made_once("plain", _run_plainly) / "found").read_bytes())  # type: ignore[no-any-return]


def _run_plainly(folder: Path) -> None:
    found = Plain()
    pipeline = dlt.pipeline(
        "plain",
        pipelines_dir=str(folder),
        destination=dlt.destinations.duckdb(str(folder / "plain.duckdb")),
    )
    with Sandbox(Account(start=NOW, **ACCOUNT), rate_limit=None, token=TOKEN) as server:  # type: ignore[arg-type]
        for hours in (0, 1):
            before = len(server.log)
            pipeline.run(source(server, hours), loader_file_format="parquet")
            found.requests.append(len(server.log) - before)
            found.rows.append(_hashes(pipeline))
    (folder / "found").write_bytes(pickle.dumps(found))


def _hashes(pipeline: dlt.Pipeline) -> Rows:
    """What a pipeline has loaded, wherever that is."""
    return {
        name: Counter(value for (value,) in pipeline.dataset()(f"select _row_hash from {name}").fetchall())
        for name in BY_NAME
    }


@pytest.mark.slow
def test_every_resource_can_be_read_without_a_pipeline(living: Sandbox, plain: Plain) -> None:
    without = iterated(source(living))
    assert without == plain.rows[0]
    assert all(without.values())


def _on(name: str, folder: Path, postgres: Callable[[], str]) -> Any:
    if name == "duckdb":
        return dlt.destinations.duckdb(str(folder / "any.duckdb"))
    if name == "postgres":
        return dlt.destinations.postgres(postgres())
    if name == "sqlalchemy":
        return dlt.destinations.sqlalchemy(f"sqlite:///{folder / 'any.db'}")
    return dlt.destinations.filesystem(folder.as_uri())


@pytest.mark.parametrize(
    ("destination", "file_format"),
    [
        # dlt's own choice of a format
        pytest.param("duckdb", None, marks=pytest.mark.slow),
        # files and Parquet are two things, each of which another case has
        pytest.param("filesystem", "parquet", marks=pytest.mark.deep),
        pytest.param("filesystem", "jsonl", marks=pytest.mark.slow),
        pytest.param("postgres", "parquet", marks=pytest.mark.deep),
        # of which nothing of ours knows
        pytest.param("sqlalchemy", None, marks=pytest.mark.slow),
    ],
)
def test_any_destination_is_loaded_once_and_remembers(
    living: Sandbox, tmp_path: Path, request: pytest.FixtureRequest, plain: Plain, destination: str, file_format: Any
) -> None:
    where = _on(destination, tmp_path, lambda: str(request.getfixturevalue("postgres_url")))
    dataset = f"any_{os.getpid()}"
    pipeline = dlt.pipeline("any", destination=where, dataset_name=dataset)
    requests = []
    for _ in range(2):
        before = len(living.log)
        pipeline.run(source(living), loader_file_format=file_format)
        requests.append(len(living.log) - before)
    rows = _hashes(pipeline)
    titles = pipeline.dataset()("select name, tags from medias").fetchall()
    if destination == "postgres":
        with pipeline.sql_client() as client:
            client.drop_dataset()
    assert rows == plain.rows[0]
    assert requests[1] <= 10 < requests[0]
    view = living.account.at(NOW)
    assert sorted(name for name, _ in titles) == sorted(media["name"] for media in view.medias())


@pytest.mark.slow
def test_events_alone_go_on_from_the_last_run(living: Sandbox, duckdb_warehouse: Warehouse, plain: Plain) -> None:
    run(duckdb_warehouse, living, source(living).with_resources("events"))
    before = duckdb_warehouse.rows("events")
    assert run(duckdb_warehouse, living, source(living, 1).events) <= 2
    assert loaded(duckdb_warehouse) == {"events": plain.rows[1]["events"]}
    assert len(duckdb_warehouse.rows("events")) > len(before)


@pytest.mark.slow
def test_a_fan_out_alone_is_complete_and_remembers_with_its_companions(
    living: Sandbox, duckdb_warehouse: Warehouse
) -> None:
    asked = [
        run(duckdb_warehouse, living, source(living).with_resources(*names))
        for names in (FAN_OUT[:1], FAN_OUT[:1], FAN_OUT, FAN_OUT)
    ]
    assert loaded(duckdb_warehouse) == {"media_stats": iterated(source(living), FAN_OUT[:1])["media_stats"]}
    assert asked[0] == asked[1] == asked[2] > asked[3] + len(living.account.at(NOW).medias()) - 1


def _with_a_column(table: Any) -> Any:
    return table.append_column("team", pa.array(["video"] * table.num_rows))


def _each(change: Callable[[DltResource], Any]) -> Callable[[DltSource], DltSource]:
    def changed(given: DltSource) -> DltSource:
        for resource in given.resources.values():
            change(resource)
        return given

    return changed


_described = _each(lambda resource: resource.apply_hints(columns={"account_id": {"description": "Which account."}}))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            _each(
                lambda resource: (
                    resource.add_map(_with_a_column).add_filter(lambda table: table.num_rows > 0).parallelize()
                )
            ),
            id="at once",
        ),
        # alone, what another case does together with something else
        pytest.param(_each(lambda resource: resource.parallelize()), id="parallelize", marks=pytest.mark.deep),
        pytest.param(lambda given: given.clone(), id="clone", marks=pytest.mark.deep),
        pytest.param(
            _each(lambda resource: resource.add_yield_map(lambda table: table.to_pylist())),
            id="rows",
        ),
        pytest.param(
            lambda given: _described(given.clone()),
            id="hints of a clone",
            marks=pytest.mark.deep,
        ),
    ],
)
def test_what_a_user_adds_to_each_resource_loses_nothing_and_costs_nothing(
    living: Sandbox,
    duckdb_warehouse: Warehouse,
    plain: Plain,
    change: Callable[[DltSource], DltSource],
) -> None:
    requests = [run(duckdb_warehouse, living, change(source(living, hours))) for hours in (0, 1)]
    assert (loaded(duckdb_warehouse), requests) == (plain.rows[1], plain.requests)


def test_a_column_of_the_user_is_in_every_row(living: Sandbox, duckdb_warehouse: Warehouse) -> None:
    given = source(living)
    given.medias.add_map(_with_a_column)
    given.events.add_map(lambda table: table.filter(pc.equal(table["country"], pa.scalar("DE"))))
    run(duckdb_warehouse, living, given.with_resources("medias", "events", "refreshes"))
    assert {row["team"] for row in duckdb_warehouse.rows("medias")} == {"video"}
    assert {row["country"] for row in duckdb_warehouse.rows("events")} == {"DE"}


@pytest.mark.deep
def test_tables_may_have_other_names(living: Sandbox, duckdb_warehouse: Warehouse) -> None:
    rename = _each(lambda resource: resource.apply_hints(table_name=f"Wistia {resource.name}"))
    names = ("medias", *FAN_OUT)
    asked = [
        run(duckdb_warehouse, living, rename(source(living)).with_resources(*chosen))
        for chosen in (names, names, names[:1])
    ]
    assert asked[1] < asked[0] > asked[2]
    expected = iterated(source(living), ("media_stats", "medias"))
    assert loaded(duckdb_warehouse, "wistia_") == expected
    # what is held under other names does not count
    run(duckdb_warehouse, living, source(living).with_resources("medias"))
    assert loaded(duckdb_warehouse)["medias"] == expected["medias"]


@pytest.mark.slow
def test_appended_rows_are_a_history_of_what_has_changed(
    living: Sandbox, duckdb_warehouse: Warehouse, plain: Plain
) -> None:
    append = _each(lambda resource: resource.apply_hints(write_disposition="append"))
    for hours in (0, 0, 1):
        run(duckdb_warehouse, living, append(source(living, hours)))
    for name, hashes in loaded(duckdb_warehouse).items():
        assert hashes.keys() >= plain.rows[1][name].keys(), name
        assert set(hashes.values()) == {1}, name


@pytest.mark.deep
def test_what_a_limit_left_out_is_loaded_without_it(living: Sandbox, duckdb_warehouse: Warehouse, plain: Plain) -> None:
    expected = plain.rows[0]
    given = source(living, tuning=Tuning(rows_per_batch=1))
    for resource in given.resources.values():
        resource.add_limit(1, count_rows=True)
    run(duckdb_warehouse, living, given)
    partly = loaded(duckdb_warehouse)
    assert sum(rows.total() for rows in partly.values()) < sum(rows.total() for rows in expected.values())
    run(duckdb_warehouse, living, source(living))
    assert loaded(duckdb_warehouse) == expected


@pytest.mark.slow
def test_two_accounts_have_settings_of_their_own_in_one_warehouse(
    duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [Account(**ACCOUNT | {"seed": seed}, start=NOW) for seed in (21, 22)]  # type: ignore[arg-type]
    with (
        Sandbox(accounts[0], rate_limit=None, token=TOKEN) as shop,
        Sandbox(accounts[1], rate_limit=None, token=TOKEN) as blog,
    ):
        names = {"shop": shop, "blog": blog}
        for name, server in names.items():
            server.now = lambda: NOW
            settings = {
                "ACCESS_TOKEN": TOKEN,
                "BASE_URL": server.url,
                "START_DATE": START,
                "REQUESTS_PER_MINUTE": str(UNLIMITED),
            }
            for setting, value in settings.items():
                monkeypatch.setenv(f"SOURCES__{name.upper()}__{setting}", value)
        asked = [
            run(
                duckdb_warehouse,
                server,
                given.with_resources("medias", *FAN_OUT),
            )
            for _ in range(2)
            for name, server in names.items()
            for given in [wistia.with_args(name=name, section=name)(now=NOW)]
        ]
    assert max(asked[2:]) <= 4 < min(asked[:2])
    medias = Counter((row["account_id"], row["media_id"]) for row in duckdb_warehouse.rows("medias"))
    assert medias == Counter(
        (str(view.account()["id"]), media["hashed_id"])
        for view in (account.at(NOW) for account in accounts)
        for media in view.medias()
    )


class Refusing(Sandbox):
    """Rejects the token once a request for visitors has been told to wait, and was on the way before that."""

    def __init__(self, account: Account) -> None:
        super().__init__(account, rate_limit=None, token=TOKEN)
        self._sessions_asked, self._visitors_refused = threading.Event(), threading.Event()

    def answer(self, path: str, query: dict[str, list[str]], authorization: str | None, release: str | None) -> Reply:
        if "stats/events" in path:
            self._sessions_asked.set()
            self._visitors_refused.wait(LONG)
            return Reply(401)
        if "stats/visitors" in path:
            self._sessions_asked.wait(LONG)
            self._visitors_refused.set()
            # longer than anybody here waits for threads to end
            return Reply(429, retry_after=str(LONG + 30))
        return super().answer(path, query, authorization, release)


def test_a_failure_leaves_no_thread_waiting_for_the_quota(duckdb_warehouse: Warehouse) -> None:
    of_others = set(threading.enumerate())
    with Refusing(Account(start=NOW, **ACCOUNT)) as server:  # type: ignore[arg-type]
        with pytest.raises(PipelineStepFailed, match="does not accept the access token"):
            run(duckdb_warehouse, server, source(server).with_resources("events", "visitors"))
        own = [thread for thread in threading.enumerate() if thread.name.startswith("wistia_")]
        until(lambda: not any(thread.is_alive() for thread in own if thread not in of_others))


def test_every_argument_is_documented() -> None:
    documented = re.findall(r"^ {8}(\w+): \S", wistia.__doc__ or "", re.MULTILINE)
    assert documented == list(inspect.signature(wistia).parameters)


@pytest.fixture
def synced(living: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The working folder of a pipeline that the command line has run, from elsewhere."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with Progress(Console(file=StringIO())) as progress:
        pipeline = make_pipeline("duckdb", progress)
        settings = settings_for(living, start_date=START)
        run_sync(pipeline, progress, SyncResult(), *asked(settings, SYNCED), models=False)
    assert [path.name for path in Path().iterdir()] == ["warehouse.duckdb"]
    monkeypatch.chdir(tmp_path)
    yield pipeline.pipelines_dir
    assert {path.name for path in tmp_path.iterdir()} == {"work", "dlt"}


@pytest.mark.slow
def test_dlt_finds_what_the_command_line_has_loaded(living: Sandbox, synced: str) -> None:
    dataset = dlt.attach("wistia", pipelines_dir=synced).dataset()
    counts = dict(dataset.row_counts().fetchall())
    assert counts.keys() >= set(SYNCED)
    assert counts["medias"] == len(living.account.at(NOW).medias())
    assert counts["events"] == len(living.account.at(NOW).events())


@pytest.mark.deep
def test_dlts_command_line_shows_our_pipeline(synced: str) -> None:
    dlt_command = str(Path(sys.executable).with_name("dlt"))
    for command, says in {
        "info": "events with 1 table(s)",
        "trace": "COMPLETED",
        "schema": "media_stats__actions:",
        "failed-jobs": "No failed jobs found",
        "load-package": "LOADED",
    }.items():
        done = subprocess.run(
            [dlt_command, "pipeline", "--pipelines-dir", synced, "wistia", command],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert says in done.stdout
