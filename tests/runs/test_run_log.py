"""What a run says of itself in the warehouse: its log, which rows came late, and whether days look complete."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
import pytest
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.sandbox import Account, Fault, Sandbox
from wistia_pipeline.warehouses.run_log import RunLog

from tests.support.loaded import load_once
from tests.support.sandbox import NOW, START, TOKEN, settings_for
from tests.support.warehouse import MOSTLY_DUCKDB, Warehouse, sync
from wistia_source.endpoints import BY_NAME

ACCOUNT = {"seed": 19, "medias": 6, "projects": 2, "visitors": 60, "events": 600, "days": 60, "hourly_events": 6}
HOUR = timedelta(hours=1)


def runs(warehouse: Warehouse, run_id: str) -> dict[str, dict[str, Any]]:
    """The rows of one run, by resource."""
    rows = [row for row in warehouse.rows("sync_runs") if row["run_id"] == run_id]
    by_resource = {row["resource"]: row for row in rows}
    assert len(rows) == len(by_resource)
    return by_resource


# the log


@MOSTLY_DUCKDB
@pytest.mark.slow
def test_a_run_is_logged_with_the_figures_it_reports(warehouse: Warehouse, living: Sandbox) -> None:
    living.faults.add(Fault("stats/visitors", status=503, retry_after="0.3"))
    before = datetime.now(UTC)
    result = sync(warehouse, living)
    logged = runs(warehouse, result.run_id)
    assert set(logged) == set(BY_NAME)
    assert sum(row["requests"] for row in logged.values()) == len(living.log) == result.requests
    for name, row in logged.items():
        assert {figure: row[figure] for figure in result.resources[name]} == result.resources[name]
        assert row["rows"] == len(warehouse.rows(name)), name
        assert (row["command"], row["status"], row["error"], row["failures"]) == ("sync", "ok", None, 0)
        assert before <= row["started_at"] <= row["finished_at"] <= datetime.now(UTC)
        assert row["account_id"] == str(living.account.account_id)
    assert logged["visitors"]["retries"] == 1
    assert logged["visitors"]["wait_seconds"] >= 0.3
    assert logged["events"]["asked_from"] == "2026-05-01T00:00:00+00:00"
    assert logged["events"]["asked_to"] == NOW.isoformat()
    assert (logged["media_stats_by_date"]["asked_from"], logged["media_stats_by_date"]["asked_to"]) == (
        START,
        "2026-06-15",
    )
    assert logged["medias"]["asked_from"] is None
    assert warehouse.rows("sync_failures") == []
    second = sync(warehouse, living, NOW + HOUR, select=["events"])
    logged = runs(warehouse, second.run_id)
    assert datetime.fromisoformat(logged["events"]["asked_from"]) > NOW - timedelta(days=2)
    assert len(warehouse.rows("sync_runs")) == len(BY_NAME) + 1


@MOSTLY_DUCKDB
def test_what_could_not_be_read_is_logged_too(warehouse: Warehouse, living: Sandbox) -> None:
    media_id = living.account.at(NOW).medias()[0]["hashed_id"]
    living.faults.add(Fault(f"medias/{media_id}/engagement", status=404, times=None))
    living.faults.add(Fault("stats/events", kind="html", times=None))
    before = datetime.now(UTC)
    result = sync(warehouse, living, select=["events", "media_engagement", "projects"])
    assert result.status == "partial"
    logged = runs(warehouse, result.run_id)
    assert {row["status"] for row in logged.values()} == {"partial"}
    assert {name: row["failures"] for name, row in logged.items() if row["failures"]} == {
        "events": 1,
        "media_engagement": 1,
    }
    assert logged["events"]["error"] == "GET stats/events kept failing: the answer is not JSON."
    assert logged["media_engagement"]["error"] is None
    failures = {(row["resource"], row["parent_id"]): row for row in warehouse.rows("sync_failures")}
    assert set(failures) == {("events", ""), ("media_engagement", media_id)}
    assert "HTTP 404" in failures["media_engagement", media_id]["error"]
    assert all(row["account_id"] == str(living.account.account_id) for row in failures.values())
    assert all(before <= row["failed_at"] <= datetime.now(UTC) for row in failures.values())


@MOSTLY_DUCKDB
@pytest.mark.parametrize("loaded_before", [False, pytest.param(True, marks=pytest.mark.deep)])
def test_a_failed_run_is_logged(warehouse: Warehouse, living: Sandbox, loaded_before: bool) -> None:
    if loaded_before:
        load_once(warehouse, living)
    result = SyncResult()
    with pytest.raises(Exception, match="does not accept"):
        sync(warehouse, living, result=result, access_token=TOKEN[::-1])
    logged = runs(warehouse, result.run_id)
    assert set(logged) == set(BY_NAME)
    assert {row["status"] for row in logged.values()} == {"failed"}
    assert all("does not accept the access token" in row["error"] for row in logged.values())
    assert all(row["finished_at"] for row in logged.values())
    everything = str([warehouse.rows(table) for table in ("sync_runs", "sync_failures")])
    assert TOKEN not in everything
    assert TOKEN[::-1] not in everything
    # and it does not stand in the way of the next one
    assert sync(warehouse, living, NOW + HOUR, select=["projects"]).status == "ok"


def test_a_run_that_never_ended_is_called_killed_by_the_next(warehouse: Warehouse, living: Sandbox) -> None:
    first = load_once(warehouse, living, select=["projects"])
    with warehouse.pipeline().sql_client() as client:
        client.execute_sql("update sync_runs set status = 'running', finished_at = null")
    second = sync(warehouse, living, select=["projects"])
    assert {row["run_id"]: row["status"] for row in warehouse.rows("sync_runs")} == {
        first.run_id: "killed",
        second.run_id: "ok",
    }


def test_new_fields_and_rows_left_out_are_logged(warehouse: Warehouse, living: Sandbox) -> None:
    view = living.account.at(NOW)
    visitors = [*view.visitors()[:3], {}, {"created_at": "2026-06-01T00:00:00Z"}]
    visitors[0] = visitors[0] | {"mood": "good"}
    living.faults.add(Fault("stats/visitors", status=200, times=1, body=json.dumps(visitors)))
    result = sync(warehouse, living, select=["visitors"])
    assert (result.status, result.new_fields) == ("ok", ["visitors.mood"])
    logged = runs(warehouse, result.run_id)["visitors"]
    assert (logged["left_out"], logged["new_fields"], logged["rows"]) == (2, "mood", 3)
    assert all(row["visitor_key"] for row in warehouse.rows("visitors"))


def test_files_are_loaded_without_a_log(living: Sandbox, tmp_path: Path) -> None:
    files = dlt.destinations.filesystem(f"file://{tmp_path}/lake")
    lake = Warehouse("files", files, lambda: None)
    assert sync(lake, living, select=["events", "medias", "visitors"]).status == "ok"
    assert {path.parent.name for path in tmp_path.glob("lake/wistia_raw/*/*.parquet")} >= {
        "events",
        "medias",
        "visitors",
    }


class LogLost(Exception):
    """The log cannot be written."""


def lose_the_log(*_: Any) -> None:
    """In the place of what ends a run's log."""
    raise LogLost


def test_a_run_whose_end_cannot_be_logged_has_failed(
    duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunLog, "end", lose_the_log)
    result = SyncResult()
    with pytest.raises(LogLost):
        sync(duckdb_warehouse, living, select=["account_stats"], result=result)
    assert result.status == "failed"


def test_what_made_a_run_fail_is_the_news_not_a_log_that_was_lost_too(
    duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunLog, "end", lose_the_log)
    with pytest.raises(Exception, match="does not accept"):
        sync(duckdb_warehouse, living, select=["account_stats"], access_token=TOKEN[::-1])


# a plan without a part of the Stats API


@MOSTLY_DUCKDB
def test_a_refused_resource_costs_itself_alone_and_one_request(warehouse: Warehouse, living: Sandbox) -> None:
    living.faults.add(Fault("/engagement", status=403, times=None, body='{"error": "Not on your plan."}'))
    result = sync(warehouse, living, select=["media_engagement", "media_stats"])
    assert result.status == "partial"
    assert [(failure["resource"], failure["parent_id"]) for failure in result.failures] == [("media_engagement", "")]
    assert "HTTP 403: Not on your plan." in result.failures[0]["error"]
    assert "--select" in result.failures[0]["error"]
    # those under way side by side, not one for each media of a large account
    assert result.resources["media_engagement"]["requests"] <= 16
    assert len(warehouse.rows("media_stats")) == 6


def test_a_plan_without_stats_fails_the_run_after_loading_the_rest(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    living.plan_has_stats = False
    result = SyncResult()
    with pytest.raises(Exception, match="ask Wistia for a plan with the Stats API"):
        sync(duckdb_warehouse, living, select=["medias", "events", "media_stats"], result=result)
    assert result.status == "failed"
    assert len(duckdb_warehouse.rows("medias")) == 6
    assert {row["status"] for row in duckdb_warehouse.rows("sync_runs")} == {"failed"}


# what came late


def restated(warehouse: Warehouse, run_id: str, resource: str) -> dict[str, tuple[int, int]]:
    """By age: rows added and changed."""
    rows = [row for row in warehouse.rows("restatements") if (row["run_id"], row["resource"]) == (run_id, resource)]
    assert len({row["age"] for row in rows}) == len(rows)
    return {row["age"]: (row["rows_added"], row["rows_changed"]) for row in rows}


@pytest.mark.slow
def test_rows_behind_the_watermark_are_counted_by_age(duckdb_warehouse: Warehouse) -> None:
    warehouse = duckdb_warehouse
    account = Account(seed=23, start=NOW, medias=3, projects=1, visitors=20, events=400, days=60, hourly_events=0)
    with Sandbox(account, rate_limit=None) as living:
        media_id = account.at(NOW).medias()[0]["hashed_id"]
        account.add_late_event(media_id, NOW - timedelta(minutes=1))
        first = sync(warehouse, living, select=["events"])
        assert not [row for row in warehouse.rows("restatements") if row["run_id"] == first.run_id]
        ages = {
            "hour": [timedelta(minutes=20), timedelta(minutes=40)],
            "3 hours": [timedelta(hours=2)],
            "day": [timedelta(hours=20)],
            "2 days": [timedelta(hours=30)],
            "week": [timedelta(days=5)],
            "older": [timedelta(days=20)],
        }
        for times in ages.values():
            for age in times:
                account.add_late_event(media_id, NOW - age)
        old = next(
            e["event_key"] for e in account.at(NOW).events() if e["received_at"] < "2026-06-01" and "event_key" in e
        )
        account.restate_event(old, percent_viewed=0.4321)
        hourly = sync(warehouse, living, select=["events"])
        assert restated(warehouse, hourly.run_id, "events") == {"hour": (2, 0), "3 hours": (1, 0)}
        deep = sync(warehouse, living, NOW, select=["events"], events_lookback_hours=48)
        assert restated(warehouse, deep.run_id, "events") == {"day": (1, 0), "2 days": (1, 0)}
        again = sync(warehouse, living, NOW, select=["events"], events_lookback_hours=48)
        assert restated(warehouse, again.run_id, "events") == {}
        settings = settings_for(living, NOW, start_date=START, backfill_start=START, backfill_end="2026-06-16")
        filled = warehouse.sync(settings, ["events"])
        assert restated(warehouse, filled.run_id, "events") == {"week": (1, 0), "older": (1, 1)}


@MOSTLY_DUCKDB
@pytest.mark.slow
def test_restated_days_are_counted_by_age(warehouse: Warehouse) -> None:
    account = Account(seed=23, start=NOW, medias=3, projects=1, visitors=20, events=400, days=60, hourly_events=0)
    with Sandbox(account, rate_limit=None) as living:
        media_id = account.at(NOW).medias()[0]["hashed_id"]
        sync(warehouse, living, select=["account_stats_by_date"])
        # no plays, so that the hours of other days stay
        for day in ("2026-06-15", "2026-06-14", "2026-06-13", "2026-06-10", "2026-06-03"):
            account.restate_day(media_id, day, loads=5)
        result = sync(warehouse, living, select=["account_stats_by_date"])
        # the day that has not ended is not behind the watermark
        assert restated(warehouse, result.run_id, "account_stats_by_date") == {
            "day": (0, 1),
            "2 days": (0, 1),
            "week": (0, 1),
            "older": (0, 1),
        }
        earlier = settings_for(living, NOW, start_date="2026-04-20")
        result = warehouse.sync(earlier, ["account_stats_by_date"])
        assert result.resources["account_stats_by_date"]["rows"] > 0
        assert restated(warehouse, result.run_id, "account_stats_by_date") == {}


# whether days look complete

DAYS_COMPARED = ("events", "account_stats_by_date")


@MOSTLY_DUCKDB
@pytest.mark.slow
def test_a_day_with_too_few_or_too_many_sessions_is_a_warning(warehouse: Warehouse, living: Sandbox) -> None:
    account = living.account
    media_id = account.at(NOW).medias()[0]["hashed_id"]
    assert load_once(warehouse, living, select=DAYS_COMPARED).days_outside_band == []
    day = "2026-05-20"
    plays = {
        row["date"]: row["play_count"] for row in account.at(NOW).account_stats_by_date("2026-05-01", "2026-06-15")
    }
    account.restate_day(media_id, day, plays=100)
    warehouse.clear()
    result = sync(warehouse, living, select=DAYS_COMPARED)
    assert result.status == "ok"
    (found,) = result.days_outside_band
    assert (found.date.isoformat(), found.plays) == (day, plays[day] + 100)
    assert found.sessions <= plays[day]
    assert str(found) == f"{day} has {found.sessions} sessions for {found.plays} plays"
    assert runs(warehouse, result.run_id)["events"]["warning"] == str(found)
    # an hourly run has read no whole day
    assert sync(warehouse, living, NOW + HOUR, select=DAYS_COMPARED).days_outside_band == []
    settings = settings_for(living, NOW, start_date=START, backfill_start="2026-05-19", backfill_end="2026-05-22")
    assert [str(found) for found in warehouse.sync(settings, DAYS_COMPARED).days_outside_band] == [str(found)]
    # the last day of UTC-5 ends after the days that were asked for
    settings = settings_for(living, NOW, start_date=START, backfill_start="2026-05-19", backfill_end="2026-05-21")
    assert warehouse.sync(settings, DAYS_COMPARED).days_outside_band == []


def test_one_refused_resource_of_a_selection_does_not_fail_the_others(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    living.faults.add(Fault("stats/visitors", status=403, times=None, body='{"error": "Not on your plan."}'))
    result = sync(duckdb_warehouse, living, select=("medias", "visitors"))
    assert result.status == "partial"
    assert [failure["resource"] for failure in result.failures] == ["visitors"]


@pytest.mark.deep
def test_the_band_is_a_setting(duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    account = living.account
    account.restate_day(account.at(NOW).medias()[0]["hashed_id"], "2026-05-20", plays=100)
    monkeypatch.setenv("WISTIA_PIPELINE__SESSIONS_PER_PLAY_LOW", "0")
    assert sync(duckdb_warehouse, living, select=DAYS_COMPARED).days_outside_band == []
    monkeypatch.setenv("WISTIA_PIPELINE__SESSIONS_PER_PLAY_HIGH", "0.2")
    duckdb_warehouse.clear()
    assert len(sync(duckdb_warehouse, living, select=DAYS_COMPARED).days_outside_band) > 5
