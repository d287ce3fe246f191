"""`sync --dry-run`: how many requests a run would make, before it makes them."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from wistia_pipeline.cli.tables import forecast_table
from wistia_pipeline.runs.dry_run import Forecast, forecast
from wistia_pipeline.runs.progress import Progress
from wistia_pipeline.sandbox import Sandbox

from tests.support.folder import open_elsewhere
from tests.support.loaded import load_once
from tests.support.sandbox import NOW, asked, settings_for
from tests.support.warehouse import MOSTLY_DUCKDB, Warehouse

ACCOUNT = {"seed": 7, "medias": 60, "projects": 8, "visitors": 500, "events": 2_000, "days": 200, "hourly_events": 30}
HOUR = timedelta(hours=1)


def foresee(warehouse: Warehouse, sandbox: Sandbox, hours: int, *select: str, **arguments: str) -> tuple[Forecast, int]:
    """What is said of a run to come, and how many requests that takes."""
    before = len(sandbox.log)
    settings = settings_for(sandbox, NOW + hours * HOUR, **arguments)
    with Progress(Console(file=StringIO())) as progress:
        found = forecast(warehouse.destination, progress, *asked(settings, select))
    return found, len(sandbox.log) - before


@MOSTLY_DUCKDB
@pytest.mark.slow
def test_a_run_makes_about_as_many_requests_as_were_foreseen(warehouse: Warehouse, living: Sandbox) -> None:
    for hours, tolerance in ((0, 0.02), (12, 0.5), (13, 0.3)):
        found, cost = foresee(warehouse, living, hours)
        assert cost <= 12
        # how busy an hour is, is known from those before
        result = warehouse.sync(settings_for(living, NOW + hours * HOUR))
        known = {name for name, figures in found.resources.items() if figures["requests"] is not None}
        asked = sum(result.resources[name]["requests"] for name in known)
        assert abs(found.requests - asked) <= tolerance * asked, (hours, found, result.resources)
        assert known == result.resources.keys() - ({"visitors"} if hours == 0 else set())


@pytest.mark.slow
def test_a_dry_run_leaves_everything_as_it_is(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    file = Path(str(duckdb_warehouse.destination.config_params["credentials"]))
    foresee(duckdb_warehouse, living, 0)
    assert not file.exists()
    load_once(duckdb_warehouse, living, select=["events", "account_stats_by_date"])
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
    assert "8 never asked" in shown
    assert "and more" in shown
    assert not found.complete
    # those that are made for the forecast are made by the run, too
    assert 8 < found.requests == found.resources["project_stats"]["requests"] <= cost + 8
    assert found.minutes == round(found.requests / settings_for(living)["requests_per_minute"], 2)


@pytest.mark.parametrize("key", [{"visitor_key": "nobody"}, {"event_key": "none"}])
def test_one_row_is_one_request_that_is_not_made(
    key: dict[str, str], duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    (name,) = (name.replace("_key", "s") for name in key)
    found, cost = foresee(duckdb_warehouse, living, 0, name, **key)
    assert found.resources[name]["requests"] == 1 + cost
    assert not any(f"/{name}/" in call.path for call in living.log)


def test_a_filtered_list_is_not_read_to_count_it(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    found, _ = foresee(duckdb_warehouse, living, 0, "visitors", visitor_filter="has_email")
    assert not found.complete
    assert not any("visitors" in call.path for call in living.log)


def test_a_backfill_can_be_foreseen_too(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    days = {"backfill_start": "2026-06-01", "backfill_end": "2026-06-08"}
    found, _ = foresee(duckdb_warehouse, living, 0, "events", **days)
    assert found.requests > 1
    assert not any("/events" in call.path for call in living.log)


@pytest.mark.slow
def test_a_file_that_another_program_has_open_is_waited_for(
    duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_once(duckdb_warehouse, living, select=["account_stats"])
    with open_elsewhere(Path(duckdb_warehouse.destination.config_params["credentials"])) as other:
        # the other one leaves once somebody has found the file locked, and waits
        monkeypatch.setattr("wistia_source.warehouse.sleep", lambda _: other.communicate("\n"))
        found, _ = foresee(duckdb_warehouse, living, 1, "account_stats")
    assert found.complete
