"""Makes one HTML page of the figures: everything is inside, and it needs no network."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...runtime.extras import of_extra
from . import charts
from .figures import Curve, Figures, Row

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Chart:
    """A drawing with its numbers: both of the same rows."""

    name: str
    title: str
    says: str
    """What it shows, for those who cannot see it."""
    columns: Mapping[str, tuple[str, str]]
    """The table's columns, as in `COLUMNS`."""
    rows: list[Row]
    spec: charts.Spec

    @property
    def is_drawn(self) -> bool:
        """Whether there is anything to draw: Vega warns of axes without ends."""
        return bool(self.spec["data"]["values"])


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


FORMS: Mapping[str, Callable[[Any], str]] = {
    "text": str,
    "day": lambda day: day.isoformat(),
    "moment": lambda moment: f"{moment:%Y-%m-%d %H:%M} UTC",
    "count": lambda count: f"{count:,}",
    "hours": lambda hours: f"{hours:,.1f}",
    "percent": lambda fraction: f"{fraction:.1%}",
    "limit": lambda fraction: f"{100 * fraction:g}%",
    "minutes": _minutes,
    "yes": lambda holds: "yes" if holds else "no",
}
NOTHING = "–"


def _shown(value: Any, kind: str) -> str:
    return NOTHING if value is None else FORMS[kind](value)


COLUMNS = {
    "account_id": ("Account", "text"),
    "completed_fraction": ("Completed", "percent"),
    "date": ("Day", "day"),
    "is_final": ("Day is over", "yes"),
    "load_count": ("Loads", "count"),
    "media": ("Media", "text"),
    "play_count": ("Plays", "count"),
    "session_count": ("Sessions", "count"),
    "sessions_per_play": ("Sessions by plays", "percent"),
    "share": ("Share", "percent"),
    "verdict": ("Verdict", "text"),
    "viewer_count": ("Viewers", "count"),
    "watched_hours": ("Hours", "hours"),
}
"""The columns of the tables: their heads, and the kinds of their values as in `FORMS`."""


def _columns(*names: str) -> dict[str, tuple[str, str]]:
    return {name: COLUMNS[name] for name in names}


def page(figures: Figures) -> str:
    """The page. Raises `MissingDependencyException` where the packages that draw it are not installed."""
    jinja2 = of_extra("report", "jinja2")
    vl_convert = of_extra("report", "vl_convert")
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["shown"] = _shown
    drawn = {chart.name: chart for chart in _charts(figures)}
    data = {
        "charts": {name: chart.spec | {"description": chart.says} for name, chart in drawn.items() if chart.is_drawn},
        "curve": charts.curve(),
        "curves": [_curve(curve) for curve in figures.curves],
    }
    scripts = [vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"), (_HERE / "page.js").read_text("utf-8")]
    html: str = templates.get_template("page.html").render(
        figures=figures,
        charts=drawn,
        data=data,
        style=(_HERE / "page.css").read_text("utf-8"),
        scripts=scripts,
        # no other script can run, whatever a media is called
        allowed=" ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts),
    )
    return html


def _charts(figures: Figures) -> list[Chart]:
    days, window = figures.days, f"from {figures.start} to {figures.last}"

    def by_day(
        name: str, title: str, what: str, drawn: dict[str, str], form: str = ",d", columns: Sequence[str] = ()
    ) -> Chart:
        spec = charts.by_day(days, drawn, form)
        return Chart(name, title, f"{what} by day, {window}.", _columns("date", *(columns or drawn)), days, spec)

    def audience(name: str, title: str, what: str, rows: list[Row]) -> Chart:
        columns = {"label": (title, "text"), **_columns("session_count", "share")}
        spec = charts.bars(rows, "label", "session_count", "Sessions")
        return Chart(name, title, f"Viewing sessions by {what}, {window}.", columns, rows, spec)

    return [
        by_day(
            "plays",
            "Plays and viewing sessions",
            "Plays as Wistia counts them and viewing sessions",
            {"play_count": "Plays", "session_count": "Viewing sessions"},
            columns=("play_count", "load_count", "session_count", "is_final"),
        ),
        by_day("viewers", "Viewers", "Different viewers", {"viewer_count": "Viewers"}),
        by_day("hours", "Hours watched", "Hours watched", {"watched_hours": "Hours"}, ",.1~f"),
        Chart(
            "medias",
            "Most played medias",
            f"The most played medias and their plays as Wistia counts them, {window}.",
            _columns("media", "play_count", "session_count", "viewer_count", "watched_hours", "completed_fraction"),
            figures.medias,
            charts.bars(figures.medias, "media", "play_count", "Plays"),
        ),
        audience("countries", "Country", "country", figures.countries),
        audience("pages", "Page", "the page that the media is on", figures.pages),
        audience("devices", "Device", "kind of device", figures.devices),
        audience("browsers", "Browser", "browser", figures.browsers),
        _funnel(figures.funnel, window),
        Chart(
            "reconciliation",
            "Viewing sessions by plays",
            f"Viewing sessions by plays of each day, and whether they agree, {window}.",
            _columns("date", "account_id", "play_count", "session_count", "sessions_per_play", "verdict"),
            figures.reconciliation,
            charts.reconciliation(figures.reconciliation),
        ),
    ]


def _funnel(counts: Row, window: str) -> Chart:
    names = {
        "viewer_count": "Viewers",
        "known_count": "with an email address",
        "lead_count": "who are leads",
        "new_lead_count": "new leads of these days",
    }
    rows = [
        {"step": name, "count": counts[field], "share": counts[field] / counts["viewer_count"]}
        for field, name in names.items()
        if counts["viewer_count"]
    ]
    return Chart(
        "funnel",
        "From viewers to leads",
        f"How many viewers are known by their email address and are leads, {window}.",
        {"step": ("Step", "text"), "count": ("Viewers", "count"), "share": ("Share of viewers", "percent")},
        rows,
        charts.bars(rows, "step", "count", "Viewers"),
    )


def _curve(curve: Curve) -> Row:
    """A curve as the page's script reads it, each place also as a person does."""

    def placed(rows: list[Row], share: str, *names: str) -> list[Row]:
        return [
            {name: row[name] for name in ("start_seconds", "view_count", *names)}
            | {"at": _minutes(row["start_seconds"]), "share": _shown(row[share], "percent")}
            for row in rows
        ]

    return {
        "media": curve.media,
        "cells": placed(curve.cells, "retained_fraction", "rewatch_count"),
        "losses": placed(curve.losses, "lost_fraction"),
        "rewatches": placed(curve.rewatches, "rewatch_fraction"),
    }
