"""A lake holds what DuckDB holds: every mart, row by row."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from dlt.load.load import Load
from wistia_pipeline.models.build import build_models
from wistia_pipeline.sandbox import Sandbox
from wistia_pipeline.warehouses.kinds import destination_of

from tests.support.lake import lake as lake
from tests.support.lake import lake_warehouse as lake_warehouse
from tests.support.lake import storage as storage
from tests.support.mart_rows import ACCOUNT as ACCOUNT
from tests.support.mart_rows import GRAINS, assert_right, differences, held, load, load_first, marts_of
from tests.support.sandbox import NOW, settings_for
from tests.support.warehouse import Warehouse

pytestmark = pytest.mark.timeout(600)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.deep
def test_every_mart_holds_what_the_account_shows_and_what_duckdb_holds(
    lake_warehouse: Warehouse, duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    both = (lake_warehouse, duckdb_warehouse)
    load_first(duckdb_warehouse, living)
    load(lake_warehouse, living)
    assert_right(lake_warehouse, marts_of(living))
    view = living.account.at(NOW)
    medias, events = view.medias(), view.events()
    living.account.add_late_event(medias[0]["hashed_id"], NOW - 40 * DAY, percent_viewed=0.95)
    living.account.restate_event(events[3]["event_key"], percent_viewed=1.0)
    living.account.restate_event(events[90]["event_key"], percent_viewed=0.05, email="late@example.com")
    for warehouse in both:
        hourly = load(warehouse, living, NOW + HOUR, events_lookback_hours=2400, visitors_lookback_hours=2400)
        assert hourly.built == 8
    assert_right(lake_warehouse, marts_of(living, NOW + HOUR))
    agree(*both)
    destination_of(lake_warehouse.pipeline()).maintain(timedelta(0))
    agree(*both)
    assert build_models(lake_warehouse.pipeline(), full_refresh=True).failures == []
    agree(*both)


@pytest.mark.slow
def test_tables_are_loaded_one_after_the_other(
    lake_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    ended: list[int] = []
    run_job = Load.w_run_job

    def watched(*arguments: Any, **named: Any) -> Any:
        begun.append(len(ended))
        try:
            return run_job(*arguments, **named)
        finally:
            ended.append(1)

    monkeypatch.setattr(Load, "w_run_job", watched)
    lake_warehouse.sync(settings_for(living), ("medias", "projects"))
    assert begun == list(range(len(begun)))
    assert len(begun) >= 4


def agree(*both: Warehouse) -> None:
    """Two warehouses hold the same marts, row by row."""
    one, other = ({mart: held(warehouse, mart) for mart in GRAINS} for warehouse in both)
    wrong = [line for mart in GRAINS for line in differences(mart, one[mart], other[mart])]
    assert not wrong, "\n".join(wrong)
