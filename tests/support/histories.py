"""Long histories of viewing sessions: copies of those that were loaded, each with a key and a time of its own."""

from __future__ import annotations

from tests.support.warehouse import Warehouse

APART = "63 seconds"
"""Between two viewing sessions: a million of them are 730 days."""
PER_HOUR = 57
SYNTHETIC = "1000000000"
"""Load ids from here to before those of real loads."""


def lengthen(warehouse: Warehouse, sessions: int) -> None:
    """Adds a history of so many sessions."""
    _add(warehouse, sessions, 0, "2026-06-15 00:00:00+00")


def one_more_hour(warehouse: Warehouse, hour: int) -> None:
    """Adds the sessions of one hour after it."""
    _add(warehouse, PER_HOUR, hour, f"2026-06-15 0{hour}:00:00+00")


def _add(warehouse: Warehouse, count: int, load: int, until: str) -> None:
    """Sessions at even distances back from a moment: copies of the loaded ones, with keys of their own.

    Each hour of them came with a load of its own, and another load brought none.
    """
    with warehouse.pipeline().sql_client() as client:
        events, loads = (client.make_qualified_table_name(name) for name in ("events", "_dlt_loads"))
        names = client.execute_sql(
            "select column_name from information_schema.columns where table_schema = %s and table_name = 'events'",
            warehouse.dataset,
        )
        own = {
            "event_key": f"event_key || '-{load}-' || copy",
            # a visitor comes back now and then
            "visitor_key": "visitor_key || '-' || cast(floor(copy / 15000.0) as integer)",
            "received_at": f"cast('{until}' as timestamp with time zone) - interval '{APART}' * copy",
            "_dlt_load_id": f"'{SYNTHETIC}.{load}.' || cast(floor(copy / {PER_HOUR}.0) as integer)",
        }
        columns = [name for (name,) in names or ()]
        client.execute_sql(
            f"insert into {events} ({', '.join(columns)}) "
            f"select {', '.join(own.get(name, name) for name in columns)} "
            f"from (select *, row_number() over (order by event_key) - 1 as place from {events} "
            f"where _dlt_load_id not like '{SYNTHETIC}%') as loaded "
            f"inner join (select cast(number as integer) as copy from generate_series(0, {count - 1}) "
            "as numbers (number)) as copies on loaded.place = mod(copies.copy, 1500)"
        )
        client.execute_sql(
            f"insert into {loads} (load_id, schema_name, status, inserted_at) "
            f"select '{SYNTHETIC}.{load}.' || number, 'wistia', 0, now() "
            f"from generate_series(0, {2 * (count // PER_HOUR)}) as numbers (number)"
        )
