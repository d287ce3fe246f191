"""The marts after somebody was forgotten: those of a warehouse that never knew the person."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from wistia_pipeline.runs.forget import ForgetResult, run_forget
from wistia_pipeline.runs.progress import Progress
from wistia_pipeline.sandbox import Sandbox

from tests.support.mart_rows import ACCOUNT as ACCOUNT_OF_MARTS
from tests.support.mart_rows import assert_right, load, load_first, marts_of
from tests.support.marts import Marts
from tests.support.people import HOUR, forget
from tests.support.sandbox import NOW
from tests.support.warehouse import Warehouse

ACCOUNT = ACCOUNT_OF_MARTS


def somebody(sandbox: Sandbox) -> tuple[str, str]:
    """The key and the address of a visitor who has watched much."""
    rows = sandbox.account.at(NOW).events()
    ((key, count),) = Counter(row["visitor_key"] for row in rows if row["email"]).most_common(1)
    assert count > 5
    (address,) = {row["email"] for row in rows if row["visitor_key"] == key}
    return key, address


def marts_without(sandbox: Sandbox, key: str) -> Marts:
    """What the marts must hold where a visitor is not known."""
    marts = marts_of(sandbox)
    view: Any = marts.view
    events, visitors = view.events(), view.visitors()
    view.events = lambda: [row for row in events if row["visitor_key"] != key]
    view.visitors = lambda: [row for row in visitors if row["visitor_key"] != key]
    return marts


def described(warehouse: Warehouse) -> list[Any]:
    """Comments and columns of all tables and views, but for those that dlt merges from."""
    found: list[Any] = []
    with warehouse.cursor() as cursor:
        for query in (
            "select schema_name, view_name, comment from duckdb_views() where not internal order by all",
            "select schema_name, table_name, comment from duckdb_tables() order by all",
            "select schema_name, table_name, column_name, data_type, comment from duckdb_columns() where not internal "
            "order by all",
        ):
            found += cursor.execute(query).fetchall()
    return [row for row in found if row[0] != f"{warehouse.dataset}_staging"]


@pytest.mark.slow
def test_marts_are_those_of_a_warehouse_that_never_knew_the_person(
    duckdb_warehouse: Warehouse, living: Sandbox, tmp_path: Path
) -> None:
    key, address = somebody(living)
    load_first(duckdb_warehouse, living)
    before = described(duckdb_warehouse)
    models = forget(duckdb_warehouse, email=address).models
    assert models
    assert models.failures == []
    assert models.built > 10
    assert_right(duckdb_warehouse, marts_without(living, key))
    assert described(duckdb_warehouse) == before
    # nor in the files that dbt keeps
    texts = [text.encode() for text in (key, address)]
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and any(t in path.read_bytes() for t in texts)]
    assert kept == []
    load(duckdb_warehouse, living)
    assert_right(duckdb_warehouse, marts_without(living, key))


@pytest.mark.deep
def test_marts_of_postgres_forget_too_and_where_they_cannot_be_built(
    postgres_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = somebody(living)
    load_first(postgres_warehouse, living)

    def counts() -> dict[str, int]:
        marts = replace(postgres_warehouse, dataset=postgres_warehouse.marts)
        return {
            table: sum(key in repr(row) for row in marts.rows(table))
            for table in ("wistia__sessions", "wistia__viewers", "wistia__leads", "wistia__activity")
        }

    def known() -> int:
        with postgres_warehouse.cursor() as cursor:
            # of a table that is empty now it keeps what it knew
            cursor.execute(
                "select count(*) from pg_stats where strpos(pg_stats::text, %s) > 0 and schemaname <> %s",
                [key, f"{postgres_warehouse.dataset}_staging"],
            )
            (count,) = cursor.fetchone()
            return int(count)

    assert min(counts().values()) >= 1
    with closing(postgres_warehouse.connect()) as connection, connection, connection.cursor() as cursor:
        cursor.execute("analyze")
    assert known() > 1
    # a build that fails leaves the person no less gone
    monkeypatch.setenv("WISTIA_PIPELINE__MODELS__TIMEZONE", "nowhere")
    result = ForgetResult()
    with Progress(Console(file=StringIO())) as progress:
        run_forget(postgres_warehouse.pipeline(), progress, result, "visitor_key", key)
    assert result.status == "partial"
    assert set(counts().values()) == {0}
    # nor in what Postgres knows of the values in a column
    assert known() == 0
    monkeypatch.delenv("WISTIA_PIPELINE__MODELS__TIMEZONE")
    # the next build is one of everything
    load(postgres_warehouse, living, NOW + HOUR)
    assert set(counts().values()) == {0}
    marts = replace(postgres_warehouse, dataset=postgres_warehouse.marts)
    assert sum(row["session_count"] for row in marts.rows("wistia__account_daily")) == len(
        postgres_warehouse.rows("events")
    )
