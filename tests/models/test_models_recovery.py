"""A build of the models that was killed: the next one ends as if nothing had happened."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date, timedelta
from itertools import count
from multiprocessing import get_context
from signal import SIGKILL
from typing import Any
from unittest.mock import patch

import dlt
import pytest
from dbt.adapters.sql.connections import SQLConnectionManager
from wistia_pipeline.models.build import build_models
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.mart_rows import ACCOUNT, START, TURNS, assert_right, load_first
from tests.support.marts import Marts
from tests.support.parsed import keep_parsed
from tests.support.sandbox import NOW, TOKEN, settings_for
from tests.support.warehouse import Warehouse

DAY = timedelta(days=1)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def build(destination: str, credentials: str, dataset: str, full_refresh: bool, last: int) -> None:
    """A build in a process of its own, which is killed just before the statement of that number."""
    keep_parsed()
    statements, add_query = count(1), SQLConnectionManager.add_query

    def counted(manager: Any, *arguments: Any, **named: Any) -> Any:
        if next(statements) == last:
            os.kill(os.getpid(), SIGKILL)
        return add_query(manager, *arguments, **named)

    patch.object(SQLConnectionManager, "add_query", counted).start()
    made = getattr(dlt.destinations, destination)(credentials)
    build_models(dlt.pipeline("wistia", destination=made, dataset_name=dataset), full_refresh=full_refresh)


# before which of its statements a build is killed
@pytest.mark.parametrize(
    ("warehouse", "full_refresh", "statements"),
    [
        ("duckdb", False, (60,)),
        *(
            pytest.param(kind, *rest, marks=pytest.mark.deep)
            for kind in ("duckdb", "postgres")
            for rest in ((False, (10, 35, 60, 85)), (True, (200, 400)))
        ),
    ],
    indirect=["warehouse"],
)
def test_the_next_build_ends_as_if_nothing_had_happened(
    warehouse: Warehouse, full_refresh: bool, statements: tuple[int, ...]
) -> None:
    account = Account(start=NOW, **ACCOUNT)
    settings: dict[str, Any] = TURNS | {"events_lookback_hours": 2400, "visitors_lookback_hours": 2400}
    with Sandbox(account, rate_limit=None, token=TOKEN) as sandbox:

        def load(hour: int) -> Callable[[], Marts]:
            """Sessions of an hour, one that is late and one that has grown; what the marts must hold then."""
            now = NOW + timedelta(hours=hour)
            view = account.at(now)
            account.add_late_event(view.medias()[hour % 5]["hashed_id"], now - 40 * DAY, percent_viewed=0.95)
            account.restate_event(view.events()[hour + 3]["event_key"], percent_viewed=0.99)
            assert warehouse.sync(settings_for(sandbox, now, start_date=START, **settings)).status == "ok"
            return lambda: Marts(account.at(now), str(account.account_id), now, date.fromisoformat(START), "UTC")

        load_first(warehouse, sandbox)
        for hour, last in enumerate(statements, 1):
            wanted = load(hour)
            arguments = (warehouse.name, warehouse.address, warehouse.dataset, full_refresh, last)
            process = get_context("spawn").Process(target=build, args=arguments)
            process.start()
            process.join()
            assert process.exitcode == -SIGKILL
            assert build_models(warehouse.pipeline()).failures == []
            assert_right(warehouse, wanted())
