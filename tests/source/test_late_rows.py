"""Rows that show up late, that grow, or that come from a clock that is ahead."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from wistia_pipeline.sandbox import Sandbox

from tests.support.loaded import load_once
from tests.support.runs import SMALL, asked, media_ids, sync, view_at
from tests.support.sandbox import NOW, START, source_of
from tests.support.warehouse import Warehouse

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ACCOUNT = SMALL


def event_keys(warehouse: Warehouse) -> set[str]:
    """The sessions that the warehouse holds."""
    return {row["event_key"] for row in warehouse.rows("events", "event_key")}


def test_rows_that_arrive_late_or_grow_within_the_lookback_land(warehouse: Warehouse, living: Sandbox) -> None:
    load_once(warehouse, living)
    view = view_at(living)
    media_id = next(media["hashed_id"] for media in view.medias() if media["type"] == "Video")
    late = living.account.add_late_event(media_id, NOW - 2 * HOUR, percent_viewed=0.25)
    grown = next(e["event_key"] for e in view.events() if e.get("event_key"))
    living.account.restate_event(grown, percent_viewed=0.875)
    sync(warehouse, living, NOW + 5 * MINUTE, only=("events",))
    viewed = {row["event_key"]: row["percent_viewed"] for row in warehouse.rows("events")}
    assert viewed[late] == 0.25
    assert viewed[grown] == 0.875
    keys = [(row["event_key"], row["visitor_key"]) for row in warehouse.rows("events")]
    assert len(keys) == len(set(keys))


@pytest.mark.deep
def test_once_a_day_sessions_are_read_again_two_days_back(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_once(duckdb_warehouse, living)
    media_id = media_ids(living)[0]

    def late_one_lands(after: timedelta, age: timedelta) -> bool:
        key = living.account.add_late_event(media_id, NOW + after - age)
        sync(duckdb_warehouse, living, NOW + after, only=("events",))
        return key in event_keys(duckdb_warehouse)

    assert late_one_lands(HOUR, 2 * HOUR)
    assert not late_one_lands(2 * HOUR, 30 * HOUR)
    assert late_one_lands(24 * HOUR, 40 * HOUR)
    assert not late_one_lands(25 * HOUR, 30 * HOUR)
    assert late_one_lands(49 * HOUR, 40 * HOUR)


@pytest.mark.slow
@pytest.mark.parametrize("hours_late", [*(pytest.param(late, marks=pytest.mark.deep) for late in (4, 26.5)), 47])
def test_what_shows_up_to_two_days_late_lands_with_its_visitor(
    duckdb_warehouse: Warehouse, living: Sandbox, hours_late: float
) -> None:
    load_once(duckdb_warehouse, living)
    only = ("events", "visitors")
    media_id = media_ids(living)[0]
    # a scheduler may begin a little earlier than the day before
    early = timedelta(seconds=40)
    sync(duckdb_warehouse, living, NOW + 24 * HOUR - early, only=only)
    late = living.account.add_late_event(media_id, NOW + (24.5 - hours_late) * HOUR)
    # the first of these has new sessions, but is too early to look two days back
    for now in (NOW + 47 * HOUR, NOW + 48 * HOUR - 2 * early):
        sync(duckdb_warehouse, living, now, only=only)
    visitors = {row["event_key"]: row["visitor_key"] for row in duckdb_warehouse.rows("events")}
    assert late in visitors
    plays = {row["visitor_key"]: row["play_count"] for row in duckdb_warehouse.rows("visitors")}
    shown = {row["visitor_key"]: row["play_count"] for row in view_at(living, now).visitors()}
    assert plays[visitors[late]] == shown[visitors[late]]


@pytest.mark.slow
def test_a_run_by_a_clock_that_was_ahead_holds_up_none_after_it(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    only = ("events", "media_stats", "media_stats_by_date")
    load_once(duckdb_warehouse, living)
    # Wistia's own clock is right
    ahead = source_of(living, NOW + timedelta(days=400), start_date=START)
    living.now = lambda: NOW + HOUR
    duckdb_warehouse.load(ahead.with_resources(*only, "refreshes"))
    now = NOW + timedelta(days=2)
    media_id = view_at(living, now).events()[0]["media_id"]
    late = living.account.add_late_event(media_id, now - 40 * HOUR)
    sync(duckdb_warehouse, living, now, only=only)
    assert late in event_keys(duckdb_warehouse)
    view = view_at(living, now)
    for row in duckdb_warehouse.rows("media_stats"):
        assert row["play_count"] == view.media_stats(row["media_id"])["play_count"]
    turns = [row for row in duckdb_warehouse.rows("refreshes") if row["endpoint"] in only[1:]]
    assert max(row["refreshed_at"] for row in turns) <= now


def test_lookbacks_and_turns_are_settings(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_once(duckdb_warehouse, living)
    late = living.account.add_late_event(media_ids(living)[0], NOW - 25 * HOUR)
    sync(
        duckdb_warehouse,
        living,
        NOW + HOUR,
        only=("events", "media_stats_by_date", "media_engagement", "captions"),
        events_lookback_hours=30,
        events_deep_lookback_hours=30,
        by_date_lookback_days=3,
        refresh_within_hours=1,
        captions_refresh_within_hours=1,
        history_refresh_within_hours=10_000,
    )
    assert late in event_keys(duckdb_warehouse)
    listed = len(media_ids(living))
    assert len(asked(living, 0, "/engagement")) >= listed
    assert len(asked(living, 0, "/captions")) >= listed
    starts = {call.query["start_date"] for call in living.log if "by_date" in call.path}
    assert "2026-06-12" in starts


@pytest.mark.slow
def test_a_session_from_the_future_does_not_hide_what_comes_after_it(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    load_once(duckdb_warehouse, living)
    media_id = media_ids(living)[0]
    ahead = living.account.add_late_event(media_id, NOW + 30 * HOUR)
    # the sandbox's clock runs ahead of ours, so that it shows the session already
    source = source_of(living, NOW, start_date=START)
    living.now = lambda: NOW + 31 * HOUR
    duckdb_warehouse.load(source.with_resources("events"))
    assert ahead in event_keys(duckdb_warehouse)
    for minutes_before, after in ((10, 20 * MINUTE), (9 * 60, 10 * HOUR)):
        late = living.account.add_late_event(media_id, NOW + after - minutes_before * MINUTE)
        sync(duckdb_warehouse, living, NOW + after, only=("events",))
        assert late in event_keys(duckdb_warehouse)


def test_sessions_of_a_day_that_has_begun_by_the_clock_of_wistia_alone_land(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    load_once(duckdb_warehouse, living)
    midnight = datetime(2026, 6, 16, tzinfo=NOW.tzinfo)
    key = living.account.add_late_event(media_ids(living)[0], midnight + 5 * MINUTE)
    source = source_of(living, midnight - 10 * MINUTE, start_date=START)
    living.now = lambda: midnight + 10 * MINUTE
    duckdb_warehouse.load(source.with_resources("events", "refreshes"))
    assert key in event_keys(duckdb_warehouse)


@pytest.mark.slow
def test_a_visitor_from_the_future_hides_nobody(
    duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = type(view_at(living))
    all_there = view.visitors

    def with_one_ahead(now: Any, *filters: str | None, page: slice = slice(None)) -> list[dict[str, Any]]:
        there = all_there(now, *filters)
        return [there[0] | {"visitor_key": "ahead", "last_active_at": "2030-01-01T00:00:00.000Z"}, *there][page]

    load_once(duckdb_warehouse, living)
    monkeypatch.setattr(view, "visitors", with_one_ahead)
    for day in (1, 2):
        now = NOW + timedelta(days=day)
        sync(duckdb_warehouse, living, now, only=("visitors",))
        held = {row["visitor_key"] for row in duckdb_warehouse.rows("visitors")}
        assert {v["visitor_key"] for v in view_at(living, now).visitors() if v["last_active_at"] >= START} == held
