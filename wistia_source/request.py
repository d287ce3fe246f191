"""Says what one run is asked for: what is new, one row by its key, past days, or only a forecast."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal

from .errors import SettingInvalid
from .windows import EPOCH, Days


@dataclass(frozen=True)
class RunRequest:
    """What to read; without anything, what is new in all resources.

    Its days are checked when a source is made of it, since that needs the time of the run.
    """

    select: tuple[str, ...] = ()
    """Only these resources."""
    refresh: Mapping[str, str] = field(default_factory=dict)
    """By feed: the key of the one row to read instead of what is new."""
    backfill_start: str | None = None
    """Read the days from this one on again, `YYYY-MM-DD`, instead of what is new."""
    backfill_end: str | None = None
    """The day after the last one of them."""
    dry_run: bool = False
    """Only count what would be requested."""

    @property
    def command(self) -> Literal["sync", "backfill", "refresh"]:
        """What the run log calls it."""
        if self.is_backfill:
            return "backfill"
        return "refresh" if self.refresh else "sync"

    @property
    def is_backfill(self) -> bool:
        """Whether it is for past days."""
        return self.backfill_start is not None or self.backfill_end is not None

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources to read; all where it names none."""
        return tuple(self.refresh) or self.select

    def days(self, now: datetime) -> Days | None:
        """The first and last day of a backfill, which ends before `backfill_end`. Raises `SettingInvalid`."""
        if not self.is_backfill:
            return None
        if self.backfill_start is None or self.backfill_end is None:
            raise SettingInvalid("A backfill needs both backfill_start and backfill_end; set the other one too.")
        first = past_day("backfill_start", self.backfill_start, now)
        last = _day("backfill_end", self.backfill_end) - timedelta(days=1)
        if last < first:
            raise SettingInvalid(
                f"backfill_end {self.backfill_end} must be after backfill_start {self.backfill_start}: it is not read "
                "itself."
            )
        return first, last


def past_day(name: str, text: str, now: datetime) -> date:
    """A day of a setting. Raises `SettingInvalid` where there can be no videos of that day."""
    day = _day(name, text)
    if day > now.date():
        raise SettingInvalid(f"{name} {day} is in the future; set it to a day up to today, {now.date()}.")
    if day < EPOCH.date():
        raise SettingInvalid(f"{name} {day} is before there were videos to watch; set it to {EPOCH.date()} or later.")
    return day


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        raise SettingInvalid(f"{name} is {text!r}, but must be a day such as '2026-01-31'.") from None
