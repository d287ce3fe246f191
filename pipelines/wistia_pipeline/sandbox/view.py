"""The account at one moment, as the objects that v1 answers with, without paging."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from . import chance
from .clock import DAY, data_text, day_of, day_text, old_stats_text, stats_day, stats_text
from .people import Person, person
from .tally import MILLION, Tally
from .vocabulary import CAPTION_LINES, EMBED_URLS, LANGUAGES, SECTIONS, TAGS

if TYPE_CHECKING:
    from .account import Account
    from .media import Media, Project

Row = dict[str, Any]
Day = date | str

MASS_UPDATE_EVERY = 30 * DAY

# of visitors; any other filter is ignored
FILTERS: dict[str | None, Callable[[Person], bool]] = {
    "has_name": lambda person: person.name != "",
    "has_email": lambda person: person.email is not None,
    "identified_by_email_gate": lambda person: person.gated,
}


class Rows(Sequence[Row]):
    """A list whose rows are made when asked for."""

    def __init__(self, numbers: Sequence[int], make: Callable[[int], Row], newest_first: bool = True) -> None:
        self._numbers = numbers
        self._make = make
        self._backwards = newest_first

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        count = len(self._numbers)
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(count))]
        if not -count <= index < count:
            raise IndexError(index)
        place = index % count
        return self._make(self._numbers[count - 1 - place if self._backwards else place])

    def __iter__(self) -> Iterator[Row]:
        return (self[place] for place in range(len(self)))


def tidy(value: float) -> float:
    """Whole numbers without a point, as the API prints some of them."""
    return int(value) if value == int(value) else value


class View:
    """What the API shows at `now` (seconds since 1970). Ids may be hashed or numeric.

    What a test changes in the account afterwards needs a new view.
    """

    def __init__(self, account: Account, now: int) -> None:
        self.now = now
        self.generation = account.generation
        self._account = account
        self._hidden = account.hidden(now)
        self._event_rows: array[int] | None = None
        self._tally: Tally | None = None

    # lists

    def medias(self) -> list[Row]:
        """All medias that are not deleted, archived ones too, id ascending."""
        return list(self._media_rows)

    @cached_property
    def _media_rows(self) -> list[Row]:
        # each page of the list needs all of them
        return [self._media_row(media) for media in self._listed()]

    def media(self, media_id: str | int) -> Row:
        """One media."""
        return self._media_row(self._media(media_id))

    def projects(self) -> list[Row]:
        """All projects, id ascending."""
        counts: dict[int, int] = {}
        for media in self._listed():
            if media.project:
                counts[media.project.number] = counts.get(media.project.number, 0) + 1
        return [
            self._project_row(project, counts.get(project.number, 0))
            for project in self._account.projects
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
        account = self._account
        if visitor_key is not None:
            visitor = account.visitor_of_key(visitor_key)
            rows = array("q") if visitor is None else self._shown(account.by_visitor[visitor])
            if media_id is not None:
                number = account.media_numbers.get(str(media_id))
                rows = array("q", (row for row in rows if account.media_of[row] == number))
        elif media_id is not None:
            number = account.media_numbers.get(str(media_id))
            rows = array("q") if number is None else self._shown(account.by_media[number])
        else:
            if self._event_rows is None:
                self._event_rows = self._shown(account.order)
            rows = self._event_rows
        if start_date is not None or end_date is not None:
            received = account.received.__getitem__
            begin = 0 if start_date is None else bisect_left(rows, day_of(start_date) * DAY, key=received)
            end = len(rows)
            if end_date is not None:
                end = bisect_left(rows, (day_of(end_date) + 1) * DAY, key=received)
            rows = rows[begin:end]
        return Rows(rows, self._event_row)

    def event(self, event_key: str) -> Row:
        """One session; where two share the key, the first."""
        row = self._account.row_of_key(event_key)
        if row is None or not self._shows(row):
            raise KeyError(event_key)
        return self._event_row(row)

    def visitors(self) -> list[Row]:
        """All visitors, last active first."""
        return list(self.visitor_rows())

    def visitor_rows(self, filter: str | None = None, search: str | None = None) -> Rows:
        """Visitors, last active first, made as they are read."""
        numbers: Sequence[int] = self.tally.active or []
        if filter in FILTERS or search:
            known = self._account.known
            numbers = [number for number in numbers if number in known]
        if filter in FILTERS:
            fits = FILTERS[filter]
            numbers = [number for number in numbers if fits(self._person(number))]
        if search:
            start = search.casefold()
            numbers = [
                number
                for number in numbers
                if self._person(number).name.casefold().startswith(start)
                or (self._person(number).email or "").casefold().startswith(start)
            ]
        return Rows(numbers, self._visitor_row)

    def visitor(self, visitor_key: str) -> Row:
        """One visitor."""
        number = self._account.visitor_of_key(visitor_key)
        if number is None or number >= len(self.tally.last) or self.tally.last[number] < 0:
            raise KeyError(visitor_key)
        return self._visitor_row(number)

    def captions(self, media_id: str | int) -> list[Row]:
        """The captions of one media, drafts too."""
        media = self._media(media_id)
        number = media.number
        if number % 5 not in (0, 2) or media.type not in ("Video", "Audio"):
            return []
        first = LANGUAGES[number % len(LANGUAGES)] if number else LANGUAGES[0]
        # a draft beside the published text of the same language, for every fifth of them
        second = first if number % 25 == 0 else LANGUAGES[(number + 1) % len(LANGUAGES)]
        rows = [self._caption(media, 0, first, draft=False)]
        if number % 5 == 0:
            rows.append(self._caption(media, 1, second, draft=second is first))
        return rows

    # the account and its stats

    def account(self) -> Row:
        """The account itself."""
        return {
            "id": self._account.account_id,
            "name": "Example Films & Söhne",
            "url": "https://example.wistia.com",
            "mediaCount": sum(1 for _ in self._listed()),
            "videoLimit": 5000,
            "projectCount": sum(project.created <= self.now for project in self._account.projects),
            "channelCount": 2,
        }

    def account_stats(self) -> Row:
        """Lifetime counts of all medias, deleted ones too."""
        loads = sum(self.tally.all_loads) + sum(self._account.ambient_totals(self.now).values())
        return {
            "load_count": loads,
            "play_count": sum(self.tally.all_plays),
            "hours_watched": tidy(sum(self._hours(media) for media in self._account.medias)),
        }

    def account_stats_by_date(self, start_date: Day | None = None, end_date: Day | None = None) -> list[Row]:
        """Daily counts of all medias, deleted ones too, newest first."""
        hours = sum(self._hours(media) for media in self._account.medias)
        plays = sum(self.tally.all_plays)
        rows = self._daily(
            self.tally.all_loads,
            self.tally.all_plays,
            self._account.ambient_totals(self.now),
            hours / plays if plays else 0,
            start_date,
            end_date,
        )
        return rows[::-1]

    def project_stats(self, project_id: str | int) -> Row:
        """Lifetime counts of the medias that a project shows."""
        medias = self._medias_of(project_id)
        stats = [self._lifetime(media) for media in medias]
        return {
            "load_count": sum(loads for loads, _ in stats),
            "play_count": sum(plays for _, plays in stats),
            "hours_watched": tidy(sum(self._hours(media) for media in medias)),
            "number_of_videos": len(medias),
        }

    def project_stats_by_date(
        self, project_id: str | int, start_date: Day | None = None, end_date: Day | None = None
    ) -> list[Row]:
        """Daily counts of the medias that a project shows, ascending."""
        medias = self._medias_of(project_id)
        loads, plays = array("q"), array("q")
        ambient: dict[int, int] = {}
        for media in medias:
            for total, counts in ((loads, self.tally.loads), (plays, self.tally.plays)):
                days = self._days(counts, media)
                total.extend([0] * (len(days) - len(total)))
                for index, count in enumerate(days):
                    total[index] += count
            for day, count in self._ambient(media).items():
                ambient[day] = ambient.get(day, 0) + count
        hours, all_plays = sum(self._hours(media) for media in medias), sum(plays)
        return self._daily(loads, plays, ambient, hours / all_plays if all_plays else 0, start_date, end_date)

    def media_stats(self, media_id: str | int) -> Row:
        """Lifetime counts of one media."""
        media = self._media(media_id)
        loads, plays = self._lifetime(media)
        row: Row = {
            "load_count": loads,
            "play_count": plays,
            # neither plays by loads nor plays by visitors
            "play_rate": tidy(min(1.0, plays / loads * 1.0734)) if loads else 0,
            "hours_watched": tidy(self._hours(media)),
            "engagement": tidy(self._engagement(media)),
            "visitors": loads - loads // 17,
        }
        if media.number % 5 == 1:
            row["actions"] = [self._action(media, plays, "call_to_action", 9)]
            if media.number % 10 == 1:
                row["actions"].append(self._action(media, plays, "turnstile", 23))
        elif media.number % 5 == 3:
            row["actions"] = []
        return row

    def media_stats_by_date(
        self, media_id: str | int, start_date: Day | None = None, end_date: Day | None = None
    ) -> list[Row]:
        """Daily counts of one media, ascending, days before it existed too."""
        media = self._media(media_id)
        _, plays = self._lifetime(media)
        return self._daily(
            self._days(self.tally.loads, media),
            self._days(self.tally.plays, media),
            self._ambient(media),
            self._hours(media) / plays if plays else 0,
            start_date,
            end_date,
        )

    def media_engagement(self, media_id: str | int) -> Row:
        """How many watched each second; beyond 1,000 seconds, each thousandth."""
        media = self._media(media_id)
        account = self._account
        rows = self._shown(account.by_media[media.number])
        if not rows or not media.duration:
            return {"engagement": tidy(self._engagement(media)), "engagement_data": [], "rewatch_data": []}
        count = max(1, min(1000, int(media.duration)))
        left = [0] * (count + 1)
        for row in rows:
            left[min(count, int(self._final(row) * count))] += 1
        watching = []
        still = len(rows)
        for cell in range(count):
            still -= left[cell]
            watching.append(still)
        salt = chance.draw(account.seed, "rewatch", media.number)
        again = [seen * salt[cell % 64] // 2048 for cell, seen in enumerate(watching)]
        return {
            "engagement": tidy(self._engagement(media)),
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

    # rows

    def _media_row(self, media: Media) -> Row:
        number = media.number
        row: Row = {
            "id": media.id,
            "hashed_id": media.hashed_id,
            "name": media.name,
            "type": media.type,
            "archived": media.archived,
            "created": data_text(media.created),
            "updated": data_text(max(media.updated, self._mass_update(media))),
            "description": media.description,
            "progress": 1.0,
            "status": "ready",
            "thumbnail": self._thumbnail(media, "200x120", 200, 120),
        }
        if media.duration is not None:
            row["duration"] = media.duration
        if self.now - media.created < 600:
            row["progress"], row["status"] = 0.5, "processing"
        elif number % 60 == 41:
            row["progress"], row["status"] = 0, "failed"
        if media.project is not None:
            # the description says hashedId, recordings have hashed_id
            hashed = "hashedId" if number % 17 == 4 else "hashed_id"
            home = media.project
            row["project"] = {"id": home.id, "name": home.name, hashed: home.hashed_id}
        if number % 3 == 0:
            row["section"] = SECTIONS[number % len(SECTIONS)]
        if number % 6 == 0:
            row["subfolder"] = {
                "hashed_id": chance.hashed_id(self._account.seed, "subfolder", number % 4),
                "name": SECTIONS[number % len(SECTIONS)],
                "description": None if number % 12 else "",
                "position": number % 4 + 1,
                "created": data_text(self._account.history_begins),
                "updated": data_text(max(self._account.history_begins, self._mass_update(media))),
            }
        if number % 4 != 1:
            row["tags"] = [{"name": tag} for tag in TAGS[: number % 4]]
        if number % 11 == 0:
            row["embedCode"] = f'<iframe src="https://fast.example.com/embed/iframe/{media.hashed_id}"></iframe>'
        row["assets"] = self._assets(media)
        return row

    def _mass_update(self, media: Media) -> int:
        """Wistia touches all medias at once now and then, with nothing changed."""
        ago = (self.now - self._account.history_begins) % MASS_UPDATE_EVERY
        return self.now - ago if self.now - ago > media.created else 0

    def _thumbnail(self, media: Media, crop: str, width: int, height: int) -> Row:
        name = chance.draw(self._account.seed, "thumbnail", media.number)[:16].hex()
        url = f"https://embed-ssl.example.com/deliveries/{name}.jpg?image_crop_resized={crop}"
        return {"url": url, "width": width, "height": height}

    def _assets(self, media: Media) -> list[Row]:
        kinds: list[tuple[str, tuple[int, int] | None, str]]
        if media.type == "Audio":
            kinds = [("OriginalFile", None, "audio/mpeg"), ("Mp3AudioFile", None, "audio/mpeg")]
        elif media.type == "Video":
            kinds = [
                ("OriginalFile", (1920, 1080), "video/mp4"),
                ("IphoneVideoFile", (640, 360), "video/mp4"),
                ("HdMp4VideoFile", (1280, 720), "video/mp4"),
                ("StoryboardFile", (2000, 2260), "image/jpg"),
                ("StillImageFile", (1920, 1080), "image/png"),
            ]
        else:
            content = "image/jpeg" if media.type == "Image" else "application/pdf"
            kinds = [("OriginalFile", (1600, 900), content)]
        rows = []
        for number, (kind, size, content) in enumerate(kinds):
            salt = chance.draw(self._account.seed, "asset", media.number * 8 + number)
            row: Row = {
                "type": kind,
                "url": f"http://embed.example.com/deliveries/{salt[:16].hex()}.bin",
                "fileSize": int.from_bytes(salt[16:19]) * 7 + 1000,
                "contentType": content,
            }
            if size:
                row["width"], row["height"] = size
            rows.append(row)
        return rows

    def _project_row(self, project: Project, count: int) -> Row:
        number = project.number
        return {
            "id": project.id,
            "name": project.name,
            "description": (None, "", 'It\'s for "everyone",\nreally.')[number % 3],
            "mediaCount": count,
            "created": data_text(project.created),
            "updated": data_text(project.updated),
            "hashedId": project.hashed_id,
            "public": number % 4 == 1,
            "publicId": None if number % 4 == 3 else project.hashed_id,
            "anonymousCanUpload": number % 5 == 2,
            "anonymousCanDownload": number % 5 == 3,
        }

    def _event_row(self, row: int) -> Row:
        account = self._account
        number = account.twin_of.get(row, row)
        identity = account.identity[number]
        salt = chance.draw(account.seed, "event", identity)
        at = account.received[row]
        media = account.medias[account.media_of[row]]
        visitor = account.visitor_of[row]
        # the oldest rows have the form of years ago
        old = identity < account.events // 100
        key = chance.key(salt, identity, account.received[number])
        known = self._person(visitor if number == row else account.visitor_of[number])
        country, region, city, lat, lon = known.place
        event: Row = {"received_at": old_stats_text(at) if old and salt[50] < 128 else stats_text(at)}
        if not (old and salt[51] < 96):
            event["event_key"] = key
        private = visitor == -1
        event |= {
            "ip": None if private else known.ip,
            "country": country,
            "region": region,
            "city": city,
            "lat": None if private else lat,
            "lon": None if private else lon,
            "org": known.network,
            "email": None if private else known.email,
            "percent_viewed": self._percent(row, salt),
            "embed_url": EMBED_URLS[salt[52] % len(EMBED_URLS)],
            "conversion_type": "",
            "conversion_data": {},
            "iframe_heatmap_url": (
                f"https://api.wistia.com/v1/stats/events/{key}/iframe.html?public_token={account.public_token}"
            ),
            "visitor_key": None if private else account.visitor_key(visitor),
            "user_agent_details": dict(known.agent),
            "media_id": media.hashed_id,
            "media_name": media.name,
            "media_url": f"https://example.wistia.com/medias/{media.hashed_id}",
            "thumbnail": {
                **self._thumbnail(media, "1920x1080", 1920, 1080),
                "fileSize": 210_000 + media.number * 917,
                "contentType": "image/png",
                "type": "StillImageFile",
            },
        }
        if known.email is not None and not private:
            event["conversion_data"] = {
                "email": known.email,
                "first_name": known.first_name,
                "last_name": known.last_name,
                "is_new_lead": salt[53] % 2 == 0,
            }
            event["conversion_type"] = ("turnstile", 3, "", "annotation")[salt[54] % 4]
        elif salt[54] < 4:
            event["conversion_type"] = 0
        elif salt[54] < 8:
            event["conversion_data"] = ""
        if salt[55] < 2:
            del event["user_agent_details"]
        elif salt[55] < 4:
            del event["thumbnail"]
        if row in account.restated and "email" in account.restated[row]:
            event["email"] = account.restated[row]["email"]
        return event

    def _percent(self, row: int, salt: bytes) -> float:
        """How far the session has come: it plays in real time."""
        account = self._account
        final = self._final(row)
        media = account.medias[account.media_of[row]]
        if media.duration and media.type in ("Video", "Audio"):
            final = min(final, (self.now - account.received[row]) / media.duration)
        # a server may print 0 or 1 where a fraction is meant
        return int(final) if final in (0, 1) and salt[56] < 32 else float(final)

    def _final(self, row: int) -> float:
        account = self._account
        change = account.restated.get(row)
        return account.percent[row] if change is None else change.get("percent_viewed", account.percent[row])

    def _visitor_row(self, number: int) -> Row:
        account, tally = self._account, self.tally
        known = self._person(number)
        salt = chance.draw(account.seed, "visitor row", number)
        created = account.received[tally.first[number]]
        if salt[0] < 19:
            created += 1 + salt[1] % 2
        row: Row = {
            "visitor_key": account.visitor_key(number),
            "created_at": stats_text(created),
            "last_active_at": stats_text(account.received[tally.last[number]]),
            "last_event_key": account.event_key(tally.last[number]),
            "load_count": tally.visitor_loads[number],
            "play_count": tally.visitor_plays[number],
        }
        if salt[2] < 200:
            row["identifying_event_key"] = None
        row["visitor_identity"] = {"name": known.name, "email": known.email}
        if salt[3] > 8:
            row["visitor_identity"]["org"] = {"name": known.company, "title": known.title}
        row["user_agent_details"] = dict(known.agent)
        return row

    def _caption(self, media: Media, place: int, language: tuple[str, str, str], *, draft: bool) -> Row:
        line = CAPTION_LINES[LANGUAGES.index(language)]
        text = f"1\n00:00:00,000 --> 00:00:02,400\n{line}\n\n2\n00:00:02,500 --> 00:00:05,000\n{media.name}\n"
        if media.number % 5 == 3:
            # people upload what other tools have made
            text = "\ufeff" + text.replace(line, f"{{\\an8}}<i>{line}</i> &amp; 1 < 2\u00a0> 0").replace("\n", "\r\n")
        return {
            "english_name": language[0],
            "native_name": language[1],
            "language": language[2],
            "text": None if media.number % 20 == 2 else text,
            "is_draft": draft,
            "id": str(940_000 + media.number * 2 + place),
        }

    def _action(self, media: Media, plays: int, kind: str, every: int) -> Row:
        shown = plays * 2 // 3
        taken = shown // every
        return {
            "type": kind,
            "action_count": taken,
            "impression_count": shown,
            "rate": tidy(taken / shown) if shown else 0,
        }

    # counts

    @property
    def tally(self) -> Tally:
        """The counts behind the stats and the visitors."""
        if self._tally is None:
            self._tally = self._account.tally(self.now)
        return self._tally

    def _daily(
        self,
        loads: Sequence[int],
        plays: Sequence[int],
        ambient: dict[int, int],
        hours_a_play: float,
        start_date: Day | None,
        end_date: Day | None,
    ) -> list[Row]:
        today = stats_day(self.now)
        first = today - 1 if start_date is None else day_of(start_date)
        last = today if end_date is None else day_of(end_date)
        rows = []
        for day in range(first, last + 1):
            place = day - self._account.first_day
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

    def _days(self, counts: list[array[int]], media: Media) -> Sequence[int]:
        return counts[media.number] if media.number < len(counts) else ()

    def _ambient(self, media: Media) -> dict[int, int]:
        if media.created > self.now:
            return {}
        days = self._account.ambient_loads(media.number, self.now)
        return dict(enumerate(days, stats_day(media.created)))

    def _lifetime(self, media: Media) -> tuple[int, int]:
        ambient = self._account.ambient_loads(media.number, self.now) if media.created <= self.now else ()
        loads = sum(self._days(self.tally.loads, media)) + sum(ambient)
        return loads, sum(self._days(self.tally.plays, media))

    def _engagement(self, media: Media) -> float:
        tally = self.tally
        if media.number >= len(tally.sessions) or not tally.sessions[media.number]:
            return 0
        return round(tally.percents[media.number] / tally.sessions[media.number] / MILLION, 6)

    def _hours(self, media: Media) -> float:
        if not media.duration or media.type not in ("Video", "Audio"):
            return 0
        return sum(self._days(self.tally.plays, media)) * self._engagement(media) * media.duration / 3600

    # who and what shows

    def _listed(self) -> Iterator[Media]:
        return (media for media in self._account.medias if media.listed(self.now))

    def _media(self, media_id: str | int) -> Media:
        media = self._account.medias[self._account.media_numbers[str(media_id)]]
        if not media.listed(self.now):
            raise KeyError(media_id)
        return media

    def _project(self, project_id: str | int) -> Project:
        project = self._account.projects[self._account.project_numbers[str(project_id)]]
        if project.created > self.now:
            raise KeyError(project_id)
        return project

    def _medias_of(self, project_id: str | int) -> list[Media]:
        project = self._project(project_id)
        return [media for media in self._listed() if media.project is project]

    def _person(self, visitor: int) -> Person:
        return person(self._account.seed, visitor)

    def _shows(self, row: int) -> bool:
        account = self._account
        oldest = None if account.retention is None else self.now - account.retention
        at = account.received[row]
        return at <= self.now and row not in self._hidden and (oldest is None or at >= oldest)

    def _shown(self, rows: array[int]) -> array[int]:
        """Of rows in the order received, those that show; only the newest hours can hold hidden ones."""
        account = self._account
        received = account.received.__getitem__
        end = bisect_right(rows, self.now, key=received)
        begin = 0
        if account.retention is not None:
            begin = bisect_left(rows, self.now - account.retention, key=received)
        if not self._hidden:
            return rows[begin:end]
        oldest = min(account.received[row] for row in self._hidden)
        tail = max(begin, bisect_left(rows, oldest, key=received))
        shown = rows[begin:tail]
        shown.extend(row for row in rows[tail:end] if row not in self._hidden)
        return shown
