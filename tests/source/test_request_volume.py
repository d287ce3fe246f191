"""How many requests a run makes, how many at a time, and what it says of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from wistia_pipeline.runs.progress import Progress
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.runs.sync import run_sync
from wistia_pipeline.sandbox import Account, Fault, Sandbox

from tests.support.commands import folder_at_now
from tests.support.runs import SMALL, media_ids, sync
from tests.support.sandbox import NOW, START, TOKEN, asked, settings_for, source_of
from tests.support.waiting import Waiting
from tests.support.warehouse import Warehouse
from wistia_source.endpoints import BY_NAME
from wistia_source.retry import Patience
from wistia_source.tuning import Tuning

ACCOUNT: dict[str, Any] = SMALL
DAY = timedelta(days=1)
FEEDS = ("events", "visitors")


def test_all_that_is_read_shares_one_budget(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    window, limit = 0.3, 12
    only = ("visitors", "media_stats", "media_engagement", "captions")
    tuning = Tuning(quota_window_seconds=window)
    sync(duckdb_warehouse, living, only=only, requests_per_minute=limit, tuning=tuning)
    arrived = sorted(call.at for call in living.log)
    assert len(arrived) > 3 * limit
    assert all(later - earlier >= window for earlier, later in zip(arrived, arrived[limit:], strict=False))


def test_medias_are_read_side_by_side() -> None:
    with Waiting(Account(start=NOW, **ACCOUNT), rate_limit=None, token=TOKEN) as server:
        # none is answered before ten have come
        server.conditions["/engagement"] = lambda: sum("/engagement" in path for path in list(server.arrived)) >= 10
        source = source_of(server)
        assert sum(table.num_rows for table in source.resources["media_engagement"]) == 12


@pytest.mark.parametrize(
    ("resource", "rows_a_request", "side_by_side"),
    [("events", 10, Tuning().active_walks), ("visitors", 10, 1), ("media_stats_by_date", 400, Tuning().active_walks)],
)
def test_few_rows_are_held_at_a_time(sandbox: Sandbox, resource: str, rows_a_request: int, side_by_side: int) -> None:
    tuning = Tuning(rows_per_batch=50, plays_per_walk=100) if resource in FEEDS else Tuning()
    sandbox.page_cap = 10
    source = source_of(sandbox, start_date=(NOW.date() - 399 * DAY).isoformat(), tuning=tuning)
    path = BY_NAME[resource].path.replace("{id}", r"\w+") + r"\.json$"
    handed_on, most = 0, 0
    for table in source.resources[resource]:
        requests = len([call for call in list(sandbox.log) if re.search(path, call.path)])
        most = max(most, requests * rows_a_request - handed_on)
        handed_on += table.num_rows
    # what has arrived and waits for a batch to be full, and what is on its way
    assert most <= tuning.rows_per_batch + 3 * side_by_side * rows_a_request
    assert handed_on > 600
    assert most < handed_on / 2


def test_retries_do_not_add_up(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    failing = [f"/v1/stats/medias/{media_ids(living)[2]}.json", "/v1/stats/visitors.json"]
    for path in failing:
        living.faults.add(Fault(path, status=500, times=None))
    sync(duckdb_warehouse, living, only=("media_stats", "visitors"))
    requests = Counter(call.path for call in living.log)
    assert {path: requests[path] for path in failing} == dict.fromkeys(failing, Patience().attempts)


def test_a_quota_used_up_for_ever_is_waited_for_once_and_not_by_each_media(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    tuning = Tuning(max_quota_wait_seconds=0.5, active_walks=4)
    living.faults.add(Fault("/stats/medias", status=429, retry_after="0.1", times=None))
    result = duckdb_warehouse.sync(settings_for(living, tuning=tuning), ["media_stats"])
    assert (result.status, len(result.failures)) == ("partial", 12)
    requests = [call for call in living.log if "/stats/medias" in call.path]
    # each of those that are under way once in a tenth of a second, each of the others once
    assert len(requests) <= 12 + 6 * tuning.active_walks


@pytest.mark.slow
def test_a_first_load_says_how_many_requests_it_will_take(living: Sandbox, tmp_path: Path) -> None:
    done = folder_at_now(tmp_path / "user", living).invoke("sync", "--json")
    said = re.search(r"^about ([\d,]+) requests, 0.0 minutes at the quota", done.stderr, re.MULTILINE)
    assert said, done.stderr
    told = {name: figures["requests"] for name, figures in json.loads(done.stdout)["resources"].items()}
    actual = sum(told.values()) - sum(told[name] for name in ("medias", "projects", "visitors"))
    assert actual > 60
    assert abs(int(said[1].replace(",", "")) - actual) <= 1


def test_a_run_that_waits_for_an_answer_shows_that_it_lives(duckdb_warehouse: Warehouse) -> None:
    shown = StringIO()
    account = Account(start=NOW, **ACCOUNT)
    with Waiting(account, rate_limit=None, token=TOKEN) as server, Progress(Console(file=shown), 0.01) as progress:
        server.conditions["account"] = lambda: shown.getvalue().count("so far 0 rows, 0 requests\n") >= 2
        settings = settings_for(server, start_date=START)
        result = SyncResult()
        run_sync(duckdb_warehouse.pipeline(), progress, result, *asked(settings, ["account_stats"]), models=False)
    assert result.status == "ok"
