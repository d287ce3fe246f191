"""Shows the account at one moment, as the objects that v1 answers with."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import accumulate

from . import seeded
from .clock import DAY, day_of
from .counts import MILLION, Counts
from .history import History
from .media import Media, Project
from .media_rows import captions_of, media_row, project_row
from .session_rows import event_row, matching, visitor_row
from .stats import Day, Row, Stats, tidy

EVERYTHING = slice(None)


class NotFound(KeyError):
    """The account does not show what was asked for by its id."""


class View:
    """What the API shows at `now` (seconds since 1970). Ids may be hashed or numeric.

    What a test changes in the account afterwards needs a new view.
    """

    def __init__(self, history: History, counts: Callable[[int], Counts], now: int) -> None:
        """`counts` are those of the history at a moment."""
        self.now = now
        self.generation = history.generation
        self._history = history
        self._counts = counts
        self._hidden = history.hidden(now)
        self._oldest = now - history.retention

    # lists

    def medias(self) -> list[Row]:
        """All medias that are not deleted, archived ones too, id ascending."""
        return list(self._media_rows)

    @cached_property
    def _media_rows(self) -> list[Row]:
        # each page of the list needs all of them
        return [media_row(self._history, media, self.now) for media in self._listed()]

    def media(self, media_id: str | int) -> Row:
        return media_row(self._history, self._media(media_id), self.now)

    def projects(self) -> list[Row]:
        """All projects, id ascending."""
        counts = Counter(media.project.number for media in self._listed() if media.project)
        return [project_row(project, counts[project.number]) for project in self._projects()]

    def events(
        self,
        *,
        media_id: str | int | None = None,
        visitor_key: str | None = None,
        start_date: Day | None = None,
        end_date: Day | None = None,
        page: slice = EVERYTHING,
    ) -> list[Row]:
        """Sessions, newest first; dates are inclusive UTC days."""
        history = self._history
        media = history.media_numbers.get(str(media_id))
        if visitor_key is not None:
            visitor = history.visitor_of_key(visitor_key)
            rows = array("q") if visitor is None else self._kept(history.by_visitor[visitor])
            if media_id is not None:
                rows = array("q", (row for row in rows if history.media_of[row] == media))
        elif media_id is not None:
            rows = array("q") if media is None else self._kept(history.medias[media].sessions)
        else:
            rows = self._all_kept
        if start_date is not None:
            rows = rows[history.position(rows, day_of(start_date) * DAY) :]
        if end_date is not None:
            rows = rows[: history.position(rows, (day_of(end_date) + 1) * DAY)]
        return [event_row(history, row, self.now) for row in memoryview(rows)[::-1][page]]

    @cached_property
    def _all_kept(self) -> array[int]:
        return self._kept(self._history.order)

    def event(self, event_key: str) -> Row:
        """One session; where two share the key, the first."""
        row = self._history.row_of_key(event_key)
        if row is None or not self._kept(array("q", [row])):
            raise NotFound(event_key)
        return event_row(self._history, row, self.now)

    def visitors(self, filter: str | None = None, search: str | None = None, *, page: slice = EVERYTHING) -> list[Row]:
        """Visitors, last active first."""
        numbers = matching(self._history, self.counts.active, filter, search)
        return [self._visitor_row(number) for number in memoryview(numbers)[::-1][page]]

    def visitor(self, visitor_key: str) -> Row:
        number = self._history.visitor_of_key(visitor_key)
        if number is None or not self._shown(self._history.by_visitor[number]):
            raise NotFound(visitor_key)
        return self._visitor_row(number)

    def _visitor_row(self, number: int) -> Row:
        return visitor_row(self._history, number, self._shown(self._history.by_visitor[number]))

    def captions(self, media_id: str | int) -> list[Row]:
        """The captions of one media, drafts too."""
        return captions_of(self._media(media_id))

    # the account and its stats

    def account(self) -> Row:
        return {
            "id": self._history.account_id,
            "name": "Example Films & Söhne",
            "url": "https://example.wistia.com",
            "mediaCount": sum(1 for _ in self._listed()),
            "videoLimit": 5000,
            "projectCount": len(self._projects()),
            "channelCount": 2,
        }

    def account_stats(self) -> Row:
        """Lifetime counts of all medias, deleted ones too."""
        return self._stats(self._history.medias).lifetime()

    def account_stats_by_date(self, start_date: Day | None = None, end_date: Day | None = None) -> list[Row]:
        """Daily counts of all medias, deleted ones too, newest first."""
        return self._stats(self._history.medias).by_date(self.now, start_date, end_date)[::-1]

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
        rows = self._kept(media.sessions)
        if not rows or not media.duration:
            return {"engagement": self._engagement(media), "engagement_data": [], "rewatch_data": []}
        count = max(1, min(1000, int(media.duration)))
        left = Counter(int(history.percent[row] * count) for row in rows)
        watching = [len(rows) - gone for gone in accumulate(left[cell] for cell in range(count))]
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
        return self._counts(self.now)

    def _stats(self, medias: list[Media]) -> Stats:
        counts, shown = self.counts, [media for media in medias if media.number in self.counts.plays]
        return Stats(
            loads=[counts.loads[media.number] for media in shown]
            + [self._history.ambient_loads(media, self.now) for media in medias if media.created <= self.now],
            plays=[counts.plays[media.number] for media in shown],
            hours=sum(self._hours(media) for media in shown),
        )

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

    def _projects(self) -> list[Project]:
        return [project for project in self._history.projects if project.created <= self.now]

    def _media(self, media_id: str | int) -> Media:
        number = self._history.media_numbers.get(str(media_id))
        if number is None or not self._history.medias[number].listed(self.now):
            raise NotFound(media_id)
        return self._history.medias[number]

    def _medias_of(self, project_id: str | int) -> list[Media]:
        for project in self._projects():
            if str(project_id) in (project.hashed_id, str(project.id)):
                return [media for media in self._listed() if media.project is project]
        raise NotFound(project_id)

    def _shown(self, rows: array[int]) -> array[int]:
        """Of rows in the order received, those that show; only the newest hours can hold hidden ones."""
        history = self._history
        end = history.position(rows, self.now + 1)
        tail = history.position(rows, min((history.received[row] for row in self._hidden), default=self.now + 1))
        return rows[:tail] + array("q", (row for row in rows[tail:end] if row not in self._hidden))

    def _kept(self, rows: array[int]) -> array[int]:
        """Those that show and are not too old."""
        return self._shown(rows[self._history.position(rows, self._oldest) :])


def _action(plays: int, kind: str, every: int) -> Row:
    shown = plays * 2 // 3
    taken = shown // every
    return {
        "type": kind,
        "action_count": taken,
        "impression_count": shown,
        "rate": tidy(taken / shown) if shown else 0,
    }
