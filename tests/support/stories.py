"""Stories of an account that grows, changes and fails, and what a warehouse that follows it must hold.

After each run every row of every table must be what the account shows now, where the run had promised to look;
anywhere else it may also be what it was before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.sandbox.server import Reply
from wistia_pipeline.sandbox.view import View

from tests.support.sandbox import NOW, TOKEN
from wistia_source.endpoints import (
    CAPTIONS,
    ENDPOINTS,
    MEDIA_ENGAGEMENT,
    MEDIA_STATS,
    MEDIA_STATS_ACTIONS,
    MEDIA_STATS_BY_DATE,
    PROJECT_STATS,
    PROJECT_STATS_BY_DATE,
    REFRESHES,
    RESTATEMENTS,
    Endpoint,
    Row,
)
from wistia_source.event_repair import repair_event
from wistia_source.rows import primary_key, to_table
from wistia_source.tuning import Tuning
from wistia_source.windows import by_date_today

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
        return by_date_today(self.now)

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
        for event in self._view().events():
            if event.get("event_key") and event["received_at"][:19] <= text[:19]:
                self.account.restate_event(event["event_key"], percent_viewed=self._changes % 97 / 97)
                return

    def _restated_day(self, number: int, ago: timedelta) -> None:
        self.account.restate_day(
            self._media_id(number), by_date_today(self.last_run) - ago, loads=self._changes, plays=1
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
            repair_event(row, keep_public_token=False)
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
