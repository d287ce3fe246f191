"""What the marts of sessions, days and periods must hold, computed in Python from the API's rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property, partial
from typing import Any
from zoneinfo import ZoneInfo

from wistia_pipeline.sandbox.view import View

from tests.support.mart_values import (
    COMPLETED,
    DAY,
    FIGURES,
    TYPES,
    device_class,
    grouped,
    keyed,
    known,
    moment,
    page_of,
    ratio,
    total,
)
from wistia_source.event_repair import repair_event

Row = dict[str, Any]
Mart = dict[tuple[Any, ...], Row]


@dataclass
class DailyMarts:
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
            repair_event(event, keep_public_token=False)
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
