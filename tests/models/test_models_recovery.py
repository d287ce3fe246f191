"""A build of the models that was killed: the next one ends as if nothing had happened."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date, timedelta
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from signal import SIGKILL
from time import monotonic
from typing import Any

import dlt
import pytest
from wistia_pipeline.models import build_models
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.mart_rows import ACCOUNT, START, TURNS, assert_right, load_first
from tests.support.marts import Marts
from tests.support.sandbox import NOW, TOKEN, settings_for
from tests.support.warehouse import Warehouse

DAY = timedelta(days=1)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def build(destination: str, credentials: str, dataset: str, full_refresh: bool, began: Connection) -> None:
    """A build in a process of its own, which says when it begins."""
    # imported already: a kill before the build proves nothing
    import dbt.cli.main  # noqa: F401

    pipeline = dlt.pipeline(
        "wistia", destination=getattr(dlt.destinations, destination)(credentials), dataset_name=dataset
    )
    began.send("now")
    assert not build_models(pipeline, full_refresh=full_refresh).failures
    began.send("done")


def run(
    warehouse: Warehouse, credentials: str, *, full_refresh: bool, kill_after: float | None = None
) -> tuple[float, bool]:
    """One build that may be killed after some seconds; how long it took, and whether it was killed."""
    context = get_context("spawn")
    here, there = context.Pipe()
    arguments = (warehouse.name, credentials, warehouse.dataset, full_refresh, there)
    process = context.Process(target=build, args=arguments)
    process.start()
    assert here.recv() == "now"
    began = monotonic()
    killed = not here.poll(kill_after)
    if killed:
        assert process.pid
        os.kill(process.pid, SIGKILL)
    else:
        assert here.recv() == "done"
    took = monotonic() - began
    process.join(60)
    assert process.exitcode == (-SIGKILL if killed else 0)
    return took, killed


# when a build is killed, as shares of the time that the whole of it takes
@pytest.mark.parametrize(
    ("warehouse", "full_refresh", "shares"),
    [
        ("duckdb", False, (0.6,)),
        *(
            pytest.param(kind, *rest, marks=pytest.mark.deep)
            for kind in ("duckdb", "postgres")
            for rest in ((False, (0.1, 0.35, 0.6, 0.85)), (True, (0.3, 0.7)))
        ),
    ],
    indirect=["warehouse"],
)
def test_the_next_build_ends_as_if_nothing_had_happened(
    warehouse: Warehouse, full_refresh: bool, shares: tuple[float, ...]
) -> None:
    credentials = warehouse.address
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
        wanted = load(1)
        whole, _ = run(warehouse, credentials, full_refresh=full_refresh)
        assert_right(warehouse, wanted())
        hours = count(2)
        for share in shares:
            killed = False
            while not killed:
                wanted = load(next(hours))
                took, killed = run(warehouse, credentials, full_refresh=full_refresh, kill_after=share * whole)
                # one that has ended by itself was faster than the one that was measured
                whole = whole if killed else took
                assert build_models(warehouse.pipeline()).failures == []
                assert_right(warehouse, wanted())
