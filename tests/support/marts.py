"""What the marts must hold, computed again from the API's rows: in Python, and without a look at the SQL."""

from __future__ import annotations

import html
import re
from collections import defaultdict
from datetime import date, datetime
from functools import cached_property
from typing import Any

from tests.support.mart_values import (
    DAY,
    HIGH,
    LEAD,
    LOW,
    TOLERANCE,
    device_class,
    grouped,
    known,
    moment,
    ratio,
    total,
)
from tests.support.marts_performance import PerformanceMarts

Row = dict[str, Any]
Mart = dict[tuple[Any, ...], Row]


class Marts(PerformanceMarts):
    """All marts of one account."""

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
