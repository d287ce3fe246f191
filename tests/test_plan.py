"""Whose turn it is, decided without a request."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wistia_source.endpoints import CAPTIONS, MEDIA_STATS, MEDIA_STATS_BY_DATE, Endpoint
from wistia_source.plan import BusyDays, decide
from wistia_source.warehouse import Refresh

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
START = date(2026, 1, 1)
STATS = replace(MEDIA_STATS, refresh_within=DAY)
BY_DATE = replace(MEDIA_STATS_BY_DATE, refresh_within=DAY, lookback=14 * DAY, history_within=7 * DAY)


def asked(at: datetime, through: date | None = None, start: date | None = None) -> Refresh:
    """When a parent was asked."""
    return Refresh(at, start, through, at)


def why(endpoint: Endpoint, known: Refresh | None, played: datetime | None = None, busy: BusyDays | None = None) -> str:
    """What is decided of one media."""
    decisions = decide(
        endpoint, ["m"], {"m": known} if known else {}, {"m": played} if played else {}, START, NOW, busy
    )
    return decisions[0].why if decisions else "not asked"


def test_who_was_never_asked_comes_first() -> None:
    decisions = decide(STATS, ["c", "a", "b"], {"a": asked(NOW - 2 * DAY)}, {}, START, NOW)
    assert [(decision.parent_id, decision.why) for decision in decisions] == [("b", "new"), ("c", "new"), ("a", "turn")]


@pytest.mark.parametrize(
    ("known", "played", "expected"),
    [
        (None, None, "new"),
        (asked(NOW - 2 * DAY), None, "turn"),
        (asked(NOW - timedelta(minutes=1)), None, "not asked"),
        (asked(NOW - timedelta(minutes=1)), NOW, "watched"),
        (asked(NOW), NOW - HOUR, "not asked"),
        (asked(NOW, NOW.date(), START + DAY), None, "earlier start"),
        (asked(NOW, NOW.date(), START), None, "not asked"),
    ],
)
def test_why_a_media_is_asked(known: Refresh | None, played: datetime | None, expected: str) -> None:
    assert why(STATS, known, played) == expected


@pytest.mark.parametrize(
    ("last_busy", "stats", "by_date"),
    [
        (date(2026, 6, 15), "turn", "turn"),
        # what Wistia counts two days late
        (date(2026, 6, 12), "turn", "turn"),
        # days that it may still restate
        (date(2026, 6, 11), "quiet", "turn"),
        (date(2026, 5, 31), "quiet", "turn"),
        (date(2026, 5, 30), "quiet", "quiet"),
    ],
)
def test_nobody_is_asked_about_days_on_which_nothing_happened(last_busy: date, stats: str, by_date: str) -> None:
    yesterday = asked(NOW - DAY - HOUR, date(2026, 6, 14), START)
    busy = BusyDays(START, {last_busy})
    assert why(STATS, yesterday, busy=busy) == stats
    assert why(BY_DATE, yesterday, busy=busy) == by_date
    # captions do not follow plays, and a session that was seen is one whatever the days say
    assert why(replace(CAPTIONS, refresh_within=DAY), yesterday, busy=busy) == "turn"
    assert why(STATS, yesterday, NOW, busy) == "watched"
    # of days before these nothing is known
    assert why(BY_DATE, yesterday, busy=BusyDays(date(2026, 6, 1), ())) == "turn"


@given(st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=60), st.integers(1, 200))
def test_every_media_has_one_turn_in_each_period(ids: set[str], hours: int) -> None:
    endpoint = replace(STATS, refresh_within=hours * HOUR)
    known = {id_: asked(NOW - hours * HOUR) for id_ in ids}
    turns: Counter[str] = Counter()
    for hour in range(hours):
        now = NOW + hour * HOUR
        for decision in decide(endpoint, ids, known, {}, START, now):
            known[decision.parent_id] = asked(now)
            turns[decision.parent_id] += 1
    assert all(1 <= turns[id_] <= 2 for id_ in ids)
