"""What the resources of one run share: the client, the account, the listings, and what has been asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from math import inf
from time import monotonic
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from .client import Client, Row, Tally
from .endpoints import ACCOUNT_STATS_BY_DATE, BY_NAME, EVENTS, FORGOTTEN, MEDIAS, RECORDS, RESTATEMENTS, Endpoint
from .errors import NotFound, RequestFailed, ResourceLost, SettingInvalid
from .forgotten import Forgotten
from .personal import Pii
from .plan import BusyDays, decide
from .rows import value_of
from .tuning import Tuning
from .warehouse import Refresh, Warehouse
from .windows import AGES, OLDER, Days, age_of, from_the_past

Pause = Iterator[None]
"""A generator that yields None until what it waits for is there: dlt then lets other resources go on."""


@dataclass(frozen=True)
class Outcome:
    """What asking for one parent came to."""

    parent_id: str
    rows: Sequence[Row] = ()
    through: date | None = None
    whole: bool = False
    """Whether all that there is was asked for, of by_date endpoints the whole history."""
    result: str = "ok"
    error: str | None = None
    at: datetime | None = None
    """When it was asked, where that was not just now: what happens after is not in the answer."""


@dataclass
class Run:
    """One run of the source, in one load package or several. Nothing is asked before a resource is iterated."""

    id: str
    client: Client
    start_date: date
    clock: Callable[[], datetime]
    keep_public_token: bool
    pii: Pii
    tuning: Tuning = field(default_factory=Tuning)
    backfill: Days | None = None
    """The days to read again instead of what is new, whatever was read before."""
    dry: bool = False
    """Whether it only counts what it would ask: it asks what it needs for that, the listings above all."""
    package_seconds: float = inf
    """After this long nothing new is begun for a load package: what is left goes into the next."""
    package_rows: int = 0
    """Rows in the load package so far."""
    running: set[str] = field(default_factory=set)
    """Resources that have not finished their part of the load package."""
    members: set[str] = field(default_factory=set)
    """Resources that the run began with."""
    left: dict[str, list[Any]] = field(default_factory=dict)
    """By resource: what was not begun when the time of the load package was up, in order."""
    sessions_seen: bool = False
    """Whether the new and changed sessions are known, which say what medias have changed."""
    carried: dict[str, list[Outcome]] = field(default_factory=dict)
    """By table: lists found inside other rows that are not loaded yet."""
    _estimated: set[str] = field(default_factory=set)
    _notes: list[Row] = field(default_factory=list)
    _restated: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _sessions: dict[str, datetime] = field(default_factory=dict)
    _listings: dict[str, dict[str, str | None] | None] = field(default_factory=dict)
    """By listing: the ids in it, each with the project that it is in; null while it is being read."""
    _listed: dict[str, list[bytes]] = field(default_factory=dict)
    """By listing: its pages until they are loaded, as text, which takes a third of the memory."""
    _busy_days: BusyDays | None = None
    """When the account was loaded or played; null before its days are read."""
    _account_id: str | None = None
    _failed: dict[str, ResourceLost] = field(default_factory=dict)
    _package_ends: float = inf

    def __post_init__(self) -> None:
        self.started = self.clock()

    def begin(self, endpoint: Endpoint) -> None:
        """A resource begins its part of a load package; the first one starts the package's time."""
        if not self.running:
            if not self.left:
                self._forget()
            self._package_ends = monotonic() + self.package_seconds
            self.package_rows = 0
        self.running.add(endpoint.name)
        self.members.add(endpoint.name)

    def _forget(self) -> None:
        """What an earlier run of the same source has learned is old when it is run again."""
        self.sessions_seen, self._busy_days = False, None
        self._listings.clear()
        self._sessions.clear()
        for learned in ("_asked", "stats_known_since", "forgotten"):
            self.__dict__.pop(learned, None)

    def package_is_full(self) -> bool:
        """Whether the load package shall take no more work."""
        return monotonic() >= self._package_ends or self.package_rows >= self.tuning.rows_per_package

    def finish(self, endpoint: Endpoint) -> None:
        """A resource has ended its part, well or not; the last one lets go of the warehouse, which now changes."""
        self.running.discard(endpoint.name)
        if not self.running and "warehouse" in self.__dict__:
            self.warehouse.close()
            del self.warehouse

    def stop(self) -> None:
        """One failure ends the run: nobody may wait on for the budget, and the warehouse is left to others."""
        self.client.close()
        if "warehouse" in self.__dict__:
            self.warehouse.close()

    def idle(self) -> None:
        """Nothing has arrived: the warehouse is left to others meanwhile."""
        if "warehouse" in self.__dict__:
            self.warehouse.let_go_when_idle()

    def all_else_is_there(self) -> Pause:
        """Waits until only the records of the run are left to write."""
        while self.running - {endpoint.name for endpoint in RECORDS}:
            yield None

    def expect(self, endpoint: Endpoint, requests: int, tally: Tally) -> None:
        """Notes how many requests are still to come, about, and how long the quota makes them take."""
        tally["expected"] = tally.get("requests", 0) + requests
        tally["expected_minutes"] = requests / self.client.requests_per_minute
        self._estimated.add(endpoint.name)

    def all_have_estimated(self) -> Pause:
        """A backfill makes no request of its own before all its resources know how many it will take."""
        while self.backfill and self.running - self._estimated - {endpoint.name for endpoint in RECORDS}:
            yield None

    def account_id(self, tally: Tally) -> str:
        """The account's own id; the first who needs it pays the request."""
        if error := self._failed.get("account"):
            raise error
        if self._account_id is None:
            with self._remembered("account"):
                try:
                    account = self.client.get("account", {}, tally)
                except NotFound:
                    raise SettingInvalid("There is no Wistia API at base_url (HTTP 404); correct it.") from None
                if not isinstance(account, dict) or account.get("id") is None:
                    raise RequestFailed("GET account answered without an account id; check base_url.")
            self._account_id = str(account["id"])
        tally["account_id"] = self._account_id
        return self._account_id

    @property
    def has_account(self) -> bool:
        """Whether the account answered."""
        return self._account_id is not None

    @contextmanager
    def _remembered(self, what: str) -> Iterator[None]:
        """Keeps a failure for those who need the same, so that each request fails once."""
        try:
            yield
        except ResourceLost as error:
            self._failed[what] = error
            raise

    @cached_property
    def warehouse(self) -> Warehouse:
        """What the destination holds of this account. Only after `account_id`."""
        assert self._account_id is not None
        return Warehouse(self._account_id)

    @cached_property
    def forgotten(self) -> Forgotten:
        """The people to leave out of this run."""
        return self.warehouse.forgotten()

    @cached_property
    def _asked(self) -> dict[tuple[str, str], Refresh]:
        # what a clock that was ahead has noted would hold up all turns until that time comes
        return {
            key: replace(asked, history_at=from_the_past(asked.history_at, self.started))
            for key, asked in self.warehouse.refreshes().items()
            if from_the_past(asked.refreshed_at, self.started)
        }

    def list_all(self, endpoint: Endpoint, tally: Tally) -> Pause:
        """Walks a listing once a run; whoever else wants it waits for the first."""
        if endpoint.name in self._listings:
            while self._listings[endpoint.name] is None:
                if error := self._failed.get(endpoint.name):
                    raise error
                yield None
            return
        self._listings[endpoint.name] = None
        ids: dict[str, str | None] = {}
        pages: list[bytes] = []
        path = self.client.path(endpoint)
        id_column, project = endpoint.column(endpoint.primary_key[0]), MEDIAS.column("project_id")
        with self._remembered(endpoint.name):
            for arrived in self.client.stream(
                self.client.pages(path, dict(scope), tally, endpoint.permission) for scope in endpoint.scopes
            ):
                for page in arrived or ():
                    # a media archived while we read is in both lists
                    ids |= {id_: value_of(project, row) for row in page if (id_ := value_of(id_column, row))}
                    if endpoint.name in self.members:
                        pages.append(orjson.dumps(page))
                yield None
        self._listings[endpoint.name], self._listed[endpoint.name] = ids, pages

    def take_listed(self, endpoint: Endpoint) -> Iterator[list[Row]]:
        """The pages of a listing that has been walked, for the resource that loads them, once: they are not kept."""
        return map(orjson.loads, self._listed.pop(endpoint.name, ()))

    def listed_ids(self, listing: Endpoint) -> dict[str, str | None]:
        """The ids of a listing that has been walked, each with its project."""
        return self._listings[listing.name] or {}

    def wait_for_sessions(self) -> Pause:
        """Waits until the new and changed sessions are known, or nobody reads them."""
        while EVENTS.name in self.running and not self.sessions_seen:
            yield None

    def wait_for_days(self) -> Pause:
        """Waits until it is known on which days the account was loaded or played, or nobody reads that."""
        while ACCOUNT_STATS_BY_DATE.name in self.running and self._busy_days is None:
            yield None

    def note_days(self, endpoint: Endpoint, table: pa.Table) -> None:
        """Remembers how busy the account was on the days in the table; other endpoints do not say."""
        if endpoint.name == ACCOUNT_STATS_BY_DATE.name:
            rows = table.select(["date", "load_count", "play_count"]).to_pylist()
            days = {row["date"]: (row["load_count"] or 0) + (row["play_count"] or 0) for row in rows}
            self._busy_days = BusyDays(self.warehouse.days(endpoint) | days)

    def note_sessions(self, endpoint: Endpoint, table: pa.Table, since: datetime | None = None) -> None:
        """Remembers which medias have sessions in the table, received at `since` or later; other feeds have none."""
        if endpoint.name != EVENTS.name:
            return
        if since:
            table = table.filter(pc.greater_equal(table["received_at"], pa.scalar(since, pa.timestamp("us", "UTC"))))
        now = self.clock()
        for media_id in table["media_id"].unique().to_pylist():
            if media_id is not None and media_id not in self._sessions:
                self._sessions[media_id] = now
                self.note(EVENTS, Outcome(media_id))

    def expect_sessions(self, media_ids: Iterable[str]) -> None:
        """Instead of `note_sessions`, where it is only counted what would be asked."""
        now = self.clock()
        self._sessions |= dict.fromkeys(media_ids, now)

    @cached_property
    def stats_known_since(self) -> datetime:
        """No media's numbers in the warehouse are older than this; without any, they are read in this run."""
        times = [asked.refreshed_at for (name, _), asked in self._asked.items() if name != EVENTS.name]
        return min([*times, self.started])

    def note(self, endpoint: Endpoint, outcome: Outcome) -> None:
        """Remembers that a parent was asked."""
        now = outcome.at or self.clock()
        asked = self.asked(endpoint, outcome.parent_id)
        history_at = now if outcome.whole else asked and asked.history_at
        from_date = self.start_date if outcome.whole and outcome.through else asked and asked.from_date
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

    def restated(self, endpoint: Endpoint, at: datetime | date, is_new: bool) -> None:
        """Remembers that a row behind the watermark was added or has changed."""
        self._restated[endpoint.name, age_of(at, self.clock()), "rows_added" if is_new else "rows_changed"] += 1

    def records(self, endpoint: Endpoint) -> list[Row]:
        """The rows of `refreshes`, `restatements` or `forgotten` for this load package."""
        if endpoint.name == FORGOTTEN.name:
            return self.forgotten.take_found(self.clock()) if "forgotten" in self.__dict__ else []
        if endpoint.name != RESTATEMENTS.name:
            notes, self._notes = self._notes, []
            return notes
        names = {name for name, *_ in self._restated}
        return [
            {"run_id": self.id, "run_at": self.started.isoformat(), "resource": name, "age": age}
            | {kind: self._restated[name, age, kind] for kind in ("rows_added", "rows_changed")}
            for name in sorted(names)
            for age in (*AGES, OLDER)
            if self._restated[name, age, "rows_added"] or self._restated[name, age, "rows_changed"]
        ]

    def days_read(self, endpoint: Endpoint, parent_id: str) -> tuple[date, date] | None:
        """From which day on, and before which, a parent's days were read by earlier runs."""
        asked = self.asked(endpoint, parent_id)
        if asked is None or asked.from_date is None or asked.through_date is None:
            return None
        return asked.from_date, asked.through_date

    def lacks_days(self, asked: Refresh) -> bool:
        """Whether the start has been moved to before the first day that was asked for."""
        return asked.from_date is not None and self.start_date < asked.from_date

    def asked(self, endpoint: Endpoint, parent_id: str) -> Refresh | None:
        """When a parent was last asked, in an earlier run."""
        return self._asked.get((endpoint.name, parent_id))

    def due(self, endpoint: Endpoint, tally: Tally) -> list[str]:
        """The parents to ask now, those never asked first: see `plan.decide`, whose reasons are counted. Those that are
        spared are noted."""
        if endpoint.parent is None:
            return [""]
        parents = self.listed_ids(BY_NAME[endpoint.parent])
        if self.backfill:
            return sorted(parents)
        asked = {parent_id: known for (name, parent_id), known in self._asked.items() if name == endpoint.name}
        played = self._played(endpoint) if endpoint.follows_plays else {}
        decisions = decide(endpoint, parents, asked, played, self.start_date, self.clock(), self._busy_days)
        tally["reasons"] = dict(Counter(decision.why for decision in decisions))
        for decision in decisions:
            if not decision.is_asked:
                self.note(endpoint, Outcome(decision.parent_id, result=decision.why))
        return [decision.parent_id for decision in decisions if decision.is_asked]

    def _played(self, endpoint: Endpoint) -> dict[str, datetime]:
        """When the last new or changed session of each parent landed."""
        medias = {
            media_id: refresh.refreshed_at for (name, media_id), refresh in self._asked.items() if name == EVENTS.name
        } | self._sessions
        if endpoint.parent == MEDIAS.name:
            return medias
        projects: dict[str, datetime] = {}
        for media_id, project in self.listed_ids(MEDIAS).items():
            at = medias.get(media_id)
            if at and project:
                projects[project] = max(at, projects.get(project, at))
        return projects
