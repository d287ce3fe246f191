"""One suite over the table of endpoints: after a sync the warehouse equals the account, on every version."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.sandbox.view import View

from tests.support.sandbox import NOW, settings_for
from tests.support.warehouse import Warehouse
from wistia_source.endpoints import ENDPOINTS, Endpoint

FIRST, LAST = date(2026, 4, 15), (NOW - timedelta(hours=5)).date()

Row = dict[str, Any]


def _of_medias(view: View, answer: Callable[[str], Any]) -> Iterator[Row]:
    for media in view.medias():
        rows = answer(media["hashed_id"])
        for row in rows if isinstance(rows, list) else [rows]:
            yield {**row, "media_id": media["hashed_id"]}


def _of_projects(view: View, answer: Callable[[str], Any]) -> Iterator[Row]:
    for project in view.projects():
        rows = answer(project["hashedId"])
        for row in rows if isinstance(rows, list) else [rows]:
            yield {**row, "project_id": project["hashedId"]}


def _events(view: View) -> Iterator[Row]:
    for event in view.events():
        if event["received_at"] < FIRST.isoformat():
            continue
        key = re.search("/events/(.+)/iframe", event["iframe_heatmap_url"])
        assert key
        hidden = re.sub("public_token=.*", "public_token=", event["iframe_heatmap_url"])
        yield {
            "event_key": key.group(1),
            **event,
            "visitor_key": event["visitor_key"] or "",
            "iframe_heatmap_url": hidden,
        }


def _medias(view: View) -> Iterator[Row]:
    for media in view.medias():
        row = dict(media)
        project = row.pop("project", None) or {}
        yield {
            **{name: value for name, value in row.items() if name not in ("id", "hashed_id", "embedCode")},
            "media_id": row["hashed_id"],
            "numeric_id": row["id"],
            "embed_code": row.get("embedCode"),
            "project_id": project.get("hashed_id") or project.get("hashedId"),
            "project_numeric_id": project.get("id"),
            "project_name": project.get("name"),
        }


def _projects(view: View) -> Iterator[Row]:
    for project in view.projects():
        row = dict(project)
        yield {"project_id": row.pop("hashedId"), "numeric_id": row.pop("id"), **row}


EXPECTED: dict[str, Callable[[View], Iterator[Row]]] = {
    "medias": _medias,
    "projects": _projects,
    "events": _events,
    # the list has no date filter, the cursor cuts what is older than the start
    "visitors": lambda view: (v for v in view.visitors() if v["last_active_at"] >= FIRST.isoformat()),
    "account_stats": lambda view: iter([{**view.account_stats(), "captured_at": NOW.isoformat()}]),
    "account_stats_by_date": lambda view: iter(view.account_stats_by_date(FIRST, LAST)),
    "project_stats": lambda view: _of_projects(view, view.project_stats),
    "project_stats_by_date": lambda view: _of_projects(view, lambda id_: view.project_stats_by_date(id_, FIRST, LAST)),
    "media_stats": lambda view: _of_medias(view, view.media_stats),
    "media_stats_by_date": lambda view: _of_medias(view, lambda id_: view.media_stats_by_date(id_, FIRST, LAST)),
    "media_engagement": lambda view: _of_medias(view, view.media_engagement),
    "captions": lambda view: ({"caption_id": r["id"], **r} for r in _of_medias(view, view.captions)),
}
"""What the account holds, by resource, with the few names that differ from the API's."""

JSON_COLUMNS = {"tags", "assets", "engagement_data", "rewatch_data"}
OURS = ("account_id", "_row_hash", "_dlt_load_id", "_dlt_id")


def _flat(row: Row, prefix: str = "") -> Row:
    """Nested objects as `outer__inner`, camelCase as snake_case: written again here, not taken from the source."""
    flat: Row = {}
    for key, value in row.items():
        name = prefix + re.sub(r"(?<=[a-z])([A-Z])", r"_\1", key).lower()
        if isinstance(value, dict):
            flat |= _flat(value, name + "__")
        else:
            flat[name] = value
    return flat


def _plain(name: str, value: Any) -> Any:
    """A value as it can be compared, whichever side it comes from."""
    if name in JSON_COLUMNS:
        value = json.loads(value) if isinstance(value, str) else value
        if name == "assets":
            # v1 leaves out what the modern API says is null
            value = [{key: inner for key, inner in _flat(asset).items() if inner is not None} for asset in value]
        return json.dumps(value, sort_keys=True)
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", value):
        return datetime.fromisoformat(value)
    return value


def _comparable(name: str, columns: list[str], row: Row) -> tuple[tuple[str, Any], ...]:
    values = {column: _plain(column, row.get(column)) for column in columns}
    if name == "events":
        # an object is meant where "" stands, and its kind may be a number
        values["conversion_type"] = str(values["conversion_type"])
    return tuple((column, repr(float(v) if type(v) is int else v)) for column, v in values.items())


def _columns(endpoint: Endpoint) -> list[str]:
    return [column.name for column in endpoint.columns]


@pytest.fixture(scope="module")
def account() -> Account:
    """Every quirk, and few enough rows to compare them all."""
    return Account(seed=7, start=NOW, medias=24, projects=4, visitors=150, events=600, days=90)


CASES = [
    pytest.param("v1", 100, "duckdb", marks=pytest.mark.slow),
    pytest.param("2026-03", 10, "duckdb"),
    pytest.param("v1", 10, "postgres", marks=pytest.mark.slow),
    # neither of the two knows of the other
    pytest.param("2026-03", 100, "postgres", marks=pytest.mark.deep),
]


@pytest.mark.parametrize(("version", "page_cap", "warehouse"), CASES, indirect=["warehouse"])
def test_every_row_and_value_of_every_resource_equals_the_account(
    version: str, page_cap: int, sandbox: Sandbox, warehouse: Warehouse, account: Account
) -> None:
    sandbox.page_cap = page_cap
    assert load(sandbox, warehouse, api_version=version).status == "ok"
    assert_holds(warehouse, account.at(NOW))


@pytest.mark.slow
def test_another_release_of_postgres_holds_the_same(
    sandbox: Sandbox, other_postgres_warehouse: Warehouse, account: Account
) -> None:
    load(sandbox, other_postgres_warehouse)
    assert_holds(other_postgres_warehouse, account.at(NOW))


def load(sandbox: Sandbox, warehouse: Warehouse, **settings: Any) -> SyncResult:
    """A first run, of all there is since FIRST."""
    return warehouse.sync(settings_for(sandbox, start_date=FIRST.isoformat(), **settings))


def assert_holds(synced: Warehouse, view: View) -> None:
    """Every row and value of every resource, and nothing else."""
    for endpoint in ENDPOINTS:
        columns = _columns(endpoint)
        expected = [_flat(row) for row in EXPECTED[endpoint.name](view)]
        assert expected, endpoint.name
        got = synced.rows(endpoint.name)
        unknown = {name for row in got for name in row} - {*columns, *OURS}
        assert not unknown, endpoint.name
        children = {child.field for child in endpoint.children}
        lost = {name for row in expected for name, value in row.items() if value not in (None, "", {})} - {
            *columns,
            *children,
            *endpoint.ignored,
            "id",
            "conversion_data",
        }
        assert not lost, endpoint.name
        want = sorted(_comparable(endpoint.name, columns, row) for row in expected)
        have = sorted(_comparable(endpoint.name, columns, row) for row in got)
        assert len(have) == len(want), endpoint.name
        differing = [pair for pair in zip(have, want, strict=True) if pair[0] != pair[1]]
        assert not differing, (endpoint.name, [set(a) ^ set(b) for a, b in differing[:3]])
        assert {row["account_id"] for row in got} == {str(view.account()["id"])}
    assert_holds_calls_to_action(synced, view)


def assert_holds_calls_to_action(synced: Warehouse, view: View) -> None:
    """Each call to action is a row of its own."""
    expected = [
        (row["media_id"], number, action["type"], action["action_count"], action["impression_count"], action["rate"])
        for row in _of_medias(view, view.media_stats)
        for number, action in enumerate(row.get("actions") or [])
    ]
    got = [
        (r["media_id"], r["position"], r["type"], r["action_count"], r["impression_count"], r["rate"])
        for r in synced.rows("media_stats__actions")
    ]
    assert expected
    assert sorted(got) == sorted(expected)
