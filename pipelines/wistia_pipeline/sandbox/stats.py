"""Makes stats of counts by day: of the whole lifetime, and of single days."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from .clock import day_of, day_text, stats_day

Row = dict[str, Any]
Day = date | str


def tidy(value: float) -> float:
    """Whole numbers without a point, as the API prints some of them."""
    return int(value) if value == int(value) else value


@dataclass
class Days:
    """A count for each day (days since 1970) from a first one on."""

    first: int
    counts: array[int] = field(default_factory=lambda: array("q"))

    def add(self, day: int, count: int) -> None:
        place = day - self.first
        if place >= len(self.counts):
            self.counts.extend([0] * (place + 1 - len(self.counts)))
        self.counts[place] += count

    def __copy__(self) -> Days:
        return Days(self.first, self.counts[:])


@dataclass(frozen=True)
class Stats:
    """Loads, plays and watched hours of some medias; loads and plays are the sums of several counts by day."""

    loads: Sequence[Days]
    plays: Sequence[Days]
    hours: float

    def lifetime(self) -> Row:
        return {
            "load_count": sum(sum(days.counts) for days in self.loads),
            "play_count": sum(sum(days.counts) for days in self.plays),
            "hours_watched": tidy(self.hours),
        }

    def by_date(self, now: int, start_date: Day | None, end_date: Day | None) -> list[Row]:
        """Rows of days, ascending; yesterday and today unless other days are given."""
        today = stats_day(now)
        first = today - 1 if start_date is None else day_of(start_date)
        last = today if end_date is None else day_of(end_date)
        all_plays = self.lifetime()["play_count"]
        # not measured by day: the lifetime average, so all of history moves with it
        hours_a_play = self.hours / all_plays if all_plays else 0
        loads, plays = _sums(self.loads, first, last), _sums(self.plays, first, last)
        return [
            {
                "date": day_text(day),
                "load_count": loaded,
                "play_count": played,
                "hours_watched": tidy(played * hours_a_play),
            }
            for day, loaded, played in zip(range(first, last + 1), loads, plays, strict=True)
        ]


def _sums(several: Sequence[Days], first: int, last: int) -> list[int]:
    totals = [0] * (last - first + 1)
    for days in several:
        begin = max(first, days.first)
        for place, count in enumerate(days.counts[begin - days.first : max(0, last + 1 - days.first)], begin - first):
            totals[place] += count
    return totals
