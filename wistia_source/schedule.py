"""Decides which medias and projects to refresh, and why, from what is known and without a request."""

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


def decide(
    endpoint: Endpoint,
    parents: Iterable[str],
    asked: Mapping[str, Refresh],
    played: Mapping[str, datetime],
    start_date: date,
    now: datetime,
    busy_days: Mapping[date, int] | None = None,
) -> dict[str, Why]:
    """The parents of a fan-out that are due, those never refreshed first, then by id.

    `asked` is when each was last refreshed, `played` when its last new or changed session landed, `busy_days` how often
    the account was loaded and played on each by_date day that is known; without it every regular refresh costs a
    request.
    """

    def why(parent_id: str) -> Why | None:
        last = asked.get(parent_id)
        if last is None:
            return "new"
        if last.from_date is not None and start_date < last.from_date:
            return "earlier start"
        if endpoint.follows_plays and played.get(parent_id, last.refreshed_at) > last.refreshed_at:
            return "watched"
        if not is_due(parent_id, last.refreshed_at, endpoint.refresh_within, now):
            return None
        if not endpoint.spared_when_quiet or busy_days is None:
            return "turn"
        # what a quiet account shows is still read once in a while, should Wistia restate what is older
        if is_due(parent_id, last.history_at, endpoint.history_within, now):
            return "turn"
        # what Wistia counts of a media changes when somebody loads or plays it, and recent days when they are restated
        since = min(last.through_date or date.max, by_date_today(last.refreshed_at)) - max(endpoint.lookback, RESTATED)
        # the day that has just begun may have no row yet
        was_quiet = _were_quiet(busy_days, max(since, start_date), by_date_today(now) - ONE_DAY)
        return "quiet" if was_quiet else "turn"

    due = {parent_id: reason for parent_id in parents if (reason := why(parent_id))}
    return dict(sorted(due.items(), key=lambda item: (item[1] != "new", item[0])))


def _were_quiet(busy_days: Mapping[date, int], since: date, known_through: date) -> bool:
    """Whether nothing happened from a day on; where a day up to `known_through` is not known nobody can tell."""
    days = (since + number * ONE_DAY for number in range((known_through - since) // ONE_DAY + 1))
    return busy_days.keys() >= set(days) and not any(count and day >= since for day, count in busy_days.items())
