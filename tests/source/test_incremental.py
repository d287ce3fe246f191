"""What a second run asks and changes: late rows, growing sessions, due medias, faults, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from wistia_pipeline.sandbox import Account, Fault, Sandbox

from tests.support.loaded import load_once
from tests.support.sandbox import NOW, calls, failed_in, settings_for, source_of
from tests.support.warehouse import IN_BOTH, Warehouse
from wistia_source import wistia
from wistia_source.endpoints import COMPANIONS, ENDPOINTS, Endpoint
from wistia_source.tuning import Tuning
from wistia_source.warehouse import Warehouse as KnownRows

HOUR = timedelta(hours=1)
START = "2026-03-01"
ACCOUNT = {"seed": 11, "medias": 14, "projects": 4, "visitors": 200, "events": 900, "days": 100, "hourly_events": 6}


def sync(
    warehouse: Warehouse, sandbox: Sandbox, now: datetime = NOW, only: tuple[str, ...] = (), **arguments: Any
) -> int:
    """One run; how many requests the server saw."""
    before = len(sandbox.log)
    source = source_of(sandbox, now, start_date=START, **arguments)
    warehouse.load(source.with_resources(*only, "refreshes") if only else source)
    return len(sandbox.log) - before


def first_sync(warehouse: Warehouse, sandbox: Sandbox, only: tuple[str, ...] = (), **arguments: Any) -> None:
    """The first run of a test that is about later ones: what another test has loaded is copied."""
    load_once(warehouse, sandbox, select=only, start_date=START, **arguments)


def contents(warehouse: Warehouse, leave_out: tuple[str, ...] = ()) -> dict[str, Counter[str]]:
    """Every row of every table, load ids and all."""
    return warehouse.contents(leave_out, ())


def asked(sandbox: Sandbox, since: int, path: str) -> list[str]:
    """Paths asked for since a number of requests."""
    return [call.path for call in calls(sandbox, since, path)]


def test_a_second_sync_with_nothing_new_changes_no_row_and_asks_little(warehouse: Warehouse, sandbox: Sandbox) -> None:
    first = sync(warehouse, sandbox)
    before = contents(warehouse)
    second = sync(warehouse, sandbox)
    assert contents(warehouse) == before
    assert second <= first / 3
    assert second <= 12


def test_an_hourly_run_compares_only_what_it_reads_again(
    duckdb_warehouse: Warehouse, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(duckdb_warehouse, sandbox, only=("events", "visitors"))
    compared: dict[str, Any] = {}
    read_back = KnownRows.held

    def recorded(known: KnownRows, endpoint: Endpoint, **bounds: Any) -> Any:
        compared[endpoint.name] = bounds.get("since")
        return read_back(known, endpoint, **bounds)

    monkeypatch.setattr(KnownRows, "held", recorded)
    sync(duckdb_warehouse, sandbox, only=("events", "visitors"))
    assert compared["events"] >= NOW - timedelta(days=1)
    assert compared["visitors"] >= NOW - timedelta(days=1)


def test_a_minute_later_only_account_stats_has_a_new_row(duckdb_warehouse: Warehouse, sandbox: Sandbox) -> None:
    sync(duckdb_warehouse, sandbox)
    before = contents(duckdb_warehouse, leave_out=("account_stats", "refreshes"))
    source = source_of(sandbox, NOW + timedelta(minutes=1), start_date=START)
    sandbox.now = lambda: NOW
    duckdb_warehouse.load(source)
    assert contents(duckdb_warehouse, leave_out=("account_stats", "refreshes")) == before
    captured = sorted(row["captured_at"] for row in duckdb_warehouse.rows("account_stats"))
    assert captured == [NOW, NOW + timedelta(minutes=1)]


@IN_BOTH
def test_an_hour_later_the_warehouse_equals_the_account_again(
    warehouse: Warehouse, living: Sandbox, account: Account
) -> None:
    first_sync(warehouse, living)
    later = NOW + HOUR
    requests = sync(warehouse, living, later)
    view = living_view(living, later)
    events = {(e["event_key"], e["visitor_key"]): e for e in view.events() if e.get("event_key") and e["visitor_key"]}
    got = {(r["event_key"], r["visitor_key"]): r for r in warehouse.rows("events")}
    assert {key: got[key]["percent_viewed"] for key in events if key in got} == {
        key: float(row["percent_viewed"]) for key, row in events.items() if key in got
    }
    new = {key for key, row in events.items() if row["received_at"] >= NOW.isoformat()}
    assert new
    assert new <= got.keys()
    played = {events[key]["media_id"] for key in new} & {media["hashed_id"] for media in view.medias()}
    stats = {row["media_id"]: row for row in warehouse.rows("media_stats")}
    for media_id in played:
        assert stats[media_id]["play_count"] == view.media_stats(media_id)["play_count"]
    daily = {(r["media_id"], r["date"]): r["play_count"] for r in warehouse.rows("media_stats_by_date")}
    for media_id in played:
        for day in view.media_stats_by_date(media_id, "2026-06-10", "2026-06-15"):
            assert daily[media_id, datetime.fromisoformat(day["date"]).date()] == day["play_count"]
    assert requests < 10 + 3 * (len(played) + 15) + 2 * 4 + 5


def living_view(sandbox: Sandbox, now: datetime) -> Any:
    """What the account holds at a moment."""
    return sandbox.account.at(now)


@IN_BOTH
def test_rows_that_arrive_late_or_grow_within_the_lookback_land(warehouse: Warehouse, living: Sandbox) -> None:
    first_sync(warehouse, living)
    view = living_view(living, NOW)
    media_id = next(media["hashed_id"] for media in view.medias() if media["type"] == "Video")
    late = living.account.add_late_event(media_id, NOW - timedelta(hours=2), percent_viewed=0.25)
    grown = next(e["event_key"] for e in view.events() if e.get("event_key"))
    living.account.restate_event(grown, percent_viewed=0.875)
    sync(warehouse, living, NOW + timedelta(minutes=5))
    viewed = {row["event_key"]: row["percent_viewed"] for row in warehouse.rows("events")}
    assert viewed[late] == 0.25
    assert viewed[grown] == 0.875
    keys = [(row["event_key"], row["visitor_key"]) for row in warehouse.rows("events")]
    assert len(keys) == len(set(keys))


@pytest.mark.slow
def test_once_a_day_sessions_are_read_again_two_days_back(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    media_id = living_view(living, NOW).medias()[0]["hashed_id"]

    def late_one_lands(after: timedelta, age: timedelta) -> bool:
        now = NOW + after
        key = living.account.add_late_event(media_id, now - age)
        sync(duckdb_warehouse, living, now, only=("events",))
        return key in {row["event_key"] for row in duckdb_warehouse.rows("events")}

    sync(duckdb_warehouse, living, only=("events",))
    assert late_one_lands(HOUR, timedelta(hours=2))
    assert not late_one_lands(2 * HOUR, timedelta(hours=30))
    assert late_one_lands(24 * HOUR, timedelta(hours=40))
    assert {row["percent_viewed"] for row in duckdb_warehouse.rows("events")} >= {0.5}
    assert not late_one_lands(25 * HOUR, timedelta(hours=30))
    assert late_one_lands(49 * HOUR, timedelta(hours=40))


@pytest.mark.parametrize("hours_late", [*(pytest.param(late, marks=pytest.mark.slow) for late in (4, 26.5)), 47])
def test_what_shows_up_to_two_days_late_lands_with_its_visitor(
    duckdb_warehouse: Warehouse, living: Sandbox, hours_late: float
) -> None:
    only = ("events", "visitors")
    media_id = living_view(living, NOW).medias()[0]["hashed_id"]
    # a scheduler may begin a little earlier than the day before
    early = timedelta(seconds=40)
    for now in (NOW, NOW + 24 * HOUR - early):
        sync(duckdb_warehouse, living, now, only=only)
    late = living.account.add_late_event(media_id, NOW + (24.5 - hours_late) * HOUR)
    for now in (NOW + 25 * HOUR, NOW + 48 * HOUR - 2 * early):
        sync(duckdb_warehouse, living, now, only=only)
    visitors = {row["event_key"]: row["visitor_key"] for row in duckdb_warehouse.rows("events")}
    assert late in visitors
    plays = {row["visitor_key"]: row["play_count"] for row in duckdb_warehouse.rows("visitors")}
    shown = {row["visitor_key"]: row["play_count"] for row in living_view(living, now).visitors()}
    assert plays[visitors[late]] == shown[visitors[late]]


@pytest.mark.slow
def test_a_run_by_a_clock_that_was_ahead_holds_up_none_after_it(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    only = ("events", "media_stats", "media_stats_by_date")
    first_sync(duckdb_warehouse, living, only=only)
    # Wistia's own clock is right
    ahead = source_of(living, NOW + timedelta(days=400), start_date=START)
    living.now = lambda: NOW + HOUR
    duckdb_warehouse.load(ahead.with_resources(*only, "refreshes"))
    now = NOW + timedelta(days=2)
    media_id = living_view(living, now).events()[0]["media_id"]
    late = living.account.add_late_event(media_id, now - 40 * HOUR)
    sync(duckdb_warehouse, living, now, only=only)
    assert late in {row["event_key"] for row in duckdb_warehouse.rows("events")}
    view = living_view(living, now)
    for row in duckdb_warehouse.rows("media_stats"):
        assert row["play_count"] == view.media_stats(row["media_id"])["play_count"]
    turns = [
        row for row in duckdb_warehouse.rows("refreshes") if row["endpoint"] in only and row["endpoint"] != "events"
    ]
    assert max(row["refreshed_at"] for row in turns) <= now


def test_lookbacks_and_turns_are_settings(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    only = ("events", "media_stats_by_date", "media_engagement", "captions")
    settings: dict[str, Any] = {
        "events_lookback_hours": 30,
        "events_deep_lookback_hours": 30,
        "by_date_lookback_days": 3,
        "refresh_within_hours": 1,
        "captions_refresh_within_hours": 1,
        "history_refresh_within_hours": 10_000,
    }
    first_sync(duckdb_warehouse, living, only=only, **settings)
    media_id = living_view(living, NOW).medias()[0]["hashed_id"]
    late = living.account.add_late_event(media_id, NOW - timedelta(hours=25))
    before = len(living.log)
    sync(duckdb_warehouse, living, NOW + HOUR, only=only, **settings)
    assert late in {row["event_key"] for row in duckdb_warehouse.rows("events")}
    listed = len(living_view(living, NOW).medias())
    assert len(asked(living, before, "/engagement")) >= listed
    assert len(asked(living, before, "/captions")) >= listed
    starts = {call.query["start_date"] for call in list(living.log)[before:] if "by_date" in call.path}
    assert "2026-06-12" in starts


@pytest.mark.slow
def test_all_days_of_a_media_are_asked_once_a_week(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    only = ("media_stats_by_date",)
    first_sync(duckdb_warehouse, living, only=only)
    whole: Counter[str] = Counter()
    for day in range(1, 8):
        before = len(living.log)
        sync(duckdb_warehouse, living, NOW + timedelta(days=day), only=only)
        calls = [call for call in list(living.log)[before:] if "by_date" in call.path]
        whole.update(call.path for call in calls if call.query["start_date"] == START)
        assert len(calls) >= 14
    listed = [media["hashed_id"] for media in living_view(living, NOW).medias()]
    assert all(whole[f"/v1/stats/medias/{media_id}/by_date.json"] == 1 for media_id in listed)


def test_a_session_from_the_future_does_not_hide_what_comes_after_it(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    media_id = living_view(living, NOW).medias()[0]["hashed_id"]
    living.account.add_late_event(media_id, NOW - HOUR)
    sync(duckdb_warehouse, living, only=("events",))
    living.account.add_late_event(media_id, NOW + timedelta(hours=30))
    # the sandbox's clock runs ahead of ours, so that it shows the session already
    source = source_of(living, NOW, start_date=START)
    living.now = lambda: NOW + timedelta(hours=31)
    duckdb_warehouse.load(source.with_resources("events"))
    late = living.account.add_late_event(media_id, NOW + timedelta(minutes=10))
    sync(duckdb_warehouse, living, NOW + timedelta(minutes=20), only=("events",))
    assert late in {row["event_key"] for row in duckdb_warehouse.rows("events")}


def test_a_media_that_vanishes_keeps_its_rows_and_may_come_back(warehouse: Warehouse, living: Sandbox) -> None:
    only = ("medias", "media_stats")

    def state(now: datetime) -> tuple[Any, Any]:
        sync(warehouse, living, now, only=only)
        (row,) = [row for row in warehouse.rows("medias") if row["media_id"] == media_id]
        assert len(warehouse.rows("media_stats")) >= 14
        return row.pop("deleted_at"), {name: value for name, value in row.items() if name[0] != "_"}

    media_id = living_view(living, NOW).medias()[5]["hashed_id"]
    assert state(NOW)[0] is None
    before = state(NOW)
    living.account.delete_media(media_id)
    gone_at, row = state(NOW + HOUR)
    assert gone_at == NOW + HOUR
    assert row == before[1]
    calls = len(living.log)
    assert state(NOW + 2 * HOUR) == (gone_at, row)
    assert not asked(living, calls, media_id)
    living.account.restore_media(media_id)
    assert state(NOW + 3 * HOUR) == before


def test_a_media_that_a_shifting_page_skipped_is_not_taken_for_deleted(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    first_sync(duckdb_warehouse, living, only=("medias", "projects"))
    listed = living_view(living, NOW).medias()
    short = json.dumps([media for media in listed if not media["archived"]][1:])
    living.faults.add(Fault("v1/medias.json", status=200, times=2, body=short))
    sync(duckdb_warehouse, living, NOW + HOUR, only=("medias",))
    assert all(row["deleted_at"] is None for row in duckdb_warehouse.rows("medias"))
    assert len(duckdb_warehouse.rows("medias")) == len(listed)


@pytest.mark.slow
def test_two_accounts_share_a_warehouse_without_missing_anything(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    first_sync(duckdb_warehouse, living)
    other = Account(seed=12, start=NOW, medias=10, projects=2, visitors=60, events=300, days=100)
    with Sandbox(other, rate_limit=None) as second:
        for now in (NOW, NOW + HOUR):
            sync(duckdb_warehouse, second, now)
            sync(duckdb_warehouse, living, now)
        for server in (living, second):
            view = living_view(server, NOW + HOUR)
            own = str(view.account()["id"])
            for table, held in (("events", view.events()), ("visitors", view.visitors()), ("medias", view.medias())):
                at = {"events": "received_at", "visitors": "last_active_at", "medias": "hashed_id"}[table]
                wanted = [row for row in held if table == "medias" or row[at] >= START]
                got = [row for row in duckdb_warehouse.rows(table) if row["account_id"] == own]
                assert len(got) == len(wanted) > 0, (table, own)


@pytest.mark.parametrize("first", [("events",), ("media_stats",)])
def test_stats_follow_sessions_whatever_was_loaded_first(
    duckdb_warehouse: Warehouse, living: Sandbox, first: tuple[str, ...]
) -> None:
    quiet = Account(seed=13, start=NOW, medias=5, projects=1, visitors=5, events=0, days=30, hourly_events=4)
    with Sandbox(quiet, rate_limit=None) as server:
        sync(duckdb_warehouse, server, only=first)
        sync(duckdb_warehouse, server, NOW + timedelta(minutes=1))
        sync(duckdb_warehouse, server, NOW + HOUR)
        view = living_view(server, NOW + HOUR)
        played = {event["media_id"] for event in view.events() if event["received_at"] > NOW.isoformat()}
        assert played
        stats = {row["media_id"]: row["play_count"] for row in duckdb_warehouse.rows("media_stats")}
        assert {id_: stats[id_] for id_ in played} == {id_: view.media_stats(id_)["play_count"] for id_ in played}


@pytest.mark.slow
def test_an_earlier_start_takes_effect(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    def load(start: str, now: datetime) -> dict[str, Counter[str]]:
        duckdb_warehouse.load(source_of(living, now, start_date=start))
        return contents(duckdb_warehouse, leave_out=("refreshes", "account_stats"))

    load("2026-06-01", NOW)
    sizes = {table: sum(rows.values()) for table, rows in load("2026-04-01", NOW).items()}
    (Path.cwd() / "warehouse.duckdb").unlink()
    assert sizes == {table: sum(rows.values()) for table, rows in load("2026-04-01", NOW).items()}
    before = len(living.log)
    load("2026-05-01", NOW)
    assert len(living.log) - before <= 12


@pytest.mark.parametrize(
    "path", ["stats/events", "stats/visitors", "v1/medias.json", "account/by_date", "stats/account.json"]
)
def test_a_list_that_keeps_failing_costs_the_others_nothing(
    duckdb_warehouse: Warehouse, living: Sandbox, path: str
) -> None:
    living.faults.add(Fault(path, status=500, times=None, after=2 if path == "stats/visitors" else 0))
    source = source_of(living, start_date=START)
    duckdb_warehouse.load(source)
    lost = {name for name, resource in source.resources.items() if resource.custom_metrics.get("failures")}
    depend_on_medias = {name for name in source.resources if name.startswith(("media", "captions"))}
    assert (
        lost
        == {
            "stats/events": {"events"},
            "stats/visitors": {"visitors"},
            "v1/medias.json": depend_on_medias - {"media_stats__actions"},
            "account/by_date": {"account_stats_by_date"},
            "stats/account.json": {"account_stats"},
        }[path]
    )
    living.faults.clear()
    sync(duckdb_warehouse, living)
    view = living_view(living, NOW)
    for table, held, at in (("events", view.events(), "received_at"), ("visitors", view.visitors(), "last_active_at")):
        assert len(duckdb_warehouse.rows(table)) == len([row for row in held if row[at] >= START])
    assert len(duckdb_warehouse.rows("medias")) == len(view.medias())
    assert len(duckdb_warehouse.rows("account_stats_by_date")) > 50


def test_a_row_that_does_not_fit_costs_only_its_media(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    media_id = living_view(living, NOW).medias()[0]["hashed_id"]
    answer(living, f"medias/{media_id}/captions", [{"id": "c", "language": "eng", "is_draft": "perhaps"}])
    answer(living, f"stats/medias/{media_id}/by_date", [{"date": "2026-06-01", "play_count": "many"}])
    source = source_of(living, start_date=START)
    duckdb_warehouse.load(source)
    failures = {name: r.custom_metrics.get("failures", []) for name, r in source.resources.items()}
    assert {name: [failure["parent_id"] for failure in all_] for name, all_ in failures.items() if all_} == {
        "captions": [media_id],
        "media_stats_by_date": [media_id],
    }
    assert "many" not in str(failures)
    assert failures["media_stats_by_date"][0]["error"] == (
        f"media_stats_by_date.play_count should be bigint, but Wistia sent text that does not fit, in the row with "
        f"media_id '{media_id}', date '2026-06-01'; it is not loaded: please report it."
    )
    assert len({row["media_id"] for row in duckdb_warehouse.rows("media_stats_by_date")}) == 13


@pytest.mark.parametrize("status", [pytest.param(404, marks=pytest.mark.slow), 500])
def test_one_failing_media_costs_the_others_nothing_and_is_asked_again(
    duckdb_warehouse: Warehouse, living: Sandbox, status: int
) -> None:
    media_id = living_view(living, NOW).medias()[3]["hashed_id"]
    living.faults.add(Fault(f"stats/medias/{media_id}", status=status, times=None))
    source = source_of(living, start_date=START)
    duckdb_warehouse.load(source)
    assert failed_in(source) == {
        (name, media_id) for name in ("media_stats", "media_stats_by_date", "media_engagement")
    }
    loaded = {row["media_id"] for row in duckdb_warehouse.rows("media_stats")}
    assert len(loaded) == len(living_view(living, NOW).medias()) - 1
    living.faults.clear()
    # what Wistia says is not there is asked at its next turn, what failed at once
    sync(duckdb_warehouse, living, NOW + timedelta(days=1) if status == 404 else NOW)
    assert media_id in {row["media_id"] for row in duckdb_warehouse.rows("media_stats")}
    assert media_id in {row["media_id"] for row in duckdb_warehouse.rows("media_stats_by_date")}


def answer(sandbox: Sandbox, path: str, body: Any) -> None:
    """Makes the sandbox answer this from now on."""
    sandbox.faults.add(Fault(path, status=200, times=None, body=json.dumps(body)))


@pytest.mark.slow
def test_lists_of_a_media_lose_what_wistia_no_longer_shows(warehouse: Warehouse, living: Sandbox) -> None:
    media_id = living_view(living, NOW).medias()[0]["hashed_id"]
    action = {"type": "call_to_action", "action_count": 1, "impression_count": 4, "rate": 0.25}
    caption = {"id": "c1", "language": "eng", "is_draft": False, "text": "a"}
    only = ("media_stats", "media_stats__actions", "captions")

    def run(day: int, actions: list[Any] | None, captions: list[Any]) -> tuple[list[Any], list[Any]]:
        living.faults.clear()
        stats = {"load_count": 1, "play_count": 1} | ({} if actions is None else {"actions": actions})
        answer(living, f"stats/medias/{media_id}(.json)?$", stats)
        answer(living, f"medias/{media_id}/captions", captions)
        sync(warehouse, living, NOW + timedelta(days=8 * day), only=only)
        return (
            sorted(r["action_count"] for r in warehouse.rows("media_stats__actions") if r["media_id"] == media_id),
            sorted(r["text"] for r in warehouse.rows("captions") if r["media_id"] == media_id),
        )

    second = caption | {"id": "c2", "text": "b"}
    assert run(0, [action, action | {"action_count": 2}], [caption, second]) == ([1, 2], ["a", "b"])
    others = len(warehouse.rows("captions"))
    assert run(1, [action | {"action_count": 3}], [second]) == ([3], ["b"])
    assert run(2, None, []) == ([], [])
    assert run(3, [action], [caption]) == ([1], ["a"])
    assert len(warehouse.rows("captions")) >= others - 2


def test_every_table_is_there_even_when_nothing_was_found(duckdb_warehouse: Warehouse) -> None:
    bare = Account(start=NOW, medias=1, projects=1, visitors=1, events=1, days=3)
    with Sandbox(bare, rate_limit=None) as server:
        answer(server, "stats/(events|visitors)", [])
        answer(server, "medias", [])
        sync(duckdb_warehouse, server)
    expected = {endpoint.name for endpoint in (*ENDPOINTS, *COMPANIONS)}
    assert duckdb_warehouse.tables() == expected


def test_project_by_date_may_be_absent_from_the_api(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    living.project_by_date = False
    source = source_of(living, start_date=START)
    duckdb_warehouse.load(source)
    assert duckdb_warehouse.rows("project_stats_by_date") == []
    assert "failures" not in source.resources["project_stats_by_date"].custom_metrics
    results = {r["result"] for r in duckdb_warehouse.rows("refreshes") if r["endpoint"] == "project_stats_by_date"}
    assert results == {"not_found"}
    before = len(living.log)
    sync(duckdb_warehouse, living)
    assert not asked(living, before, "stats/projects")


@pytest.mark.slow
def test_local_state_may_be_lost(warehouse: Warehouse, living: Sandbox, tmp_path: Path) -> None:
    first = sync(warehouse, living)
    before = contents(warehouse)
    shutil.rmtree(tmp_path / "dlt")
    assert sync(warehouse, living) <= first / 3
    assert contents(warehouse) == before


@pytest.mark.slow
def test_a_lost_warehouse_is_loaded_whole_again(duckdb_warehouse: Warehouse, living: Sandbox, tmp_path: Path) -> None:
    first = sync(duckdb_warehouse, living)
    before = {table: sum(rows.values()) for table, rows in contents(duckdb_warehouse).items()}
    (tmp_path / "warehouse.duckdb").unlink()
    sync(duckdb_warehouse, living)
    log = [(call.path, *sorted(call.query.items())) for call in living.log]
    asked_first, asked_again = Counter(log[:first]), Counter(log[first:])
    # the list of archived medias ends a page sooner if the longer list of the others has come before it
    by_chance = ("/v1/medias.json", ("archived", "true"), ("page", "2"), ("per_page", "100"))
    assert max(asked_first.pop(by_chance, 0), asked_again.pop(by_chance, 0)) <= 1
    assert asked_again == asked_first
    assert {table: sum(rows.values()) for table, rows in contents(duckdb_warehouse).items()} == before


def test_one_session_and_one_visitor_are_refreshed_by_key(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    first_sync(duckdb_warehouse, living)
    old = living_view(living, NOW).events()[-1]
    newer = living_view(living, NOW).events()[700]
    key, visitor = newer["event_key"], newer["visitor_key"]
    living.account.restate_event(key, percent_viewed=0.4375, email="late@example.com")
    state = contents(duckdb_warehouse, leave_out=("events", "refreshes"))
    assert sync(duckdb_warehouse, living, only=("events",), event_key=key) == 2
    assert sync(duckdb_warehouse, living, only=("visitors",), visitor_key=visitor) == 2
    row = next(row for row in duckdb_warehouse.rows("events") if row["event_key"] == key)
    assert (row["percent_viewed"], row["email"]) == (0.4375, "late@example.com")
    assert old["received_at"] < newer["received_at"]
    # the cursor stays: the next run reads on from where it was
    assert sync(duckdb_warehouse, living, only=("events",)) == 2
    assert contents(duckdb_warehouse, leave_out=("events", "refreshes", "visitors")) == {
        table: rows for table, rows in state.items() if table != "visitors"
    }


def test_a_filtered_list_of_visitors_leaves_the_cursor_alone(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    view = living_view(living, NOW)
    with_email = [v for v in view.visitors() if v["visitor_identity"]["email"]]
    sync(duckdb_warehouse, living, only=("visitors",), visitor_filter="has_email")
    assert {r["visitor_key"] for r in duckdb_warehouse.rows("visitors")} == {v["visitor_key"] for v in with_email}
    prefix = with_email[0]["visitor_identity"]["email"][:6]
    sync(duckdb_warehouse, living, only=("visitors",), visitor_search=prefix)
    assert len(duckdb_warehouse.rows("visitors")) == len(with_email)
    sync(duckdb_warehouse, living, only=("visitors",))
    everyone = [v for v in view.visitors() if v["last_active_at"] >= START]
    assert len(duckdb_warehouse.rows("visitors")) >= len(everyone) > len(with_email)


@pytest.mark.slow
def test_every_media_is_asked_once_a_day_and_no_hour_pays_for_all(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    first_sync(duckdb_warehouse, living, only=("media_engagement",))
    hourly: list[list[str]] = []
    for hour in range(1, 25):
        before = len(living.log)
        sync(duckdb_warehouse, living, NOW + hour * HOUR, only=("media_engagement",))
        hourly.append(asked(living, before, "/engagement"))
    times = Counter(path for paths in hourly for path in paths)
    listed = len(living_view(living, NOW).medias())
    assert len(times) >= listed - 2
    assert max(map(len, hourly)) <= listed / 4


def test_building_the_source_makes_no_request(living: Sandbox) -> None:
    source = source_of(living)
    assert set(source.resources) == {endpoint.name for endpoint in (*ENDPOINTS, *COMPANIONS)}
    assert not living.log


def test_a_resource_can_be_read_without_a_destination(living: Sandbox) -> None:
    living.now = lambda: NOW
    source = wistia(access_token=living.token, base_url=living.url, now=NOW, start_date=START)
    assert sum(table.num_rows for table in source.resources["medias"]) == len(living_view(living, NOW).medias())


@pytest.mark.parametrize("body", [[None, 1], "text", {"error": "Something else went wrong"}, 5])
def test_an_answer_without_rows_fails_its_media_only(duckdb_warehouse: Warehouse, living: Sandbox, body: Any) -> None:
    media_id = living_view(living, NOW).medias()[0]["hashed_id"]
    answer(living, f"medias/{media_id}/(by_date|captions)", body)
    source = source_of(living, start_date=START)
    duckdb_warehouse.load(source.with_resources("media_stats_by_date", "captions", "refreshes"))
    failed = {
        (name, failure["parent_id"])
        for name in ("media_stats_by_date", "captions")
        for failure in source.resources[name].custom_metrics.get("failures", ())
    }
    assert failed == {("media_stats_by_date", media_id), ("captions", media_id)}
    loaded = {row["media_id"] for row in duckdb_warehouse.rows("media_stats_by_date")}
    assert len(loaded) == len(living_view(living, NOW).medias()) - 1


def test_reading_a_few_rows_of_one_resource_leaves_the_others_working(living: Sandbox) -> None:
    source = source_of(living, start_date=START)
    assert len(list(source.resources["events"].add_limit(1))) == 1
    assert list(source.resources["medias"])


def test_a_visitor_from_the_future_hides_nobody(
    duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = type(living.account.at(NOW))
    all_there = view.visitor_rows

    def with_one_ahead(now: Any, *filters: str | None) -> list[dict[str, Any]]:
        there = list(all_there(now, *filters))
        return [there[0] | {"visitor_key": "ahead", "last_active_at": "2030-01-01T00:00:00.000Z"}, *there]

    monkeypatch.setattr(view, "visitor_rows", with_one_ahead)
    for day in range(4):
        now = NOW + timedelta(days=day)
        sync(duckdb_warehouse, living, now, only=("visitors",))
        held = {row["visitor_key"] for row in duckdb_warehouse.rows("visitors")}
        assert {v["visitor_key"] for v in living.account.at(now).visitors() if v["last_active_at"] >= START} == held


def test_a_page_of_empty_objects_costs_the_visitors_alone(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    living.faults.add(Fault("stats/visitors", status=200, times=1, body="[{}]"))
    sync(duckdb_warehouse, living)
    assert duckdb_warehouse.rows("events")


def test_visitors_who_remain_are_read_though_the_list_has_shrunk(
    duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = living.account.at(NOW).visitors()
    view = type(living.account.at(NOW))
    living.page_cap = 10
    living.faults.add(Fault("stats/visitors", status=401, times=None, after=6, body='{"code": "account_inactive"}'))
    settings = settings_for(living, start_date=START, package_seconds=0)
    with pytest.raises(Exception, match="inactive"):
        duckdb_warehouse.sync(settings, ["visitors"])
    living.faults.clear()
    # the last twenty are all that is left
    monkeypatch.setattr(view, "visitor_rows", lambda *_: there[-20:])
    duckdb_warehouse.sync(settings, ["visitors"])
    held = {row["visitor_key"] for row in duckdb_warehouse.rows("visitors")}
    assert {row["visitor_key"] for row in there[-20:] if row["last_active_at"] >= START} <= held


def test_what_is_wrong_with_one_media_stays_with_it(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    first, second, gone = (media["hashed_id"] for media in living_view(living, NOW).medias()[:3])
    first_sync(duckdb_warehouse, living, only=("medias",))
    living.account.delete_media(gone)
    living.account.rename_media(second, "another name")
    living.faults.add(Fault(f"v1/medias/{gone}", status=500, times=None))
    answer(living, f"stats/medias/{first}(.json)?$", {"load_count": 1, "play_count": 1, "actions": ["x"]})
    source = source_of(living, start_date=START)
    duckdb_warehouse.load(source)
    assert failed_in(source) == {("medias", gone), ("media_stats", first)}
    medias = {row["media_id"]: row for row in duckdb_warehouse.rows("medias")}
    assert medias[second]["name"] == "another name"
    assert medias[gone]["deleted_at"] is None
    assert second in {row["media_id"] for row in duckdb_warehouse.rows("media_stats")}


@pytest.mark.slow
def test_the_same_source_can_be_run_again(duckdb_warehouse: Warehouse, sandbox: Sandbox) -> None:
    source = source_of(sandbox)
    duckdb_warehouse.load(source)
    before = duckdb_warehouse.contents()
    asked = len(sandbox.log)
    duckdb_warehouse.load(source)
    assert duckdb_warehouse.contents() == before
    # it knows what the first one has loaded, and walks the listings again
    again = [call.path for call in sandbox.log[asked:]]
    assert any(path.endswith("/medias.json") for path in again)
    assert len(again) < asked / 2


@pytest.mark.slow
def test_a_load_package_has_a_bound_of_rows(duckdb_warehouse: Warehouse, sandbox: Sandbox) -> None:
    # what is under way when a package is full still goes into it
    tuning = Tuning(rows_per_package=6_000, active_walks=1, rows_per_batch=200)
    result = duckdb_warehouse.sync(settings_for(sandbox, tuning=tuning))
    packages: Counter[str] = Counter()
    for table in result.resources:
        packages += Counter(row["_dlt_load_id"] for row in duckdb_warehouse.rows(table, "_dlt_load_id"))
    assert len(packages) > 2
    assert max(packages.values()) < 1.5 * 6_000
    assert packages.total() == sum(resource["rows"] for resource in result.resources.values())
