"""Answers that are not what they should be: they cost their media its turn, and nothing else."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from wistia_pipeline.results import SyncResult
from wistia_pipeline.sandbox import Fault, Sandbox

from tests.support.sandbox import NOW, settings_for
from tests.support.warehouse import Warehouse
from wistia_source.rows import fix_event

START = "2026-05-01"
ACCOUNT = {"seed": 31, "medias": 8, "projects": 2, "visitors": 40, "events": 300, "days": 30, "hourly_events": 4}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PATHS = {
    "media_stats": r"stats/medias/{}\.json",
    "media_stats_by_date": "stats/medias/{}/by_date",
    "media_engagement": "stats/medias/{}/engagement",
    "captions": "medias/{}/captions",
}
NO_ROWS = ("null", *(pytest.param(body, marks=pytest.mark.slow) for body in ("[{}]", "{}", '{"foo": 1}', "7")))


def sync(warehouse: Warehouse, sandbox: Sandbox, hours: float = 0.0, **more: Any) -> SyncResult:
    """One run, in which every media is asked for everything."""
    select = more.pop("select", ())
    turns = {"refresh_within_hours": 0.01, "captions_refresh_within_hours": 0.01}
    return warehouse.sync(settings_for(sandbox, NOW + hours * HOUR, start_date=START, **turns, **more), select)


def rows_of(warehouse: Warehouse, table: str, media_id: str) -> list[str]:
    """A media's rows, and which load brought them."""
    return sorted(repr(sorted(row.items())) for row in warehouse.rows(table) if row["media_id"] == media_id)


def answer(sandbox: Sandbox, path: str, body: str) -> None:
    """From now on this is what the API says."""
    sandbox.faults.add(Fault(path, status=200, body=body, times=None))


@pytest.mark.parametrize("body", NO_ROWS)
def test_an_answer_without_rows_is_a_failure_of_its_media(
    duckdb_warehouse: Warehouse, living: Sandbox, body: str
) -> None:
    sync(duckdb_warehouse, living)
    captioned = {row["media_id"] for row in duckdb_warehouse.rows("captions")}
    played = [event["media_id"] for event in living.account.at(NOW).events()]
    media_id = max(captioned, key=played.count)
    known = {table: rows_of(duckdb_warehouse, table, media_id) for table in PATHS}
    assert all(known.values())
    asked = [row for row in duckdb_warehouse.rows("refreshes") if row["parent_id"] == media_id]
    living.account.restate_day(media_id, NOW.date() - 3 * DAY, plays=50)
    for path in PATHS.values():
        answer(living, path.format(media_id), body)
    result = sync(duckdb_warehouse, living, 1)
    assert result.status == "partial"
    failed = {(failure["resource"], failure["parent_id"]) for failure in result.failures}
    assert failed == {(table, media_id) for table in PATHS}
    assert {table: rows_of(duckdb_warehouse, table, media_id) for table in PATHS} == known
    still = [row for row in duckdb_warehouse.rows("refreshes") if row["parent_id"] == media_id]
    assert [row for row in asked if row["endpoint"] in PATHS] == [row for row in still if row["endpoint"] in PATHS]
    living.faults.clear()
    assert sync(duckdb_warehouse, living, 1).status == "ok"
    stats = living.account.at(NOW + HOUR).media_stats(media_id)
    (row,) = [row for row in duckdb_warehouse.rows("media_stats") if row["media_id"] == media_id]
    assert row["play_count"] == stats["play_count"]


@pytest.mark.slow
def test_days_that_were_answered_with_an_empty_list_are_still_to_be_read(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    media_id = living.account.at(NOW).medias()[0]["hashed_id"]
    answer(living, f"stats/medias/{media_id}/by_date", "[]")
    assert sync(duckdb_warehouse, living).status == "ok"
    assert rows_of(duckdb_warehouse, "media_stats_by_date", media_id) == []
    living.faults.clear()
    sync(duckdb_warehouse, living, 1)
    counts = {row["media_id"]: 0 for row in duckdb_warehouse.rows("media_stats_by_date")}
    for row in duckdb_warehouse.rows("media_stats_by_date"):
        counts[row["media_id"]] += 1
    assert counts[media_id] == max(counts.values())


@pytest.mark.slow
def test_captions_without_a_key_are_counted_and_delete_none(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    sync(duckdb_warehouse, living)
    media_id = duckdb_warehouse.rows("captions")[0]["media_id"]
    known = rows_of(duckdb_warehouse, "captions", media_id)
    answer(living, f"medias/{media_id}/captions", '[{"id": "1", "text": "Hello"}, {}]')
    result = sync(duckdb_warehouse, living, 1)
    assert (result.status, result.resources["captions"]["left_out"]) == ("ok", 2)
    assert rows_of(duckdb_warehouse, "captions", media_id) == known


@pytest.mark.slow
def test_a_media_is_not_deleted_because_an_answer_about_it_is_empty(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    sync(duckdb_warehouse, living)
    answer(living, r"medias\.json", "[]")
    answer(living, r"v1/medias/\w+\.json", "{}")
    result = sync(duckdb_warehouse, living, 1)
    assert result.status == "partial"
    assert {failure["resource"] for failure in result.failures} == {"medias"}
    assert {row["deleted_at"] for row in duckdb_warehouse.rows("medias")} == {None}


def test_sessions_without_a_key_are_told_apart_by_where_they_were_watched() -> None:
    first = {"received_at": "2026-06-01T10:00:00.000Z", "media_id": "abc", "ip": "192.0.2.1", "percent_viewed": 0.1}
    others = [{**first, "ip": "192.0.2.2"}, {**first, "embed_url": "https://example.com/"}]
    grown = {**first, "percent_viewed": 0.9}
    keys = []
    for row in (first, *others, grown):
        event = dict(row)
        fix_event(event, keep_public_token=False)
        keys.append(event["event_key"])
    assert len(set(keys)) == 3
    assert keys[0] == keys[-1]


def test_days_without_a_number_of_plays_are_not_compared(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    days = living.account.at(NOW).account_stats_by_date((NOW - 20 * DAY).date(), NOW.date())
    answer(living, "stats/account/by_date", json.dumps([{**day, "play_count": None} for day in days]))
    result = sync(duckdb_warehouse, living, select=("events", "account_stats_by_date"))
    compared = {found.date for found in result.days_outside_band}
    assert result.status == "ok"
    assert not compared & {(NOW - number * DAY).date() for number in range(20)}


def test_days_with_sessions_of_which_wistia_says_nothing_are_reported(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    answer(living, "stats/account/by_date", "[]")
    result = sync(duckdb_warehouse, living, select=("events", "account_stats_by_date"))
    assert result.days_outside_band
    assert {found.plays for found in result.days_outside_band} == {0}
