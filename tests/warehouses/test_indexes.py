"""Indexes in Postgres: without them each merge would read the whole table."""

from __future__ import annotations

from contextlib import closing

import pytest
from wistia_pipeline.sandbox import Sandbox

from tests.support.sandbox import NOW, settings_for
from tests.support.warehouse import Warehouse
from wistia_source.endpoints import ENDPOINTS, RECORDS
from wistia_source.rows import primary_key

ACCOUNT = {"seed": 7, "medias": 4, "projects": 2, "visitors": 10, "events": 30, "days": 20}


@pytest.mark.slow
def test_every_table_has_an_index_of_its_key(postgres_warehouse: Warehouse, living: Sandbox) -> None:
    # twice: what is there stays, and a table that was dropped gets its own again
    for _ in range(2):
        postgres_warehouse.sync(settings_for(living, NOW))
        with closing(postgres_warehouse.connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(
                "select tablename, indexdef from pg_indexes where schemaname = %s", (postgres_warehouse.dataset,)
            )
            found = [
                (table, text.rpartition(" USING btree ")[2].replace('"', ""), "UNIQUE" in text)
                for table, text in cursor.fetchall()
            ]
            cursor.execute(f"drop table {postgres_warehouse.dataset}.events")
        for endpoint in (*ENDPOINTS, *RECORDS):
            for table in (endpoint, *endpoint.children):
                assert (table.name, f"({', '.join(primary_key(table))})", True) in found
        assert ("events", "(account_id, received_at)", False) in found
        assert ("visitors", "(account_id, last_active_at)", False) in found
