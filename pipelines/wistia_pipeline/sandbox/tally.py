"""Counts of the sessions that show at one moment: by media and day, and by visitor."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from copy import copy
from typing import TYPE_CHECKING

from .clock import stats_day

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .history import History

# percents are summed as whole millionths: the order in which rows were taken must not show in the last digit
MILLION = 1_000_000

COPIED = (
    "all_plays",
    "all_loads",
    "percents",
    "sessions",
    "visitor_plays",
    "visitor_loads",
    "first",
    "last",
    "active",
)


def plays_of(identity: int) -> int:
    """Plays that a session stands for: by_date counts about 1.5 % more plays than events are listed."""
    return 2 if identity * 2_654_435_761 % 4093 < 62 else 1


def loads_of(identity: int) -> int:
    """Loads that a session stands for; at times fewer than plays, as in the recordings of visitors."""
    luck = identity * 2_246_822_519 % 1021
    return 1 if luck < 560 else 2 if luck < 800 else 3 + luck % 4


class Tally:
    """The counts; a copy carries on from them, so that time can pass without counting all again."""

    def __init__(self, history: History, rows: Iterable[int], now: int) -> None:
        """Count all rows that show at `now`; good until `until`, which is moved while no more appear."""
        self.history = history
        self.generation = history.generation
        self.since = self.until = now
        self.plays: list[array[int]] = []
        self.loads: list[array[int]] = []
        self.all_plays = array("q")
        self.all_loads = array("q")
        self.percents = array("q")
        self.sessions = array("q")
        self.visitor_plays = array("q")
        self.visitor_loads = array("q")
        self.first = array("q")
        self.last = array("q")
        for (media, day), (loads, plays) in history.restated_days.items():
            self._count(media, day - history.first_day, loads, plays)
        # visitors, the one who was active longest ago first; sorted once, from then on kept in order
        self.active: list[int] | None = None
        self._take(rows)
        self.active = [visitor for visitor, row in enumerate(self.last) if row >= 0]
        self.active.sort(key=self._activity)

    def carried_on(self, rows: Iterable[int], now: int) -> Tally:
        """The counts with some more rows; these here stay what they are."""
        later = copy(self)
        later.since = later.until = now
        later.plays = [days[:] for days in self.plays]
        later.loads = [days[:] for days in self.loads]
        for counts in COPIED:
            setattr(later, counts, getattr(self, counts)[:])
        later._take(rows)
        return later

    def _take(self, rows: Iterable[int]) -> None:
        history = self.history
        received, media_of, visitor_of = history.received, history.media_of, history.visitor_of
        identities, percents, restated = history.identity, history.percent, history.restated
        first_day = history.first_day
        for row in rows:
            identity = identities[row]
            plays, loads = plays_of(identity), loads_of(identity)
            media = media_of[row]
            self._count(media, stats_day(received[row]) - first_day, loads, plays)
            percent = restated[row].get("percent_viewed", percents[row]) if row in restated else percents[row]
            self.percents[media] += round(percent * MILLION)
            self.sessions[media] += 1
            if visitor_of[row] >= 0:
                self._meet(visitor_of[row], row, loads, plays)

    def _activity(self, visitor: int) -> tuple[int, int]:
        return self.history.received[self.last[visitor]], visitor

    def _count(self, media: int, day: int, loads: int, plays: int) -> None:
        while len(self.plays) <= media:
            self.plays.append(array("q"))
            self.loads.append(array("q"))
            self.percents.append(0)
            self.sessions.append(0)
        for days, count in (
            (self.plays[media], plays),
            (self.loads[media], loads),
            (self.all_plays, plays),
            (self.all_loads, loads),
        ):
            if len(days) <= day:
                days.extend([0] * (day + 1 - len(days)))
            days[day] += count

    def _meet(self, visitor: int, row: int, loads: int, plays: int) -> None:
        if len(self.last) <= visitor:
            more = visitor + 1 - len(self.last)
            self.last.extend([-1] * more)
            self.first.extend([-1] * more)
            self.visitor_plays.extend([0] * more)
            self.visitor_loads.extend([0] * more)
        self.visitor_plays[visitor] += plays
        self.visitor_loads[visitor] += loads
        received = self.history.received
        last, first = self.last[visitor], self.first[visitor]
        if first < 0 or received[row] < received[first]:
            self.first[visitor] = row
        if last < 0 or (received[row], row) > (received[last], last):
            active = self.active
            if active is not None and last >= 0:
                del active[bisect_left(active, self._activity(visitor), key=self._activity)]
            self.last[visitor] = row
            if active is not None:
                insort(active, visitor, key=self._activity)
