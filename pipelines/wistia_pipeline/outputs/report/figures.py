"""Reads what the report says from the marts: rows of a few numbers, and nobody's name or address."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from ...models.marts import NotBuilt
from ...models.settings import model_var
from ...warehouses.reading import Reader
from ...warehouses.schemas import model_schemas

DEFAULT_DAYS = 90
MOST = 10
"""Bars of a chart, and medias whose curves are shown."""
OTHERS = "all others"
UNKNOWN = "unknown"

Row = dict[str, Any]

_MODELS = (
    *("wistia__account_daily", "wistia__audience_daily", "wistia__leads", "wistia__media_daily"),
    *("wistia__media_dropoff", "wistia__media_engagement_curve", "wistia__reconciliation"),
    *("wistia__sessions", "wistia__viewers", "int_wistia__sessions"),
)

_NEWEST = """
select
    (select max(date) from {marts}.wistia__account_daily) as day,
    (select max(date) from {marts}.wistia__account_daily where play_count is not null) as wistia_day,
    (select max(date) from {marts}.wistia__account_daily where is_final) as final_day,
    (select max(received_at) from {marts}.wistia__sessions) as session_at,
    (select max(cast(_dlt_load_id as double precision)) from {intermediate}.int_wistia__sessions) as load_id
"""

_ACCOUNTS = "select distinct account_id from {marts}.wistia__account_daily order by account_id"

_DAYS = """
select
    date,
    cast(sum(load_count) as bigint) as load_count,
    cast(sum(play_count) as bigint) as play_count,
    cast(sum(session_count) as bigint) as session_count,
    -- of one day: those of different accounts are different people
    cast(sum(viewer_count) as bigint) as viewer_count,
    sum(watched_hours) as watched_hours,
    bool_and(is_final) as is_final
from {marts}.wistia__account_daily
where {in_window}
group by date
order by date
"""

_MEASURES = """
    count(*) as session_count,
    count(distinct case when not is_anonymous then account_id || ' ' || visitor_key end) as viewer_count,
    coalesce(sum(watched_seconds), 0) / 3600 as watched_hours,
    cast(count(case when is_completed then 1 end) as double precision) / nullif(count(viewed_fraction), 0)
        as completed_fraction
"""

_TOTALS = "select {measures} from {marts}.wistia__sessions where {sessions_in_window}"

_MEDIAS = """
with counted as (
    select account_id, media_id, max(media_name) as media_name, cast(sum(play_count) as bigint) as play_count
    from {marts}.wistia__media_daily
    where {in_window}
    group by account_id, media_id
),

watched as (
    select account_id, media_id, {measures}
    from {marts}.wistia__sessions
    where {sessions_in_window}
    group by account_id, media_id
)

select
    account_id,
    media_id,
    counted.media_name,
    counted.play_count,
    coalesce(watched.session_count, 0) as session_count,
    coalesce(watched.viewer_count, 0) as viewer_count,
    coalesce(watched.watched_hours, 0) as watched_hours,
    watched.completed_fraction
from counted
left join watched using (account_id, media_id)
where counted.play_count > 0 or watched.session_count > 0
order by coalesce(counted.play_count, 0) desc, session_count desc, media_id
limit {most}
"""

_CURVES = """
select account_id, media_id, start_seconds, view_count, rewatch_count, retained_fraction
from {marts}.wistia__media_engagement_curve
where media_id in ({ids})
order by account_id, media_id, position
"""

_DROPOFFS = """
select account_id, media_id, kind, dropoff_rank, start_seconds, lost_fraction, rewatch_fraction, view_count
from {marts}.wistia__media_dropoff
inner join {marts}.wistia__media_engagement_curve using (account_id, media_id, position, start_seconds)
where media_id in ({ids})
order by account_id, media_id, kind, dropoff_rank
"""

_AUDIENCE = """
select {kind} as label, cast(sum(session_count) as bigint) as session_count
from {marts}.wistia__audience_daily
where {in_window}
group by {kind}
"""

_PAGES = """
select embed_host || coalesce(embed_path, '') as label, count(*) as session_count
from {marts}.wistia__sessions
where {sessions_in_window}
group by embed_host || coalesce(embed_path, '')
"""

_FUNNEL = """
with watching as (
    select account_id, visitor_key, min(received_at) as first_at, max(received_at) as last_at
    from {marts}.wistia__sessions
    where {sessions_in_window} and not is_anonymous
    group by account_id, visitor_key
),

leads as (
    select account_id, visitor_key, min(qualified_at) as qualified_at
    from {marts}.wistia__leads
    group by account_id, visitor_key
)

select
    count(*) as viewer_count,
    count(viewers.email) as known_count,
    count(case when leads.qualified_at <= watching.last_at then 1 end) as lead_count,
    count(case when leads.qualified_at between watching.first_at and watching.last_at then 1 end) as new_lead_count
from watching
left join {marts}.wistia__viewers as viewers using (account_id, visitor_key)
left join leads using (account_id, visitor_key)
"""

_RECONCILIATION = """
select account_id, date, session_count, play_count, sessions_per_play, verdict
from {marts}.wistia__reconciliation
where {in_window}
order by date, account_id
"""


@dataclass(frozen=True)
class Curve:
    """How a media is watched from its start to its end, over its whole life."""

    media: str
    cells: list[Row]
    losses: list[Row]
    """Where most viewers leave."""
    rewatches: list[Row]
    """What is watched again most."""


@dataclass(frozen=True)
class Figures:
    """All that the report shows."""

    start: date
    end: date
    """The day after the last one."""
    made_at: datetime
    accounts: list[str]
    newest: Row
    """`wistia_day`, `final_day`, `session_at`, `loaded_at`; null where there is nothing."""
    settings: Row
    """`completed_fraction`, `lead_fraction`, `timezone`."""
    totals: Row
    days: list[Row]
    medias: list[Row]
    """The most played of the window; `media` is a name that no other has."""
    curves: list[Curve]
    countries: list[Row]
    pages: list[Row]
    devices: list[Row]
    browsers: list[Row]
    funnel: Row
    reconciliation: list[Row]

    @property
    def last(self) -> date:
        return self.end - timedelta(days=1)


def read_figures(reader: Reader, start: date | None = None, end: date | None = None) -> Figures:
    """The figures of the days [start, end); without them, of the 90 days up to the newest. Raises `NotBuilt`."""
    marts, _, intermediate = model_schemas(reader.raw)
    there = {*reader.columns(marts), *reader.columns(intermediate)}
    if missing := [name for name in _MODELS if name not in there]:
        raise NotBuilt(missing[0])
    (newest,) = reader.rows(_NEWEST.format(marts=marts, intermediate=intermediate))
    made_at = datetime.now(UTC)
    end = end or max((newest["day"] or made_at.date()) + timedelta(days=1), (start or date.min) + timedelta(days=1))
    start = start or end - timedelta(days=DEFAULT_DAYS)
    between = f"{{}} >= date '{start}' and {{}} < date '{end}'"
    window = {
        "marts": marts,
        "measures": _MEASURES,
        "in_window": between.format("date", "date"),
        "sessions_in_window": between.format("session_date", "session_date"),
    }

    def rows(query: str, **more: Any) -> list[Row]:
        return reader.rows(query.format(**window, **more))

    def audience(kind: str) -> list[Row]:
        return _with_shares(rows(_AUDIENCE, kind=kind))

    days = rows(_DAYS)
    medias = _with_names(rows(_MEDIAS, most=MOST))
    load_id = newest.pop("load_id")
    return Figures(
        start=start,
        end=end,
        made_at=made_at,
        accounts=[row["account_id"] for row in rows(_ACCOUNTS)],
        newest=newest | {"loaded_at": load_id and datetime.fromtimestamp(load_id, UTC)},
        settings={name: model_var(name) for name in ("completed_fraction", "lead_fraction", "timezone")},
        totals=rows(_TOTALS)[0] | {"play_count": sum(row["play_count"] or 0 for row in days)},
        days=days,
        medias=medias,
        curves=_curves(reader, medias),
        countries=audience("country"),
        pages=_with_shares(rows(_PAGES)),
        devices=audience("device_class"),
        browsers=audience("browser"),
        funnel=rows(_FUNNEL)[0],
        reconciliation=rows(_RECONCILIATION),
    )


def _with_names(medias: list[Row]) -> list[Row]:
    """With a name for each media, `media`: different ones may be called the same."""
    names = [row["media_name"] or row["media_id"] for row in medias]
    return [
        row | {"media": name if names.count(name) == 1 else f"{name} ({row['media_id']})"}
        for row, name in zip(medias, names, strict=True)
    ]


def _curves(reader: Reader, medias: list[Row]) -> list[Curve]:
    if not medias:
        return []
    # ids are Wistia's to choose: not to be put into a query
    ids = [row["media_id"] for row in medias]
    places = ", ".join(f"${position}" for position, _ in enumerate(ids, 1))

    def by(query: str, *names: str) -> dict[tuple[str, ...], list[Row]]:
        rows = reader.rows(query.format(marts=reader.marts, ids=places), *ids)
        return {key: list(of_one) for key, of_one in groupby(rows, itemgetter(*names))}

    cells = by(_CURVES, "account_id", "media_id")
    dropoffs = by(_DROPOFFS, "account_id", "media_id", "kind")
    return [
        Curve(media["media"], cells[key], dropoffs.get((*key, "loss"), []), dropoffs.get((*key, "rewatch"), []))
        for media in medias
        if (key := (media["account_id"], media["media_id"])) in cells
    ]


def _with_shares(rows: list[Row]) -> list[Row]:
    """The largest first, the rest as one row, each with its share of the sessions."""
    total = sum(row["session_count"] for row in rows)
    known = [row | {"label": row["label"] or UNKNOWN} for row in rows]
    known.sort(key=lambda row: (-row["session_count"], row["label"]))
    if rest := known[MOST:]:
        known[MOST:] = [{"label": OTHERS, "session_count": sum(row["session_count"] for row in rest)}]
    return [row | {"share": row["session_count"] / total} for row in known]
