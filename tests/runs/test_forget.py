"""A forgotten person is gone from every table, file and pending load package, and does not come back."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from wistia_pipeline.runs.erase import KEYS_AT_ONCE
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.runtime.redaction import causes
from wistia_pipeline.warehouses.run_log import RunLog

from tests.support.people import (
    ADDRESS,
    ANN,
    CLEARED,
    HOUR,
    IDENTITY,
    KEY,
    OTHERS,
    PAGES,
    PEOPLE,
    SECRET,
    TRACES,
    assert_gone,
    at,
    digest,
    events,
    forget,
    load,
    load_people,
    where_found,
)
from tests.support.people import served as served
from tests.support.sandbox import NOW, TOKEN
from tests.support.served import Served, event, visitor
from tests.support.warehouse import MOSTLY_DUCKDB, Warehouse, change
from wistia_source import wistia
from wistia_source.errors import SettingInvalid


def test_an_address_is_gone_with_all_that_was_known_under_it_and_stays_away(
    warehouse: Warehouse, served: Served, tmp_path: Path
) -> None:
    load_people(warehouse, served)
    if warehouse.name == "postgres":
        # as it does by itself, now and then
        with warehouse.pipeline().sql_client() as client:
            client.execute_sql("analyze")
        assert "statistics of events" in where_found(warehouse, tmp_path)
    assert len(where_found(warehouse, tmp_path)) >= 2
    result = forget(warehouse, email=f" {ADDRESS.upper()} ")
    assert (result.rows, result.visitors, result.pages) == ({"visitors": 1, "events": 4}, 1, CLEARED)
    assert_gone(warehouse, tmp_path)
    # nor when somebody else is forgotten
    assert forget(warehouse, email="nobody@example.org").rows.get("events", 0) == 0
    load(warehouse, served, now=NOW + HOUR)
    assert_gone(warehouse, tmp_path)


@pytest.mark.slow
def test_nothing_that_is_read_again_brings_anybody_back(
    duckdb_warehouse: Warehouse, served: Served, tmp_path: Path
) -> None:
    load_people(duckdb_warehouse, served)
    forget(duckdb_warehouse, email=ADDRESS)
    load(
        duckdb_warehouse,
        served,
        now=NOW + HOUR,
        backfill_start="2026-06-01",
        backfill_end="2026-06-15",
        select=("events",),
    )
    load(duckdb_warehouse, served, now=NOW + HOUR, event_key="ann-2", select=("events",))
    load(duckdb_warehouse, served, now=NOW + HOUR, visitor_key=KEY, select=("visitors",))
    assert_gone(duckdb_warehouse, tmp_path)


@MOSTLY_DUCKDB
@pytest.mark.slow
def test_a_key_is_gone_and_who_shares_its_address_stays(warehouse: Warehouse, served: Served, tmp_path: Path) -> None:
    load_people(warehouse, served)
    result = forget(warehouse, visitor_key=KEY)
    assert (result.rows, result.visitors, result.pages) == ({"visitors": 1, "events": 3}, 1, 0)
    load(warehouse, served, now=NOW + HOUR)
    assert events(warehouse, "visitor_key") == {
        **dict.fromkeys((f"bob-{name}" for name in PAGES), "bob"),
        "bob": "bob",
        "nobody": "",
        "ann-4": "",
    }
    assert where_found(warehouse, tmp_path, [KEY]) == []


@MOSTLY_DUCKDB
@pytest.mark.slow
def test_a_new_key_of_a_forgotten_address_is_forgotten_with_what_it_had_watched(
    warehouse: Warehouse, served: Served, tmp_path: Path
) -> None:
    forget_first(warehouse, served)
    later = "1781424000_a-new-key"
    early = event("new-1", visitor_key=later, received_at=at(8, 15))
    served.answers["stats/events"].insert(0, early)
    load(warehouse, served, now=NOW + HOUR)
    assert "new-1" in events(warehouse, "visitor_key")
    # the visitor tells the address now; the session above is known already, the next one has no address either
    served.answers["stats/visitors"].insert(0, visitor(later, visitor_identity=IDENTITY, last_active_at=at(9, 15)))
    served.answers["stats/events"].insert(0, event("new-2", visitor_key=later, received_at=at(9, 15)))
    load(warehouse, served, now=NOW + 2 * HOUR, events_lookback_hours=0.1)
    assert where_found(warehouse, tmp_path, [later]) == []
    served.answers["stats/events"].insert(0, event("new-3", visitor_key=later, received_at=at(13, 15)))
    load(warehouse, served, now=NOW + 3 * HOUR)
    assert where_found(warehouse, tmp_path, [later]) == []
    assert [row["settled_at"] for row in warehouse.rows("forgotten") if row["settled_at"] is None] == []


def forget_first(warehouse: Warehouse, served: Served) -> None:
    """Ann is forgotten before she has watched anything."""
    served.answers |= {"stats/events": list(OTHERS), "stats/visitors": list(PEOPLE)}
    load(warehouse, served)
    assert forget(warehouse, email=ADDRESS).rows.get("events", 0) == 0


@pytest.mark.slow
@MOSTLY_DUCKDB
def test_by_hash_the_rows_are_nobodys_and_removal_wins(
    warehouse: Warehouse, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__WISTIA__PII_SECRET", SECRET)
    load_people(warehouse, served)
    result = forget(warehouse, "hash", email=ADDRESS)
    assert (result.rows, result.visitors, result.pages) == ({"visitors": 1, "events": 4}, 1, CLEARED)
    assert where_found(warehouse, tmp_path) == []
    hashed = events(warehouse, "visitor_key", "email", "lat")
    assert len(hashed) == len(OTHERS) + len(ANN)
    assert hashed["ann-1"] == (digest(KEY), digest(ADDRESS.lower()), None)
    assert hashed["ann-4"] == ("", None, None)
    assert hashed["bob"] == ("bob", "bob@example.org", 32.1)
    # what is read again is the same row, written once more for its hash
    load(warehouse, served, now=NOW + HOUR)
    assert events(warehouse, "visitor_key", "email", "lat") == hashed
    assert where_found(warehouse, tmp_path) == []
    removed = forget(warehouse, email=ADDRESS)
    assert removed.rows == {"visitors": 1, "events": 4}
    # in whatever order it is asked for
    assert forget(warehouse, "hash", email=ADDRESS).rows.get("events", 0) == 0
    # a session alone tells no address
    shown, served.answers["stats/events"] = served.answers["stats/events"], [*ANN[1:2], *OTHERS]
    load(warehouse, served, now=NOW + HOUR, select=("events",))
    assert "ann-2" not in events(warehouse, "visitor_key")
    served.answers["stats/events"] = shown
    load(warehouse, served, now=NOW + 2 * HOUR)
    assert_gone(warehouse, tmp_path)
    assert where_found(warehouse, tmp_path, [digest(KEY), digest(ADDRESS.lower())]) == []


@pytest.mark.slow
def test_without_the_secret_nobody_who_is_forgotten_by_hash_is_loaded(
    duckdb_warehouse: Warehouse, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_people(duckdb_warehouse, served)
    monkeypatch.setenv("SOURCES__WISTIA__PII_SECRET", SECRET)
    forget(duckdb_warehouse, "hash", visitor_key=KEY)
    monkeypatch.delenv("SOURCES__WISTIA__PII_SECRET")
    before = events(duckdb_warehouse, "visitor_key")
    with pytest.raises(PipelineStepFailed) as refused:
        load(duckdb_warehouse, served, now=NOW + HOUR)
    assert any(isinstance(cause, SettingInvalid) for cause in causes(refused.value))
    assert events(duckdb_warehouse, "visitor_key") == before


@MOSTLY_DUCKDB
@pytest.mark.slow
def test_where_all_is_hashed_an_address_is_found_by_its_hash(
    warehouse: Warehouse, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__WISTIA__PII_SECRET", SECRET)
    load(warehouse, served, pii="hash")
    assert forget(warehouse, email=ADDRESS).rows == {"visitors": 1, "events": 4}
    load(warehouse, served, pii="hash", now=NOW + HOUR)
    assert where_found(warehouse, tmp_path, [KEY, digest(KEY)]) == []
    assert {row["email"] for row in warehouse.rows("events")} == {None, digest("bob@example.org")}


@pytest.mark.slow
def test_an_address_may_have_any_number_of_keys(warehouse: Warehouse, served: Served, tmp_path: Path) -> None:
    load_people(warehouse, served)
    keys = [f"178142500{number}_one-more-key" for number in range(KEYS_AT_ONCE + 1)]
    change(
        warehouse,
        "insert into {raw}.visitors (account_id, visitor_key, visitor_identity__email, _dlt_load_id) "
        f"select '7', '178142500' || n || '_one-more-key', '{ADDRESS}', 'a load' "
        f"from generate_series(0, {KEYS_AT_ONCE}) as numbers(n)",
    )
    assert forget(warehouse, email=ADDRESS).visitors == len(keys) + 1
    assert where_found(warehouse, tmp_path, [*TRACES, *keys]) == []


@pytest.mark.slow
def test_all_accounts_of_a_warehouse_forget_also_who_is_named_in_an_error(
    warehouse: Warehouse, served: Served, tmp_path: Path
) -> None:
    load_people(warehouse, served)
    served.answers["account"] = {"id": 8}
    load(warehouse, served)
    served.answers["stats/events"].insert(0, event("ann-5", visitor_key=KEY, received_at=at(9, 15), lat="north"))
    result = SyncResult()
    load(warehouse, served, now=NOW + HOUR, result=result)
    assert KEY in str(result.failures)
    assert forget(warehouse, visitor_key=KEY).rows == {"visitors": 2, "events": 6}
    assert where_found(warehouse, tmp_path, [KEY]) == []
    assert "'{forgotten}'" in repr(warehouse.rows("sync_failures"))


class Killed(BaseException):
    """The process is gone."""


def kill(warehouse: Warehouse, served: Served, phase: str, now: datetime) -> None:
    """One sync that ends just before a phase, and tells nobody."""

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(dlt.Pipeline, phase, die)
        patches.setattr(RunLog, "end", lambda *_: None)
        with pytest.raises(Killed):
            load(warehouse, served, now=now)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "is_put_back"),
    [
        ("load", True),
        *(
            pytest.param(*case, marks=pytest.mark.deep)
            for case in (("normalize", False), ("normalize", True), ("load", False))
        ),
    ],
)
def test_what_waits_to_be_loaded_does_not_bring_anybody_back(
    duckdb_warehouse: Warehouse,
    served: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    phase: str,
    is_put_back: bool,
) -> None:
    # files that are loaded may be kept, too
    monkeypatch.setenv("LOAD__DELETE_COMPLETED_JOBS", "false")
    load(duckdb_warehouse, served)
    for hour, person in ((9, KEY), (10, "bob")):
        served.answers["stats/events"].insert(0, event(f"at-{hour}", visitor_key=person, received_at=at(hour, 15)))
    kill(duckdb_warehouse, served, phase, NOW + HOUR)
    assert duckdb_warehouse.pipeline().has_pending_data
    local, copy = tmp_path / "dlt", tmp_path / "copy"
    shutil.copytree(local, copy)
    forget(duckdb_warehouse, email=ADDRESS)
    if is_put_back:
        shutil.rmtree(local)
        copy.rename(local)
    else:
        shutil.rmtree(copy)
        assert_gone_with(duckdb_warehouse, tmp_path, "at-10")
    load(duckdb_warehouse, served, now=NOW + 2 * HOUR)
    assert_gone_with(duckdb_warehouse, tmp_path, "at-10")


@pytest.mark.slow
def test_what_another_account_has_yet_to_load_is_gone_too(
    duckdb_warehouse: Warehouse, served: Served, tmp_path: Path
) -> None:
    load_people(duckdb_warehouse, served)
    other = dlt.pipeline("wistia_acme", destination=duckdb_warehouse.destination, dataset_name=duckdb_warehouse.dataset)
    source = wistia(access_token=TOKEN, base_url=served.url, now=NOW)
    other.extract(source.with_resources("visitors"), loader_file_format="parquet")
    assert any("wistia_acme" in found for found in where_found(duckdb_warehouse, tmp_path))
    forget(duckdb_warehouse, email=ADDRESS)
    assert_gone(duckdb_warehouse, tmp_path)


def assert_gone_with(warehouse: Warehouse, tmp_path: Path, event_key: str) -> None:
    """Ann is nowhere, and the session of another is there."""
    assert where_found(warehouse, tmp_path) == []
    assert event_key in events(warehouse, "visitor_key")


@pytest.mark.slow
def test_sessions_left_out_do_not_look_like_sessions_that_are_missing(
    duckdb_warehouse: Warehouse, served: Served
) -> None:
    sessions = [event(f"many-{number}", visitor_key=KEY, received_at=at(12)) for number in range(20)]
    served.answers["stats/events"] = [*sessions, *served.answers["stats/events"]]
    # in days of UTC-5
    days = {"2026-06-12": 1, "2026-06-13": 9, "2026-06-14": 23}
    served.answers["stats/account/by_date"] = [
        {"date": day, "load_count": 99, "play_count": plays, "hours_watched": 1} for day, plays in days.items()
    ]
    found = {}
    for hours, what in enumerate(("before", "after")):
        result = SyncResult()
        more = {"select": ("events", "account_stats_by_date"), "result": result}
        load(duckdb_warehouse, served, now=NOW + hours * HOUR, **more)
        found[what] = result.days_outside_band
        forget(duckdb_warehouse, visitor_key=KEY)
    assert found == {"before": [], "after": []}
    # and those that are missing still do
    served.answers["stats/account/by_date"][-1]["play_count"] = 60
    result = SyncResult()
    more = {"select": ("events", "account_stats_by_date"), "result": result}
    load(duckdb_warehouse, served, now=NOW + 3 * HOUR, **more)
    assert [(found.sessions, found.plays) for found in result.days_outside_band] == [(23, 60)]


@pytest.mark.deep
def test_a_pipeline_of_ones_own_leaves_them_out_too(
    duckdb_warehouse: Warehouse, served: Served, tmp_path: Path
) -> None:
    forget_first(duckdb_warehouse, served)
    served.answers["stats/events"] = [*ANN[1:2], *OTHERS]
    served.load(duckdb_warehouse, "events", "refreshes", "forgotten")
    assert "ann-2" in events(duckdb_warehouse, "visitor_key")
    served.answers["stats/events"] = [*ANN, *OTHERS]
    served.answers["stats/visitors"] = [visitor(KEY, visitor_identity=IDENTITY), *PEOPLE]
    served.load(duckdb_warehouse, "events", "visitors", "refreshes", "forgotten")
    assert {"ann-1", "ann-3", "ann-4"}.isdisjoint(events(duckdb_warehouse, "visitor_key"))
    # what had come before the address was known goes with the next command
    load(duckdb_warehouse, served, now=NOW + HOUR)
    assert where_found(duckdb_warehouse, tmp_path) == []
