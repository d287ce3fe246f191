"""Makes what happens in an invented account, hour by hour: medias, projects, visitors and sessions."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import accumulate
from random import Random

from . import seeded
from .clock import DAY, HOUR, STATS_DAY_BEGINS, rhythm, seconds, stats_day
from .media import NEVER, Media, make_media, make_projects
from .stats import Days
from .visitors import is_known

NEWCOMER_EVERY = 6 * HOUR
LONGEST_DELAY = 30 * HOUR
FIRST_EXTRA = 1 << 40


class History:
    """Sessions, medias, projects and visitors of one account.

    Sessions are stored as columns, one row per session, in order of arrival; the other values of a row are
    derived from its identity on request. Those after `start` are made hour by hour, as far as one looks.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        start: datetime,
        medias: int = 150,
        projects: int = 8,
        visitors: int = 3000,
        events: int = 20000,
        days: int = 730,
        hourly_events: int | None = None,
        popularity: float = 1.1,
        retention: timedelta | None = None,
        loads_until: datetime | None = None,
    ) -> None:
        """`popularity`: how evenly plays are spread over the medias, the exponent of a Pareto distribution.
        `retention`: events older than this no longer show (Wistia: two years); None shows all. `loads_until`: after
        this day nobody loads a media without playing it."""
        self.seed = seed
        self._popularity = popularity
        self.start = start
        self.hourly_events = max(1, events // 500) if hourly_events is None else hourly_events
        self.retention = NEVER if retention is None else int(retention.total_seconds())
        self._loads_until = stats_day(NEVER if loads_until is None else seconds(loads_until))
        self.account_id = 210_000 + seed

        self.received = array("q")
        self.media_of = array("i")
        self.visitor_of = array("i")
        self.percent = array("d")
        self.identity = array("q")
        self.order = array("q")
        self.by_visitor: list[array[int]] = []
        self.known: set[int] = set()
        self.late: dict[int, int] = {}
        self.twin_of: dict[int, int] = {}
        self.restated_emails: dict[int, str] = {}
        self.restated_days: dict[tuple[int, int], tuple[int, int]] = {}
        self.generation = 0
        self.lock = threading.RLock()
        self.extra_rows: list[int] = []

        self._start = seconds(start)
        self.history_begins = self._start - days * DAY
        self.first_day = stats_day(self.history_begins)
        self.events = events
        self._expected_visitors = max(1, visitors)
        self._days = max(1, days)

        self.projects = make_projects(seed, projects, self._start, days)
        self.medias: list[Media] = []
        self.media_numbers: dict[str, int] = {}
        self._make_first_medias(medias)
        self._founders = len(self.medias)
        self._cumulated = list(accumulate(media.weight for media in self.medias))
        self._make_history()
        self._hour = 0

    # what happens by itself

    def _make_first_medias(self, count: int) -> None:
        rng = Random(f"{self.seed}:medias")
        lost = max(2, count // 50) if count else 0
        for number in range(count + lost):
            spread = rng.random() ** 2 * self._days * DAY * 0.95
            created = self.history_begins + (int(spread) if number % 3 else -int(spread) - DAY)
            media = make_media(self.seed, number, created, self.projects, self._popularity)
            if number >= count:
                # had its plays, was deleted, stays in the events
                media.created = self.history_begins - DAY
                media.weight = 3.0
                media.archived = False
                media.retired = self._start - (self._days * DAY // 20) * (number - count + 1)
            self._add(media)
        if self.medias:
            # somewhere a session can always start
            self.medias[0].created = self.history_begins - DAY
            self.medias[0].weight = max(4.0, self.medias[0].weight)

    def _add(self, media: Media) -> None:
        self.medias.append(media)
        self.media_numbers[media.hashed_id] = self.media_numbers[str(media.id)] = media.number

    def _make_history(self) -> None:
        if not self.medias:
            return
        hours = range(-self._days * 24, 0)
        weights = [
            rhythm(self._start + hour * HOUR) * (0.4 + 1.2 * (index / len(hours))) for index, hour in enumerate(hours)
        ]
        share = self.events / sum(weights)
        owed = 0.0
        for hour, weight in zip(hours, weights, strict=True):
            owed += weight * share
            count = max(0, round(owed - len(self.received)))
            self._make_hour(hour, count, Random(f"{self.seed}:{hour}"))

    def advance(self, moment: int) -> None:
        """Make the sessions of every hour up to the one that holds the moment."""
        while self._start + self._hour * HOUR <= moment:
            begins = self._start + self._hour * HOUR
            rng = Random(f"{self.seed}:{self._hour}")
            if (self._hour * HOUR) % NEWCOMER_EVERY == 0:
                self._add_newcomer(begins + rng.randrange(NEWCOMER_EVERY))
            mean = self.hourly_events * rhythm(begins) * rng.uniform(0.8, 1.2)
            count = int(mean) + (rng.random() < mean % 1)
            if self._founders:
                self._make_hour(self._hour, count, rng)
            self._hour += 1

    def _add_newcomer(self, created: int) -> None:
        media = make_media(self.seed, len(self.medias), created, self.projects, self._popularity)
        media.archived = False
        media.updated = created + 45
        self._add(media)

    def _make_hour(self, hour: int, count: int, rng: Random) -> None:
        begins = self._start + hour * HOUR
        random = rng.random
        times = sorted(begins + int(random() * HOUR) for _ in range(count))
        last: int | None = None
        for index, at in enumerate(times):
            if last is not None and random() < 0.01:
                at = last
            media = self._pick_media(at, rng)
            visitor = self._pick_visitor(rng)
            luck = random()
            percent = 0.0 if luck < 0.16 else 1.0 if luck > 0.86 else random() ** 1.6
            row = self._append(at, media, visitor, percent)
            last = at
            luck = random()
            if luck < 0.005:
                self.late[row] = at + int(600 + random() ** 2 * (LONGEST_DELAY - 600))
            elif luck < 0.0062:
                room = (times[index + 1] if index + 1 < count else begins + HOUR) - at
                if room > 3 and visitor >= 0:
                    last = at + rng.randrange(2, min(30, room))
                    twin = self._append(last, media, self._new_visitor(), random())
                    self.twin_of[twin] = row

    def _pick_media(self, at: int, rng: Random) -> int:
        newcomers = len(self.medias) - self._founders
        if newcomers and rng.random() < 0.06:
            number = self._founders + newcomers - 1 - rng.randrange(min(20, newcomers))
            if self.medias[number].plays_at(at) and self.medias[number].weight:
                return number
        total = self._cumulated[-1]
        for _ in range(20):
            number = bisect_right(self._cumulated, rng.random() * total)
            if number < self._founders and self.medias[number].plays_at(at):
                return number
        return 0

    def _pick_visitor(self, rng: Random) -> int:
        luck = rng.random()
        if luck < 0.001:
            # privacy mode: nobody is told apart
            return -1
        known = len(self.by_visitor)
        done = len(self.received)
        new = known * self.events < self._expected_visitors * (done + 1) if done < self.events else luck < 0.5
        if new or not known:
            return self._new_visitor()
        return known - 1 - int(known * rng.random() ** 1.5)

    def _new_visitor(self) -> int:
        visitor = len(self.by_visitor)
        self.by_visitor.append(array("q"))
        if is_known(self.seed, visitor):
            self.known.add(visitor)
        return visitor

    def _append(self, at: int, media: int, visitor: int, percent: float) -> int:
        row = self.store(at, media, visitor, percent, len(self.received) - len(self.extra_rows))
        self.order.append(row)
        self.medias[media].sessions.append(row)
        if visitor >= 0:
            self.by_visitor[visitor].append(row)
        return row

    def store(self, at: int, media: int, visitor: int, percent: float, identity: int) -> int:
        row = len(self.received)
        self.received.append(at)
        self.media_of.append(media)
        self.visitor_of.append(visitor)
        self.percent.append(percent)
        self.identity.append(identity)
        return row

    # what is known of it at a moment

    def position(self, rows: array[int], at: int) -> int:
        """How many of these rows, in order of arrival, were received before a moment."""
        return bisect_left(rows, at, key=self.received.__getitem__)

    def hidden(self, now: int) -> set[int]:
        """Rows received by now that do not show yet."""
        return {row for row, visible in self.late.items() if self.received[row] <= now < visible}

    def appeared(self, after: int, until: int) -> Iterator[int]:
        """Rows that show at `until` and did not at `after`."""
        yield from sorted(row for row in self.hidden(after) if self.late[row] <= until)
        begin, end = self.position(self.order, after + 1), self.position(self.order, until + 1)
        yield from (row for row in self.order[begin:end] if self.late.get(row, 0) <= until)

    def ambient_loads(self, media: Media, now: int) -> Days:
        """Loads without a play of one media from its first day on, the begun day in part."""
        days = media.ambient
        born, today = stats_day(media.created), stats_day(now)
        with self.lock:
            while len(days) <= today - born:
                # a year at a time, so that the data does not depend on who looked when
                rng = Random(f"{self.seed}:ambient:{media.number}:{len(days)}")
                most = 3 + int(min(media.weight, 12))
                days.extend(max(0, rng.randrange(-3, most)) for _ in range(365))
        end = min(today, stats_day(media.retired))
        shown = days[: max(0, end - born + 1)]
        for place in range(max(0, self._loads_until + 1 - born), len(shown)):
            shown[place] = 0
        if shown and end == today:
            shown[-1] = shown[-1] * ((now - STATS_DAY_BEGINS) % DAY) // DAY
        return Days(born, shown)

    def event_key(self, row: int) -> str:
        """The key of a session; two sessions can share one."""
        row = self.twin_of.get(row, row)
        identity = self.identity[row]
        return seeded.key(seeded.draw(self.seed, "event", identity), identity, self.received[row])

    def row_of_key(self, event_key: str) -> int | None:
        """The first session with that key."""
        row = seeded.number_in(event_key)
        if row is None:
            return None
        if row >= FIRST_EXTRA:
            place = row - FIRST_EXTRA
            row = self.extra_rows[place] if place < len(self.extra_rows) else len(self.received)
        else:
            for extra in self.extra_rows:
                row += extra <= row
        return row if row < len(self.received) and self.event_key(row) == event_key else None

    def visitor_key(self, visitor: int) -> str:
        at = self._start - 1_000_000 + visitor
        return seeded.key(seeded.draw(self.seed, "visitor", visitor), visitor, at)

    def visitor_of_key(self, visitor_key: str) -> int | None:
        visitor = seeded.number_in(visitor_key)
        if visitor is None or visitor >= len(self.by_visitor) or self.visitor_key(visitor) != visitor_key:
            return None
        return visitor

    def media(self, media_id: str | int) -> Media:
        """The media with that id, hashed or numeric."""
        return self.medias[self.media_numbers[str(media_id)]]
