"""What a run finds that is not as the one before has left it: after kills, on other machines, in other warehouses."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
import pytest
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.sandbox import Fault, Sandbox
from wistia_pipeline.warehouses.locks import LockLost
from wistia_pipeline.warehouses.run_log import RunLog

from tests.support.loaded import load_once
from tests.support.sandbox import NOW, sessions
from tests.support.warehouse import MOSTLY_DUCKDB, RUN_LOG, Warehouse, change, sync

ACCOUNT = {"seed": 29, "medias": 6, "projects": 2, "visitors": 60, "events": 400, "days": 45, "hourly_events": 4}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """The process is gone."""


def kill(warehouse: Warehouse, sandbox: Sandbox, now: datetime, phase: str, package: int = 1, **more: Any) -> None:
    """One run that ends just before a phase of one of its load packages, and tells nobody."""
    begun = 0

    def die(pipeline: dlt.Pipeline, *arguments: Any, **named: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun == package:
            raise Killed
        return original(pipeline, *arguments, **named)

    with pytest.MonkeyPatch.context() as patches:
        original = getattr(dlt.Pipeline, phase)
        patches.setattr(dlt.Pipeline, phase, die)
        patches.setattr(RunLog, "end", lambda *_: None)
        with pytest.raises(Killed):
            sync(warehouse, sandbox, now, **more)


def contents(warehouse: Warehouse) -> dict[str, Counter[str]]:
    """The rows of the resources' tables, without the load that brought them."""
    return warehouse.contents((*RUN_LOG, "refreshes", "account_stats"))


def assert_whole(warehouse: Warehouse, sandbox: Sandbox, now: datetime) -> None:
    """Every viewing session and visitor is there, as it is."""
    view = sandbox.account.at(now)
    assert sessions(warehouse.rows("events"), "percent_viewed") == sessions(view.events(), "percent_viewed")
    assert {(row["visitor_key"], row["play_count"]) for row in warehouse.rows("visitors")} == {
        (row["visitor_key"], row["play_count"]) for row in view.visitors()
    }


@pytest.mark.parametrize(
    ("warehouse", "phase"),
    [
        ("duckdb", "normalize"),
        ("postgres", "load"),
        *(pytest.param(*case, marks=pytest.mark.deep) for case in (("duckdb", "load"), ("postgres", "normalize"))),
    ],
    indirect=["warehouse"],
)
def test_what_a_killed_run_has_read_is_loaded_before_the_next_one_reads(
    warehouse: Warehouse, living: Sandbox, phase: str
) -> None:
    selected = ("events", "visitors", "account_stats")
    load_once(warehouse, living, select=selected)
    kill(warehouse, living, NOW + HOUR / 2, phase, select=selected)
    sync(warehouse, living, NOW + HOUR, select=selected)
    # one row for each run: what it says can never be asked for again
    captured = sorted(row["captured_at"] for row in warehouse.rows("account_stats"))
    assert captured == [NOW, NOW + HOUR / 2, NOW + HOUR]
    assert_whole(warehouse, living, NOW + HOUR)


@MOSTLY_DUCKDB
def test_what_a_machine_has_left_does_not_undo_what_others_have_loaded_since(
    warehouse: Warehouse, living: Sandbox, tmp_path: Path
) -> None:
    here, gone = tmp_path / "dlt", tmp_path / "dlt of a machine that is off"
    load_once(warehouse, living, select=("events",))
    newest = max(living.account.at(NOW).events(), key=lambda event: str(event["received_at"]))
    living.account.restate_event(newest["event_key"], percent_viewed=0.25)
    kill(warehouse, living, NOW + HOUR / 2, "load", select=("events",))
    here.rename(gone)
    living.account.restate_event(newest["event_key"], percent_viewed=0.875)
    for hours in (1, 100):
        sync(warehouse, living, NOW + hours * HOUR, select=("events",))
    shutil.rmtree(here)
    gone.rename(here)
    assert warehouse.pipeline().has_pending_data
    # the session is far behind both lookbacks by now
    sync(warehouse, living, NOW + 101 * HOUR, select=("events",))
    percents = {row["event_key"]: row["percent_viewed"] for row in warehouse.rows("events")}
    assert percents[newest["event_key"]] == 0.875


@pytest.mark.deep
def test_a_copy_put_back_after_a_kill_is_read_on_from_where_it_was(
    duckdb_warehouse: Warehouse, living: Sandbox, tmp_path: Path
) -> None:
    file, copy = tmp_path / "warehouse.duckdb", tmp_path / "copy"
    selected = ("events", "visitors")
    load_once(duckdb_warehouse, living, select=selected)
    shutil.copy(file, copy)
    for days in (2, 4):
        sync(duckdb_warehouse, living, NOW + days * DAY, select=selected)
    kill(duckdb_warehouse, living, NOW + 5 * DAY, "load", select=selected)
    shutil.copy(copy, file)
    assert sync(duckdb_warehouse, living, NOW + 6 * DAY, select=selected).status == "ok"
    assert_whole(duckdb_warehouse, living, NOW + 6 * DAY)


@MOSTLY_DUCKDB
@pytest.mark.parametrize(("phase", "package"), [pytest.param("load", 1, marks=pytest.mark.deep), ("normalize", 3)])
def test_a_warehouse_taken_away_after_a_kill_is_loaded_whole(
    warehouse: Warehouse, living: Sandbox, phase: str, package: int
) -> None:
    kill(warehouse, living, NOW, phase, package, package_seconds=0)
    change(warehouse, f"drop schema {warehouse.dataset} cascade")
    assert sync(warehouse, living).status == "ok"
    assert_whole(warehouse, living, NOW)


def test_a_load_that_fails_for_good_does_not_stop_the_runs_after_it(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    warehouse, selected = duckdb_warehouse, ("events", "visitors")
    load_once(warehouse, living, select=selected)

    def fail_for_good(pipeline: dlt.Pipeline, *_: Any, **__: Any) -> None:
        (load_id,) = pipeline.list_normalized_load_packages()
        if load_id == spoilt.setdefault("load", load_id):
            raise RuntimeError("this package cannot be loaded")
        original(pipeline)

    spoilt: dict[str, str] = {}
    original = dlt.Pipeline.load
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(dlt.Pipeline, "load", fail_for_good)
        with pytest.raises(RuntimeError, match="cannot be loaded"):
            sync(warehouse, living, NOW + HOUR, select=selected)
        assert sync(warehouse, living, NOW + 2 * HOUR, select=selected).status == "ok"
    assert_whole(warehouse, living, NOW + 2 * HOUR)


@MOSTLY_DUCKDB
def test_a_table_that_was_dropped_is_read_again(warehouse: Warehouse, living: Sandbox) -> None:
    load_once(warehouse, living)
    before = contents(warehouse)
    assert {table for table, rows in before.items() if not rows} == {"forgotten"}
    for dropped in (
        ("events", "account_stats_by_date", "medias", "restatements", "media_stats__actions", "project_stats"),
        ("visitors", "media_stats", "media_stats_by_date", "captions", "sync_runs", "refreshes"),
    ):
        change(warehouse, *(f"drop table {warehouse.dataset}.{table}" for table in dropped))
        assert sync(warehouse, living).status == "ok"
        assert contents(warehouse) == before, dropped


def test_rows_of_a_load_that_was_never_completed_are_read_again(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    days = "media_stats_by_date"
    load_once(duckdb_warehouse, living, select=("account_stats",))
    sync(duckdb_warehouse, living, select=(days,))
    before = contents(duckdb_warehouse)[days]
    assert before
    # as where the process was killed when the load had not filled each table yet, and its machine is gone
    raw = duckdb_warehouse.dataset
    change(
        duckdb_warehouse,
        f"delete from {raw}._dlt_loads where load_id = (select max(load_id) from {raw}._dlt_loads)",
        f"delete from {raw}.{days}",
    )
    assert sync(duckdb_warehouse, living, select=(days,)).status == "ok"
    assert contents(duckdb_warehouse)[days] == before


def test_a_run_whose_lock_is_gone_loads_nothing_more(postgres_warehouse: Warehouse, living: Sandbox) -> None:
    selected = ("events", "visitors")
    load_once(postgres_warehouse, living, select=selected)
    before = contents(postgres_warehouse)
    original = dlt.Pipeline.normalize

    def and_end_sessions(pipeline: dlt.Pipeline, *arguments: Any, **named: Any) -> Any:
        change(
            postgres_warehouse,
            "select pg_terminate_backend(pid) from pg_locks join pg_database as own on own.oid = pg_locks.database "
            "where locktype = 'advisory' and datname = current_database()",
        )
        return original(pipeline, *arguments, **named)

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(dlt.Pipeline, "normalize", and_end_sessions)
        with pytest.raises(LockLost):
            sync(postgres_warehouse, living, NOW + DAY, select=selected)
    assert contents(postgres_warehouse) == before
    assert sync(postgres_warehouse, living, NOW + DAY, select=selected).status == "ok"
    assert_whole(postgres_warehouse, living, NOW + DAY)


def test_a_run_that_failed_counts_only_the_rows_that_it_has_loaded(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    living.faults.add(Fault("by_date", status=401, times=None, after=3))
    result = SyncResult()
    with pytest.raises(Exception, match=r"401|token"):
        sync(duckdb_warehouse, living, result=result)
    assert result.requests > 5
    assert {figures["rows"] for figures in result.resources.values()} == {0}
    assert {row["rows"] for row in duckdb_warehouse.rows("sync_runs")} == {0}
