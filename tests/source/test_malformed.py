"""Answers that are not what they should be: they cost their own media a failure, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.sandbox import Sandbox

from tests.support.loaded import load_once
from tests.support.runs import SMALL, answer, by_parent, media_ids, view_at
from tests.support.sandbox import NOW, START, calls, settings_for
from tests.support.warehouse import Warehouse
from wistia_source.event_repair import repair_event

ACCOUNT = SMALL
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PATHS = {
    "media_stats": r"stats/medias/{}\.json",
    "media_stats_by_date": "stats/medias/{}/by_date",
    "media_engagement": "stats/medias/{}/engagement",
    "captions": "medias/{}/captions",
}
NO_ROWS: tuple[Any, ...] = (None, [{}], {}, {"foo": 1}, 7)


def sync(warehouse: Warehouse, sandbox: Sandbox, hours: float = 0.0, *select: str) -> SyncResult:
    """One run, in which every media is overdue for everything."""
    overdue = {"refresh_within_hours": 0.01, "captions_refresh_within_hours": 0.01}
    return warehouse.sync(settings_for(sandbox, NOW + hours * HOUR, start_date=START, **overdue), select)


@pytest.mark.slow
def test_an_answer_without_rows_is_a_failure_of_its_media(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_once(duckdb_warehouse, living)
    captioned = sorted(by_parent(duckdb_warehouse, "captions"))
    troubled = dict(zip(captioned, NO_ROWS, strict=True))

    def held() -> dict[str, Any]:
        tables = {table: by_parent(duckdb_warehouse, table) for table in PATHS}
        notes = [row for row in duckdb_warehouse.rows("refreshes") if row["endpoint"] in PATHS]
        known = {table: {id_: rows[id_] for id_ in troubled} for table, rows in tables.items()}
        return known | {"notes": [row for row in notes if row["parent_id"] in troubled]}

    before = held()
    for media_id, body in troubled.items():
        living.account.restate_day(media_id, NOW.date() - 3 * DAY, plays=50)
        for path in PATHS.values():
            answer(living, path.format(media_id), body)
    result = sync(duckdb_warehouse, living, 1, *PATHS)
    assert result.status == "partial"
    failed = {(failure["resource"], failure["parent_id"]) for failure in result.failures}
    assert failed == {(table, media_id) for table in PATHS for media_id in troubled}
    assert held() == before
    living.faults.clear()
    result = sync(duckdb_warehouse, living, 1, *PATHS)
    assert (result.status, result.failures) == ("ok", [])
    plays = {row["media_id"]: row["play_count"] for row in duckdb_warehouse.rows("media_stats")}
    view = view_at(living, NOW + HOUR)
    assert {id_: plays[id_] for id_ in troubled} == {id_: view.media_stats(id_)["play_count"] for id_ in troubled}


@pytest.mark.slow
def test_days_that_were_answered_with_an_empty_list_are_still_to_be_read(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    media_id = media_ids(living)[0]
    answer(living, f"stats/medias/{media_id}/by_date", [])
    assert sync(duckdb_warehouse, living, 0, "media_stats_by_date").status == "ok"
    assert media_id not in by_parent(duckdb_warehouse, "media_stats_by_date")
    living.faults.clear()
    sync(duckdb_warehouse, living, 1, "media_stats_by_date")
    days = by_parent(duckdb_warehouse, "media_stats_by_date")
    assert len(days[media_id]) == max(map(len, days.values()))


@pytest.mark.slow
def test_captions_without_a_key_are_counted_once_and_delete_none(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_once(duckdb_warehouse, living)
    known = by_parent(duckdb_warehouse, "captions")
    without_key, misfit = sorted(known)[:2]
    answer(living, f"medias/{without_key}/captions", [{"id": "1", "text": "Hello"}, {}])
    # because of this one, the rows of all are typed twice
    answer(living, f"medias/{misfit}/captions", [{"id": "c", "language": "eng", "is_draft": "perhaps"}])
    result = sync(duckdb_warehouse, living, 1, "captions")
    assert [failure["parent_id"] for failure in result.failures] == [misfit]
    assert result.resources["captions"]["left_out"] == 2
    assert by_parent(duckdb_warehouse, "captions") == known


@pytest.mark.slow
def test_a_media_is_not_deleted_because_an_answer_about_it_is_empty(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    load_once(duckdb_warehouse, living)
    answer(living, r"medias\.json", [])
    answer(living, r"v1/medias/\w+\.json", {})
    result = sync(duckdb_warehouse, living, 1, "medias")
    assert result.status == "partial"
    assert {failure["resource"] for failure in result.failures} == {"medias"}
    assert calls(living, 0, "v1/medias/")
    assert {row["deleted_at"] for row in duckdb_warehouse.rows("medias")} == {None}


def test_sessions_without_a_key_are_told_apart_by_where_they_were_watched() -> None:
    first = {"received_at": "2026-06-01T10:00:00.000Z", "media_id": "abc", "ip": "192.0.2.1", "percent_viewed": 0.1}
    others = [{**first, "ip": "192.0.2.2"}, {**first, "embed_url": "https://example.com/"}]
    grown = {**first, "percent_viewed": 0.9}
    keys = []
    for row in (first, *others, grown):
        event = dict(row)
        repair_event(event, keep_public_token=False)
        keys.append(event["event_key"])
    assert len(set(keys)) == 3
    assert keys[0] == keys[-1]


def test_days_of_which_wistia_says_nothing_are_reported_and_those_without_a_number_are_not_compared(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    days = view_at(living).account_stats_by_date((NOW - 20 * DAY).date(), NOW.date())
    answer(living, "stats/account/by_date", [{**day, "play_count": None} for day in days])
    result = sync(duckdb_warehouse, living, 0, "events", "account_stats_by_date")
    assert result.status == "ok"
    reported = {found.date: found.plays for found in result.days_outside_band}
    assert reported
    assert set(reported.values()) == {0}
    assert max(reported) < (NOW - 20 * DAY).date()
