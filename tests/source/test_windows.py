"""Properties of the date arithmetic: nothing left out, nothing asked twice, turns spread evenly."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wistia_source.windows import BY_DATE_ZONE, by_date_range, cut, is_due, split_by_volume

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
KEYS = [f"{number * 7919:010x}" for number in range(1_000)]

days = st.dates(date(2020, 1, 1), date(2028, 12, 31))
moments = st.datetimes(datetime(2020, 1, 1), datetime(2028, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
lookbacks = st.timedeltas(timedelta(0), timedelta(days=60))
periods = st.sampled_from([DAY, 7 * DAY, 6 * HOUR, 100 * timedelta(minutes=1)])
plays = st.lists(st.integers(0, 3_000), max_size=120)


def _days(windows: list[tuple[date, date]]) -> list[date]:
    """Every day of the windows in the order of asking, newest first."""
    return [last - number * DAY for first, last in windows for number in range((last - first).days + 1)]


@given(start=days, length=st.integers(0, 900), counts=plays, most=st.integers(1, 5_000))
def test_windows_are_disjoint_newest_first_and_exactly_the_span(
    start: date, length: int, counts: list[int], most: int
) -> None:
    end = start + length * DAY
    by_day = {end - number * DAY: count for number, count in enumerate(counts)}
    windows = list(split_by_volume(start, end, by_day, most))
    assert all(first <= last for first, last in windows)
    assert _days(windows) == [end - number * DAY for number in range(length + 1)]


@given(start=days, counts=st.lists(st.integers(0, 3_000), min_size=1, max_size=60), most=st.integers(1, 5_000))
def test_windows_are_as_large_as_they_may_be_and_no_larger_than_whole_days_make_them(
    start: date, counts: list[int], most: int
) -> None:
    by_day = {start + number * DAY: count for number, count in enumerate(counts)}
    windows = split_by_volume(start, max(by_day), by_day, most)
    for first, last in windows:
        without_oldest = sum(by_day[day] for day in _days([(first, last)])[:-1])
        assert without_oldest < most
        assert without_oldest + by_day[first] >= most or first == start


def test_no_window_where_the_start_is_after_the_end() -> None:
    assert list(split_by_volume(date(2026, 6, 2), date(2026, 6, 1), {}, 100)) == []


@given(start=days, through=st.none() | days, lookback=lookbacks, now=moments)
def test_by_date_asks_for_the_lookback_and_all_since_but_not_before_the_start_or_past_today(
    start: date, through: date | None, lookback: timedelta, now: datetime
) -> None:
    first, last = by_date_range(start, through, lookback, now)
    today = now.astimezone(BY_DATE_ZONE).date()
    assert last == today
    assert first <= last
    # a start that has not begun there yet leaves today alone
    assert first >= min(start, today)
    if through is None:
        assert first == min(start, today)
    else:
        assert first <= max(start, through - timedelta(days=lookback.days)) or first == today
        assert first <= max(start, today - timedelta(days=lookback.days)) or first == today


@pytest.mark.parametrize(("hour", "today"), [(4, date(2026, 7, 14)), (5, date(2026, 7, 15)), (23, date(2026, 7, 15))])
def test_a_by_date_day_begins_at_five_utc_also_in_summer(hour: int, today: date) -> None:
    now = datetime.combine(date(2026, 7, 15), time(hour, 59 if hour == 4 else 0), UTC)
    assert by_date_range(date(2026, 1, 1), None, timedelta(0), now) == (date(2026, 1, 1), today)


def test_by_date_asks_again_from_the_lookback_before_the_last_day_asked_for() -> None:
    now = datetime(2026, 6, 15, 12, tzinfo=UTC)
    start, through = date(2025, 1, 1), date(2026, 6, 10)
    assert by_date_range(start, through, 14 * DAY, now) == (date(2026, 5, 27), date(2026, 6, 15))
    assert by_date_range(date(2026, 6, 1), through, 14 * DAY, now)[0] == date(2026, 6, 1)
    assert by_date_range(start, date(2027, 1, 1), 14 * DAY, now)[0] == date(2026, 6, 1)


@given(watermark=moments, lookback=lookbacks, now=moments)
def test_the_cut_is_the_lookback_before_the_watermark_and_a_future_one_counts_as_now(
    watermark: datetime, lookback: timedelta, now: datetime
) -> None:
    assert cut(watermark, lookback, now) == (now if watermark > now else watermark) - lookback


@given(key=st.text(max_size=12))
def test_a_key_never_asked_is_due(key: str) -> None:
    assert is_due(key, None, DAY, datetime(2026, 6, 15, tzinfo=UTC))


@given(key=st.text(max_size=12), first=moments)
def test_in_24_hourly_runs_after_its_first_a_key_is_due_exactly_once(key: str, first: datetime) -> None:
    refreshed, turns = first, 0
    for number in range(1, 25):
        now = first + number * HOUR
        if is_due(key, refreshed, DAY, now):
            refreshed, turns = now, turns + 1
    assert turns == 1


@given(key=st.text(max_size=12), every=periods, period=st.integers(0, 2_000), late=st.integers(0, 1))
def test_a_run_at_the_very_moment_of_a_turn_is_enough(key: str, every: timedelta, period: int, late: int) -> None:
    start = datetime(2026, 6, 15, tzinfo=UTC) + period * every
    low, high = timedelta(0), every
    while high - low > timedelta.resolution:
        middle = low + (high - low) // 2
        low, high = (low, middle) if is_due(key, start, every, start + middle) else (middle, high)
    turn = start + high + late * timedelta.resolution
    assert is_due(key, start, every, turn)
    assert not is_due(key, turn, every, turn + every - timedelta.resolution * (1 + late))


@given(
    key=st.text(max_size=12),
    every=periods,
    first=moments,
    gaps=st.lists(st.timedeltas(timedelta(0), timedelta(days=10)), min_size=1, max_size=40),
)
def test_however_irregular_the_runs_no_key_is_older_than_the_period_and_the_gap(
    key: str, every: timedelta, first: datetime, gaps: list[timedelta]
) -> None:
    refreshed = now = first
    for gap in gaps:
        now += gap
        assert now - refreshed <= every + gap
        if is_due(key, refreshed, every, now):
            refreshed = now
        assert now - refreshed < every


@pytest.mark.parametrize("keys", [KEYS, [str(number) for number in range(1_000)]], ids=["hashed", "numeric"])
@pytest.mark.parametrize(("every", "run"), [(DAY, HOUR), (7 * DAY, DAY)], ids=["daily", "weekly"])
def test_a_thousand_keys_are_spread_evenly_over_the_runs(keys: list[str], every: timedelta, run: timedelta) -> None:
    first = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
    refreshed = dict.fromkeys(keys, first)
    asked: Counter[int] = Counter()
    runs = every // run
    for number in range(1, runs + 1):
        now = first + number * run
        for key in keys:
            if is_due(key, refreshed[key], every, now):
                refreshed[key] = now
                asked[number] += 1
    assert sum(asked.values()) == len(keys)
    assert max(asked.values()) <= 2 * len(keys) / runs
    assert len(asked) == runs
