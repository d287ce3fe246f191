"""What a second run requests and changes, and that it leaves everything else alone."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from wistia_pipeline.sandbox import Account, Fault, Sandbox

from tests.support.loaded import load_once
from tests.support.runs import SMALL, answer, asked, contents, media_ids, sync, view_at
from tests.support.sandbox import NOW, START, source_of
from tests.support.warehouse import MOSTLY_DUCKDB, Warehouse
from wistia_source.endpoints import COMPANIONS, ENDPOINTS, Endpoint
from wistia_source.warehouse import Warehouse as KnownRows

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ACCOUNT = SMALL


@MOSTLY_DUCKDB
def test_a_second_sync_with_nothing_new_changes_no_row_and_asks_little(warehouse: Warehouse, living: Sandbox) -> None:
    first = load_once(warehouse, living).requests
    before = contents(warehouse)
    second = sync(warehouse, living)
    assert contents(warehouse) == before
    assert second <= first / 3
    assert second <= 12


def test_an_hourly_run_compares_only_what_it_reads_again(
    duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_once(duckdb_warehouse, living)
    compared: dict[str, Any] = {}
    read_back = KnownRows.held

    def recorded(known: KnownRows, endpoint: Endpoint, **bounds: Any) -> Any:
        compared[endpoint.name] = bounds.get("since")
        return read_back(known, endpoint, **bounds)

    monkeypatch.setattr(KnownRows, "held", recorded)
    sync(duckdb_warehouse, living, only=("events", "visitors"))
    assert compared["events"] >= NOW - DAY
    assert compared["visitors"] >= NOW - DAY


@pytest.mark.slow
def test_a_minute_later_only_account_stats_has_a_new_row(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_once(duckdb_warehouse, living)
    left_out = ("account_stats", "refreshes")
    before = contents(duckdb_warehouse, leave_out=left_out)
    source = source_of(living, NOW + timedelta(minutes=1), start_date=START)
    living.now = lambda: NOW
    duckdb_warehouse.load(source)
    assert contents(duckdb_warehouse, leave_out=left_out) == before
    captured = sorted(row["captured_at"] for row in duckdb_warehouse.rows("account_stats"))
    assert captured == [NOW, NOW + timedelta(minutes=1)]


def test_an_hour_later_the_warehouse_equals_the_account_again(warehouse: Warehouse, living: Sandbox) -> None:
    load_once(warehouse, living)
    later = NOW + HOUR
    requests = sync(warehouse, living, later)
    view = view_at(living, later)
    events = {(e["event_key"], e["visitor_key"]): e for e in view.events() if e.get("event_key") and e["visitor_key"]}
    got = {(r["event_key"], r["visitor_key"]): r for r in warehouse.rows("events")}
    assert {key: got[key]["percent_viewed"] for key in events if key in got} == {
        key: float(row["percent_viewed"]) for key, row in events.items() if key in got
    }
    new = {key for key, row in events.items() if row["received_at"] >= NOW.isoformat()}
    assert new
    assert new <= got.keys()
    played = {events[key]["media_id"] for key in new} & set(media_ids(living, later))
    stats = {row["media_id"]: row for row in warehouse.rows("media_stats")}
    daily = {(r["media_id"], r["date"]): r["play_count"] for r in warehouse.rows("media_stats_by_date")}
    for media_id in played:
        assert stats[media_id]["play_count"] == view.media_stats(media_id)["play_count"]
        for day in view.media_stats_by_date(media_id, "2026-06-10", "2026-06-15"):
            assert daily[media_id, datetime.fromisoformat(day["date"]).date()] == day["play_count"]
    # ten lists and figures of the account, the played medias and those whose turn it is, and each project
    assert requests < 10 + 3 * (len(played) + 4) + 2 * 3 + 5


@pytest.mark.slow
@MOSTLY_DUCKDB
def test_a_media_that_vanishes_keeps_its_rows_and_may_come_back(warehouse: Warehouse, living: Sandbox) -> None:
    def state() -> tuple[Any, Any]:
        (row,) = [row for row in warehouse.rows("medias") if row["media_id"] == media_id]
        assert len(warehouse.rows("media_stats")) >= 12
        return row.pop("deleted_at"), {name: value for name, value in row.items() if name[0] != "_"}

    def after(hours: int) -> tuple[Any, Any]:
        sync(warehouse, living, NOW + hours * HOUR, only=("medias", "media_stats"))
        return state()

    media_id = media_ids(living)[5]
    load_once(warehouse, living)
    before = state()
    assert before[0] is None
    living.account.delete_media(media_id)
    assert after(1) == (NOW + HOUR, before[1])
    requests = len(living.log)
    assert after(2) == (NOW + HOUR, before[1])
    assert not asked(living, requests, media_id)
    living.account.restore_media(media_id)
    assert after(3) == before


def test_a_media_that_a_shifting_page_skipped_is_not_taken_for_deleted(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    load_once(duckdb_warehouse, living)
    listed = view_at(living).medias()
    short = json.dumps([media for media in listed if not media["archived"]][1:])
    living.faults.add(Fault("v1/medias.json", status=200, times=2, body=short))
    sync(duckdb_warehouse, living, NOW + HOUR, only=("medias",))
    assert all(row["deleted_at"] is None for row in duckdb_warehouse.rows("medias"))
    assert len(duckdb_warehouse.rows("medias")) == len(listed)


@pytest.mark.parametrize(
    "first", [pytest.param(("events",), marks=pytest.mark.deep), pytest.param(("media_stats",), marks=pytest.mark.slow)]
)
def test_stats_follow_sessions_whatever_was_loaded_first(duckdb_warehouse: Warehouse, first: tuple[str, ...]) -> None:
    quiet = Account(seed=13, start=NOW, medias=5, projects=1, visitors=5, events=0, days=30, hourly_events=4)
    both = ("events", "media_stats")
    with Sandbox(quiet, rate_limit=None) as server:
        sync(duckdb_warehouse, server, only=first)
        sync(duckdb_warehouse, server, NOW + timedelta(minutes=1), only=both)
        sync(duckdb_warehouse, server, NOW + HOUR, only=both)
        view = view_at(server, NOW + HOUR)
        played = {event["media_id"] for event in view.events() if event["received_at"] > NOW.isoformat()}
        assert played
        stats = {row["media_id"]: row["play_count"] for row in duckdb_warehouse.rows("media_stats")}
        assert {id_: stats[id_] for id_ in played} == {id_: view.media_stats(id_)["play_count"] for id_ in played}


@MOSTLY_DUCKDB
@pytest.mark.slow
def test_lists_of_a_media_lose_what_wistia_no_longer_shows(warehouse: Warehouse, living: Sandbox) -> None:
    load_once(warehouse, living)
    media_id = media_ids(living)[0]
    action = {"type": "call_to_action", "action_count": 1, "impression_count": 4, "rate": 0.25}
    caption = {"id": "c1", "language": "eng", "is_draft": False, "text": "a"}

    def run(week: int, actions: list[Any] | None, captions: list[Any]) -> tuple[list[Any], list[Any]]:
        living.faults.clear()
        stats = {"load_count": 1, "play_count": 1} | ({} if actions is None else {"actions": actions})
        answer(living, f"stats/medias/{media_id}(.json)?$", stats)
        answer(living, f"medias/{media_id}/captions", captions)
        only = ("media_stats", "media_stats__actions", "captions")
        sync(warehouse, living, NOW + timedelta(days=8 * week), only=only)
        return (
            sorted(r["action_count"] for r in warehouse.rows("media_stats__actions") if r["media_id"] == media_id),
            sorted(r["text"] for r in warehouse.rows("captions") if r["media_id"] == media_id),
        )

    second = caption | {"id": "c2", "text": "b"}
    assert run(1, [action, action | {"action_count": 2}], [caption, second]) == ([1, 2], ["a", "b"])
    others = len(warehouse.rows("captions"))
    assert run(2, [action | {"action_count": 3}], [second]) == ([3], ["b"])
    assert run(3, None, []) == ([], [])
    assert run(4, [action], [caption]) == ([1], ["a"])
    assert len(warehouse.rows("captions")) >= others - 2


def test_every_table_is_there_even_when_nothing_was_found(duckdb_warehouse: Warehouse) -> None:
    bare = Account(start=NOW, medias=1, projects=1, visitors=1, events=1, days=3)
    with Sandbox(bare, rate_limit=None) as server:
        answer(server, "stats/(events|visitors)", [])
        answer(server, "medias", [])
        sync(duckdb_warehouse, server)
    assert duckdb_warehouse.tables() == {endpoint.name for endpoint in (*ENDPOINTS, *COMPANIONS)}


@pytest.mark.deep
def test_one_session_and_one_visitor_are_refreshed_by_key(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_once(duckdb_warehouse, living)
    events = [event for event in view_at(living).events() if event["received_at"] >= START and event.get("event_key")]
    key, visitor = events[-5]["event_key"], events[-5]["visitor_key"]
    living.account.restate_event(key, percent_viewed=0.4375, email="late@example.com")
    state = contents(duckdb_warehouse, leave_out=("events", "refreshes"))
    assert sync(duckdb_warehouse, living, only=("events",), event_key=key) == 2
    assert sync(duckdb_warehouse, living, only=("visitors",), visitor_key=visitor) == 2
    row = next(row for row in duckdb_warehouse.rows("events") if row["event_key"] == key)
    assert (row["percent_viewed"], row["email"]) == (0.4375, "late@example.com")
    # the cursor stays: the next run reads on from where it was
    assert sync(duckdb_warehouse, living, only=("events",)) == 2
    assert contents(duckdb_warehouse, leave_out=("events", "refreshes", "visitors")) == {
        table: rows for table, rows in state.items() if table != "visitors"
    }


@pytest.mark.slow
def test_a_filtered_list_of_visitors_leaves_the_cursor_alone(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    view = view_at(living)
    with_email = [v for v in view.visitors() if v["visitor_identity"]["email"]]
    sync(duckdb_warehouse, living, only=("visitors",), visitor_filter="has_email")
    assert {r["visitor_key"] for r in duckdb_warehouse.rows("visitors")} == {v["visitor_key"] for v in with_email}
    prefix = with_email[0]["visitor_identity"]["email"][:6]
    sync(duckdb_warehouse, living, only=("visitors",), visitor_search=prefix)
    assert len(duckdb_warehouse.rows("visitors")) == len(with_email)
    sync(duckdb_warehouse, living, only=("visitors",))
    everyone = [v for v in view.visitors() if v["last_active_at"] >= START]
    assert len(duckdb_warehouse.rows("visitors")) >= len(everyone) > len(with_email)


@pytest.mark.deep
def test_all_days_of_a_media_are_asked_once_a_week(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_once(duckdb_warehouse, living)
    listed = media_ids(living)
    whole: Counter[str] = Counter()
    for day in range(1, 8):
        before = len(living.log)
        sync(duckdb_warehouse, living, NOW + day * DAY, only=("media_stats_by_date",))
        calls = [call for call in list(living.log)[before:] if "by_date" in call.path]
        whole.update(call.path for call in calls if call.query["start_date"] == START)
        assert len(calls) >= len(listed)
    assert all(whole[f"/v1/stats/medias/{media_id}/by_date.json"] == 1 for media_id in listed)


@pytest.mark.deep
def test_every_media_is_asked_once_a_day_and_no_hour_pays_for_all(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_once(duckdb_warehouse, living)
    listed = len(media_ids(living))
    hourly: list[list[str]] = []
    for hour in range(1, 25):
        before = len(living.log)
        sync(duckdb_warehouse, living, NOW + hour * HOUR, only=("media_engagement",))
        hourly.append(asked(living, before, "/engagement"))
    times = Counter(path for paths in hourly for path in paths)
    assert len(times) >= listed - 2
    assert max(map(len, hourly)) <= listed / 3
