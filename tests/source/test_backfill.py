"""Loads in several packages: a first one, newest first, and a backfill of days that were read before."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.sandbox import Account, Fault, Sandbox

from tests.support.loaded import load_once
from tests.support.sandbox import NOW, calls, settings_for
from tests.support.warehouse import MOSTLY_DUCKDB, RUN_LOG, Warehouse
from wistia_source import wistia
from wistia_source.errors import CredentialsRejected, SettingInvalid
from wistia_source.tuning import Tuning

START = "2026-03-01"
ACCOUNT = {"seed": 17, "medias": 5, "projects": 2, "visitors": 330, "events": 700, "days": 106, "hourly_events": 6}
ALL_TIMES = {"refreshed_at", "history_at", "captured_at", "_dlt_load_id"}
"""Columns that say when something was loaded."""
NOT_ACCEPTED = Fault(
    "stats/events", status=401, body='{"code": "unauthorized_credentials", "error": "No."}', times=None
)


NARROW = Tuning(plays_per_walk=80, plays_per_window=150)
"""Walks and windows as small as those of a busy account are large."""


def contents(warehouse: Warehouse, leave_out: tuple[str, ...] = ()) -> dict[str, Counter[str]]:
    """Every row of the account's tables, without the times of loading."""
    return warehouse.contents((*RUN_LOG, *leave_out), ALL_TIMES)


def loads(warehouse: Warehouse) -> int:
    """Load packages so far."""
    return len(warehouse.rows("_dlt_loads"))


def backfill(warehouse: Warehouse, sandbox: Sandbox, start: str, end: str, **more: Any) -> SyncResult:
    """A backfill through the same door as the command line's."""
    select, result = more.pop("select", ()), more.pop("result", None)
    settings = settings_for(sandbox, NOW, backfill_start=start, backfill_end=end, **more)
    return warehouse.sync(settings, select, result)


# a first load


@pytest.mark.deep
@MOSTLY_DUCKDB
def test_many_load_packages_bring_the_same_as_one(warehouse: Warehouse, living: Sandbox) -> None:
    warehouse.sync(settings_for(living, start_date=START, tuning=NARROW))
    in_one, requests = contents(warehouse), len(living.log)
    assert loads(warehouse) == 1
    warehouse.clear()
    result = warehouse.sync(settings_for(living, start_date=START, tuning=NARROW, package_seconds=0))
    assert loads(warehouse) > 6
    assert contents(warehouse) == in_one
    # visitors go on a page before the one where they stopped
    assert len(living.log) - requests <= requests + 10
    assert result.requests == len(living.log) - requests
    assert len(calls(living, requests, "v1/medias.json")) == len(calls(living, 0, "v1/medias.json")) / 2
    before = len(living.log)
    warehouse.sync(settings_for(living, start_date=START, tuning=NARROW))
    assert len(living.log) - before <= 12


@pytest.mark.slow
def test_newest_days_come_first_and_a_stopped_first_load_goes_on(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    living.faults.add(Fault(NOT_ACCEPTED.path, status=401, body=NOT_ACCEPTED.body, times=None, after=4))
    settings = settings_for(living, start_date=START, tuning=NARROW, package_seconds=0)
    with pytest.raises(Exception, match="does not accept") as stopped:
        duckdb_warehouse.sync(settings)
    assert isinstance(root_of(stopped.value), CredentialsRejected)
    held = [row["received_at"] for row in duckdb_warehouse.rows("events")]
    oldest = min(held)
    wanted = [e for e in living.account.at(NOW).events() if e["received_at"] >= oldest.isoformat()]
    assert 0 < len(held) == len(wanted) < 700
    visitors = [row["last_active_at"] for row in duckdb_warehouse.rows("visitors")]
    assert len(visitors) == len(set(duckdb_keys(duckdb_warehouse, "visitors", "visitor_key")))
    done = {call.query["start_date"] for call in calls(living, 0, "stats/events")}
    living.faults.clear()
    before = len(living.log)
    duckdb_warehouse.sync(settings)
    again = {call.query["start_date"] for call in calls(living, before, "stats/events")} & done
    # the window that failed, and the newest hours
    assert len(again) <= 2
    assert len(duckdb_warehouse.rows("events")) == len(living.account.at(NOW).events())
    assert len(duckdb_warehouse.rows("visitors")) == len(living.account.at(NOW).visitors())


def root_of(error: BaseException) -> BaseException:
    """The first of its causes."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return error


def duckdb_keys(warehouse: Warehouse, table: str, column: str) -> list[Any]:
    """One column."""
    return [row[column] for row in warehouse.rows(table, column)]


@pytest.mark.deep
def test_a_first_load_asks_each_media_once(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    media_id = living.account.at(NOW).medias()[0]["hashed_id"]
    living.faults.add(Fault(f"medias/{media_id}/engagement", status=500, times=None))
    result = duckdb_warehouse.sync(settings_for(living, start_date=START, tuning=NARROW, package_seconds=0))
    assert result.status == "partial"
    assert [(failure["resource"], failure["parent_id"]) for failure in result.failures] == [
        ("media_engagement", media_id)
    ]
    asked = Counter(call.path for call in calls(living, 0, "stats/medias/"))
    # what fails is tried six times, in one load package
    assert set(asked.values()) == {1, 6}


# a backfill


@pytest.mark.slow
@MOSTLY_DUCKDB
def test_exactly_the_days_asked_for_are_read_again(warehouse: Warehouse, living: Sandbox) -> None:
    account = living.account
    load_once(warehouse, living, start_date=START)
    before = contents(warehouse)
    days = {day: f"2026-04-{day:02d}" for day in (9, 10, 19, 20)}
    by_day = {
        day: [e for e in account.at(NOW).events() if e["received_at"].startswith(text)] for day, text in days.items()
    }
    changed = {day: next(e["event_key"] for e in events if e.get("event_key")) for day, events in by_day.items()}
    for key in changed.values():
        account.restate_event(key, percent_viewed=0.4321)
    media_id = account.at(NOW).medias()[0]["hashed_id"]
    late = account.add_late_event(media_id, datetime(2026, 4, 15, 8, tzinfo=NOW.tzinfo))
    for text in days.values():
        account.restate_day(media_id, text, plays=1_000)
    result = backfill(warehouse, living, days[10], days[20])
    assert set(result.resources) == {
        "events", "account_stats_by_date", "media_stats_by_date", "project_stats_by_date",
    }  # fmt: skip
    events = {row["event_key"]: row["percent_viewed"] for row in warehouse.rows("events")}
    assert {day for day, key in changed.items() if events[key] == 0.4321} == {10, 19}
    assert late in events
    plays = {
        row["date"]: row["play_count"] for row in warehouse.rows("media_stats_by_date") if row["media_id"] == media_id
    }
    assert {day for day, text in days.items() if plays[date.fromisoformat(text)] >= 1_000} == {10, 19}
    after = contents(warehouse)
    unread = {"medias", "projects", "captions", "media_stats", "media_engagement", "project_stats", "visitors"}
    assert {table: after[table] for table in (*unread, "refreshes", "account_stats")} == {
        table: before[table] for table in (*unread, "refreshes", "account_stats")
    }


@pytest.mark.slow
def test_a_backfill_moves_no_watermark(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_once(duckdb_warehouse, living, start_date="2026-05-01")
    before = reads(duckdb_warehouse)
    backfill(duckdb_warehouse, living, START, "2026-06-16", start_date="2026-05-01")
    assert reads(duckdb_warehouse) == before
    since = len(living.log)
    duckdb_warehouse.sync(settings_for(living, start_date="2026-05-01"))
    assert len(living.log) - since <= 12


def reads(warehouse: Warehouse) -> dict[str, Any]:
    """How far each feed was read, as dlt's state has it."""
    resources = warehouse.pipeline().state["sources"]["wistia"]["resources"]
    return {name: (resources[name]["reads"], resources[name].get("incremental")) for name in ("events", "visitors")}


@pytest.mark.slow
def test_windows_are_read_newest_first_and_committed_one_by_one(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    backfill(duckdb_warehouse, living, START, "2026-06-10", tuning=NARROW, select=["events"])
    first_pages = [call.query for call in calls(living, 0, "stats/events") if call.query["page"] == "1"]
    days = sorted((date.fromisoformat(q["start_date"]), date.fromisoformat(q["end_date"])) for q in first_pages)
    assert days[0][0] == date(2026, 3, 1)
    assert days[-1][1] == date(2026, 6, 9)
    assert all(later[0] - earlier[1] == timedelta(days=1) for earlier, later in pairwise(days))
    assert loads(duckdb_warehouse) >= 4
    # in a window several walks go side by side; a window has at most this many days here
    starts = [date.fromisoformat(query["start_date"]) for query in first_pages]
    assert all(later < earlier + timedelta(days=20) for earlier, later in pairwise(starts))
    assert starts[0] > starts[-1]


@pytest.mark.deep
def test_a_quiet_account_is_read_a_month_at_a_time(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    backfill(duckdb_warehouse, living, START, "2026-06-10", select=["events"])
    assert loads(duckdb_warehouse) == 4


@pytest.mark.deep
def test_a_stopped_backfill_goes_on_and_a_finished_one_begins_again(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    whole = backfill(duckdb_warehouse, living, START, "2026-06-10", tuning=NARROW).requests
    events = [call.query["start_date"] for call in calls(living, 0, "stats/events") if call.query["page"] == "1"]
    duckdb_warehouse.clear()
    since = len(living.log)
    living.faults.add(Fault(NOT_ACCEPTED.path, status=401, body=NOT_ACCEPTED.body, times=None, after=len(events) // 2))
    result = SyncResult()
    with pytest.raises(Exception, match="does not accept"):
        backfill(duckdb_warehouse, living, START, "2026-06-10", tuning=NARROW, result=result)
    assert result.status == "failed"
    done = {call.query["start_date"] for call in calls(living, since, "stats/events") if call.status == 200}
    held = len(duckdb_warehouse.rows("events"))
    assert held > 0
    living.faults.clear()
    since = len(living.log)
    assert backfill(duckdb_warehouse, living, START, "2026-06-10", tuning=NARROW).status == "ok"
    again = {call.query["start_date"] for call in calls(living, since, "stats/events")} & done
    # a window has two walks here
    assert len(again) <= 2
    assert not calls(living, since, "stats/medias/")
    wanted = [e for e in living.account.at(NOW).events() if START <= e["received_at"] < "2026-06-10"]
    assert len(duckdb_warehouse.rows("events")) == len(wanted)
    assert len(duckdb_warehouse.rows("media_stats_by_date")) == 5 * 101
    assert abs(backfill(duckdb_warehouse, living, START, "2026-06-10", tuning=NARROW).requests - whole) <= 2


@pytest.mark.deep
def test_other_days_or_resources_are_another_backfill(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    media_id = living.account.at(NOW).medias()[0]["hashed_id"]
    living.faults.add(Fault("stats/events", status=500, times=None))
    assert backfill(duckdb_warehouse, living, "2026-04-01", "2026-05-01").status == "partial"
    for end, select, asked in (
        ("2026-05-01", (), 0),
        ("2026-05-02", (), 1),
        ("2026-05-01", ("media_stats_by_date",), 1),
    ):
        since = len(living.log)
        backfill(duckdb_warehouse, living, "2026-04-01", end, select=select)
        assert len(calls(living, since, f"stats/medias/{media_id}/by_date")) == asked


def test_the_source_alone_reads_a_backfill_too(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    source = wistia(**settings_for(living, backfill_start="2026-04-01", backfill_end="2026-04-03"))
    assert set(source.resources) == {
        *("events", "account_stats_by_date", "media_stats_by_date", "project_stats_by_date"),
        *("refreshes", "restatements", "forgotten"),
    }
    duckdb_warehouse.load(source)
    assert {row["date"] for row in duckdb_warehouse.rows("account_stats_by_date")} == {
        date(2026, 4, 1),
        date(2026, 4, 2),
    }


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("2026-04-02", "2026-04-02", "backfill_end 2026-04-02 must be after backfill_start 2026-04-02"),
        ("2026-04-02", "2026-04-01", "must be after"),
        ("yesterday", "2026-04-01", "backfill_start is 'yesterday', but must be a day"),
        ("2026-04-01", "2026-4-2", "backfill_end is '2026-4-2', but must be a day"),
        ("2026-06-16", "2026-06-18", "backfill_start 2026-06-16 is in the future"),
        (None, "2026-04-01", "set the other one too"),
        ("2026-04-01", None, "set the other one too"),
    ],
)
def test_days_that_cannot_be(living: Sandbox, start: str | None, end: str | None, says: str) -> None:
    with pytest.raises(SettingInvalid, match=says):
        wistia(**settings_for(living, backfill_start=start, backfill_end=end))
    assert not living.log


def test_a_backfill_up_to_today_asks_for_no_day_that_has_not_begun(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    backfill(duckdb_warehouse, living, "2026-06-14", "2026-07-01")
    assert {call.query["end_date"] for call in living.log if "end_date" in call.query} == {"2026-06-15"}


@pytest.mark.deep
def test_a_resumed_backfill_asks_again_for_what_had_failed(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    media_id = living.account.at(NOW).medias()[0]["hashed_id"]
    living.faults.add(Fault(f"medias/{media_id}/by_date", status=404, times=None))
    living.faults.add(Fault(NOT_ACCEPTED.path, status=401, body=NOT_ACCEPTED.body, times=None, after=4))
    with pytest.raises(Exception, match="does not accept"):
        backfill(duckdb_warehouse, living, START, "2026-06-10", tuning=NARROW)
    living.faults.clear()
    assert backfill(duckdb_warehouse, living, START, "2026-06-10", tuning=NARROW).status == "ok"
    assert len(duckdb_warehouse.rows("media_stats_by_date")) == 5 * 101


@pytest.mark.slow
def test_a_backfill_that_could_not_read_a_media_asks_for_that_one_when_it_is_repeated(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    media_id, gone = (media["hashed_id"] for media in living.account.at(NOW).medias()[:2])
    living.faults.add(Fault(f"medias/({media_id}|{gone})/by_date", status=500, times=None))
    assert backfill(duckdb_warehouse, living, "2026-06-01", "2026-06-10").status == "partial"
    living.faults.clear()
    living.account.delete_media(gone)
    since = len(living.log)
    assert backfill(duckdb_warehouse, living, "2026-06-01", "2026-06-10").status == "ok"
    assert [call.path for call in calls(living, since, "stats/")] == [f"/v1/stats/medias/{media_id}/by_date.json"]
    assert len(duckdb_warehouse.rows("media_stats_by_date")) == 4 * 9
    # it has ended, though one media can no longer be read, so the next one begins again
    since = len(living.log)
    backfill(duckdb_warehouse, living, "2026-06-01", "2026-06-10")
    assert calls(living, since, "stats/events")


@pytest.mark.deep
def test_a_backfill_goes_on_where_only_medias_are_left(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    refused = Fault("medias/.*/by_date", status=401, body=NOT_ACCEPTED.body, times=None, after=3)
    living.faults.add(refused)
    days: dict[str, Any] = {"package_seconds": 0}
    with pytest.raises(Exception, match="does not accept"):
        backfill(duckdb_warehouse, living, "2026-06-01", "2026-06-10", **days)
    living.faults.clear()
    since = len(living.log)
    assert backfill(duckdb_warehouse, living, "2026-06-01", "2026-06-10", **days).status == "ok"
    assert not calls(living, since, "stats/events")
    # those that were loaded before are not requested again
    assert len(calls(living, since, "stats/medias/")) == 2
    assert len(duckdb_warehouse.rows("media_stats_by_date")) == 5 * 9


@pytest.mark.slow
def test_the_next_sync_asks_for_medias_whose_sessions_a_backfill_brought(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    later = NOW + timedelta(minutes=30)
    load_once(duckdb_warehouse, living, start_date=START)
    media_id = living.account.at(NOW).medias()[0]["hashed_id"]
    living.account.add_late_event(media_id, NOW + timedelta(minutes=5))
    duckdb_warehouse.sync(settings_for(living, later, backfill_start="2026-06-15", backfill_end="2026-06-16"))
    since = len(living.log)
    duckdb_warehouse.sync(settings_for(living, later, start_date=START))
    assert calls(living, since, f"stats/medias/{media_id}/engagement")


@pytest.mark.slow
def test_no_day_of_wistia_is_asked_for_before_it_begins(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    night = datetime(2026, 6, 15, 2, tzinfo=NOW.tzinfo)
    settings = settings_for(living, night, backfill_start="2026-06-14", backfill_end="2026-06-16")
    duckdb_warehouse.sync(settings)
    assert {row["date"] for row in duckdb_warehouse.rows("media_stats_by_date")} == {date(2026, 6, 14)}
    settings = settings_for(living, night, backfill_start="2026-06-15", backfill_end="2026-06-16")
    since = len(living.log)
    assert duckdb_warehouse.sync(settings).status == "ok"
    assert not calls(living, since, "stats/medias/")


@pytest.mark.slow
def test_days_that_wistia_no_longer_keeps_are_no_warning(duckdb_warehouse: Warehouse) -> None:
    old = Account(
        seed=3, start=NOW, medias=3, projects=1, visitors=20, events=900, days=800, retention=timedelta(days=730)
    )
    with Sandbox(old, rate_limit=None) as server:
        assert backfill(duckdb_warehouse, server, "2024-05-01", "2024-07-01").days_outside_band == []
