"""What the marts must hold, computed anew from the API's rows: in Python, and without a look at the SQL."""

from __future__ import annotations

import html
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, partial
from statistics import quantiles
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from wistia_pipeline.sandbox.view import View

from wistia_source.rows import fix_event

Row = dict[str, Any]
Mart = dict[tuple[Any, ...], Row]

COMPLETED, LEAD = 0.9, 0.8
LOW, HIGH, TOLERANCE = 0.97, 1.0, 3
TYPES = ("Video", "Audio")
FIGURES = ("load_count", "play_count", "hours_watched")
PAGE = ("embed_host", "embed_path", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
DAY = timedelta(days=1)


def moment(text: Any) -> datetime | None:
    """A time of the API."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def known(value: Any, *unknown: Any) -> Any:
    """A value, or null where it says nothing."""
    return None if value in ("", *unknown) else value


def ratio(one: float | None, other: float | None) -> float | None:
    """One by the other, null where there is nothing to divide by."""
    return one / other if one is not None and other else None


def total(values: Iterable[float | None]) -> float:
    """A sum, without nulls."""
    return math.fsum(value for value in values if value is not None)


def keyed(rows: Iterable[Row], *names: str) -> Mart:
    """Rows by their key, which must be theirs alone."""
    found: Mart = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        assert key not in found, key
        found[key] = row
    return found


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    """Rows by a key; those without one are left out."""
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        group = key(row)
        if group is not None and not (isinstance(group, tuple) and None in group[:1]):
            groups[group].append(row)
    return dict(groups)


def device_class(agent: Row) -> str | None:
    """Of a user agent."""
    return {True: "mobile", False: "desktop"}.get(agent.get("mobile"))  # type: ignore[arg-type]


def decoded(text: str) -> str:
    """Of a URL, however often it was encoded."""
    while (plainer := unquote(text)) != text:
        text = plainer
    return text


def page_of(url: str | None) -> Row:
    """Where an address leads, without what may be personal."""
    page: Row = dict.fromkeys(PAGE)
    if not url:
        return page
    parts = urlsplit(url)
    page["embed_host"] = parts.netloc.rpartition("@")[2].lower() or None
    segments = ["{email}" if re.search(r"[^/]@[^/]", decoded(part)) else part for part in parts.path.split("/")]
    page["embed_path"] = "/".join(segments) or None
    for pair in parts.query.split("&"):
        name, _, value = pair.partition("=")
        if name in PAGE and page[name] is None:
            page[name] = None if "@" in decoded(value) else value or None
    return page


@dataclass
class Marts:
    """The marts of what an account shows at a moment, when it was just loaded."""

    view: View
    account_id: str
    now: datetime
    first_day: date
    zone: str = "UTC"

    @cached_property
    def today(self) -> date:
        """The first day that is not over on both clocks, Wistia's and that of the sessions."""
        return min((self.now - timedelta(hours=5)).date(), self.now.astimezone(ZoneInfo(self.zone)).date())

    @cached_property
    def medias(self) -> dict[str, Row]:
        """Medias by id, with what sessions need of them."""
        found: dict[str, Row] = {}
        for media in self.view.medias():
            project = media.get("project") or {}
            found[media["hashed_id"]] = media | {
                "duration_seconds": media.get("duration") if media["type"] in TYPES else None,
                "project_id": project.get("hashed_id") or project.get("hashedId"),
                "project_name": project.get("name"),
            }
        return found

    @cached_property
    def names(self) -> dict[str, str]:
        """What medias are called, those too that were deleted before the first load."""
        listed = {media_id: media["name"] for media_id, media in self.medias.items()}
        return {row["media_id"]: row["media_name"] for row in self.sessions if row["media_id"]} | listed

    @cached_property
    def sessions(self) -> list[Row]:
        """wistia__sessions, oldest first."""
        rows = []
        for event in deepcopy(self.view.events()):
            fix_event(event, keep_public_token=False)
            rows.append(self._session(event))
        rows.sort(key=lambda row: (row["received_at"], row["event_key"]))
        seen: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            if row["is_anonymous"]:
                row |= {"session_number": None, "media_session_number": None, "is_rewatch": None}
                row["seconds_since_previous_session"] = None
                continue
            earlier = seen[row["visitor_key"]]
            of_media = [one for one in earlier if one["media_id"] == row["media_id"]]
            row["session_number"] = len(earlier) + 1
            row["media_session_number"] = len(of_media) + 1
            row["is_rewatch"] = bool(of_media)
            gap = row["received_at"] - earlier[-1]["received_at"] if earlier else None
            row["seconds_since_previous_session"] = round(gap.total_seconds()) if gap is not None else None
            earlier.append(row)
        return rows

    def _session(self, event: Row) -> Row:
        media = self.medias.get(event["media_id"], {})
        agent = event.get("user_agent_details") or {}
        conversion = event.get("conversion_data") or {}
        received_at = moment(event["received_at"])
        assert received_at
        viewed, duration = event.get("percent_viewed"), media.get("duration_seconds")
        kind = event.get("conversion_type")
        return {
            "account_id": self.account_id,
            "event_key": event["event_key"],
            "visitor_key": event["visitor_key"],
            "viewer_key": event["visitor_key"] or event["event_key"],
            "is_anonymous": event["visitor_key"] == "",
            "received_at": received_at,
            "session_date": received_at.astimezone(ZoneInfo(self.zone)).date(),
            "wistia_date": (received_at - timedelta(hours=5)).date(),
            "media_id": event["media_id"],
            "media_name": media.get("name", event.get("media_name")),
            "media_type": media.get("type"),
            "media_duration_seconds": duration,
            "project_id": media.get("project_id"),
            "project_name": media.get("project_name"),
            "viewed_fraction": viewed,
            "watched_seconds": viewed * duration if viewed is not None and duration is not None else None,
            "is_completed": viewed is not None and viewed >= COMPLETED,
            "email": known(event.get("email")),
            "is_converted": str(kind) not in ("", "0", "None"),
            "conversion_type": str(kind) if str(kind) not in ("", "0", "None") else None,
            "conversion_email": known(conversion.get("email")),
            "conversion_first_name": known(conversion.get("first_name")),
            "conversion_last_name": known(conversion.get("last_name")),
            "is_new_lead": conversion.get("is_new_lead"),
            **{name: known(event.get(name)) for name in ("country", "region", "city", "org")},
            "latitude": event.get("lat"),
            "longitude": event.get("lon"),
            "device_class": device_class(agent),
            "platform": known(agent.get("platform"), "Unknown"),
            "browser": known(agent.get("browser"), "Unknown Browser"),
            "browser_version": known(agent.get("browser_version"), "0"),
            "embed_url": known(event.get("embed_url")),
            **page_of(event.get("embed_url")),
            "heatmap_url": known(event.get("iframe_heatmap_url")),
        }

    def wistia__sessions(self) -> Mart:
        """One row per viewing session and visitor."""
        return keyed(self.sessions, "event_key", "visitor_key")

    @staticmethod
    def measures(sessions: list[Row]) -> Row:
        """What rollups count."""
        viewed = [row["viewed_fraction"] for row in sessions if row["viewed_fraction"] is not None]
        completed = sum(row["is_completed"] for row in sessions)
        return {
            "session_count": len(sessions),
            "viewer_count": len({row["visitor_key"] for row in sessions} - {""}),
            "watched_hours": total(row["watched_seconds"] for row in sessions) / 3600,
            "completed_session_count": completed,
            "completed_fraction": ratio(completed, len(viewed)),
            "mean_viewed_fraction": ratio(total(viewed), len(viewed)),
            "rewatch_count": sum(row["is_rewatch"] is True for row in sessions),
            "conversion_count": sum(row["is_converted"] for row in sessions),
        }

    def _days_of(self, by_date: Callable[[date, date], list[Row]]) -> dict[date, Row]:
        days = by_date(self.first_day, (self.now - timedelta(hours=5)).date())
        return {date.fromisoformat(str(row["date"])): row for row in days}

    def _daily(self, by_date: dict[date, Row], sessions: list[Row]) -> dict[date, Row]:
        """Every day between the first and the last known."""
        by_day = grouped(sessions, lambda row: row["session_date"])
        days = by_date.keys() | by_day.keys()
        rows: dict[date, Row] = {}
        day = min(days, default=date.max)
        while day <= max(days, default=date.min):
            counted = by_date.get(day, {})
            rows[day] = {name: counted.get(name) for name in FIGURES} | self.measures(by_day.get(day, []))
            rows[day]["is_final"] = day < self.today
            day += DAY
        return rows

    @cached_property
    def account_days(self) -> dict[date, Row]:
        """Wistia's numbers of the account."""
        return self._days_of(self.view.account_stats_by_date)

    def wistia__account_daily(self) -> Mart:
        """One row per day."""
        return {(day,): row for day, row in self._daily(self.account_days, self.sessions).items()}

    def wistia__project_daily(self) -> Mart:
        """One row per project and day."""
        by_project = grouped(self.sessions, lambda row: row["project_id"])
        names = {project["hashedId"]: project["name"] for project in self.view.projects()}
        found: Mart = {}
        for project_id in names.keys() | by_project.keys():
            by_date = {}
            if project_id in names:
                by_date = self._days_of(partial(self.view.project_stats_by_date, project_id))
            for day, row in self._daily(by_date, by_project.get(project_id, [])).items():
                found[project_id, day] = row | {"project_name": names.get(project_id)}
        return found

    @cached_property
    def media_days(self) -> dict[str, dict[date, Row]]:
        """Wistia's numbers of each media."""
        return {media_id: self._days_of(partial(self.view.media_stats_by_date, media_id)) for media_id in self.medias}

    def wistia__media_daily(self) -> Mart:
        """One row per media and day."""
        by_media = grouped(self.sessions, lambda row: row["media_id"])
        found: Mart = {}
        for media_id in self.medias.keys() | by_media.keys():
            media = self.medias.get(media_id, {})
            for day, row in self._daily(self.media_days.get(media_id, {}), by_media.get(media_id, [])).items():
                found[media_id, day] = row | {
                    "media_name": self.names.get(media_id),
                    "project_id": media.get("project_id"),
                    "project_name": media.get("project_name"),
                }
        return found

    def wistia__account_periods(self) -> Mart:
        """One row per day, week or month."""
        starts: dict[str, Callable[[date], date]] = {
            "day": lambda day: day,
            "week": lambda day: day - DAY * day.weekday(),
            "month": lambda day: day.replace(day=1),
        }
        found: Mart = {}
        for period_type, start in starts.items():
            sessions: dict[date, list[Row]] = defaultdict(list)
            for session in self.sessions:
                sessions[start(session["session_date"])].append(session)
            counted: dict[date, list[Row]] = defaultdict(list)
            for day, row in self.account_days.items():
                counted[start(day)].append(row)
            for period in sessions.keys() | counted.keys():
                days = counted.get(period, [])
                figures = {name: total(row[name] for row in days) if days else None for name in FIGURES}
                found[period_type, period] = figures | self.measures(sessions.get(period, []))
                # today is in a period that is not over, and so is what comes after it
                found[period_type, period]["is_final"] = period < start(self.today)
        return found

    @cached_property
    def performance(self) -> dict[str, Row]:
        """wistia__media_performance by media."""
        by_media = grouped(self.sessions, lambda row: row["media_id"])
        found: dict[str, Row] = {}
        for media_id in self.medias.keys() | by_media.keys():
            media, sessions = self.medias.get(media_id, {}), by_media.get(media_id, [])
            stats = self.view.media_stats(media_id) if media else {}
            measures = self.measures(sessions)
            interactions = ratio(measures["rewatch_count"] + measures["conversion_count"], len(sessions))
            score = None
            if sessions:
                score = 10 * (
                    0.4 * (measures["mean_viewed_fraction"] or 0)
                    + 0.3 * (measures["completed_fraction"] or 0)
                    + 0.2 * min(stats.get("play_rate") or 0, 1)
                    + 0.1 * min(interactions or 0, 1)
                )
            seconds = [row["watched_seconds"] for row in sessions if row["watched_seconds"] is not None]
            found[media_id] = measures | {
                "media_name": self.names.get(media_id),
                "media_type": media.get("type"),
                "project_id": media.get("project_id"),
                "project_name": media.get("project_name"),
                "duration_seconds": media.get("duration_seconds"),
                "created_at": moment(media.get("created")),
                "deleted_at": None,
                "load_count": stats.get("load_count"),
                "play_count": stats.get("play_count"),
                "hours_watched": stats.get("hours_watched"),
                "play_rate": stats.get("play_rate"),
                "engagement_fraction": stats.get("engagement"),
                "visitor_count": stats.get("visitors"),
                "mean_watched_seconds": ratio(total(seconds), len(seconds)),
                "engagement_score": score,
                **{
                    f"reached_{percent}_count": sum(
                        row["viewed_fraction"] is not None and row["viewed_fraction"] * 100 >= percent
                        for row in sessions
                    )
                    for percent in (25, 50, 75, 100)
                },
            }
        counts = [row["session_count"] for row in found.values()]
        for row in found.values():
            row["session_rank"] = 1 + sum(count > row["session_count"] for count in counts)
        return found

    def wistia__media_performance(self) -> Mart:
        """One row per media."""
        return {(media_id,): row for media_id, row in self.performance.items()}

    def wistia__project_performance(self) -> Mart:
        """One row per project."""
        found: Mart = {}
        for project in self.view.projects():
            medias = {
                media_id: row
                for media_id, row in self.performance.items()
                if row["project_id"] == project["hashedId"] and row["session_count"]
            }
            row: Row = {
                "project_name": project["name"],
                "deleted_at": None,
                "media_count": project["mediaCount"],
                "watched_media_count": len(medias),
                "session_count": sum(media["session_count"] for media in medias.values()),
                "watched_hours": total(media["watched_hours"] for media in medias.values()),
                **{name: self.view.project_stats(project["hashedId"])[name] for name in FIGURES},
            }
            for figure in ("completed_fraction", "engagement_score", "watched_hours"):
                values = sorted(media[figure] for media in medias.values() if media[figure] is not None)
                spread = [None] * 3
                if values:
                    spread = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
                row[f"{figure}_min"] = values[0] if values else None
                for name, value in zip(("quartile_1", "median", "quartile_3"), spread, strict=True):
                    row[f"{figure}_{name}"] = value
                row[f"{figure}_max"] = values[-1] if values else None
            order = {id_: (-own["engagement_score"], -own["session_count"], id_) for id_, own in medias.items()}
            best = sorted(medias, key=order.__getitem__)
            row["best_medias"] = [
                {name: medias[id_][name] for name in ("media_name", "engagement_score")} | {"media_id": id_}
                for id_ in best[:5]
            ] or None
            found[project["hashedId"],] = row
        return found

    @cached_property
    def curves(self) -> dict[str, list[Row]]:
        """wistia__media_engagement_curve by media."""
        found: dict[str, list[Row]] = {}
        for media_id, media in self.medias.items():
            engagement = self.view.media_engagement(media_id)
            views, rewatches = engagement["engagement_data"], engagement["rewatch_data"]
            duration = media["duration_seconds"]
            seconds = duration / len(views) if views and duration is not None and duration > 1000 else 1.0
            found[media_id] = [
                {
                    "media_name": media["name"],
                    "start_seconds": position * seconds,
                    "cell_seconds": seconds,
                    "view_count": count,
                    "rewatch_count": rewatches[position] if position < len(rewatches) else 0,
                    "retained_fraction": ratio(count, views[0]),
                }
                for position, count in enumerate(views)
            ]
        return found

    def wistia__media_engagement_curve(self) -> Mart:
        """One row per media and cell."""
        return {
            (media_id, position): row for media_id, curve in self.curves.items() for position, row in enumerate(curve)
        }

    def wistia__media_dropoff(self) -> Mart:
        """One row per media, kind and rank."""
        found: Mart = {}
        for media_id, curve in self.curves.items():
            losses = []
            for position in range(1, len(curve)):
                before, here = curve[position - 1]["retained_fraction"], curve[position]["retained_fraction"]
                if before is not None and before > here:
                    losses.append((here - before, position))
            again = [
                (-cell["rewatch_count"] / cell["view_count"], position)
                for position, cell in enumerate(curve)
                if cell["view_count"] and cell["rewatch_count"]
            ]
            for kind, places in (("loss", losses), ("rewatch", again)):
                for rank, (strength, position) in enumerate(sorted(places)[:5], 1):
                    found[media_id, kind, rank] = {
                        "position": position,
                        "lost_fraction": -strength if kind == "loss" else None,
                        "rewatch_fraction": -strength if kind == "rewatch" else None,
                        **{
                            name: curve[position][name]
                            for name in ("media_name", "start_seconds", "cell_seconds", "retained_fraction")
                        },
                    }
        return found

    def wistia__audience_daily(self) -> Mart:
        """One row per day, media and kind of viewer."""
        names = ("country", "device_class", "browser", "platform")
        groups = grouped(
            self.sessions,
            lambda row: (row["media_id"], row["session_date"], *(row[name] or "unknown" for name in names)),
        )
        return {
            (day, media_id, *rest): self.measures(sessions) | {"media_name": sessions[0]["media_name"]}
            for (media_id, day, *rest), sessions in groups.items()
        }

    def wistia__embed_pages(self) -> Mart:
        """One row per media and page."""
        groups = grouped(self.sessions, lambda row: (row["media_id"], *(row[name] for name in PAGE)))
        return {
            key: self.measures(sessions)
            | {
                "media_name": sessions[0]["media_name"],
                "first_session_at": min(row["received_at"] for row in sessions),
                "last_session_at": max(row["received_at"] for row in sessions),
            }
            for key, sessions in groups.items()
        }

    @cached_property
    def viewers(self) -> dict[str, Row]:
        """wistia__viewers by visitor."""
        by_visitor = grouped((row for row in self.sessions if not row["is_anonymous"]), lambda row: row["visitor_key"])
        visitors = {row["visitor_key"]: row for row in self.view.visitors() if row["visitor_key"]}
        newest = max((row["received_at"] for row in self.sessions if not row["is_anonymous"]), default=None)
        return {
            key: self._viewer(visitors.get(key, {}), by_visitor.get(key, []), newest)
            for key in visitors.keys() | by_visitor.keys()
        }

    def _viewer(self, visitor: Row, sessions: list[Row], newest: datetime | None) -> Row:
        identity, agent = visitor.get("visitor_identity") or {}, visitor.get("user_agent_details") or {}
        organisation = identity.get("org") or {}
        measures = self.measures(sessions)
        last = sessions[-1] if sessions else {}
        by_media = grouped(sessions, lambda row: row["media_id"])
        converted = next((row for row in reversed(sessions) if row["conversion_email"]), last)
        email = next((row["email"] for row in reversed(sessions) if row["email"]), None)
        viewed = [row["viewed_fraction"] for row in sessions if row["viewed_fraction"] is not None]
        seen = [
            moment(visitor.get("created_at")),
            moment(visitor.get("last_active_at")),
            *(row["received_at"] for row in sessions),
        ]
        return {
            "visitor_name": known(identity.get("name")),
            "email": known(identity.get("email")) or email or converted.get("conversion_email"),
            "first_name": converted.get("conversion_first_name"),
            "last_name": converted.get("conversion_last_name"),
            "org_name": known(organisation.get("name")),
            "org_title": known(organisation.get("title")),
            "first_seen_at": min(filter(None, seen)),
            "last_seen_at": max(one for one in seen[1:] if one),
            "first_session_at": sessions[0]["received_at"] if sessions else None,
            "last_session_at": last.get("received_at"),
            "load_count": visitor.get("load_count"),
            "play_count": visitor.get("play_count"),
            "session_count": len(sessions),
            "media_count": len(by_media),
            "watched_hours": measures["watched_hours"],
            "mean_viewed_fraction": measures["mean_viewed_fraction"],
            "best_viewed_fraction": max(viewed, default=None),
            "completed_session_count": measures["completed_session_count"],
            "first_converted_at": next((row["received_at"] for row in sessions if row["is_converted"]), None),
            **{f"last_{name}": last.get(name) for name in ("country", "region", "city", "org")},
            "last_device_class": last.get("device_class") or device_class(agent),
            "last_platform": last.get("platform") or known(agent.get("platform"), "Unknown"),
            "last_browser": last.get("browser") or known(agent.get("browser"), "Unknown Browser"),
            "segment": self._segment(sessions, measures["mean_viewed_fraction"], newest),
            "media_viewed_fractions": {
                media_id: max((one for row in rows if (one := row["viewed_fraction"]) is not None), default=None)
                for media_id, rows in by_media.items()
            }
            or None,
            "media_watched_seconds": {
                media_id: total(row["watched_seconds"] for row in rows)
                if any(row["watched_seconds"] is not None for row in rows)
                else None
                for media_id, rows in by_media.items()
            }
            or None,
        }

    @staticmethod
    def _segment(sessions: list[Row], mean: float | None, newest: datetime | None) -> str:
        if not sessions or newest is None:
            return "never watched"
        away, since = newest - sessions[-1]["received_at"], newest - sessions[0]["received_at"]
        if away > 90 * DAY:
            return "lost"
        if away > 30 * DAY:
            return "lapsing"
        is_engaged = mean is not None and mean >= 0.5
        if len(sessions) >= 3 and is_engaged:
            return "loyal"
        if since <= 7 * DAY:
            return "new"
        return "engaged" if is_engaged else "casual"

    def wistia__viewers(self) -> Mart:
        """One row per visitor."""
        return {(key,): row for key, row in self.viewers.items()}

    def wistia__leads(self) -> Mart:
        """One row per visitor and media."""
        found: Mart = {}
        groups = grouped(
            (row for row in self.sessions if not row["is_anonymous"]),
            lambda row: (row["media_id"], row["visitor_key"]),
        )
        for (media_id, visitor_key), sessions in groups.items():
            viewer = self.viewers[visitor_key]
            crossed = [row for row in sessions if (row["viewed_fraction"] or 0) >= LEAD]
            if crossed and viewer["email"]:
                seconds = [row["watched_seconds"] for row in sessions if row["watched_seconds"] is not None]
                found[visitor_key, media_id] = {
                    **{name: viewer[name] for name in ("email", "visitor_name", "first_name", "last_name", "org_name")},
                    "media_name": sessions[0]["media_name"],
                    "watched_seconds": total(seconds) if seconds else None,
                    "qualified_at": crossed[0]["received_at"],
                    "session_count": len(sessions),
                    "best_viewed_fraction": max(row["viewed_fraction"] or 0 for row in sessions),
                    "first_watched_at": sessions[0]["received_at"],
                    "last_watched_at": sessions[-1]["received_at"],
                }
        return found

    def wistia__activity(self) -> Mart:
        """One row per viewing session and visitor."""
        return {
            (row["event_key"], row["visitor_key"]): {
                **{name: row[name] for name in ("received_at", "country", "region", "city", "org")},
                **{name: row[name] for name in ("media_id", "media_name")},
                "percent_viewed": row["viewed_fraction"],
                "duration_viewed": row["watched_seconds"],
                "email": row["conversion_email"] or row["email"],
                "first_name": row["conversion_first_name"],
                "last_name": row["conversion_last_name"],
            }
            for row in self.sessions
        }

    def wistia__media_actions(self) -> Mart:
        """One row per media and call to action."""
        return {
            (media_id, position): {
                "media_name": self.medias[media_id]["name"],
                "action_type": action["type"],
                "action_text": known(action.get("text")),
                "action_url": known(action.get("url")),
                "impression_count": action["impression_count"],
                "action_count": action["action_count"],
                "action_rate": action["rate"],
                "action_fraction": ratio(action["action_count"], action["impression_count"]),
            }
            for media_id in self.medias
            for position, action in enumerate(self.view.media_stats(media_id).get("actions") or ())
        }

    def wistia__transcripts(self) -> Mart:
        """One row per media and language."""
        found: Mart = {}
        for media_id in self.medias:
            for language, files in grouped(self.view.captions(media_id), lambda row: row["language"]).items():
                chosen = min(files, key=lambda row: (row["is_draft"], -int(row["id"])))
                cues = _cues(chosen["text"] or "")
                words = " ".join(cue["text"] for cue in cues).split(" ")
                found[media_id, language] = {
                    "media_name": self.medias[media_id]["name"],
                    "english_name": chosen["english_name"],
                    "native_name": chosen["native_name"],
                    "caption_id": chosen["id"],
                    "is_draft": chosen["is_draft"],
                    "transcript": " ".join(cue["text"] for cue in cues),
                    "word_count": len([word for word in words if word]),
                    "cue_count": len(cues),
                    "cues": cues or None,
                }
        return found

    def wistia__reconciliation(self) -> Mart:
        """One row per day of UTC-5."""
        sessions = grouped(self.sessions, lambda row: row["wistia_date"])
        medias: dict[date, int] = defaultdict(int)
        for days in self.media_days.values():
            for day, row in days.items():
                medias[day] += row["play_count"]
        found: Mart = {}
        for day in sessions.keys() | medias.keys() | self.account_days.keys():
            plays = self.account_days.get(day, {}).get("play_count")
            count, of_medias = len(sessions.get(day, [])), medias.get(day)
            unlisted = sum(day not in self.media_days.get(row["media_id"], {}) for row in sessions.get(day, []))
            missing = 0 if of_medias is None or plays is None else plays - of_medias
            if plays is None:
                verdict = "no account total"
            elif day >= self.today:
                verdict = "not over"
            elif count < LOW * plays - TOLERANCE:
                verdict = "sessions missing"
            elif count > HIGH * plays + TOLERANCE:
                verdict = "more sessions than plays"
            else:
                differs = missing < 0 or missing * LOW > unlisted + TOLERANCE
                verdict = "medias differ from account" if differs else "ok"
            found[day,] = {
                "is_final": day < self.today,
                "session_count": count,
                "play_count": plays,
                "media_play_count": of_medias,
                "unlisted_session_count": unlisted,
                "session_difference": None if plays is None else count - plays,
                "media_difference": None if plays is None or of_medias is None else of_medias - plays,
                "sessions_per_play": ratio(count, plays),
                "verdict": verdict,
            }
        return found


def _cues(srt: str) -> list[Row]:
    """The cues of a caption file, one line after the other."""
    cues: list[Row] = []
    lines = srt.lstrip("\ufeff").splitlines()
    for number, line in enumerate(lines):
        if "-->" in line and line.lstrip()[:1].isdigit():
            start, _, rest = line.partition("-->")
            cues.append({"start_seconds": _seconds(start), "end_seconds": _seconds(rest.split()[0]), "text": []})
        elif cues and not (line.strip().isdigit() and "-->" in "".join(lines[number + 1 : number + 2])):
            cues[-1]["text"].append(line)
    for cue in cues:
        spoken = re.sub(r"</?[bi]>|\{\\an\d\}", "", " ".join(cue["text"]))
        cue["text"] = " ".join(html.unescape(spoken).split())
    return [cue for cue in cues if cue["text"]]


def _seconds(clock: str) -> float:
    seconds = 0.0
    for part in clock.strip().replace(",", ".").split(":"):
        seconds = seconds * 60 + float(part)
    return seconds
