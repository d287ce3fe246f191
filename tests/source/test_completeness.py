"""Every row that Wistia shows lands, once and whole, and stays."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from wistia_pipeline.sandbox import Account, Fault, Sandbox
from wistia_pipeline.sandbox.view import View

from tests.support.commands import folder_at_now
from tests.support.folder import rows as rows_in
from tests.support.loaded import load_once
from tests.support.runs import SMALL, media_ids, sync, view_at
from tests.support.sandbox import NOW, START, TOKEN, at, sessions, settings_for, source_of
from tests.support.waiting import Waiting
from tests.support.warehouse import MOSTLY_DUCKDB, Warehouse
from wistia_source import wistia
from wistia_source.endpoints import BY_NAME, COMPANIONS, ENDPOINTS
from wistia_source.rows import primary_key

ACCOUNT: dict[str, Any] = SMALL
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TODAY = NOW.date()
FEEDS = ("events", "visitors")
FIGURES = ("load_count", "play_count", "hours_watched")


def active(rows: list[dict[str, Any]], *names: str) -> Counter[tuple[Any, ...]]:
    """Visitors, and when they were last active."""
    return Counter((row["visitor_key"], at(row, "last_active_at"), *(row[name] for name in names)) for row in rows)


def days_of(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """The figures of each day."""
    days = {str(row["date"]): tuple(float(row[name]) for name in FIGURES) for row in rows}
    assert len(days) == len(rows)
    return days


# rows


@MOSTLY_DUCKDB
def test_rows_in_are_rows_out_every_key_is_whole_and_unique_and_nothing_is_requested_twice(
    warehouse: Warehouse, living: Sandbox
) -> None:
    living.page_cap = 20
    seen: set[str] = set()
    requests = []
    for now in (NOW, NOW + HOUR):
        before = len(living.log)
        result = warehouse.sync(settings_for(living, now, start_date=START))
        asked = Counter((call.path, *sorted(call.query.items())) for call in living.log[before:])
        assert [call for call, times in asked.items() if times > 1] == []
        requests.append(asked.total())
        assert (result.status, result.requests) == ("ok", requests[-1])
        for endpoint in (*ENDPOINTS, *COMPANIONS):
            rows = warehouse.rows(endpoint.name)
            keys = [tuple(row[name] for name in primary_key(endpoint)) for row in rows]
            assert len(set(keys)) == len(keys), endpoint.name
            assert None not in {part for key in keys for part in key}, endpoint.name
            if endpoint.name in BY_NAME:
                brought = [row for row in rows if row["_dlt_load_id"] not in seen]
                assert len(brought) == result.resources[endpoint.name]["rows"], endpoint.name
                assert brought or seen, endpoint.name
        seen |= {row["_dlt_load_id"] for name in BY_NAME for row in warehouse.rows(name)}
    # what the first run left in the warehouse is known to the second
    assert requests[1] < requests[0] / 2


def test_rows_without_a_key_are_left_out_counted_and_named(living: Sandbox, tmp_path: Path) -> None:
    good = view_at(living).visitors()[0]
    bodies = {
        "stats/visitors": [{}, good, {**good, "visitor_key": None}],
        r"medias/\w+/captions": [{"id": "c", "language": None}, {"id": "c", "language": "eng"}],
    }
    for path, body in bodies.items():
        living.faults.add(Fault(path, status=200, body=json.dumps(body), times=1))
        living.faults.add(Fault(path, status=200, body="[]", times=None))
    folder = folder_at_now(tmp_path / "user", living)
    done = folder.invoke("sync", "--select", "visitors,captions")
    assert done.returncode == 0, done.stderr
    said = re.findall(r"^Left out: (\d+) rows? of (\w+) that", done.stderr, re.MULTILINE)
    assert {name: int(number) for number, name in said} == {"visitors": 2, "captions": 1}
    assert rows_in(folder.warehouse, "select visitor_key from wistia_raw.visitors") == [(good["visitor_key"],)]
    assert rows_in(folder.warehouse, "select language from wistia_raw.captions") == [("eng",)]


@pytest.mark.slow
def test_rows_that_come_while_pages_are_read_are_neither_missed_nor_doubled(duckdb_warehouse: Warehouse) -> None:
    account = Account(seed=29, start=NOW, medias=8, projects=1, visitors=200, events=600, days=18, hourly_events=1_800)
    there = account.at(NOW)
    with Sandbox(account, rate_limit=None, page_cap=10) as server:
        ticks = count()
        source = source_of(server, start_date=START).with_resources(*FEEDS, "refreshes")
        server.now = lambda: NOW + next(ticks) * timedelta(seconds=2)
        duckdb_warehouse.load(source)
        meanwhile = account.at(server.now())
        assert len(meanwhile.events()) > len(there.events()) + 100
        assert not sessions(there.events()) - sessions(duckdb_warehouse.rows("events"))
        # whoever was active meanwhile has moved to the top, which the next run reads
        still = active(there.visitors()) & active(meanwhile.visitors())
        assert len(still) > 50
        assert still <= active(duckdb_warehouse.rows("visitors"))
        server.page_cap = 100
        lookbacks = {f"{name}_lookback_hours": 48 for name in FEEDS}
        sync(duckdb_warehouse, server, NOW + HOUR, FEEDS, **lookbacks)
    view = account.at(NOW + HOUR)
    assert sessions(duckdb_warehouse.rows("events"), "percent_viewed") == sessions(view.events(), "percent_viewed")
    assert active(duckdb_warehouse.rows("visitors"), "play_count") == active(view.visitors(), "play_count")


@pytest.mark.slow
def test_sessions_that_wistia_has_dropped_stay(duckdb_warehouse: Warehouse) -> None:
    month = 30 * DAY
    account = Account(
        seed=31, start=NOW, medias=5, projects=1, visitors=60, events=400, days=60, hourly_events=1, retention=month
    )
    later = NOW + 20 * DAY
    shown, still_shown = sessions(account.at(NOW).events()), sessions(account.at(later).events())
    assert len(shown | still_shown) > len(still_shown) + 50
    with Sandbox(account, rate_limit=None) as server:
        sync(duckdb_warehouse, server, NOW, ("events",))
        # all that Wistia still has is read again
        sync(duckdb_warehouse, server, later, ("events",), start_date="2026-01-01", events_lookback_hours=2_000)
    assert sessions(duckdb_warehouse.rows("events")) == shown | still_shown


# medias and days


@pytest.mark.slow
def test_more_medias_than_a_page_land_whole_and_the_state_stays_small(duckdb_warehouse: Warehouse) -> None:
    account = Account(seed=2, start=NOW, medias=104, projects=2, visitors=200, events=700, days=30, hourly_events=20)
    sizes = []
    with Sandbox(account, rate_limit=None) as server:
        for hour in range(2):
            sync(duckdb_warehouse, server, NOW + hour * HOUR, (*FEEDS, "media_stats_by_date"), start_date="2026-05-28")
            states = duckdb_warehouse.rows("_dlt_pipeline_state", "version, state")
            sizes.append(len(max(states, key=lambda row: int(row["version"]))["state"]))
            if hour == 0:
                days = Counter(row["media_id"] for row in duckdb_warehouse.rows("media_stats_by_date"))
                assert days == Counter({media["hashed_id"]: 19 for media in account.at(NOW).medias()})
                assert len(days) == 104
    # it is stored again with each run: without keys, ids or rows of any kind
    assert max(sizes) < 600
    assert max(sizes) - min(sizes) < 20


@pytest.mark.slow
def test_a_day_that_was_half_over_or_is_restated_is_right_the_next_day(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    parents: dict[str, tuple[str, Callable[[View], list[str]]]] = {
        "account_stats_by_date": ("account_id", lambda view: [""]),
        "media_stats_by_date": ("media_id", lambda view: [media["hashed_id"] for media in view.medias()]),
        "project_stats_by_date": ("project_id", lambda view: [project["hashedId"] for project in view.projects()]),
    }
    begun: list[tuple[Any, ...]] = []

    def assert_right(view: View, until: date) -> None:
        since = until - 13 * DAY
        for table, (key, ids) in parents.items():
            recent = [row for row in duckdb_warehouse.rows(table) if row["date"] >= since]
            for id_ in ids(view):
                ask = getattr(view, table)
                wanted = days_of(ask(id_, since, until) if id_ else ask(since, until))
                assert days_of([row for row in recent if row[key] == id_ or not id_]) == wanted, (table, id_)
                if not id_:
                    begun.append(wanted[str(TODAY)])

    load_once(duckdb_warehouse, living)
    assert_right(view_at(living), TODAY)
    living.account.restate_day(media_ids(living)[0], TODAY - 9 * DAY, loads=9, plays=7)
    sync(duckdb_warehouse, living, NOW + DAY, tuple(parents))
    assert_right(view_at(living, NOW + DAY), TODAY + DAY)
    assert begun[0] < begun[1]


def test_a_media_that_comes_later_or_failed_at_first_gets_its_whole_history(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    later, lost, unplayed = (living.account.medias[number].hashed_id for number in (4, 0, 11))
    living.account.delete_media(later)
    living.faults.add(Fault(f"medias/{lost}/by_date", status=500, times=None))

    def days_after(now: Any) -> dict[str, list[dict[str, Any]]]:
        sync(duckdb_warehouse, living, now, ("media_stats_by_date",))
        days: dict[str, list[dict[str, Any]]] = {}
        for row in duckdb_warehouse.rows("media_stats_by_date"):
            days.setdefault(row["media_id"], []).append(row)
        asked = {
            row["parent_id"]: (row["from_date"], row["through_date"], row["result"])
            for row in duckdb_warehouse.rows("refreshes")
            if row["endpoint"] == "media_stats_by_date"
        }
        assert days.keys() == asked.keys()
        # a media without plays has days, too: they are zero, not missing
        assert asked[unplayed] == (date.fromisoformat(START), TODAY, "ok")
        assert [row["play_count"] for row in days[unplayed]] == [0] * 46
        return days

    assert not days_after(NOW).keys() & {later, lost}
    living.account.restore_media(later)
    living.faults.clear()
    days = days_after(NOW + HOUR)
    for media_id in (later, lost):
        wanted = days_of(view_at(living, NOW + HOUR).media_stats_by_date(media_id, START, TODAY))
        assert days_of(days[media_id]) == wanted
        assert min(wanted) == START
        assert sum(plays for _, plays, _ in wanted.values()) > 0


@pytest.mark.slow
def test_the_lookback_of_visitors_is_a_setting(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_once(duckdb_warehouse, living)
    late = max(row["last_active_at"] for row in duckdb_warehouse.rows("visitors")) - 6 * HOUR
    session = living.account.add_late_event(media_ids(living)[0], late)
    sync(duckdb_warehouse, living, NOW, ("visitors",), visitors_lookback_hours=6)
    last = {row["visitor_key"]: row["last_active_at"] for row in duckdb_warehouse.rows("visitors")}
    assert last[view_at(living).event(session)["visitor_key"]] == late


def test_a_media_counts_as_refreshed_from_when_it_was_requested() -> None:
    """What happens later is not in the answer."""
    with Waiting(Account(start=NOW, **ACCOUNT), now=lambda: NOW, rate_limit=None, token=TOKEN) as server:
        # without `now`, the source goes by the machine's clock, which moves
        source = wistia(access_token=server.token, base_url=server.url, start_date="2020-01-01")
        tables = list(source.with_resources("media_stats", "refreshes"))
        notes = [row for table in tables if "refreshed_at" in table.column_names for row in table.to_pylist()]
        assert len(notes) == 12
        for row in notes:
            assert row["refreshed_at"] <= server.arrived[f"/v1/stats/medias/{row['parent_id']}.json"]
