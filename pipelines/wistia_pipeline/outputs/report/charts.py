"""The charts of the report, as Vega-Lite describes them: what is drawn, not how it looks, which is the page's."""

from __future__ import annotations

from typing import Any

from .figures import Row

Spec = dict[str, Any]

_DAY_HEIGHT = 170
_BAR_HEIGHT = 26
_NUMBER_WIDTH = 60
_LEGEND: Spec = {"orient": "top", "columns": {"expr": "width < 400 ? 1 : 0"}}
_MINUTES = "format(floor(datum.value / 60), 'd') + ':' + format(floor(datum.value % 60), '02d')"
SERIES = ["var(--series-1)", "var(--series-2)", "var(--series-3)"]
BAD = "var(--bad)"
VERDICTS = {
    "ok": "var(--good)",
    "not over": "var(--muted)",
    "no account total": "var(--muted)",
    "sessions missing": BAD,
    "more sessions than plays": BAD,
    "medias differ from account": BAD,
}
# days are read as midnights of UTC, and must be shown as such wherever the page is opened
_DAY: Spec = {"field": "date", "type": "temporal", "timeUnit": "utcyearmonthdate"}
_DAY_TOOLTIP = _DAY | {"format": "%a %-d %b %Y", "title": "Day"}


def _day_axis(days: int) -> Spec:
    form = "%b %Y" if days > 300 else "%-d %b"
    # a few days would get several ticks each
    ticks = {"tickCount": {"interval": "day", "step": 1}} if days < 10 else {}
    # the label of a tick close to the end of the axis would be cut off: a chart has 5 pixels around it
    axis = {"format": form, "labelOverlap": True, "labelBound": 5, "grid": False} | ticks
    return _DAY | {"title": None, "axis": axis}


def by_day(rows: list[Row], fields: dict[str, str], form: str = ",d") -> Spec:
    """Lines over days; `fields` are columns with what they are called."""
    names = list(fields.values())
    return {
        "data": {
            "values": [
                {"date": row["date"].isoformat(), "what": name, "value": row[field]}
                for row in rows
                for field, name in fields.items()
            ]
        },
        "height": _DAY_HEIGHT,
        "mark": {"type": "area", "line": True, "fillOpacity": 0.12} if len(fields) == 1 else {"type": "line"},
        "encoding": {
            "x": _day_axis(len(rows)),
            "y": {"field": "value", "type": "quantitative", "title": None, "axis": {"format": form, "tickCount": 4}},
            "color": {
                "field": "what",
                "type": "nominal",
                "title": None,
                "scale": {"domain": names, "range": SERIES[: len(names)]},
                "legend": _LEGEND if len(names) > 1 else None,
            },
            "tooltip": [
                _DAY_TOOLTIP,
                {"field": "what", "title": "What"},
                {"field": "value", "type": "quantitative", "format": form, "title": "Number"},
            ],
        },
    }


def bars(rows: list[Row], label: str, value: str, title: str, form: str = ",d") -> Spec:
    """Horizontal bars in the order of the rows, each with its number."""
    y = {"field": label, "type": "nominal", "sort": None, "title": None}
    room = {"range": [0, {"expr": f"width - {_NUMBER_WIDTH}"}]}
    x = {"field": value, "type": "quantitative", "title": None, "axis": None, "scale": room}
    return {
        "data": {"values": [{label: row[label], value: row[value] or 0} for row in rows]},
        "height": _BAR_HEIGHT * len(rows),
        "encoding": {
            "y": y,
            "x": x,
            "tooltip": [
                {"field": label, "title": "Which"},
                {"field": value, "type": "quantitative", "format": form, "title": title},
            ],
        },
        "layer": [
            {"mark": {"type": "bar", "color": SERIES[0], "cornerRadiusEnd": 2}},
            {
                "mark": {"type": "text", "align": "left", "dx": 5},
                "encoding": {"text": {"field": value, "type": "quantitative", "format": form}},
            },
        ],
    }


def curve() -> Spec:
    """Views of a media from its start to its end, what is watched again, and where most leave; the page adds data."""
    x = {
        "field": "start_seconds",
        "type": "quantitative",
        "title": "Minutes from the start",
        "scale": {"nice": False},
        "axis": {"labelExpr": _MINUTES, "labelFlush": False, "labelOverlap": True, "grid": False},
    }
    at = {"field": "at", "title": "At"}
    names = ["Views", "Watched again", "Most viewers leave"]

    def layer(mark: Row, field: str, name: str, *tooltips: Row) -> Spec:
        return {
            "mark": mark,
            "encoding": {
                "x": x,
                "y": {"field": field, "type": "quantitative", "title": "Views", "axis": {"format": ",d"}},
                "color": {
                    "datum": name,
                    "type": "nominal",
                    "title": None,
                    "scale": {"domain": names, "range": SERIES},
                    "legend": _LEGEND,
                },
                "tooltip": [at, {"field": field, "type": "quantitative", "format": ",d", "title": name}, *tooltips],
            },
        }

    lost = {"field": "share", "title": "Leave"}
    losses = layer({"type": "point", "size": 70, "filled": True, "opacity": 1}, "view_count", names[2], lost)
    return {
        "height": 260,
        "layer": [
            layer({"type": "area", "line": True, "fillOpacity": 0.15}, "view_count", names[0]),
            layer({"type": "line"}, "rewatch_count", names[1]),
            losses | {"data": {"name": "losses"}},
        ],
    }


def reconciliation(rows: list[Row]) -> Spec:
    """Viewing sessions by plays of each day, coloured by what is to be thought of it."""
    found = [verdict for verdict in VERDICTS if any(row["verdict"] == verdict for row in rows)]
    return {
        "data": {
            "values": [
                {name: row[name] for name in ("session_count", "play_count", "sessions_per_play", "verdict")}
                | {"date": row["date"].isoformat()}
                for row in rows
                if row["sessions_per_play"] is not None
            ]
        },
        "height": _DAY_HEIGHT,
        "mark": {"type": "point", "filled": True, "size": 36, "opacity": 1},
        "encoding": {
            "x": _day_axis(len(rows)),
            "y": {
                "field": "sessions_per_play",
                "type": "quantitative",
                "scale": {"zero": False},
                "title": "Sessions by plays",
                "axis": {"format": ".0%", "tickCount": 4},
            },
            "color": {
                "field": "verdict",
                "type": "nominal",
                "title": None,
                "scale": {"domain": found, "range": [VERDICTS[verdict] for verdict in found]},
                "legend": _LEGEND,
            },
            # colour alone tells not everybody
            "shape": {
                "field": "verdict",
                "type": "nominal",
                "scale": {
                    "domain": found,
                    "range": ["triangle-up" if VERDICTS[verdict] == BAD else "circle" for verdict in found],
                },
            },
            "tooltip": [
                _DAY_TOOLTIP,
                {"field": "verdict", "title": "Verdict"},
                {"field": "session_count", "type": "quantitative", "format": ",d", "title": "Sessions"},
                {"field": "play_count", "type": "quantitative", "format": ",d", "title": "Plays"},
            ],
        },
    }
