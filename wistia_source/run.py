"""What the resources of one run share: the client, the account, the listings, and what has been asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from .client import Client, Row, Tally
from .endpoints import BY_NAME, EVENTS, MEDIAS, Endpoint
from .errors import NotFound, RequestFailed, SettingInvalid
from .rows import value_of
from .warehouse import Refresh, Warehouse
from .windows import is_due

Pause = Iterator[None]
"""A generator that yields None until what it waits for is there: dlt then lets other resources go on."""


@dataclass(frozen=True)
class Outcome:
    """What asking for one parent came to."""

    parent_id: str
    rows: Sequence[Row] = ()
    through: date | None = None
    whole: bool = False
    """Whether all of a by_date history was asked for."""
    result: str = "ok"
    error: str | None = None


@dataclass
class Run:
    """One run of the source. Nothing is asked before a resource is iterated."""

    client: Client
    start_date: date
    clock: Callable[[], datetime]
    keep_public_token: bool
    running: set[str] = field(default_factory=set)
    """Resources that have not finished."""
    catching_up: bool = False
    """Whether events are read for the first time and no media was ever asked, so that all of them are due."""
    carried: dict[str, list[Outcome]] = field(default_factory=dict)
    """By table: lists found inside other rows that are not loaded yet."""
    notes: list[Row] = field(default_factory=list)
    """Rows of `refreshes` that are not loaded yet."""
    _sessions: dict[str, datetime] = field(default_factory=dict)
    _listings: dict[str, list[Row] | None] = field(default_factory=dict)
    _account_id: str | None = None
    _failed: dict[str, RequestFailed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = self.clock()

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
        return self._account_id

    @contextmanager
    def _remembered(self, what: str) -> Iterator[None]:
        """Keeps a failure for those who need the same, so that each request fails once."""
        try:
            yield
        except RequestFailed as error:
            self._failed[what] = error
            raise

    @cached_property
    def warehouse(self) -> Warehouse:
        """What the destination holds of this account. Only after `account_id`."""
        assert self._account_id is not None
        return Warehouse(self._account_id)

    @property
    def asked_nothing_yet(self) -> bool:
        """Whether the warehouse remembers no fan-out."""
        return not self._asked

    @cached_property
    def _asked(self) -> dict[tuple[str, str], Refresh]:
        return self.warehouse.refreshes()

    def finish(self, endpoint: Endpoint) -> None:
        """A resource has ended, well or not; the last one closes the connection to the warehouse."""
        self.running.discard(endpoint.name)
        if not self.running and self._account_id is not None:
            self.warehouse.close()

    def list_all(self, endpoint: Endpoint, tally: Tally) -> Pause:
        """Walks a listing once a run; whoever else wants it waits for the first. Then `listed` has it."""
        if endpoint.name in self._listings:
            while self._listings[endpoint.name] is None:
                if error := self._failed.get(endpoint.name):
                    raise error
                yield None
            return
        self._listings[endpoint.name] = None
        rows: list[Row] = []
        path = self.client.path(endpoint)
        with self._remembered(endpoint.name):
            for arrived in self.client.stream(
                self.client.pages(path, dict(scope), tally, endpoint.permission) for scope in endpoint.scopes
            ):
                for page in arrived or ():
                    rows.extend(page)
                yield None
        self._listings[endpoint.name] = rows

    def listed(self, endpoint: Endpoint) -> list[Row]:
        """The rows of a listing that has been walked."""
        return self._listings[endpoint.name] or []

    def wait_for_sessions(self) -> Pause:
        """Waits until this run has seen all new sessions, which say what medias have changed."""
        while EVENTS.name in self.running and not self.catching_up:
            yield None

    def note_sessions(self, table: pa.Table) -> None:
        """Remembers which medias have new or changed sessions."""
        if self.catching_up:
            # everything is asked in this run anyway, but perhaps before these sessions began
            table = table.filter(
                pc.greater_equal(table["received_at"], pa.scalar(self.started, pa.timestamp("us", "UTC")))
            )
        now = self.clock()
        for media_id in table["media_id"].unique().to_pylist():
            if media_id is not None and media_id not in self._sessions:
                self._sessions[media_id] = now
                self.note(EVENTS, Outcome(media_id))

    def note(self, endpoint: Endpoint, outcome: Outcome) -> None:
        """Remembers that a parent was asked."""
        now = self.clock()
        asked = self.asked(endpoint, outcome.parent_id)
        history_at = now if outcome.whole else asked and asked.history_at
        from_date = self.start_date if outcome.whole else asked and asked.from_date
        through = outcome.through or (asked and asked.through_date)
        self.notes.append(
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

    def lacks_days(self, asked: Refresh) -> bool:
        """Whether the start has been moved to before the first day that was asked for."""
        return asked.from_date is not None and self.start_date < asked.from_date

    def asked(self, endpoint: Endpoint, parent_id: str) -> Refresh | None:
        """When a parent was last asked, in an earlier run."""
        return self._asked.get((endpoint.name, parent_id))

    def due(self, endpoint: Endpoint) -> list[str]:
        """The parents to ask now, those never asked first: see `windows.is_due` for the others' turns."""
        if endpoint.parent is None:
            return [""]
        now = self.clock()
        played = self._played(endpoint) if endpoint.follows_plays else {}
        due: list[tuple[bool, str]] = []
        for parent_id in self._ids(BY_NAME[endpoint.parent]):
            asked = self.asked(endpoint, parent_id)
            if (
                asked is None
                or is_due(parent_id, asked.refreshed_at, endpoint.refresh_within, now)
                or played.get(parent_id, asked.refreshed_at) > asked.refreshed_at
                or self.lacks_days(asked)
            ):
                due.append((asked is not None, parent_id))
        return [parent_id for _, parent_id in sorted(due)]

    def _played(self, endpoint: Endpoint) -> dict[str, datetime]:
        """When the last new or changed session of each parent landed."""
        medias = {
            media_id: refresh.refreshed_at for (name, media_id), refresh in self._asked.items() if name == EVENTS.name
        } | self._sessions
        if endpoint.parent == MEDIAS.name:
            return medias
        projects: dict[str, datetime] = {}
        for row in self.listed(MEDIAS):
            at = medias.get(value_of(MEDIAS.column("media_id"), row))
            project = value_of(MEDIAS.column("project_id"), row)
            if at and project:
                projects[project] = max(at, projects.get(project, at))
        return projects

    def _ids(self, parent: Endpoint) -> Iterable[str]:
        """The ids of a listing, each once: a media archived while we read is in both lists."""
        column = parent.column(parent.primary_key[0])
        return dict.fromkeys(id_ for row in self.listed(parent) if (id_ := value_of(column, row)))
