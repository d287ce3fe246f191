"""What a warehouse that follows an account was promised to hold after each run, and whether it does."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.sandbox import Fault

from tests.support.sandbox import NOW, settings_for
from tests.support.stories import (
    DAY,
    FAN_OUTS,
    HOUR,
    LISTINGS,
    NEVER,
    SMALL,
    TABLES,
    Contents,
    Key,
    Rows,
    Run,
    World,
    by_key,
)
from tests.support.warehouse import Warehouse
from wistia_source.endpoints import (
    CAPTIONS,
    EVENTS,
    VISITORS,
    Endpoint,
    Row,
)


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


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
