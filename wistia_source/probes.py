"""Asks each endpoint for as little as it gives: what a run would be told, known within seconds."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .client import Client
from .endpoints import Endpoint, Row
from .errors import RequestFailed
from .fan_outs import completed
from .memory import Outcome
from .metrics import Metrics
from .paging import Lists
from .rows import is_row_of, to_table, with_key
from .windows import by_date_today, days_asked

DAYS_PROBED = timedelta(days=30)
"""Enough for a row of most accounts, and few enough to be answered at once."""


@dataclass
class Probes:
    """An account that is asked for what a run would ask it for. Raises what the client raises."""

    client: Client
    now: datetime
    metrics: Metrics = field(default_factory=Metrics)

    def ask(self, endpoint: Endpoint, account_id: str, parent_id: str | None = None) -> list[Row]:
        """The first row of an endpoint, or its newest days. Raises `RowUnusable` where it could not be loaded."""
        path = self.client.path(endpoint, parent_id)
        params: dict[str, str | int] = {}
        if endpoint.dated:
            today = by_date_today(self.now)
            params |= days_asked(today - DAYS_PROBED, today)
        if endpoint.kind == "feed" or endpoint.listing:
            params |= {"page": 1, "per_page": 1}
        # of a list in several parts the first tells enough
        params |= dict(endpoint.scopes[0] if endpoint.scopes else ())
        rows = Lists(self.client).rows(path, params, self.metrics, endpoint.permission)
        if not all(is_row_of(endpoint, row) for row in rows):
            raise RequestFailed(f"GET {path} answered with something else than rows; please report it.")
        found = completed(endpoint, Outcome(parent_id or "", [dict(row) for row in rows]), self.now)
        if endpoint.repair:
            for row in found:
                endpoint.repair(row, False)
        keyed = with_key(endpoint, found)
        if len(keyed) < len(rows):
            raise RequestFailed(f"GET {path} answered with a row without a key; please report it.")
        to_table(endpoint, keyed, account_id)
        return rows
