"""Every kind of fault at every request: the warehouse is the one of an undisturbed run, and nothing shows the token."""

from __future__ import annotations

import logging
import pickle
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import dlt
import pytest
from dlt.common.versioned_state import decompress_state
from wistia_pipeline.runs.results import failures_of
from wistia_pipeline.sandbox import Account, Fault, Sandbox

from tests.support.sandbox import NOW, TOKEN, files_with_token, source_of
from tests.support.shared import made_once
from tests.support.warehouse import MOSTLY_DUCKDB, Warehouse, in_duckdb
from wistia_source.metrics import Metrics
from wistia_source.tuning import Tuning

LATER = NOW + timedelta(hours=1)
FIRST = "first.duckdb"
"""The warehouse after a first sync."""
START = "2026-06-01"
FAULTS = (
    Fault(".", status=500),
    Fault(".", status=503),
    Fault(".", status=503, retry_after="0.05"),
    Fault(".", status=429, retry_after="0.05"),
    # a date that is over, or each of them would cost a second
    Fault(".", status=429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
    Fault(".", "reset"),
    Fault(".", "truncated"),
    Fault(".", "html"),
    Fault(".", "hang"),
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TURNS = range(len(FAULTS))
"""In each turn every request is struck, and by another kind of fault than in the turns before."""
OF_THE_RUNS = {"sync_runs", "sync_failures", "restatements"}
"""Tables that tell of the runs, and so of their retries."""


@contextmanager
def small() -> Iterator[Sandbox]:
    """Two medias, a third one within the next hour, and lists of several pages.

    No media is archived: which of the two lists of medias ends first would settle whether one of them needs an
    empty page to end, and the number of requests with it.
    """
    account = Account(seed=5, start=NOW, medias=2, projects=1, visitors=14, events=24, days=14, hourly_events=2)
    with Sandbox(account, rate_limit=None, page_cap=6, token=TOKEN) as server:
        yield server


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with small() as server:
        yield server


@pytest.fixture
def shown(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Everything logged and printed so far."""
    return lambda: "\n".join((caplog.text, repr([vars(record) for record in caplog.records]), *capfd.readouterr()))


def change(account: Account) -> None:
    """What the hour after the first sync brings, besides what happens by itself."""
    view = account.at(NOW)
    media_id = min(media["hashed_id"] for media in view.medias())
    newest = view.events()[0]["event_key"]
    account.add_late_event(media_id, NOW - timedelta(minutes=90), percent_viewed=0.25)
    account.restate_event(newest, percent_viewed=0.875)
    account.restate_day(media_id, "2026-06-10", loads=3, plays=2)


def sync(warehouse: Warehouse, sandbox: Sandbox, now: datetime, *faults: Fault) -> int:
    """A run that suffers each of the faults, repeats what they struck and nothing else, and has no failure.

    How many requests the server saw besides those repetitions.
    """
    sandbox.log.clear()
    sandbox.faults.clear()
    for fault in faults:
        sandbox.faults.add(fault)
    hangs = any(fault.kind == "hang" for fault in faults)
    # with so little patience a busy machine seems to hang now and then, too
    tuning = Tuning(read_timeout_seconds=0.5) if hangs else Tuning()
    source = source_of(sandbox, now, start_date=START, tuning=tuning)
    warehouse.load(source)
    metrics = [Metrics.of(resource.custom_metrics) for resource in source.resources.values()]
    assert not any(own.failures for own in metrics)
    requests, retries = sum(own.requests for own in metrics), sum(own.retries for own in metrics)
    assert requests == len(sandbox.log)
    assert retries >= len(faults) if hangs else retries == len(faults)
    return requests - retries


def contents(warehouse: Warehouse) -> dict[str, Any]:
    """Every row of every table, but not which load brought it; and how far each feed was read."""
    found: dict[str, Any] = {}
    with closing(warehouse.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"select table_name from information_schema.tables where table_schema = '{warehouse.dataset}'")
        for table in {name for (name,) in cursor.fetchall() if not name.startswith("_dlt")} - OF_THE_RUNS:
            cursor.execute(f"select * from {warehouse.dataset}.{table}")
            names = [column[0] for column in cursor.description]
            rows = [sorted(zip(names, row, strict=True)) for row in cursor.fetchall()]
            found[table] = Counter(repr([item for item in row if item[0] != "_dlt_load_id"]) for row in rows)
        cursor.execute(f"select state from {warehouse.dataset}._dlt_pipeline_state order by version desc limit 1")
        found["state"] = decompress_state(cursor.fetchone()[0])["sources"]
    return found


def empty(warehouse: Warehouse) -> None:
    """The warehouse and this machine as they were before the first sync."""
    pipeline = warehouse.pipeline()
    with pipeline.sql_client() as client:
        for dataset in (nullcontext(), client.with_staging_dataset()):
            with dataset:
                if client.has_dataset():
                    client.drop_dataset()
    pipeline.drop()


@dataclass
class Undisturbed:
    """A first and a second sync that nothing has disturbed."""

    requests: list[int] = field(default_factory=list)
    contents: list[dict[str, Any]] = field(default_factory=list)
    """What the warehouse held after each."""
    asked: list[Counter[str]] = field(default_factory=list)
    """How often each path was asked in each."""


def two_syncs(warehouse: Warehouse, after_first: Callable[[], object] = lambda: None) -> Undisturbed:
    """Both syncs, into a warehouse that is empty again afterwards."""
    found = Undisturbed()
    with small() as sandbox:
        for now in (NOW, LATER):
            if found.requests:
                after_first()
                change(sandbox.account)
            found.requests.append(sync(warehouse, sandbox, now))
            found.contents.append(contents(warehouse))
            found.asked.append(Counter(call.path for call in sandbox.log))
    empty(warehouse)
    return found


def _two_syncs_in_duckdb(folder: Path) -> None:
    file = folder / "warehouse.duckdb"
    found = two_syncs(in_duckdb(file), lambda: shutil.copy(file, folder / FIRST))
    (folder / "found").write_bytes(pickle.dumps(found))


def undisturbed_in_duckdb() -> tuple[Undisturbed, Path]:
    """Two syncs into DuckDB, made once for all tests, and the file as it was after the first."""
    folder = made_once("undisturbed", _two_syncs_in_duckdb)
    return pickle.loads((folder / "found").read_bytes()), folder / FIRST


def stored(warehouse: Warehouse) -> str:
    """All that the destination holds, with dlt's own tables and the state, which is kept compressed."""
    with closing(warehouse.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"select table_name from information_schema.tables where table_schema = '{warehouse.dataset}'")
        tables = [name for (name,) in cursor.fetchall()]
    states = [decompress_state(row["state"]) for row in warehouse.rows("_dlt_pipeline_state")]
    return repr([states, *(warehouse.rows(table) for table in tables)])


def assert_no_token(folder: Path, *texts: str) -> None:
    """The token is neither in the texts nor in a file below the folder."""
    assert not [text for text in texts if TOKEN in text]
    assert any(path.is_file() for path in folder.rglob("*"))
    assert not files_with_token(folder)


@pytest.mark.deep
@pytest.mark.parametrize(
    ("warehouse", "turn"),
    [*(("duckdb", turn) for turn in TURNS), *(("postgres", turn) for turn in TURNS[::4])],
    indirect=["warehouse"],
)
def test_a_fault_at_a_request_of_a_first_sync(
    warehouse: Warehouse, sandbox: Sandbox, turn: int, tmp_path: Path, shown: Callable[[], str]
) -> None:
    undisturbed = undisturbed_in_duckdb()[0] if warehouse.name == "duckdb" else two_syncs(warehouse)
    requests, loaded = undisturbed.requests[0], undisturbed.contents[0]
    assert 25 <= requests <= 35
    assert len(loaded) >= 15
    assert {table for table, rows in loaded.items() if not rows} == {"forgotten"}
    for index in range(requests):
        fault = replace(FAULTS[(index + turn) % len(FAULTS)], after=index)
        empty(warehouse)
        assert sync(warehouse, sandbox, NOW, fault) == requests, fault
        assert contents(warehouse) == loaded, fault
        assert_no_token(tmp_path)
    assert_no_token(tmp_path, shown(), stored(warehouse))


@pytest.mark.deep
@pytest.mark.parametrize("turn", TURNS[::4])
def test_a_fault_at_a_request_of_a_second_sync(
    duckdb_warehouse: Warehouse, sandbox: Sandbox, turn: int, tmp_path: Path, shown: Callable[[], str]
) -> None:
    undisturbed, first = undisturbed_in_duckdb()
    before, after = undisturbed.contents
    moved = {table for table, rows in after.items() if rows != before[table]}
    assert moved >= {"medias", "events", "visitors", "media_stats", "media_stats_by_date", "media_engagement", "state"}
    change(sandbox.account)
    for index in range(undisturbed.requests[1]):
        fault = replace(FAULTS[(index + turn) % len(FAULTS)], after=index)
        duckdb_warehouse.pipeline().drop()
        shutil.copy(first, duckdb_warehouse.address)
        assert sync(duckdb_warehouse, sandbox, LATER, fault) == undisturbed.requests[1], fault
        assert contents(duckdb_warehouse) == after, fault
        assert_no_token(tmp_path)
    assert_no_token(tmp_path, shown(), stored(duckdb_warehouse))


def on_every_request(asked: Counter[str], turn: int) -> list[Fault]:
    """A fault for every request of a sync, by its path, each followed by a good answer."""
    places = [(f"^{path}$", 2 * number) for path, times in sorted(asked.items()) for number in range(times)]
    return [
        replace(FAULTS[(index + turn) % len(FAULTS)], path=path, after=after)
        for index, (path, after) in enumerate(places)
    ]


@pytest.mark.parametrize(
    ("warehouse", "turns"),
    [
        # in either of them every kind of fault strikes, and every request is struck
        ("duckdb", Random(4).sample(TURNS, 2)),
        ("postgres", Random(5).sample(TURNS, 1)),
        *(pytest.param(kind, list(TURNS), marks=pytest.mark.deep) for kind in ("duckdb", "postgres")),
    ],
    indirect=["warehouse"],
)
def test_every_request_of_two_syncs_suffers_a_fault(
    warehouse: Warehouse, turns: list[int], tmp_path: Path, shown: Callable[[], str]
) -> None:
    undisturbed = undisturbed_in_duckdb()[0] if warehouse.name == "duckdb" else two_syncs(warehouse)
    for turn in turns:
        empty(warehouse)
        with small() as sandbox:
            for number, now in enumerate((NOW, LATER)):
                faults = on_every_request(undisturbed.asked[number], turn)
                assert {fault.kind for fault in faults} == {fault.kind for fault in FAULTS}
                assert len(faults) == undisturbed.requests[number]
                if number:
                    change(sandbox.account)
                assert sync(warehouse, sandbox, now, *faults) == undisturbed.requests[number]
                assert contents(warehouse) == undisturbed.contents[number]
        assert_no_token(tmp_path)
    assert_no_token(tmp_path, shown(), stored(warehouse))


@pytest.mark.deep
def test_a_request_waits_as_long_as_it_is_told_to(duckdb_warehouse: Warehouse, sandbox: Sandbox) -> None:
    undisturbed, _ = undisturbed_in_duckdb()
    fault = Fault(".", status=429, retry_after="1.5", after=3)
    assert sync(duckdb_warehouse, sandbox, NOW, fault) == undisturbed.requests[0]
    assert contents(duckdb_warehouse) == undisturbed.contents[0]
    (told,) = [call for call in sandbox.log if call.status == 429]
    (retry,) = [
        call for call in sandbox.log if call.status == 200 and (call.path, call.query) == (told.path, told.query)
    ]
    assert retry.at - told.at >= 1.5


@MOSTLY_DUCKDB
def test_faults_without_an_end_show_no_token(
    warehouse: Warehouse,
    sandbox: Sandbox,
    tmp_path: Path,
    shown: Callable[[], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not in the reasons of the failures either, nor in the most talkative log; and the next run is a whole one."""
    undisturbed = undisturbed_in_duckdb()[0] if warehouse.name == "duckdb" else two_syncs(warehouse)
    paths = sorted(path for path in undisturbed.asked[0] if "/stats/" in path)
    assert len(paths) >= len(FAULTS)
    for path, fault in zip(paths, cycle(FAULTS)):
        sandbox.faults.add(replace(fault, path=f"^{path}$", times=None))
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(logging.getLogger("dlt"), "propagate", True)
        for name in ("root", "dlt"):
            caplog.set_level(1, logger=name)
        # as people set it, so that dlt meets it too
        patches.setenv("SOURCES__WISTIA__ACCESS_TOKEN", TOKEN)
        tuning = Tuning(read_timeout_seconds=0.25, max_quota_wait_seconds=0.3)
        source = source_of(sandbox, NOW, start_date=START, access_token=dlt.secrets.value, tuning=tuning)
        warehouse.load(source)
    failures = failures_of(source)
    assert len(failures) == len(paths)
    assert {record.name.partition(".")[0] for record in caplog.records} >= {"dlt", "urllib3"}
    assert_no_token(tmp_path)
    sync(warehouse, sandbox, NOW)
    # a run that is not the first of all also remembers whose sessions are new
    assert {**contents(warehouse), "refreshes": None} == {**undisturbed.contents[0], "refreshes": None}
    assert_no_token(tmp_path, repr(failures), shown(), stored(warehouse))
