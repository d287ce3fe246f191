"""Remembers what was asked for and learned, in this run and, by the warehouse, in earlier ones."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .endpoints import BY_NAME, ENDPOINTS, EVENTS, MEDIAS, Endpoint, Row
from .forgotten import Forgotten
from .listings import Listings
from .schedule import Refresh, Why, decide
from .warehouse import Held, Warehouse
from .windows import age_of, from_the_past


@dataclass(frozen=True)
class Outcome:
    """What the request for one parent brought."""

    parent_id: str
    rows: Sequence[Row] = ()
    through: date | None = None
    whole: bool = False
    """Whether all that there is was asked for, of by_date endpoints the whole history."""
    result: str = "ok"
    error: str | None = None
    at: datetime | None = None
    """When it was asked, where that was not just now: what happens after is not in the answer."""


class Memory:
    """The warehouse of one account, and what a run adds to it. Only after the account has answered."""

    def __init__(self, run_id: str, listings: Listings, start_date: date, clock: Callable[[], datetime]) -> None:
        self._run_id, self._listings, self._start_date, self._clock = run_id, listings, start_date, clock
        self.started = clock()
        self._notes: list[Row] = []
        self._restated: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        """By resource and age: how many rows were added or have changed behind the watermark."""
        self._played: dict[str, datetime] = {}
        """By media: when its last new or changed session of this run landed."""
        self._busy_days: Mapping[date, int] | None = None
        """How often the account was loaded and played on each day; null before its days are read."""

    @cached_property
    def warehouse(self) -> Warehouse:
        """What the destination holds of this account."""
        account_id = self._listings.known_account_id
        assert account_id is not None
        return Warehouse(account_id)

    @cached_property
    def forgotten(self) -> Forgotten:
        """The people to leave out of this run."""
        return self.warehouse.forgotten()

    @cached_property
    def _refreshes(self) -> dict[str, dict[str, Refresh]]:
        """By endpoint and parent: what earlier runs noted."""
        known: dict[str, dict[str, Refresh]] = {}
        for (name, parent_id), asked in self.warehouse.refreshes().items():
            # what a clock that was ahead has noted would hold up all refreshes until that time comes
            if from_the_past(asked.refreshed_at, self.started):
                history_at = from_the_past(asked.history_at, self.started)
                known.setdefault(name, {})[parent_id] = replace(asked, history_at=history_at)
        return known

    def forget(self) -> None:
        """Drops what an earlier run of the same source has learned, when it is run again."""
        self._busy_days = None
        self._played.clear()
        for learned in ("_refreshes", "stats_known_since", "forgotten"):
            self.__dict__.pop(learned, None)

    def close(self, idle_seconds: float = 0.0) -> None:
        """Leaves the warehouse to others, if nothing was asked of it for so long."""
        if "warehouse" in self.__dict__:
            self.warehouse.close(idle_seconds)

    def end_package(self) -> None:
        """Drops what was known of the warehouse, which changes now."""
        self.close()
        self.__dict__.pop("warehouse", None)

    def asked(self, endpoint: Endpoint, parent_id: str) -> Refresh | None:
        """When a parent was last refreshed, in an earlier run."""
        return self._refreshes.get(endpoint.name, {}).get(parent_id)

    def days_read(self, endpoint: Endpoint, parent_ids: Iterable[str]) -> dict[str, tuple[date, date]]:
        """By parent: from which day on, and before which, its days were read by earlier runs."""
        known = self._refreshes.get(endpoint.name, {})
        return {
            parent_id: (asked.from_date, asked.through_date)
            for parent_id in parent_ids
            if (asked := known.get(parent_id)) and asked.from_date and asked.through_date
        }

    def decide(self, endpoint: Endpoint) -> dict[str, Why]:
        """Which parents of a fan-out to refresh now: see `schedule.decide`."""
        parents = self._listings.ids(BY_NAME[endpoint.parent or ""])
        asked = self._refreshes.get(endpoint.name, {})
        played = self._last_played(endpoint)
        return decide(endpoint, parents, asked, played, self._start_date, self._clock(), self._busy_days)

    def _last_played(self, endpoint: Endpoint) -> Mapping[str, datetime]:
        """When the last new or changed session of each parent landed, where that makes it due."""
        if not endpoint.follows_plays:
            return {}
        earlier = self._refreshes.get(EVENTS.name, {})
        medias = {media_id: refresh.refreshed_at for media_id, refresh in earlier.items()} | self._played
        if endpoint.follows_plays == "media":
            return medias
        projects: dict[str, datetime] = {}
        for media_id, project in self._listings.ids(MEDIAS).items():
            at = medias.get(media_id)
            if at and project:
                projects[project] = max(at, projects.get(project, at))
        return projects

    @cached_property
    def stats_known_since(self) -> datetime:
        """No media's numbers in the warehouse are older than this; without any, they are read in this run."""
        known = (self._refreshes.get(endpoint.name, {}) for endpoint in ENDPOINTS if endpoint.kind != "feed")
        return min([*(refresh.refreshed_at for parents in known for refresh in parents.values()), self.started])

    def note(self, endpoint: Endpoint, outcome: Outcome) -> None:
        """Notes that a parent was asked for."""
        now = outcome.at or self._clock()
        asked = self.asked(endpoint, outcome.parent_id)
        history_at = now if outcome.whole else asked and asked.history_at
        from_date = self._start_date if outcome.whole and outcome.through else asked and asked.from_date
        through = outcome.through or (asked and asked.through_date)
        self._notes.append(
            {
                "endpoint": endpoint.name,
                "parent_id": outcome.parent_id,
                "refreshed_at": now.isoformat(),
                "from_date": from_date and from_date.isoformat(),
                "through_date": through and through.isoformat(),
                "history_at": history_at and history_at.isoformat(),
                "result": outcome.result,
            }
        )

    def learn(self, endpoint: Endpoint, table: pa.Table, are_new: bool) -> None:
        """Learns what rows tell, if they do: which medias have sessions; or on which days the account was loaded or
        played."""
        if endpoint.tells == "busy days":
            rows = table.select(["date", "load_count", "play_count"]).to_pylist()
            days = {row["date"]: (row["load_count"] or 0) + (row["play_count"] or 0) for row in rows}
            self._busy_days = self.warehouse.days(endpoint) | days
        elif endpoint.tells == "sessions":
            if not are_new:
                # numbers that were asked after these sessions hold them already
                bound = pa.scalar(self.stats_known_since, pa.timestamp("us", "UTC"))
                table = table.filter(pc.greater_equal(table[endpoint.cursor or ""], bound))
            found: list[Any] = table["media_id"].unique().drop_null().to_pylist()
            medias = [id_ for id_ in found if id_ not in self._played]
            self.expect_sessions(medias)
            for media_id in medias:
                self.note(endpoint, Outcome(media_id))

    def expect_sessions(self, media_ids: Iterable[str]) -> None:
        """Takes medias for played, without a note of it in the warehouse."""
        self._played |= dict.fromkeys(media_ids, self._clock())

    def count_restated(
        self, endpoint: Endpoint, fresh: pa.Table, held: Held, read_before: Mapping[str, tuple[Any, Any]]
    ) -> None:
        """Counts the rows behind the watermark that are new or have changed.

        `read_before` says for a parent from when on, and before when, its rows were read by earlier runs.
        """
        if not read_before:
            return
        names = (*endpoint.primary_key, endpoint.cursor or "")
        for *key, at in zip(*(fresh[name].to_pylist() for name in names), strict=True):
            bounds = read_before.get(key[0] if endpoint.parent else "")
            if bounds and at is not None and bounds[0] <= at < bounds[1]:
                change = "rows_changed" if tuple(key) in held else "rows_added"
                self._restated[endpoint.name, age_of(at, self._clock())][change] += 1

    def take_refreshes(self) -> list[Row]:
        """Rows of `refreshes` for this load package."""
        notes, self._notes = self._notes, []
        return notes

    def restatements(self) -> list[Row]:
        """Rows of `restatements`, for all of the run so far."""
        return [
            {
                "run_id": self._run_id,
                "run_at": self.started.isoformat(),
                "resource": name,
                "age": age,
                "rows_added": changes["rows_added"],
                "rows_changed": changes["rows_changed"],
            }
            for (name, age), changes in self._restated.items()
        ]

    def take_forgotten(self) -> list[Row]:
        """Rows of `forgotten` for people whom this run has found by a forgotten address."""
        return self.forgotten.take_found(self._clock()) if "forgotten" in self.__dict__ else []
