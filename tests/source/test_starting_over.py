"""Runs that begin where another state is: lost, of another account, of another start, of the same source."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.loaded import load_once
from tests.support.runs import SMALL, contents, media_ids, read, sync, view_at
from tests.support.sandbox import NOW, START, settings_for, source_of
from tests.support.warehouse import Warehouse
from wistia_source import wistia
from wistia_source.endpoints import COMPANIONS, ENDPOINTS
from wistia_source.tuning import Tuning

HOUR = timedelta(hours=1)
ACCOUNT = SMALL


def sizes(warehouse: Warehouse, leave_out: tuple[str, ...] = ()) -> dict[str, int]:
    """How many rows each table of the account has."""
    left_out = {"sync_runs", "sync_failures", *leave_out}
    return {table: rows.total() for table, rows in contents(warehouse, tuple(left_out)).items()}


@pytest.mark.slow
def test_local_state_may_be_lost(warehouse: Warehouse, living: Sandbox, tmp_path: Path) -> None:
    first = load_once(warehouse, living).requests
    before = contents(warehouse)
    shutil.rmtree(tmp_path / "dlt")
    assert sync(warehouse, living) <= first / 3
    assert contents(warehouse) == before


@pytest.mark.deep
def test_a_lost_warehouse_is_loaded_whole_again(duckdb_warehouse: Warehouse, living: Sandbox, tmp_path: Path) -> None:
    first = sync(duckdb_warehouse, living)
    before = sizes(duckdb_warehouse)
    (tmp_path / "warehouse.duckdb").unlink()
    sync(duckdb_warehouse, living)
    log = [(call.path, *sorted(call.query.items())) for call in living.log]
    asked_first, asked_again = Counter(log[:first]), Counter(log[first:])
    # the list of archived medias ends a page sooner if the longer list of the others has come before it
    by_chance = ("/v1/medias.json", ("archived", "true"), ("page", "2"), ("per_page", "100"))
    assert max(asked_first.pop(by_chance, 0), asked_again.pop(by_chance, 0)) <= 1
    assert asked_again == asked_first
    assert sizes(duckdb_warehouse) == before


@pytest.mark.deep
def test_an_earlier_start_takes_effect(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    only = ("events", "visitors", "account_stats_by_date", "media_stats_by_date")

    def load(start: str, now: datetime = NOW) -> dict[str, int]:
        sync(duckdb_warehouse, living, now, only=only, start_date=start)
        return {name: len(duckdb_warehouse.rows(name)) for name in only}

    first = load("2026-06-01")
    earlier = load("2026-04-20")
    assert all(earlier[name] > first[name] for name in only)
    (Path.cwd() / "warehouse.duckdb").unlink()
    assert load("2026-04-20") == earlier
    before = len(living.log)
    load("2026-05-01")
    assert len(living.log) - before <= 8


@pytest.mark.slow
def test_two_accounts_share_a_warehouse_without_missing_anything(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_once(duckdb_warehouse, living)
    only = ("medias", "events", "visitors")
    other = Account(seed=12, start=NOW, medias=10, projects=2, visitors=60, events=300, days=60)
    with Sandbox(other, rate_limit=None) as second:
        sync(duckdb_warehouse, second, only=only)
        for server in (living, second):
            sync(duckdb_warehouse, server, NOW + HOUR, only=only)
        for server in (living, second):
            view = view_at(server, NOW + HOUR)
            own = str(view.account()["id"])
            for table, held in (("events", view.events()), ("visitors", view.visitors()), ("medias", view.medias())):
                at = {"events": "received_at", "visitors": "last_active_at", "medias": "hashed_id"}[table]
                wanted = [row for row in held if table == "medias" or row[at] >= START]
                got = [row for row in duckdb_warehouse.rows(table) if row["account_id"] == own]
                assert len(got) == len(wanted) > 0, (table, own)


@pytest.mark.slow
def test_the_same_source_can_be_run_again(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    source = source_of(living, start_date=START)
    duckdb_warehouse.load(source)
    before = duckdb_warehouse.contents()
    asked = len(living.log)
    duckdb_warehouse.load(source)
    assert duckdb_warehouse.contents() == before
    # it knows what the first one has loaded, and walks the listings again
    again = [call.path for call in living.log[asked:]]
    assert any(path.endswith("/medias.json") for path in again)
    assert len(again) < asked / 2


@pytest.mark.slow
def test_a_load_package_has_a_bound_of_rows(duckdb_warehouse: Warehouse, sandbox: Sandbox) -> None:
    # what is under way when a package is full still goes into it, so this takes the larger account
    most = 2_000
    tuning = Tuning(rows_per_package=most, active_walks=1, rows_per_batch=200)
    settings = settings_for(sandbox, tuning=tuning, start_date="2026-05-01")
    result = duckdb_warehouse.sync(settings, ["medias", "events", "media_stats_by_date"])
    packages: Counter[str] = Counter()
    for table in result.resources:
        packages += Counter(row["_dlt_load_id"] for row in duckdb_warehouse.rows(table, "_dlt_load_id"))
    assert len(packages) > 2
    assert max(packages.values()) < 1.5 * most
    assert packages.total() == sum(resource["rows"] for resource in result.resources.values())


def test_building_the_source_makes_no_request(living: Sandbox) -> None:
    source = source_of(living)
    assert set(source.resources) == {endpoint.name for endpoint in (*ENDPOINTS, *COMPANIONS)}
    assert not living.log


def test_a_resource_can_be_read_without_a_destination(living: Sandbox) -> None:
    living.now = lambda: NOW
    source = wistia(access_token=living.token, base_url=living.url, now=NOW, start_date=START)
    assert len(read(source, "medias")["medias"]) == len(media_ids(living))


def test_reading_a_few_rows_of_one_resource_leaves_the_others_working(living: Sandbox) -> None:
    source = source_of(living, start_date=START)
    assert len(list(source.resources["events"].add_limit(1))) == 1
    assert list(source.resources["medias"])
