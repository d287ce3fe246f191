"""Warehouses whose run log tells of runs around NOW, and their status ten minutes after it."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

from rich.console import Console
from wistia_pipeline.cli.tables import show_status
from wistia_pipeline.health.status import WarehouseStatus, status
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.sandbox import Sandbox
from wistia_pipeline.warehouses.reading import reading

from tests.support.loaded import load_once
from tests.support.sandbox import NOW, START, settings_for
from tests.support.warehouse import Warehouse, change

ACCOUNT: dict[str, Any] = {
    "seed": 19, "medias": 5, "projects": 2, "visitors": 30, "events": 120, "days": 20, "hourly_events": 3
}  # fmt: skip
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


def load_at_now(warehouse: Warehouse, sandbox: Sandbox) -> SyncResult:
    """The first run, at NOW in the log, too."""
    result = load_once(warehouse, sandbox)
    change(warehouse, logged(NOW), f"update {{raw}}._dlt_loads set inserted_at = {moment(NOW)}")
    return result


def look(warehouse: Warehouse, max_age: float = 3.0) -> WarehouseStatus:
    """The status of a warehouse ten minutes after NOW."""
    with reading(warehouse.pipeline()) as reader:
        return status(reader, max_age, "somewhere", NOW + 10 * MINUTE)


def shown(found: WarehouseStatus) -> str:
    """What a person sees of it."""
    text = StringIO()
    show_status(found, Console(file=text, width=200))
    return text.getvalue()


def moment(at: datetime) -> str:
    """SQL for a moment."""
    return f"cast('{at.isoformat()}' as timestamptz)"


def logged(at: datetime, where: str = "true") -> str:
    """SQL that has runs begin and end at a moment."""
    return f"update {{raw}}.sync_runs set started_at = {moment(at)}, finished_at = {moment(at)} where {where}"


def older(hours: float, where: str = "true") -> str:
    """SQL that moves runs into the past."""
    past = f"interval '{round(hours * 3600)} seconds'"
    moved = ", ".join(f"{column} = {column} - {past}" for column in ("started_at", "finished_at"))
    return f"update {{raw}}.sync_runs set {moved} where {where}"


def sync(warehouse: Warehouse, sandbox: Sandbox, **more: Any) -> SyncResult:
    """One more run, or what became of it before it failed: a minute after NOW, and a second after the last one."""
    select, result = more.pop("select", ()), SyncResult()
    now = more.pop("now", NOW + MINUTE)
    settings = settings_for(sandbox, now, **({"start_date": START} | more))
    with suppress(Exception):
        warehouse.sync(settings, select, result)
    runs = len({row["run_id"] for row in warehouse.rows("sync_runs")})
    change(warehouse, logged(NOW + MINUTE + runs * SECOND, f"run_id = '{result.run_id}'"))
    return result
