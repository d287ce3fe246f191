"""Every number of a report, counted anew from the rows of the marts."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import closing
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import psycopg2

from tests.support.folder import Folder
from tests.support.report_page import Opened

Row = dict[str, Any]


class Marts:
    """The marts of a warehouse: each row, to be counted anew."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def __call__(self, name: str, first: date | None = None, end: date | None = None) -> list[Row]:
        day = "session_date" if name == "sessions" else "date"
        rows = self._rows(f"select * from wistia.wistia__{name}")
        return [row for row in rows if not first or not end or (row[day] and first <= row[day] < end)]

    def _rows(self, query: str) -> list[Row]:
        url = self.folder.env.get("DESTINATION__POSTGRES__CREDENTIALS")
        with closing(
            psycopg2.connect(url) if url else duckdb.connect(str(self.folder.warehouse), read_only=True)
        ) as it:
            cursor = it.cursor()
            cursor.execute(query)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def hours(value: float) -> str:
    return f"{value:,.1f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def people(sessions: list[Row]) -> set[str]:
    """Who has watched, of those that are not hidden."""
    return {session["visitor_key"] for session in sessions if not session["is_anonymous"]}


def watched(sessions: list[Row]) -> float:
    return sum(session["watched_seconds"] or 0 for session in sessions) / 3600


def completed(sessions: list[Row]) -> float | None:
    known = [session for session in sessions if session["viewed_fraction"] is not None]
    return sum(session["is_completed"] for session in known) / len(known) if known else None


def by_share(counted: Counter[str]) -> list[list[str]]:
    """The ten largest, and the rest together."""
    most = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in most[10:])
    rows = most[:10] + ([("all others", rest)] if rest else [])
    return [[name, f"{count:,}", percent(count / counted.total())] for name, count in rows]


def assert_equal_people(found: Opened, marts: Marts, first: date, end: date) -> None:
    """The key figures and the leads, counted anew."""
    days, sessions = marts("account_daily", first, end), marts("sessions", first, end)
    leads = marts("leads")
    watching = people(sessions)
    moments = {(session["visitor_key"], session["received_at"]) for session in sessions}
    first_lead = {
        key: min(row["qualified_at"] for row in leads if row["visitor_key"] == key)
        for key in {lead["visitor_key"] for lead in leads}
    }
    last_seen: dict[str, datetime] = {}
    for session in sessions:
        key = session["visitor_key"]
        last_seen[key] = max(session["received_at"], last_seen.get(key, session["received_at"]))
    are_leads = [key for key in watching & first_lead.keys() if first_lead[key] <= last_seen[key]]
    funnel = [
        len(watching),
        sum(viewer["email"] is not None for viewer in marts("viewers") if viewer["visitor_key"] in watching),
        len(are_leads),
        sum((key, first_lead[key]) in moments for key in are_leads),
    ]
    totals = {
        "plays": f"{sum(day['play_count'] or 0 for day in days):,}",
        "viewing-sessions": f"{len(sessions):,}",
        "viewers": f"{len(watching):,}",
        "hours-watched": hours(watched(sessions)),
        "completed": percent(completed(sessions)),
        "new-leads": f"{funnel[3]:,}",
    }
    assert {name: found.texts(f"#total-{name}") for name in totals} == {name: [text] for name, text in totals.items()}
    steps = ("Viewers", "with an email address", "who are leads", "new leads of these days")
    assert found.table("funnel-table") == [
        [step, f"{count:,}", percent(count / funnel[0])] for step, count in zip(steps, funnel, strict=True)
    ]


def assert_equal(found: Opened, marts: Marts, first: date, end: date) -> None:
    """Every number of the page, counted anew."""
    assert_equal_people(found, marts, first, end)
    days, sessions = marts("account_daily", first, end), marts("sessions", first, end)

    days.sort(key=lambda day: day["date"])
    counts = ("play_count", "load_count", "session_count")
    assert found.table("plays-table") == [
        [
            str(day["date"]),
            *("–" if day[name] is None else f"{day[name]:,}" for name in counts),
            "yes" if day["is_final"] else "no",
        ]
        for day in days
    ]
    assert found.table("viewers-table") == [[str(day["date"]), f"{day['viewer_count']:,}"] for day in days]
    assert found.table("hours-table") == [[str(day["date"]), hours(day["watched_hours"])] for day in days]

    of_media = defaultdict(list)
    for session in sessions:
        of_media[session["media_id"]].append(session)
    plays: Counter[str] = Counter()
    names = {}
    for row in marts("media_daily", first, end):
        plays[row["media_id"]] += row["play_count"] or 0
        names[row["media_id"]] = row["media_name"]
    order = sorted(plays, key=lambda media_id: (-plays[media_id], -len(of_media[media_id]), media_id))
    most = [media_id for media_id in order if plays[media_id] or of_media[media_id]][:10]
    shown = {
        media_id: names[media_id]
        + (f" ({media_id})" if [names[one] for one in most].count(names[media_id]) > 1 else "")
        for media_id in most
    }
    assert found.table("medias-table") == [
        [
            shown[media_id],
            f"{plays[media_id]:,}",
            f"{len(of_media[media_id]):,}",
            f"{len(people(of_media[media_id])):,}",
            hours(watched(of_media[media_id])),
            percent(completed(of_media[media_id])),
        ]
        for media_id in most
    ]
    assert_curves(found, marts, shown)

    for name, column in (("countries", "country"), ("devices", "device_class"), ("browsers", "browser")):
        assert found.table(f"{name}-table") == by_share(Counter(session[column] or "unknown" for session in sessions))
    pages = Counter(
        session["embed_host"] + (session["embed_path"] or "") if session["embed_host"] else "unknown"
        for session in sessions
    )
    assert found.table("pages-table") == by_share(pages)

    reconciled = sorted(marts("reconciliation", first, end), key=lambda row: row["date"])
    assert found.table("reconciliation-table") == [
        [
            str(row["date"]),
            row["account_id"],
            "–" if row["play_count"] is None else f"{row['play_count']:,}",
            f"{row['session_count']:,}",
            percent(row["sessions_per_play"]),
            row["verdict"],
        ]
        for row in reconciled
    ]
    verdicts = Counter(row["verdict"] for row in reconciled)
    assert found.texts(".verdicts li") == [
        f"{count:,} day{'' if count == 1 else 's'}: {verdict}" for verdict, count in sorted(verdicts.items())
    ]
    newest = max(row["received_at"] for row in marts("sessions"))
    assert found.texts("#session-at") == [f"{newest.astimezone(UTC):%Y-%m-%d %H:%M} UTC"]
    all_days = marts("account_daily")
    assert found.texts("#final-day") == [str(max(day["date"] for day in all_days if day["is_final"]))]
    assert found.texts("#wistia-day") == [str(max(day["date"] for day in all_days if day["play_count"] is not None))]


def assert_curves(found: Opened, marts: Marts, shown: dict[str, str]) -> None:
    """The curve of each media, its drop-offs and its rewatches, chosen one after the other."""
    cells, dropoffs = marts("media_engagement_curve"), marts("media_dropoff")
    with_curve = [media_id for media_id in shown if any(cell["media_id"] == media_id for cell in cells)]
    assert found.texts("#media option") == [shown[media_id] for media_id in with_curve]

    def at(seconds: float) -> str:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"

    for position, media_id in [*enumerate(with_curve)][::-1]:
        found.page.select_option("#media", str(position))
        of_media = sorted((cell for cell in cells if cell["media_id"] == media_id), key=lambda cell: cell["position"])
        views = {cell["position"]: f"{cell['view_count']:,}" for cell in of_media}
        assert found.table("curve-table") == [
            [
                at(cell["start_seconds"]),
                views[cell["position"]],
                f"{cell['rewatch_count']:,}",
                percent(cell["retained_fraction"]),
            ]
            for cell in of_media
        ]
        for table, kind, column in (("losses", "loss", "lost_fraction"), ("rewatches", "rewatch", "rewatch_fraction")):
            ranked = [row for row in dropoffs if (row["media_id"], row["kind"]) == (media_id, kind)]
            assert found.table(table) == [
                [at(row["start_seconds"]), percent(row[column]), views[row["position"]]]
                for row in sorted(ranked, key=lambda row: row["dropoff_rank"])
            ]
