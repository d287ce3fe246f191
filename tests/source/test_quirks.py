"""The API's quirks (api_reference.md, section 7), each through the front door: served over HTTP, loaded, looked up.

Quirks that concern requests and not rows are tested with the client: 12, 17 and 19.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from wistia_pipeline.settings import use_defaults

from tests.support.postgres import database
from tests.support.sandbox import NOW, UNLIMITED
from tests.support.warehouse import Warehouse, in_duckdb, in_postgres
from wistia_source import wistia

Row = dict[str, Any]

PAGE = 5
START = "2025-05-01"
DAY = "2026-06-14"

TEXTS = [
    "",
    " ",
    "NULL",
    "null",
    "\\N",
    "\\.",
    "0012345678",
    "133e572155",
    "2024-01-01T00:00:00Z",
    "{}",
    "a\0b",
    "🎬 Köln 京都市",
    "it's \"quoted\", 'twice'",
    "lines\nand\r\nreturns\tand tabs",
    "back\\slash \\n \\u0000 \\\\",
    "'; drop table events; --",
    "%s %(x)s {x} $1",
    "\u2028\u200b\ufeff\x7f\x1b",
    "long " * 20_000,
]
IDS = ["0012345678", "133e572155", "NULL", "\\N", "it's", 'a"b\\c']


def stored(text: str) -> str:
    """The one thing that is not kept: Postgres has no U+0000."""
    return text.replace("\0", "\ufffd")


class Served:
    """A Wistia account whose every answer is what stands in `answers`, by path; `[]` where nothing does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, Any] = {"account": {"id": 7}}

    def answer(self, path: str, query: dict[str, str]) -> Any:
        """A page of 5 of a list, whatever per_page says; day filters are inclusive; objects as they are."""
        found = self.answers.get(path, [])
        if isinstance(found, dict):
            return found
        first, last = query.get("start_date", ""), query.get("end_date", "9")
        rows = [row for row in found if first <= (row.get("received_at") or row.get("date") or first)[:10] <= last]
        if path.endswith("medias") and query.get("archived") == "true":
            rows = []
        page = int(query.get("page", 0))
        return rows[(page - 1) * PAGE : page * PAGE] if page else rows

    def load(self, warehouse: Warehouse, *resources: str, version: str = "v1", now: datetime = NOW) -> None:
        """Loads all of it, or some resources."""
        source = wistia(
            access_token="token",
            base_url=self.url,
            api_version=version,
            start_date=START,
            requests_per_minute=UNLIMITED,
            backoff_seconds=0.001,
            now=now,
        )
        warehouse.load(source.with_resources(*resources) if resources else source)


@contextmanager
def serving() -> Iterator[Served]:
    """A server in a thread, on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            _, _, path = parts.path.lstrip("/").partition("/")
            body = json.dumps(api.answer(path.removesuffix(".json"), dict(parse_qsl(parts.query)))).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api = Served(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


def event(key: str, **fields: Any) -> Row:
    """A viewing session as recorded."""
    return {
        "received_at": f"{DAY}T10:00:00.000Z",
        "event_key": key,
        "ip": "203.0.113.9",
        "country": "US",
        "region": "Georgia",
        "city": "Savannah",
        "lat": 32.1,
        "lon": -81.1,
        "org": "Example Cable",
        "email": None,
        "percent_viewed": 0.5,
        "embed_url": "",
        "conversion_type": "",
        "conversion_data": {},
        "iframe_heatmap_url": f"https://api.wistia.com/v1/stats/events/{key}/iframe.html?public_token=t0k",
        "visitor_key": "visitor",
        "user_agent_details": {"browser": "Safari", "browser_version": "18", "platform": "Mac OS", "mobile": False},
        "media_id": "abc123defg",
        "media_name": "A film",
        "media_url": "https://example.wistia.com/medias/abc123defg",
        "thumbnail": {
            "url": "http://embed.example.com/1.bin",
            "width": 640,
            "fileSize": 210,
            "contentType": "image/png",
        },
    } | fields


def visitor(key: str, **fields: Any) -> Row:
    """A visitor as recorded."""
    return {
        "visitor_key": key,
        "created_at": f"{DAY}T10:00:00.000Z",
        "last_active_at": f"{DAY}T11:00:00.000Z",
        "last_event_key": "e",
        "load_count": 3,
        "play_count": 2,
        "identifying_event_key": None,
        "visitor_identity": {"name": "", "email": None, "org": {"name": None, "title": None}},
        "user_agent_details": {"browser": "Unknown Browser", "browser_version": "0", "platform": "Unknown"},
    } | fields


def media(key: str, **fields: Any) -> Row:
    """A media as recorded, with no more than every one has."""
    return {
        "id": 1,
        "hashed_id": key,
        "name": "A film",
        "type": "Video",
        "archived": False,
        "created": "2025-06-01T10:00:00+00:00",
        "updated": "2025-06-02T10:00:00+00:00",
        "description": "",
        "progress": 1.0,
        "status": "ready",
        "thumbnail": {"url": "https://embed.example.com/1.jpg", "width": 200, "height": 120},
        "project": {"id": 5, "name": "P", "hashed_id": "proj123456"},
        "assets": [],
    } | fields


def without(row: Row, *names: str) -> Row:
    """A row that lacks fields."""
    return {name: value for name, value in row.items() if name not in names}


EVENTS = [
    event("twice", visitor_key="v1", percent_viewed=0.25),
    event("twice", visitor_key="v2", percent_viewed=0.75),
    without(event("in-the-address"), "event_key", "user_agent_details", "conversion_type", "conversion_data"),
    without(event("nowhere", iframe_heatmap_url="https://x/?public_token=t0k"), "event_key"),
    event("conversion-zero", conversion_type=0, conversion_data=""),
    event("conversion-number", conversion_type=3, conversion_data={"email": "ann@example.com"}),
    event(
        "conversion-text",
        conversion_type="turnstile",
        conversion_data={"email": "b@example.com", "first_name": "B", "last_name": "", "is_new_lead": True},
    ),
    event("conversion-none"),
    event("empty", region="", city="", org="", embed_url=""),
    event("null", region=None, city=None, org=None, embed_url=None),
    event("whole", percent_viewed=1, lat=32, lon="-81.1"),
    event("unwatched", percent_viewed=0),
    event("private", visitor_key=None, ip=None, lat=None, lon=None),
    event("odd", visitor_key="n0t-a-number_1", media_id="0012345678"),
    event("old-form", received_at=f"{DAY}T10:00:50Z"),
    event("offset", received_at=f"{DAY}T10:00:00+00:00"),
    event("space", received_at=f"{DAY} 05:00:00.000Z"),
    event("naive", received_at=f"{DAY} 05:00:00"),
    # the page boundary moved while we read: the row comes again, and has grown
    event("moved", percent_viewed=0.1),
    event("moved", percent_viewed=0.2),
    *(event(f"text{number}", city=text, media_name=text) for number, text in enumerate(TEXTS)),
    *(event(key, visitor_key=key, media_id=key, iframe_heatmap_url=None) for key in IDS),
    event("undeclared", Foo="a", foo={"b": 1}, media_name_2="c", account_id="d", **{"": "e", "name " * 60: "f"}),
    event("undeclared-otherwise", foo=2.5, mediaName=["g"], thumbnail={"url": "u", "colour": "red"}),
]
VISITORS = [
    visitor("fast", created_at=f"{DAY}T11:00:02.000Z", load_count=1, play_count=2),
    visitor(
        "known", visitor_identity={"name": "Zoë", "email": "z@example.com", "org": None}, identifying_event_key="e"
    ),
    without(visitor("old"), "identifying_event_key", "user_agent_details"),
    *(visitor(f"text{number}", visitor_identity={"name": text}) for number, text in enumerate(TEXTS)),
]
MEDIAS = [
    media(
        "abc123defg",
        name="🎬 Über\nuns",
        description='<p>It\'s "here"</p>\n',
        duration=435.456,
        tags=[{"name": "a\0🎬"}],
    ),
    media("0012345678", duration=None, section=None, subfolder=None, tags=None, protected=None),
    media(
        "133e572155", duration=126, section="One", subfolder={"hashed_id": "sub", "name": "", "position": 1}, tags=[]
    ),
    media("specformat", project={"id": 5, "name": "P", "hashedId": "proj123456"}),
    media("files12345", assets=[{"url": "http://embed.example.com/1.bin", "fileSize": 7, "contentType": "video/mp4"}]),
]
DAYS = [
    {"date": "2026-06-13", "load_count": 0, "play_count": 0, "hours_watched": 0},
    {"date": DAY, "load_count": 9, "play_count": 5, "hours_watched": 0.95},
]
ACTIONS = [{"type": text, "text": text, "action_count": number, "rate": 0} for number, text in enumerate(TEXTS)]


def fill(served: Served) -> None:
    """Puts all of the above into the account."""
    served.answers |= {
        "stats/events": EVENTS,
        "stats/visitors": VISITORS,
        "medias": MEDIAS,
        "projects": [{"id": 5, "hashedId": "proj123456", "name": "P", "mediaCount": 5, "publicId": None}],
        "stats/account": DAYS[1],
        "stats/account/by_date": DAYS,
        "stats/projects/proj123456": DAYS[1],
        "stats/projects/proj123456/by_date": DAYS,
        "stats/medias/abc123defg/by_date": DAYS,
        "stats/medias/abc123defg/engagement": {"engagement": 1, "engagement_data": [5, 3], "rewatch_data": []},
        "stats/medias/abc123defg": {"load_count": 9, "hours_watched": 1, "actions": ACTIONS, "soon": "2026-06-14"},
        "stats/medias/0012345678": {"load_count": "9", "hours_watched": 0.5, "soon": ["x"]},
        "stats/medias/133e572155": {"load_count": 9.0, "hours_watched": 0, "actions": None, "soon": "next week"},
        "medias/abc123defg/captions": [
            {"id": f"c{number}", "language": "eng", "text": text} for number, text in enumerate(TEXTS)
        ],
    }


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A warehouse of each kind after one sync of all of the above. Tests only read it."""
    folder = tmp_path_factory.mktemp("quirks")
    with ExitStack() as stack:
        if request.param == "duckdb":
            warehouse = in_duckdb(folder / "warehouse.duckdb")
        else:
            warehouse = in_postgres(stack.enter_context(database(request.getfixturevalue("postgres_url"))))
        with pytest.MonkeyPatch.context() as patch, serving() as served:
            patch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
            patch.chdir(folder)
            use_defaults()
            fill(served)
            served.load(warehouse)
        yield warehouse


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


def test_quirk_13_a_full_last_page_is_not_the_end_of_anything(served: Served, duckdb_warehouse: Warehouse) -> None:
    served.answers["stats/events"] = [event(str(number)) for number in range(2 * PAGE)]
    served.load(duckdb_warehouse, "events")
    assert len(duckdb_warehouse.rows("events")) == 2 * PAGE


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


def test_quirk_16_rows_that_the_source_dropped_stay(served: Served, duckdb_warehouse: Warehouse) -> None:
    served.answers["stats/events"] = [event("new"), event("old", received_at="2025-05-02T10:00:00.000Z")]
    served.load(duckdb_warehouse, "events")
    served.answers["stats/events"] = [event("newer"), event("new")]
    served.load(duckdb_warehouse, "events", now=NOW.replace(hour=13))
    assert rows_by(duckdb_warehouse, "events", "event_key").keys() == {"newer", "new", "old"}


def test_quirk_18_keys_say_nothing_and_may_be_missing(loaded: Warehouse) -> None:
    assert row_of(loaded, "events", event_key="odd")["visitor_key"] == "n0t-a-number_1"
    assert row_of(loaded, "events", event_key="private")["visitor_key"] == ""
    assert row_of(loaded, "events", event_key="private")["lat"] is None


def test_quirk_20_all_medias_touched_at_once_are_updated_and_not_doubled(
    served: Served, duckdb_warehouse: Warehouse
) -> None:
    served.answers["medias"] = MEDIAS
    served.load(duckdb_warehouse, "medias")
    served.answers["medias"] = [row | {"updated": "2026-06-15T12:45:00+00:00"} for row in MEDIAS]
    served.load(duckdb_warehouse, "medias", now=NOW.replace(hour=13))
    medias = rows_by(duckdb_warehouse, "medias", "media_id")
    assert len(medias) == len(MEDIAS)
    assert {row["updated"] for row in medias.values()} == {datetime(2026, 6, 15, 12, 45, tzinfo=UTC)}


def test_quirk_21_addresses_are_kept_as_they_are(loaded: Warehouse) -> None:
    row = row_of(loaded, "events", event_key="empty")
    assert row["thumbnail__url"] == "http://embed.example.com/1.bin"
    assert (row["thumbnail__file_size"], row["thumbnail__content_type"]) == (210, "image/png")


@pytest.mark.parametrize("number", range(len(TEXTS)), ids=lambda number: repr(TEXTS[number][:20]))
def test_texts_survive_exactly(loaded: Warehouse, number: int) -> None:
    text = stored(TEXTS[number])
    row = row_of(loaded, "events", event_key=f"text{number}")
    assert row["city"] == row["media_name"] == text
    assert row_of(loaded, "visitors", visitor_key=f"text{number}")["visitor_identity__name"] == text
    assert row_of(loaded, "captions", caption_id=f"c{number}")["text"] == text
    action = row_of(loaded, "media_stats__actions", action_count=number)
    assert (action["type"], action["text"], action["media_id"]) == (text, text, "abc123defg")


@pytest.mark.parametrize("key", IDS)
def test_ids_are_texts_and_survive_exactly(loaded: Warehouse, key: str) -> None:
    row = row_of(loaded, "events", event_key=key)
    assert row["visitor_key"] == row["media_id"] == key


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


@pytest.mark.parametrize("resource", ["events", "media_stats"])
def test_an_undeclared_field_may_change_its_type_from_run_to_run(
    served: Served, duckdb_warehouse: Warehouse, resource: str
) -> None:
    for hour, value in enumerate(["2026-06-14T10:00:00Z", {"a": 1}, "x"]):
        served.answers["medias"] = [media("m")]
        served.answers["stats/events"] = [event(str(hour), brand_new=value, received_at=f"{DAY}T10:0{hour}:00.000Z")]
        served.answers["stats/medias/m"] = {"load_count": hour, "brand_new": value}
        served.load(duckdb_warehouse, resource, now=NOW.replace(hour=13 + hour))
    texts = {"2026-06-14T10:00:00Z", '{"a":1}', "x"}
    kept = {row["brand_new"] for row in duckdb_warehouse.rows(resource)}
    assert kept == (texts if resource == "events" else {"x"})


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
