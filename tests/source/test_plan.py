"""Whose turn it is, decided without a request."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wistia_source.endpoints import CAPTIONS, MEDIA_STATS, MEDIA_STATS_BY_DATE, PROJECT_STATS, Endpoint
from wistia_source.schedule import Refresh, decide

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
START = date(2026, 1, 1)
STATS = replace(MEDIA_STATS, refresh_within=DAY, history_within=50 * DAY)
BY_DATE = replace(MEDIA_STATS_BY_DATE, refresh_within=DAY, lookback=14 * DAY, history_within=50 * DAY)


def asked(at: datetime, through: date | None = None, start: date | None = None) -> Refresh:
    """When a parent was asked."""
    return Refresh(at, start, through, at)


YESTERDAY = asked(NOW - DAY - HOUR, date(2026, 6, 14), START)


def counts() -> dict[date, int]:
    """Loads and plays of an account that has none, through yesterday."""
    return {START + number * DAY: 0 for number in range((NOW.date() - START).days)}


def why(
    endpoint: Endpoint, known: Refresh | None, played: datetime | None = None, busy: dict[date, int] | None = None
) -> str:
    """What is decided of one media."""
    decisions = decide(
        endpoint, ["m"], {"m": known} if known else {}, {"m": played} if played else {}, START, NOW, busy
    )
    return decisions.get("m", "not asked")


def test_who_was_never_asked_comes_first() -> None:
    decisions = decide(STATS, ["c", "a", "b"], {"a": asked(NOW - 2 * DAY)}, {}, START, NOW)
    assert list(decisions.items()) == [("b", "new"), ("c", "new"), ("a", "turn")]


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
    ("last_busy", "expected"),
    [
        (date(2026, 6, 15), "turn"),
        # days that Wistia may still restate
        (date(2026, 5, 31), "turn"),
        (date(2026, 5, 30), "quiet"),
    ],
)
def test_no_media_is_asked_about_days_on_which_nothing_happened(last_busy: date, expected: str) -> None:
    busy = counts() | {last_busy: 1}
    assert why(STATS, YESTERDAY, busy=busy) == expected
    assert why(BY_DATE, YESTERDAY, busy=busy) == expected


def test_busy_days_that_were_not_asked_for_are_asked_for() -> None:
    # a turn that was spared is noted, though no day was asked for in it
    spared = asked(NOW - DAY - HOUR, date(2026, 6, 1), START)
    assert why(BY_DATE, spared, busy=counts() | {date(2026, 5, 18): 1}) == "turn"
    assert why(BY_DATE, spared, busy=counts() | {date(2026, 5, 17): 1}) == "quiet"


def test_days_before_the_start_do_not_matter() -> None:
    start = date(2026, 6, 5)
    known = asked(NOW - DAY - HOUR, date(2026, 6, 14), start)
    busy = {day: count for day, count in counts().items() if day >= start}
    assert decide(BY_DATE, ["m"], {"m": known}, {}, start, NOW, busy) == {"m": "quiet"}


@pytest.mark.parametrize("lacking", [date(2026, 5, 31), date(2026, 6, 8), date(2026, 6, 14)])
def test_a_day_that_is_not_known_is_not_taken_for_a_quiet_one(lacking: date) -> None:
    known = {day: count for day, count in counts().items() if day != lacking}
    assert why(STATS, YESTERDAY, busy=known) == "turn"


def test_what_does_not_follow_from_loads_and_plays_is_asked_in_a_quiet_account_too() -> None:
    busy = counts()
    assert why(STATS, YESTERDAY, busy=busy) == "quiet"
    # a session that was seen is one whatever the days say
    assert why(STATS, YESTERDAY, NOW, busy) == "watched"
    assert why(replace(CAPTIONS, refresh_within=DAY, history_within=7 * DAY), YESTERDAY, busy=busy) == "turn"
    # how many medias a project has
    assert why(replace(PROJECT_STATS, refresh_within=DAY, history_within=7 * DAY), YESTERDAY, busy=busy) == "turn"
    # once a week, whatever Wistia restates of older days
    assert why(STATS, replace(YESTERDAY, history_at=NOW - 50 * DAY - HOUR), busy=busy) == "turn"


@given(st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=30), st.integers(1, 100))
def test_every_media_has_one_turn_in_each_period(ids: set[str], hours: int) -> None:
    endpoint = replace(STATS, refresh_within=hours * HOUR)
    known = {id_: asked(NOW - hours * HOUR) for id_ in ids}
    turns: Counter[str] = Counter()
    for hour in range(hours):
        now = NOW + hour * HOUR
        for id_ in decide(endpoint, ids, known, {}, START, now):
            known[id_] = asked(now)
            turns[id_] += 1
    assert all(1 <= turns[id_] <= 2 for id_ in ids)
