"""An hour of events costs the models the same on a long history as on a short one."""

from __future__ import annotations

import pytest
from wistia_pipeline.models.build import build_models
from wistia_pipeline.sandbox import Sandbox

from tests.support.histories import lengthen, one_more_hour
from tests.support.loaded import load_once
from tests.support.parsed import keep_parsed
from tests.support.warehouse import IN_BOTH, Warehouse

ACCOUNT = {"seed": 41, "medias": 30, "projects": 4, "visitors": 400, "events": 2_000, "days": 90}
START = "2026-03-15"
MOST = 1.5


def rows_read(warehouse: Warehouse) -> dict[str, int]:
    """By table: rows that Postgres has read so far, in any way."""
    with warehouse.cursor() as cursor:
        cursor.execute(
            "select schemaname || '.' || relname, seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables"
        )
        return dict(cursor.fetchall())


def rows_of_an_hour(warehouse: Warehouse, sandbox: Sandbox, sessions: int) -> dict[str, int]:
    """By table: rows that a build reads for one hour more on so many sessions."""
    load_once(warehouse, sandbox, start_date=START)
    lengthen(warehouse, sessions)
    assert build_models(warehouse.pipeline()).failures == []
    with warehouse.pipeline().sql_client() as client:
        client.execute_sql("vacuum analyze")
    for hour in (1, 2):
        one_more_hour(warehouse, hour)
        before = rows_read(warehouse)
        assert build_models(warehouse.pipeline()).failures == []
    return {table: count - before.get(table, 0) for table, count in rows_read(warehouse).items()}


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_an_hour_reads_as_many_sessions_of_a_long_history_as_of_a_short_one(
    postgres_warehouse: Warehouse, living: Sandbox
) -> None:
    keep_parsed()
    short, long = 20_000, 100_000
    few = rows_of_an_hour(postgres_warehouse, living, short)
    many = rows_of_an_hour(postgres_warehouse, living, long)
    # sessions are what a history has most of; other tables are small enough to be read as a whole
    for table in ("wistia_raw.events", "wistia_intermediate.int_wistia__sessions"):
        assert 0 < many[table] <= MOST * few[table]


def seconds_of_an_hour(warehouse: Warehouse, sandbox: Sandbox, sessions: int) -> float:
    """How long the models take for one hour more on so many sessions; the best of five."""
    load_once(warehouse, sandbox, start_date=START)
    lengthen(warehouse, sessions)
    assert build_models(warehouse.pipeline()).failures == []
    with warehouse.pipeline().sql_client() as client:
        # two years came within a minute: what a database does about that by itself would fall into the hours measured
        client.execute_sql("vacuum analyze")
        client.execute_sql("checkpoint")
    times = []
    for hour in range(1, 6):
        one_more_hour(warehouse, hour)
        result = build_models(warehouse.pipeline())
        assert result.failures == []
        times.append(result.seconds)
    return min(times)


def times_as_long(warehouse: Warehouse, sandbox: Sandbox) -> float:
    """An hour on a long history against one on a short one; prints it."""
    short, long = 50_000, 1_000_000
    quick = seconds_of_an_hour(warehouse, sandbox, short)
    slow = seconds_of_an_hour(warehouse, sandbox, long)
    print(f"{warehouse.name}: {slow / quick:.2f} times as long on {long:,} sessions as on {short:,} ({quick} s)")
    return slow / quick


@IN_BOTH
@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_an_hour_takes_as_long_on_a_long_history(warehouse: Warehouse, living: Sandbox) -> None:
    assert times_as_long(warehouse, living) <= MOST


@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_an_hour_takes_as_long_in_other_releases_of_postgres(
    other_postgres_warehouse: Warehouse, living: Sandbox
) -> None:
    # they plan otherwise, and those with JIT compile what they take for much work
    assert times_as_long(other_postgres_warehouse, living) <= MOST
