"""The API's quirks (api_reference.md, section 7), each through the front door: served over HTTP, loaded, looked up.

Quirks that concern requests and not rows are tested with the client: 12, 17 and 19.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from wistia_pipeline.runtime.settings import use_defaults

from tests.support.odd_rows import EVENTS, IDS, MEDIAS, TEXTS, VISITORS, fill, stored
from tests.support.postgres import database
from tests.support.sandbox import NOW
from tests.support.served import PAGE, Row, Served, event, media, serving, visitor, without
from tests.support.warehouse import Warehouse, in_duckdb, in_postgres


@contextmanager
def served_into(folder: Path) -> Iterator[Served]:
    """An account, and the folder from which it is loaded for a whole module."""
    with pytest.MonkeyPatch.context() as patch, serving() as running:
        patch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
        patch.chdir(folder)
        use_defaults()
        yield running


@pytest.fixture(scope="module", params=["duckdb", pytest.param("postgres", marks=pytest.mark.slow)])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A warehouse of each kind after one sync of all the odd rows. Tests only read it."""
    folder = tmp_path_factory.mktemp("quirks")
    with ExitStack() as stack:
        if request.param == "duckdb":
            warehouse = in_duckdb(folder / "warehouse.duckdb")
        else:
            warehouse = in_postgres(stack.enter_context(database(request.getfixturevalue("postgres_url"))))
        with served_into(folder) as served:
            fill(served)
            served.load(warehouse)
        yield warehouse


NEW_FIELDS = ["2026-06-14T10:00:00Z", {"a": 1}]
"""What a field that nobody declared holds in a first and in a second sync."""


@pytest.fixture(scope="module")
def loaded_twice(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """A warehouse after a sync, changes and another sync. Tests only read it."""
    folder = tmp_path_factory.mktemp("twice")
    warehouse = in_duckdb(folder / "warehouse.duckdb")
    medias = [row | {"updated": "2026-06-15T12:45:00+00:00"} for row in MEDIAS]
    known = event("new", brand_new=NEW_FIELDS[0])
    gone = event("old", received_at="2025-05-02T10:00:00.000Z")
    with served_into(folder) as served:
        for number, (events, listed) in enumerate(
            [([known, gone], MEDIAS), ([event("newer", brand_new=NEW_FIELDS[1]), known], medias)]
        ):
            served.answers |= {
                "stats/events": events,
                "medias": listed,
                "stats/medias/abc123defg": {"load_count": number, "brand_new": NEW_FIELDS[number]},
            }
            served.load(warehouse, "events", "medias", "media_stats", now=NOW.replace(hour=13 + number))
    return warehouse


@pytest.fixture
def served() -> Iterator[Served]:
    """An account of a test's own."""
    with serving() as running:
        yield running


def rows_by(warehouse: Warehouse, table: str, key: str) -> dict[str, Row]:
    """A table's rows by a column that is unique in it."""
    rows = warehouse.rows(table)
    assert len({row[key] for row in rows}) == len(rows)
    return {row[key]: row for row in rows}


def row_of(warehouse: Warehouse, table: str, **key: Any) -> Row:
    """The one row of a table that has these values."""
    (row,) = [row for row in warehouse.rows(table) if key.items() <= row.items()]
    return row


def document(value: Any) -> Any:
    """A document column's value: Postgres gives it parsed."""
    return json.loads(value) if isinstance(value, str) else value


def test_no_row_is_lost_or_doubled(loaded: Warehouse) -> None:
    assert len(loaded.rows("events")) == len(EVENTS) - 1
    assert len(loaded.rows("visitors")) == len(VISITORS)
    assert len(loaded.rows("medias")) == len(MEDIAS)
    assert {row["account_id"] for row in loaded.rows("events")} == {"7"}


def test_quirk_01_one_event_key_of_two_visitors(loaded: Warehouse) -> None:
    both = [row for row in loaded.rows("events") if row["event_key"] == "twice"]
    assert {row["visitor_key"]: row["percent_viewed"] for row in both} == {"v1": 0.25, "v2": 0.75}


def test_quirk_02_a_key_only_inside_the_heatmap_address(loaded: Warehouse) -> None:
    row = row_of(loaded, "events", event_key="in-the-address")
    assert row["user_agent_details__browser"] is row["conversion_type"] is None
    assert row["iframe_heatmap_url"].endswith("/in-the-address/iframe.html?public_token=")
    (surrogate,) = [row for row in loaded.rows("events") if row["iframe_heatmap_url"] == "https://x/?public_token="]
    assert surrogate["event_key"].startswith("sha1-")


def test_quirk_03_conversions_of_every_form(loaded: Warehouse) -> None:
    names = ["type", "data__email", "data__first_name", "data__last_name", "data__is_new_lead"]
    assert {
        key: tuple(row_of(loaded, "events", event_key=f"conversion-{key}")[f"conversion_{name}"] for name in names)
        for key in ("zero", "number", "text", "none")
    } == {
        "zero": ("0", None, None, None, None),
        "number": ("3", "ann@example.com", None, None, None),
        "text": ("turnstile", "b@example.com", "B", "", True),
        "none": ("", None, None, None, None),
    }
    assert "conversion_data" not in loaded.rows("events")[0]


def test_quirk_04_empty_texts_beside_nulls_stay_what_they_are(loaded: Warehouse) -> None:
    for key, value in (("empty", ""), ("null", None)):
        row = row_of(loaded, "events", event_key=key)
        assert [row[name] for name in ("region", "city", "org", "embed_url")] == [value] * 4
        assert row["email"] is None
    unknown = row_of(loaded, "visitors", visitor_key="fast")
    assert (unknown["visitor_identity__name"], unknown["visitor_identity__email"]) == ("", None)


def test_quirk_05_whole_numbers_among_fractions_are_one_column(loaded: Warehouse) -> None:
    days = {row["date"]: row["hours_watched"] for row in loaded.rows("media_stats_by_date")}
    assert days == {date(2026, 6, 13): 0.0, date(2026, 6, 14): 0.95}
    assert {type(hours) for hours in days.values()} == {float}
    assert row_of(loaded, "events", event_key="whole")["percent_viewed"] == 1.0
    assert row_of(loaded, "events", event_key="whole")["lon"] == -81.1
    assert row_of(loaded, "events", event_key="unwatched")["percent_viewed"] == 0.0
    stats = rows_by(loaded, "media_stats", "media_id")
    assert {key: (row["load_count"], row["hours_watched"]) for key, row in stats.items()} == {
        "abc123defg": (9, 1.0),
        "0012345678": (9, 0.5),
        "133e572155": (9, 0.0),
    }
    assert not [name for name in stats["abc123defg"] if "__v_" in name]


def test_quirk_06_seen_first_after_seen_last_and_more_plays_than_loads(loaded: Warehouse) -> None:
    row = row_of(loaded, "visitors", visitor_key="fast")
    assert row["created_at"] > row["last_active_at"]
    assert row["play_count"] > row["load_count"]


def test_quirk_07_absent_and_null_are_both_null(loaded: Warehouse) -> None:
    medias = rows_by(loaded, "medias", "media_id")
    for name in ("duration", "section", "subfolder__hashed_id", "tags", "protected"):
        assert medias["specformat"][name] is medias["0012345678"][name] is None
    assert medias["133e572155"]["section"] == "One"
    assert medias["133e572155"]["subfolder__name"] == ""
    assert document(medias["133e572155"]["tags"]) == []
    visitors = rows_by(loaded, "visitors", "visitor_key")
    assert visitors["old"]["identifying_event_key"] is visitors["fast"]["identifying_event_key"] is None
    assert visitors["known"]["identifying_event_key"] == "e"


def test_quirk_08_project_hashed_id_and_hashedId(loaded: Warehouse) -> None:
    assert {row["project_id"] for row in loaded.rows("medias")} == {"proj123456"}
    assert row_of(loaded, "projects", project_id="proj123456")["media_count"] == 5
    assert document(row_of(loaded, "medias", media_id="files12345")["assets"])[0]["file_size"] == 7


def test_quirk_08_folders_and_snake_case_are_the_same_tables(served: Served, duckdb_warehouse: Warehouse) -> None:
    folder = {"id": 5, "name": "P", "hashed_id": "proj123456"}
    served.answers |= {
        "medias": [
            without(media("abc123defg", folder=folder, embed_code="<i>"), "project"),
            media("loose", folder=None),
        ],
        "folders": [folder | {"media_count": 5, "public_id": "p", "kind": "library", "cursor": "c"}],
    }
    served.load(duckdb_warehouse, "medias", "projects", version="2026-03")
    row = row_of(duckdb_warehouse, "medias", media_id="abc123defg")
    assert (row["project_id"], row["project_numeric_id"], row["embed_code"]) == ("proj123456", 5, "<i>")
    assert "cursor" not in duckdb_warehouse.rows("projects")[0]
    assert row_of(duckdb_warehouse, "projects", project_id="proj123456")["media_count"] == 5


def test_quirk_09_sessions_join_medias_by_the_hashed_id_and_the_number_is_kept_apart(loaded: Warehouse) -> None:
    joined = row_of(loaded, "events", event_key="odd")["media_id"]
    assert row_of(loaded, "medias", media_id=joined)["numeric_id"] == 1


def test_quirk_10_every_form_of_a_moment_is_the_same_type(loaded: Warehouse) -> None:
    keys = ("old-form", "offset", "space", "naive")
    at = [row_of(loaded, "events", event_key=key)["received_at"].astimezone(UTC) for key in keys]
    times = [(10, 0, 50), (10, 0, 0), (5, 0, 0), (5, 0, 0)]
    assert at == [datetime(2026, 6, 14, *time, tzinfo=UTC) for time in times]
    created = row_of(loaded, "medias", media_id="abc123defg")["created"]
    assert created.astimezone(UTC) == datetime(2025, 6, 1, 10, tzinfo=UTC)


def test_quirk_11_a_row_that_moved_to_the_next_page_is_one_row_as_it_was_last(loaded: Warehouse) -> None:
    assert row_of(loaded, "events", event_key="moved")["percent_viewed"] == 0.2


def test_quirk_13_a_full_last_page_is_not_the_end_of_anything(loaded: Warehouse) -> None:
    assert len(loaded.rows("medias")) == len(MEDIAS) == PAGE


def test_quirk_14_empty_answers_leave_tables_with_every_column(
    served: Served, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOAD__RAISE_ON_MAX_RETRIES", "1")
    served.load(warehouse, "events", "visitors")
    assert warehouse.rows("events", "event_key, thumbnail__file_size, _row_hash") == []
    assert warehouse.rows("visitors", "visitor_identity__org__name") == []


def test_quirk_15_cities_emoji_html_and_newlines(loaded: Warehouse) -> None:
    row = row_of(loaded, "medias", media_id="abc123defg")
    assert row["name"] == "🎬 Über\nuns"
    assert row["description"] == '<p>It\'s "here"</p>\n'
    assert document(row["tags"]) == [{"name": "a\ufffd🎬"}]


@pytest.mark.slow
def test_quirk_16_rows_that_the_source_dropped_stay(loaded_twice: Warehouse) -> None:
    assert rows_by(loaded_twice, "events", "event_key").keys() == {"newer", "new", "old"}


def test_quirk_18_keys_say_nothing_and_may_be_missing(loaded: Warehouse) -> None:
    assert row_of(loaded, "events", event_key="odd")["visitor_key"] == "n0t-a-number_1"
    assert row_of(loaded, "events", event_key="private")["visitor_key"] == ""
    assert row_of(loaded, "events", event_key="private")["lat"] is None


@pytest.mark.slow
def test_quirk_20_all_medias_touched_at_once_are_updated_and_not_doubled(loaded_twice: Warehouse) -> None:
    medias = rows_by(loaded_twice, "medias", "media_id")
    assert len(medias) == len(MEDIAS)
    assert {row["updated"] for row in medias.values()} == {datetime(2026, 6, 15, 12, 45, tzinfo=UTC)}


def test_quirk_21_addresses_are_kept_as_they_are(loaded: Warehouse) -> None:
    row = row_of(loaded, "events", event_key="empty")
    assert row["thumbnail__url"] == "http://embed.example.com/1.bin"
    assert (row["thumbnail__file_size"], row["thumbnail__content_type"]) == (210, "image/png")


def test_texts_survive_exactly(loaded: Warehouse) -> None:
    events = rows_by(loaded, "events", "_row_hash").values()
    texts = {
        row["event_key"]: (row["city"], row["media_name"]) for row in events if row["event_key"].startswith("text")
    }
    assert texts == {f"text{number}": (stored(text), stored(text)) for number, text in enumerate(TEXTS)}
    names = {row["visitor_key"]: row["visitor_identity__name"] for row in loaded.rows("visitors")}
    assert names.items() >= {f"text{number}": stored(text) for number, text in enumerate(TEXTS)}.items()
    captions = {row["caption_id"]: row["text"] for row in loaded.rows("captions")}
    assert captions == {f"c{number}": stored(text) for number, text in enumerate(TEXTS)}
    actions = {
        row["action_count"]: (row["type"], row["text"], row["media_id"]) for row in loaded.rows("media_stats__actions")
    }
    assert actions == {number: (stored(text), stored(text), "abc123defg") for number, text in enumerate(TEXTS)}


def test_ids_are_texts_and_survive_exactly(loaded: Warehouse) -> None:
    rows = {row["event_key"]: (row["visitor_key"], row["media_id"]) for row in loaded.rows("events")}
    assert {key: rows[key] for key in IDS} == {key: (key, key) for key in IDS}


def test_undeclared_fields_are_text_columns_that_touch_no_other(loaded: Warehouse) -> None:
    row = row_of(loaded, "events", event_key="undeclared")
    other = row_of(loaded, "events", event_key="undeclared-otherwise")
    assert {name: row[name] for name in ("foo", "foo_2", "media_name_2", "account_id_2", "x")} == {
        "foo": '{"b":1}',
        "foo_2": "a",
        "media_name_2": "c",
        "account_id_2": "d",
        "x": "e",
    }
    assert "f" in row.values()
    assert (other["foo"], other["media_name_2"], other["thumbnail__colour"]) == ("2.5", '["g"]', "red")
    assert (row["account_id"], row["media_name"]) == (other["account_id"], other["media_name"]) == ("7", "A film")


def test_undeclared_fields_beside_child_rows_are_text_too(loaded: Warehouse) -> None:
    stats = rows_by(loaded, "media_stats", "media_id")
    assert {key: row["soon"] for key, row in stats.items()} == {
        "abc123defg": "2026-06-14",
        "0012345678": '["x"]',
        "133e572155": "next week",
    }


@pytest.mark.slow
def test_an_undeclared_field_may_change_its_type_from_run_to_run(loaded_twice: Warehouse) -> None:
    events = rows_by(loaded_twice, "events", "event_key")
    assert [events[key]["brand_new"] for key in ("new", "newer", "old")] == [NEW_FIELDS[0], '{"a":1}', None]
    assert row_of(loaded_twice, "media_stats", media_id="abc123defg")["brand_new"] == '{"a":1}'


@pytest.mark.slow
def test_rows_that_come_again_beside_a_new_one_are_not_written_again(
    served: Served, postgres_warehouse: Warehouse
) -> None:
    fill(served)
    served.load(postgres_warehouse, "events", "visitors")
    before = {name: _loads(postgres_warehouse, name) for name in ("events", "visitors")}
    served.answers["stats/events"] = [event("another", brand_new=1), *EVENTS]
    served.answers["stats/visitors"] = [visitor("another", brand_new=1), *VISITORS]
    served.load(postgres_warehouse, "events", "visitors", now=NOW.replace(hour=13))
    for name, loads in before.items():
        assert len(_loads(postgres_warehouse, name) - loads) == 1
        assert loads < _loads(postgres_warehouse, name)


def _loads(warehouse: Warehouse, table: str) -> set[tuple[int, str]]:
    """Which load brought each row."""
    return {(row["_row_hash"], row["_dlt_load_id"]) for row in warehouse.rows(table)}
