"""A first load of events into DuckDB, against a straight script that fetches the same pages and inserts them.

`uv run python -m tests.benchmarks.load`.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import requests

from tests.benchmarks.runs import START, Cost, cost_of, served, sync
from wistia_source.endpoints import EVENTS
from wistia_source.rows import ARROW_TYPES

FEW, MANY = 100_000, 1_000_000
DAYS = 100
FIRST = START.date() - timedelta(days=DAYS + 2)
PAGE, BATCH = 100, 10_000


def straight(url: str, token: str, file: str) -> None:
    """What no loader can do without: fetch each page, type its rows, insert them."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    pending: list[dict[str, Any]] = []
    with duckdb.connect(file) as warehouse:
        for days in range((START.date() - FIRST).days + 1):
            day = (START.date() - timedelta(days=days)).isoformat()
            for page in count(1):
                params: dict[str, str | int] = {"start_date": day, "end_date": day, "page": page, "per_page": PAGE}
                rows = orjson.loads(session.get(f"{url}/v1/stats/events.json", params=params).content)
                pending += map(flat, rows)
                if len(pending) >= BATCH:
                    insert(warehouse, pending)
                    pending = []
                if len(rows) < PAGE:
                    break
        if pending:
            insert(warehouse, pending)


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the fields of its objects beside its own."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": inner_value for inner, inner_value in value.items()}
        else:
            found[name] = value
    return found


def insert(warehouse: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> None:
    """Appends rows to a table that is made with the first of them."""
    arrays = []
    for column in EVENTS.columns:
        (path,) = column.sources
        values = [row.get(".".join(path)) for row in rows]
        if column.name == "conversion_type":
            values = [None if value is None else str(value) for value in values]
        moment = column.data_type == "timestamp"
        array = pa.array(values, pa.string() if moment else ARROW_TYPES[column.data_type])
        arrays.append(array.cast(ARROW_TYPES[column.data_type]) if moment else array)
    warehouse.register("arrived", pa.table(arrays, [column.name for column in EVENTS.columns]))
    warehouse.execute("create table if not exists events as from arrived limit 0")
    warehouse.execute("insert into events from arrived")


def rows_in(file: str, table: str) -> int:
    """Rows of a table."""
    with duckdb.connect(file, read_only=True) as warehouse:
        ((count,),) = warehouse.execute(f"select count(*) from {table}").fetchall()
        return int(count)


def costs(events: int) -> tuple[Cost, Cost]:
    """Of the straight script and of `sync`, for so many events."""
    account = {"seed": 3, "medias": 50, "projects": 2, "visitors": events // 5, "events": events, "days": DAYS}
    with served(**account, hourly_events=1) as api, TemporaryDirectory() as folder:
        floor_file, file = f"{folder}/floor.duckdb", f"{folder}/warehouse.duckdb"
        floor = cost_of(straight, api.url, api.token, floor_file)
        found = cost_of(sync, api.url, api.token, file, ("events",), start_date=FIRST.isoformat())
        assert rows_in(file, "wistia_raw.events") == rows_in(floor_file, "events")
    return floor, found


def run() -> tuple[float, float, float]:
    """CPU time against the straight script, peak memory against that of few events, and its megabytes; prints them."""
    floor, many = costs(MANY)
    _, few = costs(FEW)
    cpu, memory = many.cpu_seconds / floor.cpu_seconds, many.peak_megabytes / few.peak_megabytes
    print(
        f"{MANY:,} events: {cpu:.2f} times the CPU time of a straight script ({many.cpu_seconds:.1f} s against "
        f"{floor.cpu_seconds:.1f} s, in {many.seconds:.0f} s against {floor.seconds:.0f} s); peak memory "
        f"{many.peak_megabytes:.0f} MB, {memory:.2f} times that of {FEW:,} (the script: {floor.peak_megabytes:.0f} MB)"
    )
    return cpu, memory, many.peak_megabytes


if __name__ == "__main__":
    run()
