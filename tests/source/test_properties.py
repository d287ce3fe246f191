"""Whatever happens to an account, its warehouse ends up with what it shows: random stories, held against a model.

A story goes through the front door, run by run. After each run every row of every table must be what the account
shows now, where the run had promised to look; anywhere else it may also be what it was before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dlt
import duckdb
import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wistia_pipeline.destinations.duckdb_loads import duckdb as duckdb_file
from wistia_pipeline.results import SyncResult
from wistia_pipeline.sandbox import Account, Fault, Sandbox
from wistia_pipeline.sandbox.server import Reply
from wistia_pipeline.sandbox.view import View

from tests.support.postgres import database
from tests.support.sandbox import NOW, TOKEN, files_with_token, settings_for
from tests.support.warehouse import Warehouse
from wistia_source.endpoints import (
    CAPTIONS,
    ENDPOINTS,
    EVENTS,
    MEDIA_ENGAGEMENT,
    MEDIA_STATS,
    MEDIA_STATS_ACTIONS,
    MEDIA_STATS_BY_DATE,
    PROJECT_STATS,
    PROJECT_STATS_BY_DATE,
    REFRESHES,
    RESTATEMENTS,
    VISITORS,
    Endpoint,
)
from wistia_source.rows import Row, fix_event, primary_key, to_table
from wistia_source.tuning import Tuning

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SMALL = Tuning(plays_per_walk=40, plays_per_window=80)
"""Walks and windows as small as those of a busy account are large."""
STARTS = ("2026-05-18", "2026-05-04")
NEVER = datetime.max.replace(tzinfo=UTC)

DATA = {endpoint.name: endpoint for endpoint in (*ENDPOINTS, MEDIA_STATS_ACTIONS)}
TABLES = DATA | {endpoint.name: endpoint for endpoint in (REFRESHES, RESTATEMENTS)}
LISTINGS = [endpoint for endpoint in ENDPOINTS if endpoint.listing]
FAN_OUTS = [endpoint for endpoint in ENDPOINTS if endpoint.kind != "feed" and not endpoint.listing]

DEFAULTS = {
    "events_lookback_hours": 3,
    "events_deep_lookback_hours": 48,
    "visitors_lookback_hours": 3,
    "by_date_lookback_days": 14,
    "refresh_within_hours": 24,
    "captions_refresh_within_hours": 168,
    "history_refresh_within_hours": 168,
}
OTHERS = {
    "events_lookback_hours": 1,
    "events_deep_lookback_hours": 12,
    "visitors_lookback_hours": 12,
    "by_date_lookback_days": 2,
    "refresh_within_hours": 6,
    "captions_refresh_within_hours": 24,
    "history_refresh_within_hours": 72,
}

WITH_NEW_FIELDS = {
    "events": "stats/events",
    "visitors": "stats/visitors",
    "medias": "medias(/[^/]+)?",
    "media_stats": "stats/medias/[^/]+",
    "media_stats_by_date": "stats/medias/[^/]+/by_date",
}
"""Tables whose rows may get fields that nobody has declared, and the paths that show these rows."""

TROUBLED = ("stats/events", "stats/visitors", "v1/medias.json", "medias/[^/]+/by_date", "account/by_date", "engagement")

Key = tuple[Any, ...]
Rows = dict[Key, Row]
Contents = dict[str, Rows]
"""Rows by table and key, without the account's id in the key."""


@dataclass(frozen=True)
class Change:
    """What happens to the account: to which media, and how many minutes before the newest session that is known."""

    what: str
    which: int
    minutes: int


@dataclass(frozen=True)
class Run:
    """Time passes, things happen, and then the pipeline runs."""

    minutes: int = 25 * 60
    changes: tuple[Change, ...] = ()
    backfill: tuple[int, int] | None = None
    """How many days ago it begins, and how many days it has."""
    start_date: str = STARTS[0]
    package_seconds: float | None = None
    trouble: tuple[str, int, int] | None = None
    """A path, the status it answers with, and after how many good answers."""


@dataclass(frozen=True)
class Story:
    """The life of an account and its warehouse."""

    lookbacks: dict[str, int]
    ahead: int
    """Hours by which Wistia's clock is ahead of ours."""
    runs: list[Run]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Lives whose changes are often just at the edge of what a run promises to look at."""
    lookbacks = draw(st.sampled_from([DEFAULTS, OTHERS]))
    edges = [
        60 * lookbacks["events_lookback_hours"],
        60 * lookbacks["events_deep_lookback_hours"],
        60 * lookbacks["visitors_lookback_hours"],
        60 * 24 * lookbacks["by_date_lookback_days"],
    ]
    minutes = st.sampled_from([0, *edges]) | st.integers(0, 4 * 60) | st.integers(0, 40 * 24 * 60)
    change = st.none() | st.builds(Change, st.sampled_from(sorted(World.CHANGES)), st.integers(0, 6), minutes)
    trouble = st.tuples(st.sampled_from(TROUBLED), st.sampled_from([500, 401]), st.integers(0, 4))
    run = st.builds(
        Run,
        minutes=st.sampled_from([1, 200, 25 * 60, 8 * 24 * 60]),
        # a fixed number that may each be none: lists of their own accord are mostly short
        changes=st.tuples(*[change] * 16).map(lambda changes: tuple(filter(None, changes))),
        backfill=st.none() | st.none() | st.sampled_from([(0, 1), (20, 21), (40, 35)]),
        start_date=st.sampled_from([STARTS[0], *STARTS]),
        package_seconds=st.sampled_from([None, None, 0.0]),
        trouble=st.none() | st.none() | trouble,
    )
    return Story(lookbacks, draw(st.sampled_from([0, 5])), draw(st.lists(run, min_size=3, max_size=4)))


class Growing(Sandbox):
    """A sandbox whose rows may get new fields."""

    def __init__(self, account: Account) -> None:
        super().__init__(account, rate_limit=None, page_cap=20, token=TOKEN)
        self.fields: dict[str, Row] = {}

    def __enter__(self) -> Growing:
        super().__enter__()
        return self

    def answer(self, path: str, query: dict[str, list[str]], authorization: str | None, release: str | None) -> Reply:
        reply = super().answer(path, query, authorization, release)
        for table, fields in self.fields.items():
            if reply.status == 200 and re.fullmatch(f"/v1/{WITH_NEW_FIELDS[table]}.json", path):
                body = json.loads(reply.body)
                grown = [row | fields for row in body] if isinstance(body, list) else body | fields
                reply = Reply(200, json.dumps(grown).encode())
        return reply


class World:
    """An account as time passes and things happen to it."""

    CHANGES: dict[str, Callable[[World, int, timedelta], None]]

    def __init__(self, sandbox: Growing, ahead: timedelta) -> None:
        self.sandbox, self.account, self.ahead = sandbox, sandbox.account, ahead
        self.now = self.last_run = NOW
        self.newest: datetime | None = None
        """The newest session that the warehouse was promised to have."""
        self._changes = 0

    @property
    def today(self) -> date:
        """The by_date day."""
        return _by_date_day(self.now)

    def _view(self) -> View:
        return self.account.at(self.now + self.ahead)

    def happen(self, change: Change) -> None:
        """One change of the account, whose values are new ones."""
        self._changes += 1
        number = change.which % len(self.account.medias)
        World.CHANGES[change.what](self, number, timedelta(minutes=change.minutes))

    def _before_newest(self, ago: timedelta) -> datetime:
        """Counted as lookbacks are."""
        return min(self.newest or self.now, self.now) - ago

    def _add_session(self, number: int, at: datetime) -> None:
        self.account.add_late_event(self._media_id(number), at, percent_viewed=self._changes % 89 / 89)

    def _media_id(self, number: int) -> str:
        return self.account.medias[number].hashed_id

    def _late_session(self, number: int, ago: timedelta) -> None:
        self._add_session(number, self._before_newest(ago))

    def _new_session(self, number: int, ago: timedelta) -> None:
        self._add_session(number, self.now + self.ahead - ago % HOUR)

    def _restated_session(self, number: int, ago: timedelta) -> None:
        text = self._before_newest(ago).isoformat()
        for event in self._view().event_rows():
            if event.get("event_key") and event["received_at"][:19] <= text[:19]:
                self.account.restate_event(event["event_key"], percent_viewed=self._changes % 97 / 97)
                return

    def _restated_day(self, number: int, ago: timedelta) -> None:
        self.account.restate_day(
            self._media_id(number), _by_date_day(self.last_run) - ago, loads=self._changes, plays=1
        )

    def _vanishing_or_returning_media(self, number: int, ago: timedelta) -> None:
        is_gone = self.account.medias[number].gone
        (self.account.restore_media if is_gone else self.account.delete_media)(self._media_id(number))

    def _renamed_media(self, number: int, ago: timedelta) -> None:
        self.account.rename_media(self._media_id(number), f"Film {self._changes}")

    def _new_field(self, number: int, ago: timedelta) -> None:
        table = sorted(WITH_NEW_FIELDS)[number % len(WITH_NEW_FIELDS)]
        self.sandbox.fields.setdefault(table, {})[f"mood{number % 2}"] = {"depth": self._changes}

    def shown(self) -> Contents:
        """All that the account shows now, as the rows that the tables should have of it."""
        view, days = self._view(), (STARTS[1], self.now.date().isoformat())
        rows: dict[str, list[Row]] = {
            "events": view.events(),
            "visitors": view.visitors(),
            "medias": view.medias(),
            "projects": view.projects(),
            "account_stats": [{**view.account_stats(), "captured_at": self.now.isoformat()}],
            "account_stats_by_date": view.account_stats_by_date(*days),
        }
        for row in rows["events"]:
            fix_event(row, keep_public_token=False)
        asks: dict[Endpoint, Callable[[str], list[Row]]] = {
            PROJECT_STATS: lambda id_: [view.project_stats(id_)],
            PROJECT_STATS_BY_DATE: lambda id_: view.project_stats_by_date(id_, *days),
            MEDIA_STATS: lambda id_: [view.media_stats(id_)],
            MEDIA_STATS_BY_DATE: lambda id_: view.media_stats_by_date(id_, *days),
            MEDIA_ENGAGEMENT: lambda id_: [view.media_engagement(id_)],
            CAPTIONS: view.captions,
        }
        for endpoint, ask in asks.items():
            ids = [row.get("hashed_id") or row["hashedId"] for row in rows[endpoint.parent or ""]]
            rows[endpoint.name] = [{**row, endpoint.parent_key or "": id_} for id_ in ids for row in ask(id_)]
        rows["media_stats__actions"] = [
            {**action, "media_id": row["media_id"], "position": position}
            for row in rows["media_stats"]
            for position, action in enumerate(row.get("actions", ()))
        ]
        typed = {
            table: to_table(
                DATA[table], [row | self.sandbox.fields.get(table, {}) for row in found], str(self.account.account_id)
            )
            for table, found in rows.items()
        }
        return {table: by_key(DATA[table], found.to_pylist()) for table, found in typed.items()}


World.CHANGES = {
    "late session": World._late_session,
    "new session": World._new_session,
    "restated session": World._restated_session,
    "restated day": World._restated_day,
    "vanishing or returning media": World._vanishing_or_returning_media,
    "renamed media": World._renamed_media,
    "new field": World._new_field,
}


def by_key(endpoint: Endpoint, rows: Iterable[Row]) -> Rows:
    """Rows by their key, each once; without nulls, since undeclared columns are there in some batches only."""
    found: Rows = {}
    documents = {column.name for column in endpoint.columns if column.data_type == "json"}
    for row in rows:
        key = tuple(row[name] for name in primary_key(endpoint)[1:])
        assert key not in found, f"{endpoint.name} has {key} twice"
        assert None not in key, f"{endpoint.name} has a null in {key}"
        found[key] = {
            name: json.loads(value) if name in documents and isinstance(value, str) else value
            for name, value in row.items()
            if value is not None
        }
    return found


@dataclass
class Feed:
    """How far a feed was read, as promised."""

    endpoint: Endpoint
    newest: datetime | None = None
    since: datetime = NEVER
    owed: dict[Key, datetime] = field(default_factory=dict)
    """What a run should have brought that broke off, and its cursor then."""

    def at(self, row: Row) -> datetime:
        """The cursor of one of its rows."""
        moment: datetime = row[self.endpoint.cursor or ""]
        return moment

    def cut(self, lookback: float, now: datetime) -> datetime:
        """From where on a run reads again."""
        return NEVER if self.newest is None else min(self.newest, now) - HOUR * lookback

    def promised(self, shown: Rows, start: datetime, cut: datetime) -> set[Key]:
        """What a run brings that reads again from `cut` on."""
        return {
            key
            for key, row in shown.items()
            if self.at(row) >= cut or start <= self.at(row) < self.since or self.owed.get(key) == self.at(row)
        }

    def read(self, arrived: Rows, start: datetime) -> None:
        """Remembers that these rows have arrived."""
        self.newest = max([self.newest or start, *map(self.at, arrived.values())])
        self.since = min(start, self.since)


class Follower:
    """The warehouse that follows a world, and what was promised of it."""

    def __init__(self, world: World, warehouse: Warehouse, lookbacks: dict[str, int]) -> None:
        self.world, self.warehouse, self.lookbacks = world, warehouse, lookbacks
        self.before: Contents = {table: {} for table in TABLES}
        self.after = self.before
        self.shown: Contents = {}
        self.events, self.visitors = Feed(EVENTS), Feed(VISITORS)
        self.deep_at: datetime | None = None
        self.days: dict[tuple[str, str], tuple[date, date]] = {}
        """Of each media and project: from which day on it was asked for its days, and through which."""
        self.played_at: dict[str, datetime] = {}
        self.unfinished: dict[tuple[date, date], set[tuple[str, Key]]] = {}
        """What backfills that broke off have not brought."""

    def live(self, run: Run) -> None:
        """Time passes, things happen, the pipeline runs, and all that was promised must be there."""
        self.world.last_run, self.world.now = self.world.now, self.world.now + timedelta(minutes=run.minutes)
        for change in run.changes:
            self.world.happen(change)
        faults = self.world.sandbox.faults
        if run.trouble:
            path, status, good = run.trouble
            faults.add(Fault(path, status=status, after=good, times=None))
        result = self._run(run)
        faults.clear()
        if not run.trouble:
            assert (result.status, result.failures) == ("ok", [])
        self.before, self.after, self.shown = self.after, self.contents(), self.world.shown()
        promised = self._promised_by_backfill(run, result) if run.backfill else self._promised_by_sync(run, result)
        self.world.newest = self.events.newest
        for table, wanted in self.shown.items():
            before, after = (_plain(contents[table]) for contents in (self.before, self.after))
            for key in before.keys() | after.keys() | wanted.keys():
                if (table, key) in promised:
                    assert after.get(key) == wanted.get(key), f"{table} {key} is not what the account shows"
                else:
                    assert after.get(key) in (before.get(key), wanted.get(key)), f"{table} {key} is something else"

    def run_again(self, run: Run) -> None:
        """The same once more asks little and changes nothing."""
        asked = len(self.world.sandbox.log)
        self._run(run)
        assert len(self.world.sandbox.log) - asked <= 12
        assert self.contents() == self.after

    def _run(self, run: Run) -> SyncResult:
        world, result = self.world, SyncResult()
        arguments: dict[str, Any] = {**self.lookbacks, "package_seconds": run.package_seconds, "tuning": SMALL}
        if run.backfill:
            first, end = self._days(run.backfill)
            arguments |= {"backfill_start": str(first), "backfill_end": str(end)}
        arguments = settings_for(world.sandbox, world.now, start_date=run.start_date, **arguments)
        world.sandbox.now = lambda: world.now + world.ahead
        try:
            self.warehouse.sync(arguments, result=result)
        except Exception:
            if not run.trouble:
                raise
        return result

    def _days(self, backfill: tuple[int, int]) -> tuple[date, date]:
        """The first day and the one after the last."""
        ago, days = backfill
        first = self.world.now.date() - DAY * ago
        return first, first + DAY * days

    def contents(self) -> Contents:
        """What the warehouse holds."""
        found: Contents = {table: {} for table in TABLES}
        with closing(self.warehouse.connect()) as connection, closing(connection.cursor()) as cursor:
            for table in self.warehouse.tables() & TABLES.keys():
                cursor.execute(f"select * from {self.warehouse.dataset}.{table}")
                names = [column[0] for column in cursor.description]
                rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
                assert {row["account_id"] for row in rows} <= {str(self.world.account.account_id)}
                found[table] = by_key(TABLES[table], rows)
        assert all("_row_hash" in row for row in found["events"].values())
        return found

    def _promised_by_sync(self, run: Run, result: SyncResult) -> set[tuple[str, Key]]:
        lost, start = _lost(result), _midnight(date.fromisoformat(run.start_date))
        promised: set[tuple[str, Key]] = set()
        for listing in LISTINGS:
            self._mark_deleted(listing)
            if listing.name not in lost:
                promised |= {(listing.name, key) for key in self.shown[listing.name]}
        lookback = self._events_lookback(EVENTS.name in lost)
        self._note_plays(self.events.cut(lookback, self.world.now))
        for feed, hours in ((self.events, lookback), (self.visitors, self.lookbacks["visitors_lookback_hours"])):
            name = feed.endpoint.name
            shown, after = self.shown[name], _plain(self.after[name])
            keys = feed.promised(shown, start, feed.cut(hours, self.world.now))
            if name not in lost:
                promised |= {(name, key) for key in keys}
                feed.owed = {}
                feed.read(shown, start)
            else:
                feed.owed = {key: feed.at(shown[key]) for key in keys if after.get(key) != shown[key]}
                if after:
                    feed.read(after, start)
        for endpoint in FAN_OUTS:
            promised |= self._promised_by_fan_out(endpoint, date.fromisoformat(run.start_date))
            if endpoint.name not in lost:
                self._check_turns(endpoint, result)
        return promised

    def _mark_deleted(self, listing: Endpoint) -> None:
        """What a listing no longer shows is kept, and marked."""
        for key, row in _plain(self.before[listing.name]).items():
            if key not in self.shown[listing.name]:
                row.pop("_row_hash", None)
                self.shown[listing.name][key] = {"deleted_at": self.world.now} | row

    def _events_lookback(self, is_lost: bool) -> int:
        """How many hours the run had to look back: further, once a day."""
        now = self.world.now
        is_due = self.deep_at is None or now - self.deep_at >= DAY
        is_noted = self.after["refreshes"].get((EVENTS.name, ""), {}).get("refreshed_at") == now
        assert is_noted or is_lost or not is_due
        if is_noted:
            self.deep_at = now
        return self.lookbacks["events_deep_lookback_hours" if is_due or is_noted else "events_lookback_hours"]

    def _note_plays(self, cut: datetime) -> None:
        """Which medias and projects have new or changed sessions, as far as the run had to look for them."""
        before = _plain(self.before["events"])
        for key, row in _plain(self.after["events"]).items():
            if self.events.at(row) >= cut and row != before.get(key):
                self.played_at[row["media_id"]] = self.world.now
        for media in self.shown["medias"].values():
            at, project_id = self.played_at.get(media["media_id"]), media.get("project_id")
            if at and project_id and "deleted_at" not in media:
                self.played_at[project_id] = max(at, self.played_at.get(project_id, at))

    def _promised_by_fan_out(self, endpoint: Endpoint, start: date) -> set[tuple[str, Key]]:
        """What was asked in this run, in the warehouse's own words."""
        promised: set[tuple[str, Key]] = set()
        for (name, parent), asked in self.after["refreshes"].items():
            if name != endpoint.name or asked["refreshed_at"] != self.world.now:
                continue
            first = self._first_day(endpoint, parent, asked.get("history_at") == self.world.now, start)
            for table in (endpoint, *endpoint.children):
                # of an answer that is all there is of its parent, what it no longer has is gone
                known = self.shown[table.name].keys() | (self.before[table.name].keys() if table.complete else set())
                promised |= {
                    (table.name, key)
                    for key in known
                    if parent in ("", key[0]) and (first is None or first <= key[-1] <= self.world.today)
                }
        return promised

    def _first_day(self, endpoint: Endpoint, parent: str, is_whole: bool, start: date) -> date | None:
        """From which day on a media or project was asked for its days; None where there are no days."""
        if endpoint.kind != "daily":
            return None
        begin, through = self.days.get((endpoint.name, parent), (date.max, date.max))
        assert is_whole or begin <= start, f"{endpoint.name} of {parent} was not asked from the start"
        self.days[endpoint.name, parent] = (start if is_whole else begin, self.world.today)
        return start if is_whole else max(start, through - DAY * self.lookbacks["by_date_lookback_days"])

    def _check_turns(self, endpoint: Endpoint, result: SyncResult) -> None:
        """Each media and project was asked within its time, and since it was last played."""
        now, lookbacks = self.world.now, self.lookbacks
        within = lookbacks["captions_refresh_within_hours" if endpoint is CAPTIONS else "refresh_within_hours"]
        # at its first turn after the history's
        history_within = lookbacks["history_refresh_within_hours"] + within
        failed = {failure["parent_id"] for failure in result.failures if failure["resource"] == endpoint.name}
        parents = {""}
        if endpoint.parent:
            parents = {key[0] for key, row in self.shown[endpoint.parent].items() if "deleted_at" not in row}
        for parent in parents - failed:
            asked, whose = self.after["refreshes"][endpoint.name, parent], f"{endpoint.name} of {parent}"
            assert now - asked["refreshed_at"] < HOUR * within, f"{whose} was not asked in time"
            if endpoint.kind == "daily":
                assert now - asked["history_at"] < HOUR * history_within, (
                    f"{whose} was not asked in time from the start"
                )
            # whose project was played is known once the medias can be listed again
            if endpoint.follows_plays and not (endpoint.parent == "projects" and "medias" in _lost(result)):
                assert asked["refreshed_at"] >= self.played_at.get(parent, NOW), f"{whose} was played and not asked"

    def _promised_by_backfill(self, run: Run, result: SyncResult) -> set[tuple[str, Key]]:
        assert run.backfill
        # sessions that it brings make their medias due, as those that a sync brings do
        asked = [
            {key: row for key, row in refreshes.items() if key[0] != EVENTS.name}
            for refreshes in (self.after["refreshes"], self.before["refreshes"])
        ]
        assert asked[0] == asked[1]
        days = first, end = self._days(run.backfill)
        end = min(end, self.world.now.date() + DAY)
        promised = {
            (EVENTS.name, key)
            for key, row in self.shown["events"].items()
            if _midnight(first) <= row["received_at"] < _midnight(end)
        }
        failed = {(failure["resource"], failure["parent_id"]) for failure in result.failures}
        for endpoint in FAN_OUTS:
            if endpoint.kind == "daily":
                keys = (key for key in self.shown[endpoint.name] if first <= key[-1] < end)
                promised |= {(endpoint.name, key) for key in keys if (endpoint.name, key[0]) not in failed}
        # what broke off goes on where it was, the next time that the same days are asked for
        promised &= self.unfinished.pop(days, promised)
        if lost := _lost(result):
            after = {table: _plain(rows) for table, rows in self.after.items()}
            self.unfinished[days] = {
                (table, key) for table, key in promised if after[table].get(key) != self.shown[table][key]
            }
        return {(table, key) for table, key in promised if table not in lost}


def _lost(result: SyncResult) -> set[str]:
    """The resources of which a run has not brought all."""
    if result.status == "failed":
        return set(TABLES)
    return {failure["resource"] for failure in result.failures if not failure["parent_id"]}


def _plain(rows: Rows) -> Rows:
    """Rows without what dlt says of them."""
    return {
        key: {name: value for name, value in row.items() if not name.startswith("_dlt")} for key, row in rows.items()
    }


def _by_date_day(moment: datetime) -> date:
    return (moment - 5 * HOUR).date()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


class OwnFolder(Warehouse):
    """A warehouse whose runs have a working folder of their own, which is its name."""

    def pipeline(self) -> dlt.Pipeline:
        made: dlt.Pipeline = dlt.pipeline(
            "wistia", destination=self.destination, dataset_name=self.dataset, pipelines_dir=self.name
        )
        return made


@contextmanager
def in_duckdb() -> Iterator[Warehouse]:
    """A new file."""
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        path = f"{folder}/warehouse.duckdb"

        def connect() -> Any:
            connection = duckdb.connect(path, read_only=True)
            connection.execute("set timezone = 'UTC'")
            return connection

        yield OwnFolder(folder, duckdb_file(path), connect, path)
        assert not files_with_token(Path(folder))


@contextmanager
def in_postgres(url: str) -> Iterator[Warehouse]:
    """A new database."""
    with database(url) as own, TemporaryDirectory(dir=Path.cwd()) as folder:
        yield OwnFolder(folder, dlt.destinations.postgres(own), lambda: psycopg2.connect(own), own)
        assert not files_with_token(Path(folder))


def live(story: Story, warehouse: Warehouse) -> None:
    """A whole story. A day after its end all that was promised must have come true."""
    # all is history, told as time passes: the sandbox makes four medias a day in the time after it
    account = Account(seed=5, start=NOW + 45 * DAY, medias=5, projects=2, visitors=120, events=700, days=90)
    with Growing(account) as sandbox:
        follower = Follower(World(sandbox, HOUR * story.ahead), warehouse, story.lookbacks)
        for run in (*story.runs, Run()):
            follower.live(run)
            if not run.trouble and not run.backfill:
                follower.run_again(run)


@settings(max_examples=8, derandomize=True)
@given(story=stories())
def test_a_warehouse_in_duckdb_holds_what_the_account_shows(story: Story) -> None:
    with in_duckdb() as warehouse:
        live(story, warehouse)


@settings(max_examples=2, derandomize=True)
@given(story=stories())
def test_a_warehouse_in_postgres_holds_what_the_account_shows(story: Story, postgres_url: str) -> None:
    with in_postgres(postgres_url) as warehouse:
        live(story, warehouse)
