"""Whether lookbacks are wide enough, judged by how late rows came."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from wistia_pipeline.health.lookbacks import Lookback, judged
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.run_log import look, older, shown, sync
from tests.support.sandbox import NOW
from tests.support.warehouse import Warehouse, change

ACCOUNT: dict[str, Any] = {
    "seed": 19, "medias": 5, "projects": 2, "visitors": 30, "events": 120, "days": 20, "hourly_events": 3
}  # fmt: skip


def verdict(
    counts: dict[str, int], *, deep: float = 48, gap: float = 1, syncs: int = 10, what: str = "rows_added"
) -> Lookback:
    """The verdict on the rows found at these ages by the last of hourly runs."""
    times = [NOW + number * timedelta(hours=gap) for number in range(syncs)]
    none = {"run_id": "r", "rows_added": 0, "rows_changed": 0}
    found = [{**none, "age": age, what: count} for age, count in counts.items()]
    return judged("a", "events", 3, deep, found, {"r": times[-1]}, times)


def test_rows_that_have_changed_are_late_too() -> None:
    found = verdict({"day": 40, "older": 2}, what="rows_changed")
    assert (found.verdict, found.late_rows, found.beyond_rows) == ("too narrow", 42, 2)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, "wide enough"),
        ({"hour": 900, "3 hours": 50}, "wide enough"),
        ({"hour": 900, "day": 40, "2 days": 30, "week": 2}, "wide enough"),
        ({"day": 40, "2 days": 30, "week": 7}, "wide enough"),
        ({"day": 40, "2 days": 30, "week": 8}, "too narrow"),
        ({"day": 400, "older": 1}, "too narrow"),
        # few may be chance
        ({"day": 1, "week": 2}, "wide enough"),
        ({"day": 1, "week": 3}, "too narrow"),
    ],
)
def test_a_lookback_is_judged_by_how_late_rows_came(counts: dict[str, int], said: str) -> None:
    found = verdict(counts)
    assert found.verdict == said
    assert found.late_rows == sum(count for age, count in counts.items() if "hour" not in age)
    assert bool(found.advice) is (said == "too narrow")
    assert "raise events_deep_lookback_hours above 48" in (found.advice or "raise events_deep_lookback_hours above 48")


def test_a_wider_lookback_reaches_more_and_a_pause_says_nothing() -> None:
    assert verdict({"day": 40, "older": 3}, deep=168).verdict == "wide enough"
    assert verdict({"day": 20, "older": 3}, deep=168).verdict == "too narrow"
    assert verdict({"older": 50}, gap=27).verdict == "wide enough"
    assert verdict({"older": 50}, gap=25).verdict == "too narrow"
    assert verdict({}, syncs=1).verdict == "unknown"


@pytest.mark.slow
def test_late_rows_in_the_warehouse_are_judged(duckdb_warehouse: Warehouse) -> None:
    account = Account(start=NOW, **ACCOUNT | {"hourly_events": 0})
    with Sandbox(account, rate_limit=None) as living:
        media_id = account.at(NOW).medias()[0]["hashed_id"]
        account.add_late_event(media_id, NOW - timedelta(minutes=1))
        sync(duckdb_warehouse, living, select=["events"])
        assert [found.verdict for found in look(duckdb_warehouse).lookbacks] == ["unknown"]
        change(duckdb_warehouse, older(1))
        sync(duckdb_warehouse, living, select=["events"])
        (found,) = look(duckdb_warehouse).lookbacks
        assert (found.verdict, found.late_rows) == ("wide enough", 0)
        account.add_late_event(media_id, NOW - timedelta(days=12))
        days = {
            name: (NOW - timedelta(days=n)).date().isoformat()
            for name, n in (("backfill_start", 14), ("backfill_end", 5))
        }
        sync(duckdb_warehouse, living, select=["events"], **days)
    seen = look(duckdb_warehouse)
    (found,) = seen.lookbacks
    assert (found.resource, found.verdict, found.beyond_rows) == ("events", "too narrow", 1)
    assert "1 of 1 late rows came at age 'older'; raise events_deep_lookback_hours" in shown(seen)
