"""`sync --dry-run`: how many requests a run would make, before it makes them."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from wistia_pipeline.dry_run import Forecast, forecast
from wistia_pipeline.progress import Progress
from wistia_pipeline.sandbox import Sandbox
from wistia_pipeline.tables import forecast_table

from tests.conftest import NOW, Warehouse, settings_for

ACCOUNT = {"seed": 7, "medias": 130, "projects": 8, "visitors": 700, "events": 3_000, "days": 400, "hourly_events": 30}
HOUR = timedelta(hours=1)


def foresee(warehouse: Warehouse, sandbox: Sandbox, hours: int, *select: str) -> tuple[Forecast, int]:
    """What is said of a run to come, and how many requests that takes."""
    before = len(sandbox.log)
    settings = settings_for(sandbox, NOW + hours * HOUR)
    with Progress(Console(file=StringIO())) as progress:
        found = forecast(warehouse.pipeline(), progress, select, settings)
    return found, len(sandbox.log) - before


@pytest.mark.slow
def test_a_run_makes_about_as_many_requests_as_were_foreseen(warehouse: Warehouse, living: Sandbox) -> None:
    for hours, tolerance in ((0, 0.02), (12, 0.5), (13, 0.3), (24, 0.3), (72, 0.3)):
        found, cost = foresee(warehouse, living, hours)
        assert cost <= 12
        # how busy an hour is, is known from those before
        result = warehouse.sync(settings_for(living, NOW + hours * HOUR))
        known = {name for name, figures in found.resources.items() if figures["requests"] is not None}
        asked = sum(result.resources[name]["requests"] for name in known)
        assert abs(found.requests - asked) <= tolerance * asked, (hours, found, result.resources)
        assert known == result.resources.keys() - ({"visitors"} if hours == 0 else set())


def test_a_dry_run_leaves_everything_as_it_is(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    file = Path(str(duckdb_warehouse.destination.config_params["credentials"]))
    foresee(duckdb_warehouse, living, 0)
    assert not file.exists()
    duckdb_warehouse.sync(settings_for(living), ["events", "account_stats_by_date"])
    before = file.read_bytes()
    found, _ = foresee(duckdb_warehouse, living, 1)
    assert file.read_bytes() == before
    assert found.resources["media_stats"]["reasons"] == {"new": len(living.account.at(NOW + HOUR).medias())}


def test_a_forecast_says_why(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    found, cost = foresee(duckdb_warehouse, living, 0, "visitors", "project_stats")
    console = Console(file=StringIO(), width=100)
    console.print(forecast_table(found))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "one for each 100" in shown
    assert "8 new" in shown
    # those that are made for the forecast are made by the run, too
    assert 8 < found.requests == found.resources["project_stats"]["requests"] <= cost + 8
    assert found.minutes == round(found.requests / settings_for(living)["requests_per_minute"], 2)
