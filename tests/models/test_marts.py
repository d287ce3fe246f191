"""Every mart equals what can be computed from the API's rows without it, on DuckDB and on Postgres."""

from __future__ import annotations

import shutil
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from wistia_pipeline.models.build import build_models
from wistia_pipeline.sandbox import Account, Fault, Sandbox
from wistia_pipeline.warehouses.duckdb.loads import duckdb as duckdb_file

from tests.support.mart_rows import ACCOUNT as ACCOUNT
from tests.support.mart_rows import (
    GRAINS,
    OVERDUE,
    START,
    ZONE,
    assert_right,
    differences,
    held,
    load,
    load_first,
    marts_of,
)
from tests.support.sandbox import NOW, settings_for
from tests.support.warehouse import MOSTLY_DUCKDB, Warehouse, change

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_every_mart_holds_what_the_account_shows(warehouse: Warehouse, living: Sandbox) -> None:
    load_first(warehouse, living)
    assert_right(warehouse, marts_of(living))
    # and after an hour with all that can happen
    view = living.account.at(NOW)
    medias, events = view.medias(), view.events()
    living.account.add_late_event(medias[0]["hashed_id"], NOW - 40 * DAY, percent_viewed=0.95)
    living.account.restate_event(events[3]["event_key"], percent_viewed=1.0)
    living.account.restate_event(events[90]["event_key"], percent_viewed=0.05, email="late@example.com")
    load(warehouse, living, NOW + HOUR, events_lookback_hours=2400, visitors_lookback_hours=2400)
    assert_right(warehouse, marts_of(living, NOW + HOUR))
    # a build of rows that are built already changes nothing
    assert build_models(warehouse.pipeline()).failures == []
    assert_right(warehouse, marts_of(living, NOW + HOUR))


@pytest.mark.deep
@MOSTLY_DUCKDB
@pytest.mark.parametrize("lacking", ["no events", "no projects", "nothing at all"])
def test_an_account_that_lacks_something_builds_all_models(warehouse: Warehouse, lacking: str) -> None:
    sizes: dict[str, Any] = {
        "no events": {"medias": 3, "projects": 1, "visitors": 1, "events": 0},
        "no projects": {"medias": 3, "projects": 1, "visitors": 5, "events": 20},
        "nothing at all": {"medias": 0, "projects": 1, "visitors": 1, "events": 0},
    }[lacking]
    with Sandbox(Account(seed=2, start=NOW, days=20, hourly_events=0, **sizes), rate_limit=None) as server:
        for path in {"no projects": ["projects"], "nothing at all": ["projects", "stats/visitors"]}.get(lacking, []):
            server.faults.add(Fault(rf"{path}\.json", status=200, body="[]", times=None))
        load(warehouse, server)
    assert len(held(warehouse, "wistia__account_daily")) > 0
    for mart in GRAINS:
        held(warehouse, mart)


@pytest.mark.deep
def test_a_selection_of_resources_builds_all_models(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    result = duckdb_warehouse.sync(settings_for(living, start_date=START), ["events"], models=True)
    assert result.status == "ok"
    assert len(held(duckdb_warehouse, "wistia__sessions")) == len(living.account.at(NOW).events())
    assert held(duckdb_warehouse, "wistia__media_performance")
    assert held(duckdb_warehouse, "wistia__transcripts") == {}
    # what is loaded later fits into the tables that were made for the models
    load(duckdb_warehouse, living)
    assert_right(duckdb_warehouse, marts_of(living))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kinds", [("duckdb",), pytest.param(("duckdb", "postgres"), marks=pytest.mark.deep)])
def test_sessions_that_move_or_go_leave_nothing_behind_and_databases_agree(
    request: pytest.FixtureRequest, living: Sandbox, kinds: tuple[str, ...]
) -> None:
    warehouses: list[Warehouse] = [request.getfixturevalue(f"{kind}_warehouse") for kind in kinds]
    for warehouse in warehouses:
        load_first(warehouse, living)
    # all sessions of one day, which others may have on their own, and one that is no longer timed
    day = sorted(row["session_date"] for row in held(warehouses[0], "wistia__sessions").values())[300]
    for warehouse in warehouses:
        change(
            warehouse,
            "update {raw}.events set received_at = received_at - interval '40 days', _dlt_load_id = 'moved' "
            f"where cast(received_at at time zone 'UTC' as date) = '{day}'",
            "update {raw}.events set received_at = null, _dlt_load_id = 'moved' "
            "where event_key = (select min(event_key) from {raw}.events)",
            "insert into {raw}._dlt_loads select 'moved', schema_name, 0, inserted_at, schema_version_hash "
            "from {raw}._dlt_loads limit 1",
        )
        assert build_models(warehouse.pipeline()).built == 8
        assert (day,) not in held(warehouse, "wistia__audience_daily")
    hourly = [{mart: held(warehouse, mart) for mart in GRAINS} for warehouse in warehouses]
    assert all(build_models(warehouse.pipeline(), full_refresh=True).failures == [] for warehouse in warehouses)
    rebuilt = [{mart: held(warehouse, mart) for mart in GRAINS} for warehouse in warehouses]
    for found, wanted in (*zip(hourly, rebuilt, strict=True), (rebuilt[0], rebuilt[-1])):
        wrong = [line for mart in GRAINS for line in differences(mart, found[mart], wanted[mart])]
        assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_rows_that_are_gone_are_seen_once_a_day(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_first(duckdb_warehouse, living)
    # somebody is erased while others watch
    change(
        duckdb_warehouse,
        "delete from {raw}.events where visitor_key = (select max(visitor_key) from {raw}.events)",
        OVERDUE,
    )
    assert build_models(duckdb_warehouse.pipeline()).built > 30
    assert len(held(duckdb_warehouse, "wistia__sessions")) == len(duckdb_warehouse.rows("events"))


@pytest.mark.deep
def test_dropped_models_are_built_again(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_first(duckdb_warehouse, living)
    before = held(duckdb_warehouse, "wistia__media_performance")
    change(
        duckdb_warehouse,
        "drop view {marts}.wistia__leads",
        "drop table {marts}_intermediate.int_wistia__medias",
        "update {raw}.medias set duration = duration * 2",
    )
    assert build_models(duckdb_warehouse.pipeline()).failures == []
    assert held(duckdb_warehouse, "wistia__leads")
    for key, row in held(duckdb_warehouse, "wistia__media_performance").items():
        duration = before[key]["duration_seconds"]
        assert row["duration_seconds"] == (duration and 2 * duration)


@pytest.mark.slow
def test_a_change_of_the_vars_rebuilds_all(
    duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_first(duckdb_warehouse, living)
    monkeypatch.setenv("WISTIA_PIPELINE__MODELS__TIMEZONE", ZONE)
    assert build_models(duckdb_warehouse.pipeline()).built > 30
    assert_right(duckdb_warehouse, marts_of(living, zone=ZONE))


@pytest.mark.deep
def test_a_warehouse_file_may_be_called_otherwise(duckdb_warehouse: Warehouse, living: Sandbox, tmp_path: Path) -> None:
    load_first(duckdb_warehouse, living)
    with duckdb_warehouse.pipeline().sql_client() as client:
        file = Path(client.credentials.database)
    for name in ("copy.duckdb", "wistia.duckdb"):
        copy = tmp_path / name
        shutil.copy(file, copy)
        with closing(duckdb.connect()) as connection:
            connection.execute(f"attach '{copy}' as mine (read_only)")
            counts = connection.execute("select count(*) from mine.wistia.wistia__leads").fetchone()
            assert counts == (len(held(duckdb_warehouse, "wistia__leads")),)
    # the name of a schema in it, too
    duckdb_warehouse.destination = duckdb_file(str(copy))
    assert build_models(duckdb_warehouse.pipeline()).failures == []
