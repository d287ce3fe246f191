"""Shows the account at one moment, as the objects that v1 answers with, without paging."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from . import seeded
from .clock import DAY, day_of
from .counts import MILLION, Counts
from .lists import Row, Rows
from .media_rows import captions_of, media_row, project_row
from .session_rows import event_row, matching, visitor_row
from .stats import Day, Stats, tidy

if TYPE_CHECKING:
    from .history import History
    from .media import Media


class NotFound(KeyError):
    """The account does not show what was asked for by its id."""


class View:
    """What the API shows at `now` (seconds since 1970). Ids may be hashed or numeric.

    What a test changes in the account afterwards needs a new view.
    """

    def __init__(self, history: History, now: int, count: Callable[[int], Counts]) -> None:
        """`count` makes the counts of a moment."""
        self.now = now
        self.generation = history.generation
        self._history, self._count = history, count
        self._hidden = history.hidden(now)
        self._oldest = 0 if history.retention is None else now - history.retention
        self._event_rows: array[int] | None = None

    # lists

    def medias(self) -> list[Row]:
        """All medias that are not deleted, archived ones too, id ascending."""
        return list(self._media_rows)

    @cached_property
    def _media_rows(self) -> list[Row]:
        # each page of the list needs all of them
        return [media_row(self._history, media, self.now) for media in self._listed()]

    def media(self, media_id: str | int) -> Row:
        """One media."""
        return media_row(self._history, self._media(media_id), self.now)

    def projects(self) -> list[Row]:
        """All projects, id ascending."""
        counts: dict[int, int] = {}
        for media in self._listed():
            if media.project:
                counts[media.project.number] = counts.get(media.project.number, 0) + 1
        return [
            project_row(project, counts.get(project.number, 0))
            for project in self._history.projects
            if project.created <= self.now
        ]

    def events(self) -> list[Row]:
        """All sessions, newest first."""
        return list(self.event_rows())

    def event_rows(
        self,
        *,
        media_id: str | int | None = None,
        visitor_key: str | None = None,
        start_date: Day | None = None,
        end_date: Day | None = None,
    ) -> Rows:
        """Sessions, newest first, made as they are read; dates are inclusive UTC days."""
        history = self._history
        if visitor_key is not None:
            visitor = history.visitor_of_key(visitor_key)
            rows = array("q") if visitor is None else self._shown(history.by_visitor[visitor])
            if media_id is not None:
                number = history.media_numbers.get(str(media_id))
                rows = array("q", (row for row in rows if history.media_of[row] == number))
        elif media_id is not None:
            number = history.media_numbers.get(str(media_id))
            rows = array("q") if number is None else self._shown(history.medias[number].sessions)
        else:
            if self._event_rows is None:
                self._event_rows = self._shown(history.order)
            rows = self._event_rows
        if start_date is not None or end_date is not None:
            received = history.received.__getitem__
            begin = 0 if start_date is None else bisect_left(rows, day_of(start_date) * DAY, key=received)
            end = len(rows)
            if end_date is not None:
                end = bisect_left(rows, (day_of(end_date) + 1) * DAY, key=received)
            rows = rows[begin:end]
        return Rows(rows, lambda row: event_row(history, row, self.now))

    def event(self, event_key: str) -> Row:
        """One session; where two share the key, the first."""
        row = self._history.row_of_key(event_key)
        if row is None or not self._shown(array("q", [row])):
            raise NotFound(event_key)
        return event_row(self._history, row, self.now)

    def visitors(self) -> list[Row]:
        """All visitors, last active first."""
        return list(self.visitor_rows())

    def visitor_rows(self, filter: str | None = None, search: str | None = None) -> Rows:
        """Visitors, last active first, made as they are read."""
        numbers: Sequence[int] = self.counts.active or []
        numbers = matching(self._history, numbers, filter, search)
        return Rows(numbers, lambda number: visitor_row(self._history, self.counts, number))

    def visitor(self, visitor_key: str) -> Row:
        """One visitor."""
        number = self._history.visitor_of_key(visitor_key)
        if number is None or number >= len(self.counts.last) or self.counts.last[number] < 0:
            raise NotFound(visitor_key)
        return visitor_row(self._history, self.counts, number)

    def captions(self, media_id: str | int) -> list[Row]:
        """The captions of one media, drafts too."""
        return captions_of(self._media(media_id))

    # the account and its stats

    def account(self) -> Row:
        """The account itself."""
        return {
            "id": self._history.account_id,
            "name": "Example Films & Söhne",
            "url": "https://example.wistia.com",
            "mediaCount": sum(1 for _ in self._listed()),
            "videoLimit": 5000,
            "projectCount": sum(project.created <= self.now for project in self._history.projects),
            "channelCount": 2,
        }

    def account_stats(self) -> Row:
        """Lifetime counts of all medias, deleted ones too."""
        return self._account_stats().lifetime()

    def account_stats_by_date(self, start_date: Day | None = None, end_date: Day | None = None) -> list[Row]:
        """Daily counts of all medias, deleted ones too, newest first."""
        return self._account_stats().by_date(self.now, start_date, end_date)[::-1]

    def project_stats(self, project_id: str | int) -> Row:
        """Lifetime counts of the medias that a project shows."""
        medias = self._medias_of(project_id)
        return {**self._stats(medias).lifetime(), "number_of_videos": len(medias)}

    def project_stats_by_date(
        self, project_id: str | int, start_date: Day | None = None, end_date: Day | None = None
    ) -> list[Row]:
        """Daily counts of the medias that a project shows, ascending."""
        return self._stats(self._medias_of(project_id)).by_date(self.now, start_date, end_date)

    def media_stats(self, media_id: str | int) -> Row:
        """Lifetime counts of one media."""
        media = self._media(media_id)
        lifetime = self._stats([media]).lifetime()
        loads, plays = lifetime["load_count"], lifetime["play_count"]
        row: Row = {
            "load_count": loads,
            "play_count": plays,
            # neither plays by loads nor plays by visitors
            "play_rate": tidy(min(1.0, plays / loads * 1.0734)) if loads else 0,
            "hours_watched": lifetime["hours_watched"],
            "engagement": self._engagement(media),
            "visitors": loads - loads // 17,
        }
        if media.number % 5 == 1:
            row["actions"] = [_action(plays, "call_to_action", 9)]
            if media.number % 10 == 1:
                row["actions"].append(_action(plays, "turnstile", 23))
        elif media.number % 5 == 3:
            row["actions"] = []
        return row

    def media_stats_by_date(
        self, media_id: str | int, start_date: Day | None = None, end_date: Day | None = None
    ) -> list[Row]:
        """Daily counts of one media, ascending, days before it existed too."""
        return self._stats([self._media(media_id)]).by_date(self.now, start_date, end_date)

    def media_engagement(self, media_id: str | int) -> Row:
        """How many watched each second; beyond 1,000 seconds, each thousandth."""
        media = self._media(media_id)
        history = self._history
        rows = self._shown(media.sessions)
        if not rows or not media.duration:
            return {"engagement": self._engagement(media), "engagement_data": [], "rewatch_data": []}
        count = max(1, min(1000, int(media.duration)))
        left = [0] * (count + 1)
        for row in rows:
            left[min(count, int(history.percent[row] * count))] += 1
        watching = []
        still = len(rows)
        for cell in range(count):
            still -= left[cell]
            watching.append(still)
        salt = seeded.draw(history.seed, "rewatch", media.number)
        again = [seen * salt[cell % 64] // 2048 for cell, seen in enumerate(watching)]
        return {
            "engagement": self._engagement(media),
            "engagement_data": [seen + more for seen, more in zip(watching, again, strict=True)],
            "rewatch_data": again,
        }

    def media_data_stats(self, media_id: str | int) -> Row:
        """The whole-number counts of the Data API's medias/{id}/stats."""
        media = self._media(media_id)
        stats = self.media_stats(media_id)
        return {
            "id": media.id,
            "hashed_id": media.hashed_id,
            "name": media.name,
            "stats": {
                "pageLoads": stats["load_count"],
                "visitors": stats["visitors"],
                "percentOfVisitorsClickingPlay": round(stats["play_rate"] * 100),
                "plays": stats["play_count"],
                "averagePercentWatched": round(stats["engagement"] * 100),
            },
        }

    @cached_property
    def counts(self) -> Counts:
        """The counts behind the stats and the visitors."""
        return self._count(self.now)

    def _stats(self, medias: list[Media]) -> Stats:
        counts, shown = self.counts, [media for media in medias if media.number in self.counts.plays]
        return Stats(
            loads=[counts.loads[media.number] for media in shown]
            + [self._history.ambient_loads(media, self.now) for media in medias if media.created <= self.now],
            plays=[counts.plays[media.number] for media in shown],
            hours=sum(self._hours(media) for media in shown),
        )

    def _account_stats(self) -> Stats:
        loads = [self.counts.all_loads, self._history.all_ambient_loads(self.now)]
        hours = sum(self._hours(media) for media in self._history.medias if media.number in self.counts.plays)
        return Stats(loads, [self.counts.all_plays], hours)

    def _hours(self, media: Media) -> float:
        if not media.duration or not media.has_time:
            return 0
        return sum(self.counts.plays[media.number].counts) * self._engagement(media) * media.duration / 3600

    def _engagement(self, media: Media) -> float:
        sessions = self.counts.sessions[media.number]
        return tidy(round(self.counts.percents[media.number] / sessions / MILLION, 6)) if sessions else 0

    # who and what shows

    def _listed(self) -> Iterator[Media]:
        return (media for media in self._history.medias if media.listed(self.now))

    def _media(self, media_id: str | int) -> Media:
        number = self._history.media_numbers.get(str(media_id))
        if number is None or not self._history.medias[number].listed(self.now):
            raise NotFound(media_id)
        return self._history.medias[number]

    def _medias_of(self, project_id: str | int) -> list[Media]:
        for project in self._history.projects:
            if str(project_id) in (project.hashed_id, str(project.id)) and project.created <= self.now:
                return [media for media in self._listed() if media.project is project]
        raise NotFound(project_id)

    def _shown(self, rows: array[int]) -> array[int]:
        """Of rows in the order received, those that show; only the newest hours can hold hidden ones."""
        received = self._history.received.__getitem__
        begin = bisect_left(rows, self._oldest, key=received)
        end = bisect_right(rows, self.now, key=received)
        tail = max(begin, bisect_left(rows, min(map(received, self._hidden), default=self.now + 1), key=received))
        return rows[begin:tail] + array("q", (row for row in rows[tail:end] if row not in self._hidden))


def _action(plays: int, kind: str, every: int) -> Row:
    shown = plays * 2 // 3
    taken = shown // every
    return {
        "type": kind,
        "action_count": taken,
        "impression_count": shown,
        "rate": tidy(taken / shown) if shown else 0,
    }
