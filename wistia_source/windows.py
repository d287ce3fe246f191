"""Pure date arithmetic: which stretch of time to ask for, and who is due."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta, timezone

BY_DATE_ZONE = timezone(timedelta(hours=-5))
"""The zone whose midnight ends a by_date day: UTC-5 all the year (derived from recordings)."""

EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)  # noqa: UP017


def by_date_range(start: date, through: date | None, lookback: timedelta, now: datetime) -> tuple[date, date]:
    """First and last day to ask a by_date endpoint for, both inclusive.

    The whole history from `start` the first time, later from `lookback` before the last day asked for: recent
    days are restated. Never a day that has not begun in the endpoint's own zone.
    """
    today = now.astimezone(BY_DATE_ZONE).date()
    first = start if through is None else max(start, min(through, today) - lookback)
    return min(first, today), today


def days_asked(first: date, last: date) -> dict[str, str]:
    """The query for days, both inclusive: with only one the API means others, or answers 500 (third party)."""
    return {"start_date": first.isoformat(), "end_date": last.isoformat()}


def cut(watermark: datetime, lookback: timedelta, now: datetime) -> datetime:
    """The oldest cursor value a feed is asked for. A watermark in the future counts as now."""
    return min(watermark, now) - lookback


def is_due(key: str, refreshed_at: datetime | None, every: timedelta, now: datetime) -> bool:
    """Whether a parent's turn has come since it was last asked.

    Each key has a fixed moment within the period `every`, by its hash, so that all keys are asked once a period
    and every hour gets an even share of them.
    """
    if refreshed_at is None:
        return True
    first_turn = EPOCH + every * (zlib.crc32(key.encode()) % 86_400) // 86_400
    return refreshed_at < first_turn + (now - first_turn) // every * every


def split_by_volume(
    start: date, end: date, plays: Iterable[tuple[date, int]], most: int
) -> Sequence[tuple[date, date]]:
    """Windows of whole days, both ends inclusive, newest first, that together are exactly start..end.

    Each holds about `most` plays, so that one window is a few pages and the windows can be read side by side.
    A day is never split: the API's filter knows days only.
    """
    by_day = dict(plays)
    windows: list[tuple[date, date]] = []
    first, last, volume = end, end, 0
    while first >= start:
        volume += by_day.get(first, 0)
        if volume >= most or first == start:
            windows.append((first, last))
            last, volume = first - timedelta(days=1), 0
        first -= timedelta(days=1)
    return windows
