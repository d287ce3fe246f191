"""Which medias and projects sessions, time and failures make a run request, and which it leaves alone.

The account here is calm: after its history nothing happens by itself, so each test knows all that is new.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from wistia_pipeline.sandbox import Account, Fault, Sandbox

from tests.support.loaded import load_once
from tests.support.runs import by_parent, read, sync
from tests.support.sandbox import NOW, START, settings_for
from tests.support.warehouse import Warehouse
from wistia_source import wistia

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CALM = NOW + 2 * DAY
"""When the last session of the history has been shown and has played to its end."""

NO_TURNS = {"refresh_within_hours": 100_000, "captions_refresh_within_hours": 100_000}
"""Nothing is asked because time has passed."""

STATS = r"/stats/medias/(\w+)\.json"
PROJECT_STATS = r"/stats/projects/(\w+)\.json"
CAPTIONS = r"/v1/medias/(\w+)/captions\.json"


@pytest.fixture
def calm() -> Iterator[Sandbox]:
    """An account in which only a test makes sessions."""
    account = Account(seed=5, start=NOW, medias=14, projects=4, visitors=40, events=250, days=80, hourly_events=0)
    with Sandbox(account, rate_limit=None) as server:
        yield server


def medias(sandbox: Sandbox, now: datetime) -> dict[str, dict[str, Any]]:
    """The medias that are listed at a moment, by id."""
    return {media["hashed_id"]: media for media in sandbox.account.at(now).medias()}


def newcomers(sandbox: Sandbox, since: datetime, now: datetime) -> set[str]:
    """Medias uploaded in between: nobody has asked for them yet."""
    return medias(sandbox, now).keys() - medias(sandbox, since).keys()


def play(sandbox: Sandbox, media_id: str, at: datetime) -> str:
    """A session of a media; long enough before the next run, it has played to its end by then."""
    return sandbox.account.add_late_event(media_id, at)


def calls_of(
    warehouse: Warehouse, sandbox: Sandbox, now: datetime, *only: str, **settings: Any
) -> list[tuple[str, dict[str, str]]]:
    """What one run asks: paths and parameters."""
    before = len(sandbox.log)
    sync(warehouse, sandbox, now, only=only, **settings)
    return [(call.path, call.query) for call in list(sandbox.log)[before:]]


def turns(
    warehouse: Warehouse, sandbox: Sandbox, now: datetime, pattern: str, *only: str, **settings: Any
) -> Counter[str]:
    """Whom one run asks, and how often."""
    paths = [path for path, _ in calls_of(warehouse, sandbox, now, *only, **settings)]
    return Counter(found[1] for path in paths if (found := re.search(pattern, path)))


# sessions


@pytest.mark.slow
def test_new_sessions_are_remembered_for_a_run_that_reads_none(duckdb_warehouse: Warehouse, calm: Sandbox) -> None:
    load_once(duckdb_warehouse, calm, CALM)
    played = set(list(medias(calm, CALM))[2:4])
    for media_id in played:
        play(calm, media_id, CALM + 5 * MINUTE)
    assert not turns(duckdb_warehouse, calm, CALM + HOUR, STATS, "events")

    def asked(hours: int) -> Counter[str]:
        return turns(duckdb_warehouse, calm, CALM + hours * HOUR, STATS, "media_stats", **NO_TURNS)

    assert asked(2) == Counter(played | newcomers(calm, CALM, CALM + 2 * HOUR))
    assert asked(3) == Counter(newcomers(calm, CALM + 2 * HOUR, CALM + 3 * HOUR))
    view = calm.account.at(CALM + 2 * HOUR)
    plays = {row["media_id"]: row["play_count"] for row in duckdb_warehouse.rows("media_stats")}
    assert all(plays[media_id] == view.media_stats(media_id)["play_count"] for media_id in played)


@pytest.mark.slow
def test_a_played_media_that_failed_is_asked_next_time_though_nobody_played_it_again(
    duckdb_warehouse: Warehouse, calm: Sandbox
) -> None:
    only = ("events", "media_stats")
    load_once(duckdb_warehouse, calm, CALM)
    media_id = list(medias(calm, CALM))[3]
    before = by_parent(duckdb_warehouse, "media_stats")[media_id]
    play(calm, media_id, CALM + 5 * MINUTE)
    calm.faults.add(Fault(f"stats/medias/{media_id}", status=500, times=None))
    assert turns(duckdb_warehouse, calm, CALM + HOUR, STATS, *only, **NO_TURNS)[media_id] > 1
    assert by_parent(duckdb_warehouse, "media_stats")[media_id] == before
    calm.faults.clear()
    assert turns(duckdb_warehouse, calm, CALM + 2 * HOUR, STATS, *only, **NO_TURNS)[media_id] == 1
    assert by_parent(duckdb_warehouse, "media_stats")[media_id] != before


@pytest.mark.slow
def test_stats_wait_for_the_last_page_of_the_new_sessions(duckdb_warehouse: Warehouse, calm: Sandbox) -> None:
    only = ("events", "media_stats")
    load_once(duckdb_warehouse, calm, CALM)
    last, often = list(medias(calm, CALM))[1:3]
    play(calm, last, CALM + MINUTE)
    for seconds in range(40):
        play(calm, often, CALM + 2 * MINUTE + timedelta(seconds=seconds))
    calm.page_cap = 2
    # the listing is read long before the sessions are
    calm.faults.add(Fault("stats/events", kind="hang", seconds=0.5, after=15))
    later = CALM + HOUR
    asked = turns(duckdb_warehouse, calm, later, STATS, *only, **NO_TURNS)
    assert asked == Counter({last, often} | newcomers(calm, CALM, later))
    plays = {row["media_id"]: row["play_count"] for row in duckdb_warehouse.rows("media_stats")}
    assert plays[last] == calm.account.at(later).media_stats(last)["play_count"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "others",
    [pytest.param((), marks=pytest.mark.slow), ("medias", "projects", "media_stats")],
    ids=["alone", "with the listings"],
)
def test_the_project_of_a_played_media_is_asked_in_the_same_run(
    duckdb_warehouse: Warehouse, calm: Sandbox, others: tuple[str, ...]
) -> None:
    only = ("events", "project_stats", *others)
    load_once(duckdb_warehouse, calm, CALM)
    media_id, media = next((id_, media) for id_, media in medias(calm, CALM).items() if media.get("project"))
    project_id = media["project"].get("hashed_id") or media["project"]["hashedId"]
    play(calm, media_id, CALM + 5 * MINUTE)
    # sessions and projects are read long before it is known what project the media is in
    calm.faults.add(Fault("v1/medias.json", kind="hang", seconds=0.5))
    later = CALM + HOUR
    assert turns(duckdb_warehouse, calm, later, PROJECT_STATS, *only, **NO_TURNS) == {project_id: 1}
    plays = {row["project_id"]: row["play_count"] for row in duckdb_warehouse.rows("project_stats")}
    assert plays[project_id] == calm.account.at(later).project_stats(project_id)["play_count"]


@pytest.mark.deep
def test_captions_are_not_asked_because_a_media_was_played(duckdb_warehouse: Warehouse, calm: Sandbox) -> None:
    only = ("events", "captions")
    load_once(duckdb_warehouse, calm, CALM)
    for media_id in medias(calm, CALM):
        play(calm, media_id, CALM + 5 * MINUTE)
    asked = turns(duckdb_warehouse, calm, CALM + HOUR, CAPTIONS, *only, **NO_TURNS)
    assert asked == Counter(newcomers(calm, CALM, CALM + HOUR))


@pytest.mark.slow
@pytest.mark.parametrize("page_cap", [2, *(pytest.param(cap, marks=pytest.mark.deep) for cap in (1, 3))])
def test_sessions_exactly_at_the_cut_that_go_on_on_the_next_page_land(
    duckdb_warehouse: Warehouse, calm: Sandbox, page_cap: int
) -> None:
    media_id = next(iter(medias(calm, CALM)))
    load_once(duckdb_warehouse, calm, CALM)
    newest = max(row["received_at"] for row in duckdb_warehouse.rows("events"))
    late = {play(calm, media_id, newest - 3 * HOUR) for _ in range(7)}
    calm.page_cap = page_cap
    sync(duckdb_warehouse, calm, CALM + HOUR, only=("events",))
    assert late <= {row["event_key"] for row in duckdb_warehouse.rows("events")}


@pytest.mark.slow
def test_visitors_who_were_active_up_to_a_quarter_of_an_hour_before_the_latest_are_read_again(
    duckdb_warehouse: Warehouse, calm: Sandbox
) -> None:
    media_id = next(iter(medias(calm, CALM)))
    play(calm, media_id, CALM - 10 * MINUTE)
    sync(duckdb_warehouse, calm, CALM, only=("visitors",))
    late = calm.account.at(CALM).event(play(calm, media_id, CALM - 25 * MINUTE))
    sync(duckdb_warehouse, calm, CALM + HOUR, only=("visitors",))
    assert last_active(duckdb_warehouse)[late["visitor_key"]] == CALM - 25 * MINUTE
    too_late = calm.account.at(CALM).event(play(calm, media_id, CALM - 40 * MINUTE))
    sync(duckdb_warehouse, calm, CALM + 2 * HOUR, only=("visitors",))
    assert last_active(duckdb_warehouse).get(too_late["visitor_key"]) != CALM - 40 * MINUTE


def last_active(warehouse: Warehouse) -> dict[str, datetime]:
    """When the warehouse has seen each visitor last."""
    return {row["visitor_key"]: row["last_active_at"] for row in warehouse.rows("visitors")}


# time


@pytest.mark.slow
def test_each_media_and_project_is_asked_once_a_day_and_captions_once_a_week(
    duckdb_warehouse: Warehouse, calm: Sandbox
) -> None:
    only = ("media_stats", "project_stats", "captions")

    def asked(now: datetime) -> tuple[Counter[str], Counter[str], Counter[str]]:
        paths = [path for path, _ in calls_of(duckdb_warehouse, calm, now, *only)]
        found = [[re.search(pattern, path) for path in paths] for pattern in (STATS, PROJECT_STATS, CAPTIONS)]
        stats, projects, captions = (Counter(match[1] for match in matches if match) for matches in found)
        return stats, projects, captions

    everyone = Counter(medias(calm, CALM).keys())
    projects = Counter(project["hashedId"] for project in calm.account.at(CALM).projects())
    load_once(duckdb_warehouse, calm, CALM)
    an_hour_later = asked(CALM + HOUR)
    assert max(map(len, an_hour_later)) <= len(everyone) / 2
    next_day = asked(CALM + DAY)
    assert an_hour_later[0] + next_day[0] >= everyone
    assert an_hour_later[1] + next_day[1] >= projects
    assert len(next_day[2] & everyone) < len(everyone)
    a_week_later = asked(CALM + 7 * DAY)
    assert an_hour_later[2] + next_day[2] + a_week_later[2] >= everyone


@pytest.mark.deep
def test_an_account_that_nobody_loads_or_plays_is_asked_for_what_is_listed_alone(duckdb_warehouse: Warehouse) -> None:
    account = Account(
        seed=5, start=NOW, medias=14, projects=4, visitors=40, events=250, days=80, hourly_events=0, loads_until=NOW
    )
    only = ("events", "account_stats_by_date", "media_stats", "media_stats_by_date")
    with Sandbox(account, rate_limit=None) as server:
        sync(duckdb_warehouse, server, CALM, only=only)
        known = medias(server, CALM)
        # what Wistia may restate is over after two weeks; from then on each is asked once a week
        calls_of(duckdb_warehouse, server, CALM + 19 * DAY, *only)
        spared = sum(
            (turns(duckdb_warehouse, server, CALM + day * DAY, STATS, *only) for day in range(20, 27)), Counter[str]()
        )
        assert {spared[media_id] for media_id in known} == {1}
        # one session, and all are asked again within a day
        play(server, next(iter(known)), CALM + 26 * DAY)
        found: Counter[str] = Counter()
        for hour in (1, 25):
            found += turns(duckdb_warehouse, server, CALM + 26 * DAY + hour * HOUR, STATS, *only)
        listed = medias(server, CALM + 27 * DAY)
        assert known.keys() & listed.keys() <= found.keys()
        view, first, last = account.at(CALM + 27 * DAY), CALM.date(), (CALM + 25 * DAY).date()
        held: dict[str, dict[date, int]] = {}
        for row in duckdb_warehouse.rows("media_stats_by_date"):
            if first <= row["date"] <= last:
                held.setdefault(row["media_id"], {})[row["date"]] = row["load_count"]
        # the days that were spared are there, too
        for media_id in known.keys() & listed.keys():
            days = view.media_stats_by_date(media_id, first, last)
            assert held[media_id] == {date.fromisoformat(row["date"]): row["load_count"] for row in days}


@pytest.mark.slow
def test_medias_that_nobody_watches_are_spared_also_where_the_account_answers_last(duckdb_warehouse: Warehouse) -> None:
    account = Account(
        seed=5, start=NOW, medias=14, projects=1, visitors=9, events=40, days=30, hourly_events=0, loads_until=NOW
    )
    only = ("account_stats_by_date", "media_stats", "captions")
    with Sandbox(account, rate_limit=None) as server:
        for day in (0, 19):
            sync(duckdb_warehouse, server, CALM + day * DAY, only=only)
        # what has nothing to do with plays is asked meanwhile
        server.faults.add(Fault("stats/account/by_date", kind="hang", seconds=0.5))
        asked = turns(duckdb_warehouse, server, CALM + 21 * DAY, STATS, *only)
        assert len(asked) < len(medias(server, CALM + 21 * DAY)) / 2


@pytest.mark.slow
def test_a_day_on_which_medias_were_only_loaded_is_not_taken_for_a_quiet_one(
    duckdb_warehouse: Warehouse, calm: Sandbox
) -> None:
    load_once(duckdb_warehouse, calm, CALM)
    only = ("account_stats_by_date", "media_stats")
    for day in (20, 21):
        asked = turns(duckdb_warehouse, calm, CALM + day * DAY, STATS, *only)
    days = {row["date"]: row for row in duckdb_warehouse.rows("account_stats_by_date")}
    last = days[(CALM + 20 * DAY).date()]
    assert (last["play_count"], last["load_count"] > 0) == (0, True)
    assert asked.keys() >= medias(calm, CALM).keys()


@pytest.mark.parametrize("of", ["account", "played media"])
def test_an_hourly_run_asks_for_the_days_of_two_weeks(duckdb_warehouse: Warehouse, calm: Sandbox, of: str) -> None:
    only = ("account_stats_by_date",) if of == "account" else ("events", "media_stats_by_date")
    load_once(duckdb_warehouse, calm, CALM)
    media_id = list(medias(calm, CALM))[2]
    play(calm, media_id, CALM + 5 * MINUTE)
    calls = calls_of(duckdb_warehouse, calm, CALM + HOUR, *only, history_refresh_within_hours=100_000)
    which = "/stats/account/by_date" if of == "account" else f"/stats/medias/{media_id}/by_date"
    (query,) = [query for path, query in calls if which in path]
    today = CALM.date()
    assert query == {"start_date": (today - 14 * DAY).isoformat(), "end_date": today.isoformat()}


@pytest.mark.slow
def test_a_by_date_day_ends_five_hours_after_that_of_utc(duckdb_warehouse: Warehouse, calm: Sandbox) -> None:
    only = ("account_stats_by_date", "media_stats_by_date", "project_stats_by_date")
    two_at_night = CALM.replace(hour=2, minute=0)
    for now, today in ((two_at_night, CALM.date() - DAY), (two_at_night + 3 * HOUR, CALM.date())):
        calls = calls_of(duckdb_warehouse, calm, now, *only, refresh_within_hours=1)
        ends = {(path.split("/")[3], query["end_date"]) for path, query in calls if "by_date" in path}
        assert ends == {(of, today.isoformat()) for of in ("account", "medias", "projects")}
    days: set[date] = {row["date"] for row in duckdb_warehouse.rows("account_stats_by_date")}
    assert max(days) == CALM.date()


# what was not asked, and what was asked twice


def test_lists_of_medias_that_were_not_asked_stay(duckdb_warehouse: Warehouse, calm: Sandbox) -> None:
    only = ("events", "media_stats", "media_stats__actions", "captions")
    settings = NO_TURNS | {"captions_refresh_within_hours": 168}
    load_once(duckdb_warehouse, calm, CALM)
    actions, captions = by_parent(duckdb_warehouse, "media_stats__actions"), by_parent(duckdb_warehouse, "captions")
    assert len(actions) > 1
    played = next(iter(actions))
    for seconds in range(20):
        play(calm, played, CALM + 5 * MINUTE + timedelta(seconds=seconds))
    later = CALM + DAY
    asked = turns(duckdb_warehouse, calm, later, CAPTIONS, *only, **settings).keys() & medias(calm, CALM).keys()
    assert 0 < len(asked) < len(medias(calm, CALM))
    assert captions.keys() - asked
    after = by_parent(duckdb_warehouse, "media_stats__actions")
    assert after.pop(played) != actions.pop(played)
    assert {media_id: rows for media_id, rows in after.items() if media_id in actions} == actions
    still = by_parent(duckdb_warehouse, "captions")
    assert {media_id: rows for media_id, rows in still.items() if media_id in captions} == captions


def test_a_media_in_the_archived_and_in_the_active_list_is_asked_once(
    duckdb_warehouse: Warehouse, calm: Sandbox
) -> None:
    listed = medias(calm, CALM)
    assert {media["archived"] for media in listed.values()} == {False, True}
    calm.faults.add(Fault("v1/medias.json", status=200, times=2, body=json.dumps(list(listed.values()))))
    asked = turns(duckdb_warehouse, calm, CALM, STATS, "medias", "media_stats")
    assert asked == Counter(listed.keys())
    assert Counter(row["media_id"] for row in duckdb_warehouse.rows("medias")) == asked
    assert Counter(row["media_id"] for row in duckdb_warehouse.rows("media_stats")) == asked


# the notes of a run


def test_a_media_counts_as_asked_when_its_request_was_sent(calm: Sandbox) -> None:
    calm.latency = 0.05
    source = wistia(**settings_for(calm, CALM, start_date=None) | {"now": None})
    notes = [row for row in read(source, "media_stats", "refreshes")["refreshes"] if row["endpoint"] == "media_stats"]
    elapsed = monotonic()
    offset = datetime.now(UTC) - timedelta(seconds=elapsed)
    sent = {
        found[1]: offset + timedelta(seconds=call.at) for call in calm.log if (found := re.search(STATS, call.path))
    }
    assert {row["parent_id"] for row in notes} == sent.keys()
    # what is played after the request is not in the answer
    assert all(row["refreshed_at"] <= sent[row["parent_id"]] for row in notes)


@pytest.mark.slow
def test_a_run_with_failures_is_partial_until_they_are_fixed(duckdb_warehouse: Warehouse, calm: Sandbox) -> None:
    media_id = next(iter(medias(calm, CALM)))
    calm.faults.add(Fault(f"stats/medias/{media_id}", status=500, times=None))
    result = duckdb_warehouse.sync(settings_for(calm, CALM, start_date=START), ["media_stats"])
    assert result.status == "partial"
    assert [(failure["resource"], failure["parent_id"]) for failure in result.failures] == [("media_stats", media_id)]
    calm.faults.clear()
    result = duckdb_warehouse.sync(settings_for(calm, CALM + MINUTE, start_date=START), ["media_stats"])
    assert (result.status, result.failures) == ("ok", [])
