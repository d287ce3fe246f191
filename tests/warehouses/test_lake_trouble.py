"""A lake in trouble: runs that are killed, and others who change the same tables."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dlt.destinations.job_client_impl import SqlLoadJob
from rich.console import Console
from wistia_pipeline.models import build, dbt
from wistia_pipeline.models.build import build_models
from wistia_pipeline.runs.progress import Progress
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.runs.sync import run_sync
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.warehouses.ducklake import lake as ducklake
from wistia_pipeline.warehouses.ducklake.errors import CatalogBusy
from wistia_pipeline.warehouses.ducklake.files import tidy
from wistia_pipeline.warehouses.kinds import destination_of
from wistia_pipeline.warehouses.run_log import RunLog

from tests.support.folder import empty_folder
from tests.support.lake import NAME, Lake, LakeWarehouse
from tests.support.lake import lake_in_a_folder as lake_in_a_folder
from tests.support.lake import lake_warehouse_in_a_folder as lake_warehouse_in_a_folder
from tests.support.sandbox import NOW, TOKEN, asked, sessions
from tests.support.warehouse import sync
from wistia_source.endpoints import ENDPOINTS
from wistia_source.rows import primary_key
from wistia_source.warehouse import connected

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

HOUR = timedelta(hours=1)
ACCOUNT: dict[str, Any] = {
    "seed": 29, "medias": 4, "projects": 2, "visitors": 40, "events": 200, "days": 40, "hourly_events": 4
}  # fmt: skip


def test_runs_that_are_killed_while_they_load_leave_nothing_twice(lake_in_a_folder: Lake, tmp_path: Path) -> None:
    lake = lake_in_a_folder
    with Sandbox(Account(start=NOW, **ACCOUNT), now=lambda: NOW, rate_limit=None, token=TOKEN) as sandbox:
        folder = empty_folder(tmp_path / "user", sandbox, NOW)
        folder.env |= lake.settings() | {"SOURCES__WISTIA__NOW": NOW.isoformat()}
        command = ("sync", "--destination", "ducklake")
        # some tables have their rows by then, others have not; the next run begins with what is left
        for further in (29, 6):
            until = state(lake) + further
            run = folder.start(*command)
            while state(lake) < until:
                assert run.poll() is None, run.communicate()
                time.sleep(0.01)
            run.kill()
            run.communicate()
            assert run.returncode == -signal.SIGKILL
            counts = [lake.rows(f"select count(*) from wistia_raw.{table.name}")[0][0] for table in ENDPOINTS]
            assert min(counts) == 0 < max(counts)
        # nothing is held by who is gone
        assert folder.sync(*command[1:])["status"] == "ok"
        for endpoint in ENDPOINTS:
            for table in (endpoint, *endpoint.children):
                key = ", ".join(primary_key(table))
                ((count, distinct),) = lake.rows(
                    f"select count(*), count(distinct ({key})) from wistia_raw.{table.name}"
                )
                assert count == distinct > 0, table.name
        assert_whole(lake, sandbox, NOW)
        runs = dict(lake.rows("select status, count(distinct run_id) from wistia_raw.sync_runs group by 1"))
        assert runs == {"killed": 2, "ok": 1}


def state(lake: Lake) -> int:
    """The number of the lake's newest state, which each change raises by one."""
    if not lake.catalogued("select to_regclass(%s) is not null", f"{NAME}.ducklake_snapshot")[0][0]:
        return -1
    return int(lake.catalogued(f"select max(snapshot_id) from {NAME}.ducklake_snapshot")[0][0])


def assert_whole(lake: Lake, sandbox: Sandbox, now: datetime) -> None:
    """Every viewing session and visitor is there, as it is."""
    view = sandbox.account.at(now)
    events = LakeWarehouse(lake).rows("events")
    assert sessions(events, "percent_viewed") == sessions(view.events(), "percent_viewed")
    assert dict(lake.rows("select visitor_key, play_count from wistia_raw.visitors")) == {
        row["visitor_key"]: row["play_count"] for row in view.visitors()
    }


@pytest.mark.deep
def test_a_load_in_whose_way_another_program_has_come_is_tried_again_for_a_while(
    lake_warehouse_in_a_folder: LakeWarehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse, lake = lake_warehouse_in_a_folder, lake_warehouse_in_a_folder.lake
    sync(warehouse, living, select=("events",))
    keys = [event["event_key"] for event in living.account.at(NOW).events() if event.get("event_key")]

    def restate(percent: float) -> None:
        for key in keys[:3]:
            living.account.restate_event(key, percent_viewed=percent)

    def change() -> None:
        with lake.cursor() as cursor:
            # nothing that anybody reads
            cursor.execute("update wistia_raw.events set _row_hash = _row_hash")

    restate(0.25)
    # dlt alone gives up sooner
    with coming_between(change, times=7) as changes:
        sync(warehouse, living, NOW + HOUR, select=("events",), events_lookback_hours=1000)
    assert len(changes) == 7
    shown = living.account.at(NOW + HOUR).events()
    assert sessions(warehouse.rows("events"), "percent_viewed") == sessions(shown, "percent_viewed")

    restate(0.75)
    monkeypatch.setenv("WISTIA_PIPELINE__LAKE_BUSY_SECONDS", "0")
    before = sessions(warehouse.rows("events"), "percent_viewed")
    with coming_between(change), pytest.raises(CatalogBusy, match="what is loaded stays: run again when it has ended"):
        sync(warehouse, living, NOW + 2 * HOUR, select=("events",), events_lookback_hours=1000)
    assert sessions(warehouse.rows("events"), "percent_viewed") == before
    sync(warehouse, living, NOW + 3 * HOUR, select=("events",), events_lookback_hours=1000)
    shown = living.account.at(NOW + 3 * HOUR).events()
    assert sessions(warehouse.rows("events"), "percent_viewed") == sessions(shown, "percent_viewed")


@pytest.mark.deep
def test_maintenance_and_the_end_of_a_run_wait_for_others_too(
    lake_warehouse_in_a_folder: LakeWarehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = lake_warehouse_in_a_folder
    in_the_way = iter("123456")

    def after_others(work: Callable[..., Any]) -> Callable[..., Any]:
        def late(*arguments: Any) -> Any:
            if next(in_the_way, "7") not in "36":
                raise duckdb.TransactionException("Failed to commit DuckLake transaction.")
            return work(*arguments)

        return late

    monkeypatch.setattr(RunLog, "end", after_others(RunLog.end))
    result = SyncResult()
    with Progress(Console(file=StringIO())) as progress:
        source = {"access_token": living.token, "base_url": living.url, "now": NOW}
        run_sync(warehouse.pipeline(), progress, result, *asked(source, ("medias",)), models=False)
    assert {row["status"] for row in warehouse.rows("sync_runs")} == {"ok"}

    monkeypatch.setattr(ducklake, "tidy", after_others(tidy))
    assert destination_of(warehouse.pipeline()).maintain(timedelta(0))["states let go"] > 0
    assert next(in_the_way, None) is None
    monkeypatch.setenv("WISTIA_PIPELINE__LAKE_BUSY_SECONDS", "0")
    in_the_way = iter("12")
    with pytest.raises(CatalogBusy):
        destination_of(warehouse.pipeline()).maintain(timedelta(0))


@contextmanager
def coming_between(change: Callable[[], None], times: int = 1_000) -> Iterator[list[str]]:
    """Something is done, as by another program, just before a load of sessions commits; the loads to which that has
    happened. No two tables are loaded at once."""
    happened: list[str] = []
    at_once = threading.Lock()
    original = SqlLoadJob.maybe_transaction

    @contextmanager
    def interrupted(job: Any, sql: str) -> Iterator[None]:
        assert at_once.acquire(blocking=False)
        try:
            with original(job, sql):
                yield
                if "/events." in job._file_path and len(happened) < times:
                    happened.append(job._file_path)
                    change()
        finally:
            at_once.release()

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(SqlLoadJob, "maybe_transaction", interrupted)
        yield happened


def test_a_build_in_whose_way_another_program_has_come_is_tried_again(
    lake_warehouse_in_a_folder: LakeWarehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse, lake = lake_warehouse_in_a_folder, lake_warehouse_in_a_folder.lake
    sync(warehouse, living, select=("medias",))
    with connected(warehouse.pipeline()) as client:
        # of what a process shares, nothing is taken away from others
        with connected(warehouse.pipeline()) as another:
            assert another.execute_sql("select count(*) from medias") == [(4,)]
        assert client.execute_sql("select count(*) from medias") == [(4,)]
    happened: list[str] = []
    commit: Any = DuckDBConnectionManager.add_commit_query
    run_dbt = dbt.run_dbt

    def interrupted(manager: Any) -> Any:
        name = manager.get_thread_connection().name
        if name.endswith(".int_wistia__medias") and len(happened) < 2:
            happened.append(name)
            with lake.cursor() as cursor:
                cursor.execute("create table wistia_intermediate.int_wistia__medias (x integer)")
                cursor.execute("drop table wistia_intermediate.int_wistia__medias")
        return commit(manager)

    monkeypatch.setattr(DuckDBConnectionManager, "add_commit_query", interrupted)
    # all others take their time
    few = ["--select", "+int_wistia__medias"]
    monkeypatch.setattr(build, "run_dbt", lambda pipeline, command: run_dbt(pipeline, [*command, *few]))
    (failure,) = build_models(warehouse.pipeline(), attempts=1).failures
    assert (failure["kind"], failure["name"]) == ("model", "int_wistia__medias")
    assert "Failed to commit DuckLake transaction" in failure["error"]
    assert build_models(warehouse.pipeline(), attempts=2).failures == []
    assert len(happened) == 2
    medias = {media["hashed_id"] for media in living.account.at(NOW).medias()}
    assert {media for (media,) in lake.rows("select media_id from wistia_intermediate.int_wistia__medias")} == medias
