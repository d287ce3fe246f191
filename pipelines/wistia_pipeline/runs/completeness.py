"""Proof of completeness: viewing sessions in the warehouse beside the plays that Wistia counted, day by day."""

from datetime import datetime, timedelta

import dlt
from dlt.extract import DltSource

from wistia_source.endpoints import ACCOUNT_STATS_BY_DATE, EVENTS
from wistia_source.warehouse import connected
from wistia_source.windows import RETENTION, whole_days

from ..runtime.settings import setting
from ..warehouses.kinds import destination_of
from .results import DayOutsideBand, lost_resources, metrics_of

SLACK = 3
"""Sessions by which a day may miss the band: on a quiet day one missing session is a large share."""

# in days of UTC-5 as by_date has them; `at time zone` makes a plain timestamp that the session's zone cannot bend
_QUERY = """
select coalesce(plays.date, sessions.day), coalesce(plays.play_count, 0), coalesce(sessions.session_count, 0)
from (
    select date, play_count
    from {by_date}
    where account_id = %s and date >= %s and date <= %s
) as plays
full join (
    select cast(received_at at time zone 'UTC' - interval '5 hours' as date) as day, count(*) as session_count
    from {events}
    where account_id = %s and received_at >= %s and received_at < %s
    group by 1
) as sessions on sessions.day = plays.date
where coalesce(plays.date, sessions.day) between %s and %s and (plays.date is null or plays.play_count is not null)
order by 1
"""


def days_outside_band(pipeline: dlt.Pipeline, source: DltSource, now: datetime) -> list[DayOutsideBand]:
    """The days that the run has read whole, and whose sessions are fewer or more than their plays explain.

    Live accounts have 98.5 to 99.6 sessions for 100 plays (derived from recordings): some plays leave no session.
    """
    metrics = metrics_of(source)
    is_comparable = {EVENTS.name, ACCOUNT_STATS_BY_DATE.name} <= metrics.keys() - lost_resources(source).keys()
    if not is_comparable or not destination_of(pipeline).is_database:
        return []
    read = metrics[EVENTS.name]
    if read.account_id is None or read.asked_from is None or read.asked_to is None:
        # a single session, or nothing left of a backfill
        return []
    # the oldest day has lost sessions already: Wistia drops them by the second
    begin = max(datetime.fromisoformat(read.asked_from), now - RETENTION + timedelta(hours=1))
    end = datetime.fromisoformat(read.asked_to)
    days = whole_days(begin, end)
    if days is None:
        return []
    first, last = days
    low, high = setting("wistia_pipeline.sessions_per_play_low"), setting("wistia_pipeline.sessions_per_play_high")
    with connected(pipeline) as client:
        query = _QUERY.format(
            by_date=client.make_qualified_table_name(ACCOUNT_STATS_BY_DATE.name),
            events=client.make_qualified_table_name(EVENTS.name),
        )
        bounds = (read.account_id, first, last, read.account_id, begin, end, first, last)
        counts = client.execute_sql(query, *bounds) or ()
    return [
        DayOutsideBand(day, sessions, plays)
        for day, plays, loaded in counts
        # sessions of forgotten people have come, too, and were not loaded
        for sessions in [loaded + read.forgotten.get(day.isoformat(), 0)]
        if not low * plays - SLACK <= sessions <= high * plays + SLACK
    ]
