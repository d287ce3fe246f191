"""Pure date arithmetic: which stretch of time to ask for, and who is due."""

import zlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone

BY_DATE_ZONE = timezone(timedelta(hours=-5))
"""The zone whose midnight ends a by_date day: UTC-5 all the year (derived from recordings)."""

Days = tuple[date, date]
"""First and last day, both inclusive."""

ONE_DAY = timedelta(days=1)

AGES = {
    "hour": timedelta(hours=1),
    "3 hours": timedelta(hours=3),
    "day": ONE_DAY,
    "2 days": timedelta(days=2),
    "week": timedelta(days=7),
}
OLDER = "older"

DEEP_EVERY = timedelta(hours=23, minutes=30)
"""Between two deep lookbacks at least: a day, less what a scheduled run may begin earlier than the day before."""

CLOCK_SKEW = timedelta(minutes=5)
"""By which the clock of another machine may be ahead."""

RETENTION = timedelta(days=730)
"""How long Wistia keeps events (docs). In days, since a leap day has no like two years ago."""

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def by_date_today(now: datetime) -> date:
    """The by_date day that has begun."""
    return now.astimezone(BY_DATE_ZONE).date()


def by_date_range(start: date, through: date | None, lookback: timedelta, now: datetime) -> Days:
    """First and last day to ask a by_date endpoint for, both inclusive.

    The whole history from `start` the first time, later from `lookback` before the last day asked for: recent
    days are restated. Never a day that has not begun in the endpoint's own zone.
    """
    today = by_date_today(now)
    first = start if through is None else max(start, min(through, today) - lookback)
    return min(first, today), today


def whole_days(begin: datetime, end: datetime) -> Days | None:
    """The by_date days that lie wholly between two moments."""
    first, last = begin.astimezone(BY_DATE_ZONE), end.astimezone(BY_DATE_ZONE).date() - ONE_DAY
    begun = first.time() != time()
    day = first.date() + ONE_DAY * begun
    return (day, last) if day <= last else None


def midnight(day: date, zone: timezone = UTC) -> datetime:
    """The moment at which a day begins."""
    return datetime.combine(day, time(), zone)


def days_asked(first: date, last: date) -> dict[str, str]:
    """The query for days, both inclusive: with only one the API means others, or answers 500 (third party)."""
    return {"start_date": first.isoformat(), "end_date": last.isoformat()}


def cut(watermark: datetime, lookback: timedelta, now: datetime) -> datetime:
    """The oldest cursor value a feed is asked for. A watermark in the future counts as now."""
    return min(watermark, now) - lookback


def from_the_past(moment: datetime | None, now: datetime) -> datetime | None:
    """A moment that was noted by an earlier run, or null: one from the future was noted by a clock that was wrong."""
    return moment if moment is not None and moment <= now + CLOCK_SKEW else None


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
    start: date, end: date, plays: Mapping[date, int], most: int, longest: timedelta = timedelta.max
) -> list[Days]:
    """Windows of whole days, newest first, that together are exactly start..end.

    Each holds about `most` plays and is no longer than `longest`, so that one window is a few pages and the windows
    can be read side by side. A day is never split: the API's filter knows days only.
    """
    windows: list[Days] = []
    first, last, volume = end, end, 0
    while first >= start:
        volume += plays.get(first, 0)
        if volume >= most or first == start or last - first + ONE_DAY >= longest:
            windows.append((first, last))
            last, volume = first - ONE_DAY, 0
        first -= ONE_DAY
    return windows


def age_of(at: datetime | date, now: datetime) -> str:
    """How old a row is, as one of `AGES`: since its timestamp, or since the end of its by_date day."""
    if not isinstance(at, datetime):
        at = midnight(at + ONE_DAY, BY_DATE_ZONE)
    return next((name for name, limit in AGES.items() if now - at <= limit), OLDER)
