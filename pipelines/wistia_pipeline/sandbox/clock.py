"""Converts moments to whole seconds since 1970, and to the three forms in which Wistia writes them."""

from datetime import UTC, date, datetime
from math import cos, pi

HOUR = 3600
DAY = 24 * HOUR
EPOCH = date(1970, 1, 1).toordinal()

# days of by_date run from 05:00Z to 05:00Z, in summer too
STATS_DAY_BEGINS = 5 * HOUR


def seconds(moment: datetime) -> int:
    """Whole seconds since 1970 of an aware datetime."""
    if moment.tzinfo is None:
        raise ValueError(f"a moment needs a time zone: {moment!r}")
    return int(moment.timestamp() // 1)


def stats_day(at: int) -> int:
    """The by_date day, as days since 1970, that a moment belongs to."""
    return (at - STATS_DAY_BEGINS) // DAY


def day_text(number: int) -> str:
    """A day since 1970 as YYYY-MM-DD."""
    return date.fromordinal(number + EPOCH).isoformat()


def day_of(value: date | str) -> int:
    """Days since 1970 of a date or of text; ValueError if the text is not a plain YYYY-MM-DD."""
    if isinstance(value, str):
        if len(value) != 10:
            raise ValueError(f"not a plain date: {value!r}")
        value = date.fromisoformat(value)
    return value.toordinal() - EPOCH


def data_text(at: int) -> str:
    """The form of medias and projects."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def stats_text(at: int, milliseconds: str = ".000") -> str:
    """The form of Stats rows: milliseconds that are always zero, and that rows of years ago lack."""
    return f"{data_text(at)[:19]}{milliseconds}Z"


def rhythm(at: int) -> float:
    """How busy an hour is, 1 on average: most in Europe's afternoon, America's morning, least at weekends."""
    moment = datetime.fromtimestamp(at, UTC)
    week = (1.12, 1.18, 1.2, 1.15, 1.05, 0.68, 0.62)[moment.weekday()]
    return week * (1 + 0.8 * cos((moment.hour - 16) / 24 * 2 * pi))
