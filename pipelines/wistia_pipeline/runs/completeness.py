"""Proof of completeness: viewing sessions in the warehouse beside the plays that Wistia counted, day by day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import dlt

from wistia_source.endpoints import ACCOUNT_STATS_BY_DATE, EVENTS
from wistia_source.warehouse import connected
from wistia_source.windows import whole_days

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


@dataclass(frozen=True)
class DayOutsideBand:
    """A day whose viewing sessions are fewer or more than its plays explain."""

    date: date
    sessions: int
    plays: int

    def __str__(self) -> str:
        return f"{self.date} has {self.sessions:,} sessions for {self.plays:,} plays"


def days_outside_band(
    pipeline: dlt.Pipeline,
    account_id: str,
    begin: datetime,
    end: datetime,
    low: float,
    high: float,
    left_out: Mapping[date, int],
) -> list[DayOutsideBand]:
    """The days wholly between two moments whose sessions are not between `low` and `high` times their plays.

    `left_out` are sessions of forgotten people: they have come, and were not loaded.

    Live accounts have 98.5 to 99.6 sessions for 100 plays (derived from recordings): some plays leave no session.
    """
    days = whole_days(begin, end)
    if days is None:
        return []
    first, last = days
    with connected(pipeline) as client:
        query = _QUERY.format(
            by_date=client.make_qualified_table_name(ACCOUNT_STATS_BY_DATE.name),
            events=client.make_qualified_table_name(EVENTS.name),
        )
        counts = client.execute_sql(query, account_id, first, last, account_id, begin, end, first, last) or ()
    return [
        DayOutsideBand(day, sessions, plays)
        for day, plays, loaded in counts
        for sessions in [loaded + left_out.get(day, 0)]
        if not low * plays - SLACK <= sessions <= high * plays + SLACK
    ]
