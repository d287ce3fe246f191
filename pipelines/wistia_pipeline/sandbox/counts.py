"""Counts of an account at one moment: of a media, and by day."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from .clock import day_of, day_text, stats_day
from .lists import Row
from .tally import MILLION, Tally

if TYPE_CHECKING:
    from .history import History
    from .media import Media

Day = date | str


def tidy(value: float) -> float:
    """Whole numbers without a point, as the API prints some of them."""
    return int(value) if value == int(value) else value


class Counts:
    """What stats are made of."""

    def __init__(self, history: History, tally: Tally, now: int) -> None:
        self._history, self._tally, self._now = history, tally, now

    def daily(
        self,
        loads: Sequence[int],
        plays: Sequence[int],
        ambient: dict[int, int],
        hours_a_play: float,
        start_date: Day | None,
        end_date: Day | None,
    ) -> list[Row]:
        """Rows of days; hours are not measured by day."""
        today = stats_day(self._now)
        first = today - 1 if start_date is None else day_of(start_date)
        last = today if end_date is None else day_of(end_date)
        rows = []
        for day in range(first, last + 1):
            place = day - self._history.first_day
            played = plays[place] if 0 <= place < len(plays) else 0
            loaded = loads[place] if 0 <= place < len(loads) else 0
            rows.append(
                {
                    "date": day_text(day),
                    "load_count": loaded + ambient.get(day, 0),
                    "play_count": played,
                    # not measured by day: the lifetime average, so all of history moves with it
                    "hours_watched": tidy(played * hours_a_play),
                }
            )
        return rows

    def days(self, counts: list[array[int]], media: Media) -> Sequence[int]:
        """A media's counts, day by day."""
        return counts[media.number] if media.number < len(counts) else ()

    def ambient(self, media: Media) -> dict[int, int]:
        """Loads of a media without a play, by day."""
        if media.created > self._now:
            return {}
        days = self._history.ambient_loads(media.number, self._now)
        return dict(enumerate(days, stats_day(media.created)))

    def lifetime(self, media: Media) -> tuple[int, int]:
        """Loads and plays of a media."""
        ambient = self._history.ambient_loads(media.number, self._now) if media.created <= self._now else ()
        loads = sum(self.days(self._tally.loads, media)) + sum(ambient)
        return loads, sum(self.days(self._tally.plays, media))

    def engagement(self, media: Media) -> float:
        """How much of a media is watched on average."""
        tally = self._tally
        if media.number >= len(tally.sessions) or not tally.sessions[media.number]:
            return 0
        return round(tally.percents[media.number] / tally.sessions[media.number] / MILLION, 6)

    def hours(self, media: Media) -> float:
        """Hours for which a media was watched."""
        if not media.duration or media.type not in ("Video", "Audio"):
            return 0
        return sum(self.days(self._tally.plays, media)) * self.engagement(media) * media.duration / 3600
