"""Asks each endpoint for as little as it gives: what a run would be told, known within seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from .client import Client, Row, Tally
from .endpoints import EVENTS, Endpoint
from .errors import RequestFailed
from .fan_outs import rows_of
from .personal import Pii
from .rows import fix_event, is_row_of, to_table, with_key
from .run import Outcome, Run
from .windows import by_date_today, days_asked

DAYS_PROBED = timedelta(days=30)
"""Enough for a row of most accounts, and few enough to be answered at once."""


@dataclass
class Probes:
    """An account that is asked for what a run would ask it for. Raises what the client raises."""

    client: Client
    now: datetime
    tally: Tally = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """Made so far, retries included."""
        return int(self.tally.get("requests", 0))

    @cached_property
    def _run(self) -> Run:
        return Run(
            id="",
            client=self.client,
            start_date=self.now.date(),
            clock=lambda: self.now,
            keep_public_token=False,
            pii=Pii(),
        )

    def account_id(self) -> str:
        """The account's own id. Raises `SettingInvalid` where there is no Wistia API."""
        return self._run.account_id(self.tally)

    def ask(self, endpoint: Endpoint, account_id: str, parent_id: str | None = None) -> list[Row]:
        """The first row of an endpoint, or its newest days. Raises `RowUnusable` where it could not be loaded."""
        path = self.client.path(endpoint, parent_id)
        rows = self.client.rows(path, self._fewest(endpoint), self.tally, endpoint.permission)
        if not all(is_row_of(endpoint, row) for row in rows):
            raise RequestFailed(f"GET {path} answered with something else than rows; please report it.")
        completed = list(rows_of(self._run, endpoint, Outcome(parent_id or "", [dict(row) for row in rows])))
        if endpoint is EVENTS:
            for row in completed:
                fix_event(row, self._run.keep_public_token)
        keyed = with_key(endpoint, completed)
        if len(keyed) < len(rows):
            raise RequestFailed(f"GET {path} answered with a row without a key; please report it.")
        to_table(endpoint, keyed, account_id)
        return rows

    def _fewest(self, endpoint: Endpoint) -> Mapping[str, str | int]:
        """A query for as few rows as there can be."""
        params: dict[str, str | int] = {}
        if endpoint.dated:
            today = by_date_today(self.now)
            params |= days_asked(today - DAYS_PROBED, today)
        if endpoint.kind == "feed" or endpoint.listing:
            params |= {"page": 1, "per_page": 1}
        # of a list in several parts the first tells enough
        return params | dict(endpoint.scopes[0] if endpoint.scopes else ())
