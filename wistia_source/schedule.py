"""Decides which medias and projects to refresh, and why, from what is known and without a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from .endpoints import Endpoint
from .windows import ONE_DAY, by_date_today, is_due

Why = Literal["new", "earlier start", "watched", "turn", "quiet"]
"""Why a parent is refreshed: it never was; the start was moved to before what is known of it; it has a new or changed
session; a regular refresh is due. `quiet`: one is due, but is skipped: the account was neither loaded nor played."""

RESTATED = timedelta(days=14)
"""For how long Wistia restates a day, about (derived)."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """When a parent was last refreshed, from and through which day, and when for its whole history."""

    refreshed_at: datetime
    from_date: date | None
    through_date: date | None
    history_at: datetime | None


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
    """How often the account was loaded and played on each by_date day that is known."""

    counts: Mapping[date, int]

    def were_none(self, since: date, known_through: date) -> bool:
        """Whether nothing happened from a day on; where a day up to `known_through` is not known nobody can tell."""
        days = (since + number * ONE_DAY for number in range((known_through - since) // ONE_DAY + 1))
        return self.counts.keys() >= set(days) and not any(count and day >= since for day, count in self.counts.items())


def decide(
    endpoint: Endpoint,
    parents: Iterable[str],
    asked: Mapping[str, Refresh],
    played: Mapping[str, datetime],
    start_date: date,
    now: datetime,
    busy: BusyDays | None = None,
) -> list[Decision]:
    """The parents of a fan-out that are due, those never refreshed first, then by id.

    `asked` is when each was last refreshed, `played` when its last new or changed session landed; without `busy` every
    regular refresh costs a request.
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
    # what a quiet account shows is still read once in a while, should Wistia restate what is older
    if not endpoint.spared_when_quiet or busy is None:
        return "turn"
    if is_due(parent_id, asked.history_at, endpoint.history_within, now):
        return "turn"
    # what Wistia counts of a media changes when somebody loads or plays it, and recent days when they are restated
    since = min(asked.through_date or date.max, by_date_today(asked.refreshed_at)) - max(endpoint.lookback, RESTATED)
    # the day that has just begun may have no row yet
    was_quiet = busy.were_none(max(since, start_date), by_date_today(now) - ONE_DAY)
    return "quiet" if was_quiet else "turn"
