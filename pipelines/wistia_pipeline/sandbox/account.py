"""Holds the account that a sandbox serves; its arguments and a moment make all that the API would show then."""

from datetime import date, datetime

from .clock import day_of, seconds
from .counts import Counts
from .history import FIRST_EXTRA, History
from .view import View


class Account(History):
    """Sessions, medias, projects and visitors of one account, and what a test can do to them."""

    _view: View | None = None
    _recent: tuple[Counts, ...] = ()

    def at(self, now: datetime) -> View:
        """The account at that moment (to the second)."""
        moment = seconds(now)
        with self.lock:
            view = self._view
            if view is None or view.now != moment or view.generation != self.generation:
                self.advance(moment)
                view = self._view = View(self, self.counts, moment)
            return view

    def counts(self, now: int) -> Counts:
        """The counts at that moment, carried on from earlier ones where that is possible."""
        with self.lock:
            # a few are kept: overlapping requests are for neighbouring seconds in any order
            recent = [counts for counts in self._recent if counts.generation == self.generation]
            last = max((counts for counts in recent if counts.since <= now), key=lambda c: c.since, default=None)
            if last is None:
                last = Counts(self, self.appeared(0, now), now)
                recent.append(last)
            elif last.until < now:
                rows = list(self.appeared(last.until, now))
                if rows:
                    last = last.carried_on(rows, now)
                    recent.append(last)
                last.until = now
            self._recent = tuple(recent[-4:])
            return last

    # what a test can do to it

    def rename_media(self, media_id: str | int, name: str) -> None:
        """Give a media another name, in its events too."""
        with self.lock:
            self.media(media_id).name = name
            self.generation += 1

    def delete_media(self, media_id: str | int) -> None:
        """Take a media out of the lists; asking for it by id is a 404 from now on, its events stay."""
        with self.lock:
            self.media(media_id).gone = True
            self.generation += 1

    def restore_media(self, media_id: str | int) -> None:
        """Undo `delete_media`."""
        with self.lock:
            self.media(media_id).gone = False
            self.generation += 1

    def add_late_event(self, media_id: str | int, received_at: datetime, *, percent_viewed: float = 0.5) -> str:
        """A session that was received in the past and shows from now on; its event_key."""
        with self.lock:
            at = seconds(received_at)
            self.advance(at)
            media = self.media(media_id)
            identity = FIRST_EXTRA + len(self.extra_rows)
            visitor = identity % len(self.by_visitor) if self.by_visitor else -1
            row = self.store(at, media.number, visitor, percent_viewed, identity)
            self.extra_rows.append(row)
            lists = [self.order, media.sessions, *self.by_visitor[visitor : visitor + 1]]
            for rows in lists:
                rows.insert(self.position(rows, at + 1), row)
            self.generation += 1
            return self.event_key(row)

    def restate_event(self, event_key: str, *, percent_viewed: float | None = None, email: str | None = None) -> None:
        """Change a row that has been shown already."""
        with self.lock:
            row = self.row_of_key(event_key)
            if row is None:
                raise KeyError(event_key)
            if percent_viewed is not None:
                self.percent[row] = percent_viewed
            if email is not None:
                self.restated_emails[row] = email
            self.generation += 1

    def restate_day(self, media_id: str | int, day: date | str, *, loads: int = 0, plays: int = 0) -> None:
        """Add to what by_date says of a past day, and to the lifetime counts."""
        with self.lock:
            key = (self.media(media_id).number, day_of(day))
            if key[1] < self.first_day:
                raise ValueError(f"{day} is before the account's history")
            before = self.restated_days.get(key, (0, 0))
            self.restated_days[key] = (before[0] + loads, before[1] + plays)
            self.generation += 1
