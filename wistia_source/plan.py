"""Whom a run asks, and why: decided from what is known, without a request."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from .endpoints import Endpoint
from .warehouse import Refresh
from .windows import by_date_today, is_due

Why = Literal["new", "earlier start", "watched", "turn", "quiet"]
"""Why a parent is asked: never before; the start was moved to before what is known of it; a new or changed session;
its turn has come. `quiet`: its turn has come, but the account was neither loaded nor played, so it is not asked."""

LATE = timedelta(days=2)
"""How long after a day its loads and plays may still be counted: that of the deep lookback."""


@dataclass(frozen=True)
class Decision:
    """What is decided of one parent of an endpoint."""

    parent_id: str
    why: Why

    @property
    def is_asked(self) -> bool:
        """Whether it costs a request."""
        return self.why != "quiet"


@dataclass(frozen=True)
class BusyDays:
    """The by_date days on which the account was loaded or played, of all days from `since` on."""

    since: date
    days: Collection[date]

    def were_none(self, since: date) -> bool:
        """Whether nothing happened from a day on."""
        return since >= self.since and not any(day >= since for day in self.days)


def decide(
    endpoint: Endpoint,
    parents: Iterable[str],
    asked: Mapping[str, Refresh],
    played: Mapping[str, datetime],
    start_date: date,
    now: datetime,
    busy: BusyDays | None = None,
) -> list[Decision]:
    """The parents of a fan-out whose turn it is, those never asked first, then by id.

    `asked` is when each was last asked, `played` when its last new or changed session landed; without `busy` every
    turn costs a request.
    """
    decisions = [
        Decision(parent_id, why)
        for parent_id in parents
        if (why := _why(endpoint, parent_id, asked.get(parent_id), played, start_date, now, busy))
    ]
    return sorted(decisions, key=lambda decision: (decision.why != "new", decision.parent_id))


def _why(
    endpoint: Endpoint,
    parent_id: str,
    asked: Refresh | None,
    played: Mapping[str, datetime],
    start_date: date,
    now: datetime,
    busy: BusyDays | None,
) -> Why | None:
    if asked is None:
        return "new"
    if asked.from_date is not None and start_date < asked.from_date:
        return "earlier start"
    if endpoint.follows_plays and played.get(parent_id, asked.refreshed_at) > asked.refreshed_at:
        return "watched"
    if not is_due(parent_id, asked.refreshed_at, endpoint.refresh_within, now):
        return None
    # what Wistia counts of a parent changes when somebody loads or plays it, and recent days when they are restated
    since = min(asked.through_date or date.max, by_date_today(asked.refreshed_at)) - max(endpoint.lookback, LATE)
    return "quiet" if endpoint.follows_plays and busy and busy.were_none(max(since, start_date)) else "turn"
