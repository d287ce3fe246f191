"""Describes the charts of the report for Vega-Lite: what they show; the page says how they look."""

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


def _number(field: str, **more: Any) -> Spec:
    return {"field": field, "type": "quantitative", **more}


def _group(field: str, names: list[str], looks: list[str], **more: Any) -> Spec:
    """A field of a few values, each with its own look."""
    return {"field": field, "type": "nominal", "scale": {"domain": names, "range": looks}, **more}


def by_day(rows: list[Row], fields: dict[str, str], form: str = ",d") -> Spec:
    """Lines over days; `fields` are columns with what they are called."""
    names = list(fields.values())
    values = [
        {"date": row["date"].isoformat(), "what": name, "value": row[field]}
        for row in rows
        for field, name in fields.items()
    ]
    legend = _LEGEND if len(names) > 1 else None
    return {
        "data": {"values": values},
        "height": _DAY_HEIGHT,
        "mark": {"type": "area", "line": True, "fillOpacity": 0.12} if len(fields) == 1 else {"type": "line"},
        "encoding": {
            "x": _day_axis(len(rows)),
            "y": _number("value", title=None, axis={"format": form, "tickCount": 4}),
            "color": _group("what", names, SERIES[: len(names)], title=None, legend=legend),
            "tooltip": [
                _DAY_TOOLTIP,
                {"field": "what", "title": "What"},
                _number("value", format=form, title="Number"),
            ],
        },
    }


def bars(rows: list[Row], label: str, value: str, title: str) -> Spec:
    """Horizontal bars in the order of the rows, each with its number."""
    number = _number(value, format=",d")
    room = {"range": [0, {"expr": f"width - {_NUMBER_WIDTH}"}]}
    return {
        "data": {"values": [{label: row[label], value: row[value] or 0} for row in rows]},
        "height": _BAR_HEIGHT * len(rows),
        "encoding": {
            "y": {"field": label, "type": "nominal", "sort": None, "title": None},
            "x": _number(value, title=None, axis=None, scale=room),
            "tooltip": [{"field": label, "title": "Which"}, number | {"title": title}],
        },
        "layer": [
            {"mark": {"type": "bar", "color": SERIES[0], "cornerRadiusEnd": 2}},
            {"mark": {"type": "text", "align": "left", "dx": 5}, "encoding": {"text": number}},
        ],
    }


def curve() -> Spec:
    """Views of a media from its start to its end, what is watched again, and where most leave; the page adds data."""
    x = _number(
        "start_seconds",
        title="Minutes from the start",
        scale={"nice": False},
        axis={"labelExpr": _MINUTES, "labelFlush": False, "labelOverlap": True, "grid": False},
    )
    scale = {"domain": ["Views", "Watched again", "Most viewers leave"], "range": SERIES}

    def layer(mark: Row, field: str, name: str, *tooltips: Row) -> Spec:
        return {
            "mark": mark,
            "encoding": {
                "x": x,
                "y": _number(field, title="Views", axis={"format": ",d"}),
                "color": {"datum": name, "type": "nominal", "title": None, "scale": scale, "legend": _LEGEND},
                "tooltip": [{"field": "at", "title": "At"}, _number(field, format=",d", title=name), *tooltips],
            },
        }

    point = {"type": "point", "size": 70, "filled": True, "opacity": 1}
    losses = layer(point, "view_count", "Most viewers leave", {"field": "share", "title": "Leave"})
    return {
        "height": 260,
        "layer": [
            layer({"type": "area", "line": True, "fillOpacity": 0.15}, "view_count", "Views"),
            layer({"type": "line"}, "rewatch_count", "Watched again"),
            losses | {"data": {"name": "losses"}},
        ],
    }


def reconciliation(rows: list[Row]) -> Spec:
    """Viewing sessions by plays of each day, coloured by whether they agree."""
    names = ("session_count", "play_count", "sessions_per_play", "verdict")
    found = [verdict for verdict in VERDICTS if any(row["verdict"] == verdict for row in rows)]
    colours = [VERDICTS[verdict] for verdict in found]
    # not everybody can tell colours apart
    shapes = ["triangle-up" if colour == BAD else "circle" for colour in colours]
    axis = {"format": ".0%", "tickCount": 4}
    return {
        "data": {
            "values": [
                {name: row[name] for name in names} | {"date": row["date"].isoformat()}
                for row in rows
                if row["sessions_per_play"] is not None
            ]
        },
        "height": _DAY_HEIGHT,
        "mark": {"type": "point", "filled": True, "size": 36, "opacity": 1},
        "encoding": {
            "x": _day_axis(len(rows)),
            "y": _number("sessions_per_play", scale={"zero": False}, title="Sessions by plays", axis=axis),
            "color": _group("verdict", found, colours, title=None, legend=_LEGEND),
            "shape": _group("verdict", found, shapes),
            "tooltip": [
                _DAY_TOOLTIP,
                {"field": "verdict", "title": "Verdict"},
                _number("session_count", format=",d", title="Sessions"),
                _number("play_count", format=",d", title="Plays"),
            ],
        },
    }
