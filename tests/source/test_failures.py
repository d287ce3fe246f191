"""What cannot be read costs its own list, media or row, and is requested again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from dlt.extract import DltSource
from wistia_pipeline.sandbox import Fault, Sandbox

from tests.support.loaded import load_once
from tests.support.runs import SMALL, answer, asked, media_ids, read, sync, view_at
from tests.support.samples import sampled
from tests.support.sandbox import NOW, START, calls, failed_in, settings_for, source_of
from tests.support.warehouse import Warehouse
from wistia_source.endpoints import BY_NAME

DAY = timedelta(days=1)
ACCOUNT = SMALL
OF_MEDIAS = {"medias", "media_stats", "media_stats_by_date", "media_engagement", "captions"}


def lost_in(source: DltSource) -> set[str]:
    """The resources of a run that could not read something."""
    return {name for name, resource in source.resources.items() if resource.custom_metrics.get("failures")}


# lists


@pytest.mark.parametrize(
    ("path", "lost"),
    sampled(
        [
            ("stats/events", {"events"}),
            ("stats/visitors", {"visitors"}),
            ("v1/medias.json", OF_MEDIAS),
            ("account/by_date", {"account_stats_by_date"}),
            ("stats/account.json", {"account_stats"}),
        ],
        2,
        seed=25,
    ),
)
def test_a_list_that_keeps_failing_costs_the_others_nothing(living: Sandbox, path: str, lost: set[str]) -> None:
    living.faults.add(Fault(path, status=500, times=None))
    source = source_of(living, start_date=START)
    rows = read(source)
    assert lost_in(source) == lost
    # child rows come with a media's numbers
    assert {name for name in BY_NAME if not rows[name]} == lost


@pytest.mark.slow
@pytest.mark.parametrize(("path", "after"), [("stats/events", 0), ("stats/visitors", 2)])
def test_a_list_that_failed_is_read_by_the_next_run(
    duckdb_warehouse: Warehouse, living: Sandbox, path: str, after: int
) -> None:
    only = ("events", "visitors", "account_stats_by_date")
    living.page_cap = 50
    living.faults.add(Fault(path, status=500, times=None, after=after))
    source = source_of(living, start_date=START)
    duckdb_warehouse.load(source.with_resources(*only, "refreshes"))
    assert lost_in(source) == {path.partition("/")[2]}
    living.faults.clear()
    sync(duckdb_warehouse, living, only=only)
    view = view_at(living)
    for table, held, at in (("events", view.events(), "received_at"), ("visitors", view.visitors(), "last_active_at")):
        assert len(duckdb_warehouse.rows(table)) == len([row for row in held if row[at] >= START])


def test_a_page_of_empty_objects_costs_the_visitors_alone(living: Sandbox) -> None:
    living.faults.add(Fault("stats/visitors", status=200, times=None, body="[{}]"))
    rows = read(source_of(living, start_date=START), "visitors", "events")
    assert rows["events"]
    assert not rows["visitors"]


@pytest.mark.slow
def test_visitors_who_remain_are_read_though_the_list_has_shrunk(
    duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = view_at(living).visitors()
    stop_after_four_pages(duckdb_warehouse, living)
    # the last twenty are all that is left
    monkeypatch.setattr(type(view_at(living)), "visitors", lambda *_, page: there[-20:][page])
    go_on(duckdb_warehouse, living)
    assert wanted(there[-20:]) <= {row["visitor_key"] for row in duckdb_warehouse.rows("visitors")}


@pytest.mark.slow
def test_visitors_who_have_moved_up_by_pages_are_read(
    duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = view_at(living).visitors()
    stop_after_four_pages(duckdb_warehouse, living)
    # those who come next are now before the page on which a load goes on
    monkeypatch.setattr(type(view_at(living)), "visitors", lambda *_, page: there[25:][page])
    pages = go_on(duckdb_warehouse, living)
    assert wanted(there[25:]) <= {row["visitor_key"] for row in duckdb_warehouse.rows("visitors")}
    # what is new; a page back, which would have been enough had fewer gone; then all of it
    assert pages[:3] == ["1", "3", "1"]


def stop_after_four_pages(warehouse: Warehouse, sandbox: Sandbox) -> None:
    """A first load of visitors whose first load package has four pages of ten; the second fails."""
    sandbox.page_cap = 10
    sandbox.faults.add(Fault("stats/visitors", status=401, times=None, after=6, body='{"code": "account_inactive"}'))
    with pytest.raises(Exception, match="inactive"):
        warehouse.sync(settings_for(sandbox, start_date=START, package_seconds=0), ["visitors"])
    sandbox.faults.clear()


def go_on(warehouse: Warehouse, sandbox: Sandbox) -> list[str]:
    """Reads what is left of the visitors; the pages that it requests."""
    before = len(sandbox.log)
    sync(warehouse, sandbox, only=("visitors",))
    return [call.query["page"] for call in calls(sandbox, before, "stats/visitors")]


def wanted(visitors: list[dict[str, Any]]) -> set[str]:
    """Those who were active since START."""
    return {row["visitor_key"] for row in visitors if row["last_active_at"] >= START}


# medias


@pytest.mark.parametrize(
    "body", [None, [None, 1], [{}], {}, {"foo": 1}, "text", {"error": "Something else went wrong"}, 5]
)
def test_an_answer_without_rows_fails_its_media_only(living: Sandbox, body: Any) -> None:
    media_id = media_ids(living)[0]
    answer(living, f"medias/{media_id}/(by_date|captions)", body)
    source = source_of(living, start_date=START)
    rows = read(source, "media_stats_by_date", "captions")
    assert failed_in(source) == {("media_stats_by_date", media_id), ("captions", media_id)}
    assert {row["media_id"] for row in rows["media_stats_by_date"]} == {*media_ids(living)} - {media_id}


def test_a_row_that_does_not_fit_costs_only_its_media(living: Sandbox) -> None:
    media_id = media_ids(living)[0]
    captions = [{}, {"id": "c", "language": None}, {"id": "c", "language": "eng", "is_draft": "perhaps"}]
    answer(living, f"medias/{media_id}/captions", captions)
    answer(living, f"stats/medias/{media_id}/by_date", [{"date": "2026-06-01", "play_count": "many"}])
    other = media_ids(living)[1]
    answer(living, f"medias/{other}/captions", [{"id": "c", "language": None}, {"id": "c", "language": "eng"}])
    source = source_of(living, start_date=START)
    rows = read(source)
    failures = {name: resource.custom_metrics.get("failures", []) for name, resource in source.resources.items()}
    assert {name: [failure["parent_id"] for failure in all_] for name, all_ in failures.items() if all_} == {
        "captions": [media_id],
        "media_stats_by_date": [media_id],
    }
    assert "many" not in str(failures)
    assert failures["media_stats_by_date"][0]["error"] == (
        f"media_stats_by_date.play_count should be bigint, but Wistia sent text that does not fit, in the row with "
        f"media_id '{media_id}', date '2026-06-01'; it is not loaded: please report it."
    )
    assert {row["media_id"] for row in rows["media_stats_by_date"]} == {*media_ids(living)} - {media_id}
    # the empty object, and the row without a key of the media that has no failure: once each
    assert source.resources["captions"].custom_metrics["left_out"] == 2


def test_one_failing_media_costs_the_others_nothing_and_is_asked_again(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    only = ("media_stats", "media_engagement")
    missing, failing = media_ids(living)[3:5]
    for media_id, status in ((missing, 404), (failing, 500)):
        living.faults.add(Fault(f"stats/medias/{media_id}", status=status, times=None))
    source = source_of(living, start_date=START)
    duckdb_warehouse.load(source.with_resources(*only, "refreshes"))
    assert failed_in(source) == {(name, media_id) for name in only for media_id in (missing, failing)}

    def loaded() -> set[str]:
        return {row["media_id"] for row in duckdb_warehouse.rows("media_stats")}

    everyone = set(media_ids(living))
    assert loaded() == everyone - {missing, failing}
    living.faults.clear()
    before = len(living.log)
    sync(duckdb_warehouse, living, only=only)
    # what failed is requested again at once, what Wistia does not have when its turn comes
    assert len(asked(living, before, failing)) == len(only)
    assert not asked(living, before, missing)
    assert loaded() == everyone - {missing}
    sync(duckdb_warehouse, living, NOW + DAY, only=only)
    assert loaded() >= everyone


@pytest.mark.slow
def test_what_is_wrong_with_one_media_stays_with_it(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    first, second, gone = media_ids(living)[:3]
    load_once(duckdb_warehouse, living)
    living.account.delete_media(gone)
    living.account.rename_media(second, "another name")
    living.faults.add(Fault(f"v1/medias/{gone}", status=500, times=None))
    answer(living, f"stats/medias/{first}(.json)?$", {"load_count": 1, "play_count": 1, "actions": ["x"]})
    before = {row["media_id"]: row["_dlt_load_id"] for row in duckdb_warehouse.rows("media_stats")}
    source = source_of(living, NOW + DAY, start_date=START)
    duckdb_warehouse.load(source.with_resources("medias", "media_stats", "media_stats__actions", "refreshes"))
    assert failed_in(source) == {("medias", gone), ("media_stats", first)}
    medias = {row["media_id"]: row for row in duckdb_warehouse.rows("medias")}
    assert medias[second]["name"] == "another name"
    assert medias[gone]["deleted_at"] is None
    after = {row["media_id"]: row["_dlt_load_id"] for row in duckdb_warehouse.rows("media_stats")}
    assert after[first] == before[first]
    assert {media_id for media_id, load_id in after.items() if before.get(media_id) != load_id}


def test_project_by_date_may_be_absent_from_the_api(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    only = ("project_stats_by_date",)
    living.project_by_date = False
    source = source_of(living, start_date=START)
    duckdb_warehouse.load(source.with_resources(*only, "refreshes"))
    assert duckdb_warehouse.rows("project_stats_by_date") == []
    assert not lost_in(source)
    results = {r["result"] for r in duckdb_warehouse.rows("refreshes") if r["endpoint"] == "project_stats_by_date"}
    assert results == {"not_found"}
    before = len(living.log)
    sync(duckdb_warehouse, living, only=only)
    assert not asked(living, before, "stats/projects")
