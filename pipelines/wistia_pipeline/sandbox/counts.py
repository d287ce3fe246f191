"""Counts the sessions that show at one moment: by media and day, and by visitor."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from copy import copy

from .clock import stats_day
from .history import History
from .stats import Days

# percents are summed as whole millionths: the order in which rows were taken must not show in the last digit
MILLION = 1_000_000

COPIED = ("plays", "loads", "percents", "sessions", "last", "active")


def plays_of(identity: int) -> int:
    """Plays that a session stands for: by_date counts about 1.5 % more plays than events are listed."""
    return 2 if identity * 2_654_435_761 % 4093 < 62 else 1


def loads_of(identity: int) -> int:
    """Loads that a session stands for; at times fewer than plays, as in the recordings of visitors."""
    luck = identity * 2_246_822_519 % 1021
    return 1 if luck < 560 else 2 if luck < 800 else 3 + luck % 4


class Counts:
    """The counts; a copy carries on from them, so that time can pass without counting all again."""

    def __init__(self, history: History, rows: Iterable[int], now: int) -> None:
        """Count all rows that show at `now`; good until `until`, which is moved while no more appear."""
        self.history = history
        self.generation = history.generation
        self.since = self.until = now
        self.plays = defaultdict[int, Days](lambda: Days(history.first_day))
        self.loads = defaultdict[int, Days](lambda: Days(history.first_day))
        self.percents: Counter[int] = Counter()
        self.sessions: Counter[int] = Counter()
        for (media, day), (loads, plays) in history.restated_days.items():
            self._count(media, day, loads, plays)
        # of each visitor; -1 before there is one
        self.last = array("q")
        self._take(rows)
        # visitors, the one who was active longest ago first; sorted once, from then on kept in order
        seen = [visitor for visitor, row in enumerate(self.last) if row >= 0]
        self.active = array("q", sorted(seen, key=self._activity))

    def carried_on(self, rows: Sequence[int], now: int) -> Counts:
        """The counts with some more rows; these here stay what they are."""
        later = copy(self)
        later.since = later.until = now
        for name in COPIED:
            setattr(later, name, copy(getattr(self, name)))
        for media in self.plays.keys() & {self.history.media_of[row] for row in rows}:
            later.plays[media], later.loads[media] = copy(self.plays[media]), copy(self.loads[media])
        later._take(rows)
        met = {self.history.visitor_of[row] for row in rows} - {-1}
        for visitor in met:
            if visitor < len(self.last) and self.last[visitor] >= 0:
                del later.active[bisect_left(later.active, self._activity(visitor), key=self._activity)]
        for visitor in met:
            insort(later.active, visitor, key=later._activity)
        return later

    def _take(self, rows: Iterable[int]) -> None:
        history = self.history
        received, media_of, visitor_of = history.received, history.media_of, history.visitor_of
        identities, percents = history.identity, history.percent
        self.last.extend([-1] * (len(history.by_visitor) - len(self.last)))
        for row in rows:
            identity, media, visitor = identities[row], media_of[row], visitor_of[row]
            self._count(media, stats_day(received[row]), loads_of(identity), plays_of(identity))
            self.percents[media] += round(percents[row] * MILLION)
            self.sessions[media] += 1
            if visitor >= 0:
                last = self.last[visitor]
                if last < 0 or (received[row], row) > (received[last], last):
                    self.last[visitor] = row

    def _activity(self, visitor: int) -> tuple[int, int]:
        return self.history.received[self.last[visitor]], visitor

    def _count(self, media: int, day: int, loads: int, plays: int) -> None:
        self.plays[media].add(day, plays)
        self.loads[media].add(day, loads)
