"""Properties of the way from the API's rows to typed tables, whatever the rows look like."""

from __future__ import annotations

import copy
import json
import traceback
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from time import perf_counter
from typing import Any

import orjson
import pyarrow as pa
import pytest
from dlt.common.normalizers.naming.snake_case import NamingConvention
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from wistia_source.endpoints import (
    ENDPOINTS,
    EVENTS,
    MEDIA_STATS,
    MEDIA_STATS_ACTIONS,
    MEDIA_STATS_BY_DATE,
    MEDIAS,
    PROJECTS,
    VISITORS,
    Column,
    Endpoint,
)
from wistia_source.errors import RowUnusable
from wistia_source.rows import ARROW_TYPES, all_columns, carried_rows, fix_event, primary_key, timestamp, to_table

Row = dict[str, Any]

ABSENT = object()
MOMENT = datetime(2024, 12, 10, 23, 56, 14, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
numbers = st.integers(-(2**63), 2**63 - 1)
reals = st.floats(allow_nan=False, allow_infinity=False)
moments = st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
documents = st.recursive(
    st.none() | st.booleans() | numbers | reals | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "bigint": numbers,
    "double": reals,
    "bool": st.booleans(),
    "timestamp": moments.map(lambda at: at.isoformat().replace("+00:00", "Z")),
    "date": st.dates().map(date.isoformat),
    "json": st.lists(numbers | texts, max_size=4),
}
endpoints = st.sampled_from(ENDPOINTS)


def _known(*of: Endpoint) -> set[str]:
    """Names that mean something at the top level of a row."""
    return {
        name
        for endpoint in of
        for name in (
            *(path[0] for column in endpoint.columns for path in column.sources),
            *(child.field for child in endpoint.children),
            *endpoint.ignored,
        )
    }


strange_names = texts.filter(lambda name: name not in _known(*ENDPOINTS))


def _place(row: Row, path: tuple[str, ...], value: Any) -> None:
    *parents, last = path
    for step in parents:
        row = row.setdefault(step, {})
    row[last] = value


@st.composite
def _rows(draw: st.DrawFn, endpoint: Endpoint, key: int) -> tuple[Row, dict[str, Any]]:
    """A row with any subset of the declared fields present, null or absent; and its values by column."""
    row: Row = {}
    expected: dict[str, Any] = {}
    for column in endpoint.columns:
        value = draw(VALUES[column.data_type] | st.sampled_from([None, ABSENT]))
        if column.name in endpoint.primary_key:
            value = _key(column, key)
        if value is not ABSENT:
            _place(row, draw(st.sampled_from(column.sources)), value)
        expected[column.name] = None if value is ABSENT else value
    return row, expected


def _key(column: Column, number: int) -> Any:
    at = MOMENT + timedelta(days=number)
    return {"timestamp": f"{at:%FT%TZ}", "date": at.date().isoformat()}.get(column.data_type, f"key{number}")


def _least(endpoint: Endpoint, number: int = 0, /, **fields: Any) -> Row:
    """A row with nothing but its key, and `fields`."""
    row: Row = {}
    for name in endpoint.primary_key:
        _place(row, endpoint.column(name).sources[0], _key(endpoint.column(name), number))
    return row | fields


def _as_sent(column: Column, value: Any) -> Any:
    """A loaded value in the form in which it was sent."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return json.loads(value) if column.data_type == "json" and value is not None else value


def _one(endpoint: Endpoint, **fields: Any) -> Row:
    """What becomes of one row."""
    (row,) = to_table(endpoint, [_least(endpoint, **fields)], "7").to_pylist()
    return dict(row)


def _undeclared(table: pa.Table, endpoint: Endpoint) -> list[str]:
    return table.column_names[len(all_columns(endpoint)) :]


def _hashes(endpoint: Endpoint, *rows: Row) -> list[int]:
    return [int(value or 0) for value in to_table(endpoint, rows, "7")["_row_hash"].to_pylist()]


# declared columns


@settings(max_examples=120)
@given(data=st.data(), endpoint=endpoints, count=st.integers(0, 3))
def test_every_declared_column_is_there_with_its_type_and_values_survive(
    data: st.DataObject, endpoint: Endpoint, count: int
) -> None:
    drawn = [data.draw(_rows(endpoint, number)) for number in range(count)]
    table = to_table(endpoint, [row for row, _ in drawn], "7")
    assert table.column_names == [column.name for column in all_columns(endpoint)]
    assert table.schema.types == [ARROW_TYPES[column.data_type] for column in all_columns(endpoint)]
    assert {field.name for field in table.schema if not field.nullable} == set(primary_key(endpoint))
    for row, (_, expected) in zip(table.to_pylist(), drawn, strict=True):
        assert {c.name: _as_sent(c, row[c.name]) for c in endpoint.columns} == expected
        assert row["account_id"] == "7"


@pytest.mark.parametrize(
    ("sent", "loaded"),
    [
        (12, 12),
        (12.0, 12),
        ("12", 12),
        ("12.0", 12),
        ("-3", -3),
        (True, 1),
        ("", None),
        (None, None),
        (2**63 - 1, 2**63 - 1),
        # more than the 53 bits of a float
        ("9007199254740993", 9007199254740993),
    ],
)
def test_whole_numbers_in_every_form(sent: Any, loaded: int | None) -> None:
    assert _one(VISITORS, load_count=sent)["load_count"] == loaded


@pytest.mark.parametrize(
    ("sent", "loaded"),
    [(0, 0.0), (1, 1.0), (0.95, 0.95), ("0.5", 0.5), ("1e-3", 0.001), ("", None), (None, None), (2**60 + 1, 2.0**60)],
)
def test_fractions_in_every_form(sent: Any, loaded: float | None) -> None:
    assert _one(EVENTS, percent_viewed=sent)["percent_viewed"] == loaded


@pytest.mark.parametrize(
    ("sent", "loaded"),
    [(True, True), ("true", True), ("False", False), (1, True), (0, False), ("1", True), ("", None), (None, None)],
)
def test_truth_in_every_form(sent: Any, loaded: bool | None) -> None:
    assert _one(MEDIAS, archived=sent)["archived"] is loaded


@pytest.mark.parametrize(
    ("sent", "loaded"),
    [("x", "x"), ("", ""), (0, "0"), (12, "12"), (0.5, "0.5"), (True, "true"), ({"a": [1]}, '{"a":[1]}'), ([], "[]")],
)
def test_whatever_stands_where_text_is_meant_becomes_text(sent: Any, loaded: str) -> None:
    assert _one(EVENTS, conversion_type=sent)["conversion_type"] == loaded


FORMS = [
    "2024-12-10T23:56:14Z",
    "2024-12-10T23:56:14.000Z",
    "2024-12-10T23:56:14+00:00",
    "2024-12-10T18:56:14-05:00",
    "2024-12-11T05:26:14+0530",
    "2024-12-10 23:56:14.000Z",
    "2024-12-10 23:56:14",
    "2024-12-10T23:56:14",
    "2024-12-10T23:56:14.000000000Z",
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_moment(form: str) -> None:
    assert timestamp(form) == MOMENT
    # alone Arrow reads it, beside an empty text the values are read one by one
    rows = [_least(EVENTS, 1, received_at=form), _least(EVENTS, 2, received_at="")]
    assert to_table(EVENTS, rows[:1], "7")["received_at"].to_pylist() == [MOMENT]
    assert to_table(EVENTS, rows, "7")["received_at"].to_pylist() == [MOMENT, None]


@given(at=moments, offset=st.integers(-14 * 60, 14 * 60), forms=st.lists(st.sampled_from(FORMS), max_size=3))
def test_a_moment_with_an_offset_is_the_same_moment_in_any_company(at: datetime, offset: int, forms: list[str]) -> None:
    sign, (hours, minutes) = "-" if offset < 0 else "+", divmod(abs(offset), 60)
    local = (at + timedelta(minutes=offset)).replace(tzinfo=None).isoformat()
    sent = [f"{local}{sign}{hours:02}:{minutes:02}", *forms]
    rows = [_least(EVENTS, number, received_at=form) for number, form in enumerate(sent)]
    assert to_table(EVENTS, rows, "7")["received_at"].to_pylist() == [at] + [MOMENT] * len(forms)


@pytest.mark.parametrize("sent", ["2024-12-10", "2024-12-10T00:00:00Z", "2024-12-10 05:00:00.000Z"])
def test_a_day_with_or_without_a_time_is_the_day_as_given(sent: str) -> None:
    rows = [{"media_id": "m", "date": sent}]
    assert to_table(MEDIA_STATS_BY_DATE, rows, "7")["date"].to_pylist() == [date(2024, 12, 10)]


@pytest.mark.parametrize("fields", [{"hashedId": "h"}, {"hashed_id": "h"}, {"hashedId": None, "hashed_id": "h"}])
def test_the_first_path_that_has_a_value_wins(fields: Row) -> None:
    assert to_table(PROJECTS, [fields], "7")["project_id"].to_pylist() == ["h"]


def test_keys_of_files_are_snake_case_in_either_version() -> None:
    sent = [{"fileSize": 1, "contentType": "video/mp4"}, {"file_size": 2, "content_type": None}]
    assert json.loads(_one(MEDIAS, assets=sent)["assets"]) == [
        {"file_size": 1, "content_type": "video/mp4"},
        {"file_size": 2, "content_type": None},
    ]


def test_u0000_is_replaced_in_text_and_documents_and_in_nothing_else() -> None:
    row = _one(MEDIAS, name="a\0b", tags=[{"name": "a\0b"}, {"name": "\\u0000"}, {"name": "\\\0"}], other={"x": "\0"})
    assert row["name"] == "a\ufffdb"
    assert json.loads(row["tags"]) == [{"name": "a\ufffdb"}, {"name": "\\u0000"}, {"name": "\\\ufffd"}]


# values that cannot fit


@pytest.mark.parametrize(
    ("endpoint", "column", "value"),
    [
        (VISITORS, "load_count", "secret"),
        (VISITORS, "load_count", 1.9),
        (VISITORS, "load_count", "1.9"),
        (VISITORS, "load_count", 2**63),
        (VISITORS, "load_count", "1e999999999"),
        (VISITORS, "load_count", "NaN"),
        (VISITORS, "load_count", ["secret"]),
        (VISITORS, "created_at", "secret"),
        (VISITORS, "created_at", "now"),
        (VISITORS, "created_at", "12:30"),
        (VISITORS, "created_at", 1733875200),
        (VISITORS, "created_at", ["secret"]),
        (EVENTS, "percent_viewed", "secret"),
        (EVENTS, "percent_viewed", {"secret": 1}),
        (EVENTS, "lat", [1.0]),
        (MEDIAS, "archived", "secret"),
        (MEDIAS, "archived", ["secret"]),
        (MEDIAS, "archived", 2),
        (MEDIA_STATS_BY_DATE, "date", "secret"),
        (MEDIA_STATS_BY_DATE, "date", 20241210),
    ],
)
def test_a_value_that_cannot_fit_is_named_by_table_and_column_and_never_shown(
    endpoint: Endpoint, column: str, value: Any
) -> None:
    rows = [_least(endpoint, 1), _least(endpoint, 2, **{column: value})]
    with pytest.raises(RowUnusable) as raised:
        to_table(endpoint, rows, "7")
    message = str(raised.value)
    assert message.startswith(f"{endpoint.name}.{column} ")
    assert message.endswith(".")
    assert "\n" not in message
    assert ". " not in message
    # dlt's trace keeps the messages of causes and contexts too
    assert raised.value.__cause__ is raised.value.__context__ is None
    assert "secret" not in "".join(traceback.format_exception_only(raised.value))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_a_null_in_a_key_is_refused_by_name(endpoint: Endpoint) -> None:
    for name in endpoint.primary_key:
        row = _least(endpoint)
        _place(row, endpoint.column(name).sources[0], None)
        with pytest.raises(RowUnusable, match=f"{endpoint.name} without {name},"):
            to_table(endpoint, [_least(endpoint, 1), row], "7")


# undeclared fields

UNDECLARED: dict[tuple[str, ...], list[Any]] = {
    ("brand_new",): ["x", 1, 1.5, True, [1, "a"], {"a": {"b": None}}],
    ("thumbnail", "colour"): ["red", 255, {"r": 1}],
    ("visitor_identity", "org", "size"): [12, "12"],
    ("visitor_identity", "phones"): [["1", "2"], "1"],
}


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        (endpoint, path)
        for endpoint in (EVENTS, VISITORS, MEDIAS)
        for path in UNDECLARED
        if len(path) == 1 or any(source[: len(path) - 1] == path[:-1] for c in endpoint.columns for source in c.sources)
    ],
    ids=lambda value: value.name if isinstance(value, Endpoint) else "__".join(value),
)
def test_a_field_that_nobody_declared_is_a_text_column_whatever_it_holds(
    endpoint: Endpoint, path: tuple[str, ...]
) -> None:
    values = UNDECLARED[path]
    rows = [_least(endpoint, number) for number in range(len(values) + 1)]
    for row, value in zip(rows, values, strict=False):
        _place(row, path, value)
    table = to_table(endpoint, rows, "7")
    name = "__".join(path)
    assert _undeclared(table, endpoint) == [name]
    assert table.schema.field(name).type == pa.string()
    for value, text in zip([*values, None], table[name].to_pylist(), strict=True):
        assert text == value if isinstance(value, str | None) else json.loads(text or "") == value
    # one batch for each value: the type is the same
    assert {to_table(endpoint, [row], "7").schema.field(name).type for row in rows[:-1]} == {pa.string()}


@settings(max_examples=60)
@given(
    data=st.data(),
    endpoint=endpoints,
    fields=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
        | st.sampled_from(["Foo", "foo", "FOO", "fooBar", "foo_bar", "foo_2", "_dlt_id", "_dlt_load_id", "account_id"])
        | st.sampled_from(sorted({column.name for endpoint in ENDPOINTS for column in endpoint.columns}))
        | st.integers(60, 70).map(lambda length: "x" * length),
        documents,
        max_size=6,
    ),
)
def test_undeclared_fields_change_nothing_else_and_lose_nothing(
    data: st.DataObject, endpoint: Endpoint, fields: Row
) -> None:
    row, _ = data.draw(_rows(endpoint, 0))
    fields = {name: value for name, value in fields.items() if name not in _known(endpoint)}
    before, after = to_table(endpoint, [row], "7"), to_table(endpoint, [row | fields], "7")
    declared = [column.name for column in all_columns(endpoint) if column.name != "_row_hash"]
    assert after.select(declared).equals(before.select(declared))
    kept = after.select(_undeclared(after, endpoint)).to_pylist()[0]
    sent = [value for value in fields.values() if value is not None]
    assert sorted(kept.values()) == sorted(_text(value) for value in sent)
    # dlt gives none of the names another form, and Postgres cuts none
    naming = NamingConvention(63)
    assert all(naming.normalize_path(name) == name for name in kept)


def _text(value: Any) -> str:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else orjson.dumps(value).decode()


@pytest.mark.parametrize(
    ("endpoint", "fields", "columns"),
    [
        (MEDIAS, {"media_id": "a", "numeric_id": "b"}, {"media_id_2": "a", "numeric_id_2": "b"}),
        (EVENTS, {"user_agent_details__browser": "a"}, {"user_agent_details_browser": "a"}),
        (EVENTS, {"account_id": "a", "_row_hash": 1}, {"account_id_2": "a", "_row_hash_2": "1"}),
        (EVENTS, {"_dlt_id": "a", "_dlt_load_id": "b"}, {"_dlt_id_2": "a", "_dlt_load_id_2": "b"}),
        (EVENTS, {"rowid": "a", "rowId": "b"}, {"rowid_2": "a", "row_id": "b"}),
        (EVENTS, {"Foo": "a", "foo": "b"}, {"foo_2": "a", "foo": "b"}),
        (EVENTS, {"Foo": "a"}, {"foo": "a"}),
        (EVENTS, {"mediaName": "a"}, {"media_name_2": "a"}),
        (EVENTS, {"": "a", " ": "b", "🎬": "c"}, {"x": "a", "x_2": "b", "x_3": "c"}),
        (EVENTS, {"two words": "a"}, {"two_words": "a"}),
        (MEDIA_STATS, {"Actions": "a"}, {"actions_2": "a"}),
        # an object is meant
        (EVENTS, {"thumbnail": "https://x"}, {"thumbnail": "https://x"}),
        (EVENTS, {"conversion_data": ["a"]}, {"conversion_data": '["a"]'}),
        (EVENTS, {"thumbnail": "", "conversion_data": {}, "user_agent_details": None}, {}),
        (EVENTS, {"cursor": "a", "attributes": {"b": 1}}, {}),
        (MEDIAS, {"thumbnail": {"url": "u", "new": None}}, {}),
    ],
)
def test_names_of_undeclared_fields_stay_apart(endpoint: Endpoint, fields: Row, columns: Row) -> None:
    row = _one(endpoint, **fields)
    extra = {name: value for name, value in row.items() if name not in {c.name for c in all_columns(endpoint)}}
    assert extra == columns


def test_a_long_name_is_cut_and_stays_apart_from_others_that_begin_alike() -> None:
    names = [f"{'long_name_' * 40}{number}" for number in range(3)]
    table = to_table(EVENTS, [_least(EVENTS, **dict.fromkeys(names, "x"))], "7")
    assert len(_undeclared(table, EVENTS)) == 3
    assert max(map(len, table.column_names)) <= 63


# the hash


@settings(max_examples=60)
@given(data=st.data(), endpoint=endpoints, extra=st.dictionaries(strange_names, documents, max_size=2))
def test_the_hash_does_not_depend_on_the_batch_the_order_of_keys_or_the_run(
    data: st.DataObject, endpoint: Endpoint, extra: Row
) -> None:
    row, _ = data.draw(_rows(endpoint, 0))
    other, _ = data.draw(_rows(endpoint, 1))
    (alone,) = _hashes(endpoint, row)
    assert _hashes(endpoint, copy.deepcopy(row)) == [alone]
    assert _hashes(endpoint, other, row)[1] == alone
    assert _hashes(endpoint, {"brand_new": 1, "zzz": {"a": 1}, **extra, **other}, row)[1] == alone
    assert _hashes(endpoint, _turned(row)) == [alone]


def _turned(value: Any) -> Any:
    """The same document with the keys of all objects the other way round."""
    if isinstance(value, list):
        return [_turned(inner) for inner in value]
    return {key: _turned(value[key]) for key in reversed(value)} if isinstance(value, dict) else value


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_any_changed_value_changes_the_hash(endpoint: Endpoint) -> None:
    one: dict[str, Any] = {"text": "a", "bigint": 1, "double": 0.5, "bool": True, "json": [{"name": "a"}]}
    two: dict[str, Any] = {"text": "b", "bigint": 2, "double": 0.6, "bool": False, "json": [{"name": "b"}]}
    for kind, first, second in (
        ("timestamp", "2024-12-10T23:56:14Z", "2024-12-10T23:56:15Z"),
        ("date", "2024-12-10", "2024-12-11"),
    ):
        one[kind], two[kind] = first, second
    full: Row = {}
    for column in endpoint.columns:
        _place(full, column.sources[0], one[column.data_type])
    full["brand_new"] = 1
    seen = _hashes(endpoint, full)
    for column in endpoint.columns:
        for value in (two[column.data_type], None):
            if value is None and column.name in endpoint.primary_key:
                continue
            changed = copy.deepcopy(full)
            _place(changed, column.sources[0], value)
            seen += _hashes(endpoint, changed)
    for changes in ({"brand_new": 2}, {"brand_new": None}, {"another": 1}, {"Brand_new": 1, "brand_new": None}):
        seen += _hashes(endpoint, full | changes)
    # the last one says the same of the same column
    assert len(set(seen)) == len(seen) - 1


@given(fields=st.lists(strange_names, min_size=2, max_size=2, unique=True), value=texts)
def test_a_value_that_moves_to_another_column_changes_the_hash(fields: list[str], value: str) -> None:
    assert _hashes(EVENTS, _least(EVENTS, city="a", region="b")) != _hashes(
        EVENTS, _least(EVENTS, city="b", region="a")
    )
    names = [set(to_table(EVENTS, [_least(EVENTS, **{name: value})], "7").column_names) for name in fields]
    assume(names[0] != names[1])
    one, two = ([_least(EVENTS, **{name: value})] for name in fields)
    assert _hashes(EVENTS, *one) != _hashes(EVENTS, *two)


def test_a_change_within_a_call_to_action_changes_the_hash_of_its_media() -> None:
    def row(**change: Any) -> Row:
        action = {"type": "call_to_action", "action_count": 1, "impression_count": 9, "rate": 0.1, "url": None}
        return {"media_id": "m", "load_count": 9, "actions": [action, action | change]}

    changes: list[Row] = [{}, {"action_count": 2}, {"type": "turnstile"}, {"url": "https://x"}, {"brand_new": 1}]
    assert len({_hashes(MEDIA_STATS, row(**change))[0] for change in changes}) == len(changes)
    assert _hashes(MEDIA_STATS, row()) == _hashes(MEDIA_STATS, _turned(row()))


# doubles, keys, children


@settings(max_examples=60)
@given(
    keys=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "v", None])), max_size=12),
    extra=st.integers(0, 11),
)
def test_of_rows_with_one_key_the_last_is_kept(keys: list[tuple[str, str | None]], extra: int) -> None:
    rows: list[Row] = [
        {
            "event_key": event,
            "visitor_key": visitor,
            "percent_viewed": number,
            **({"new": number} if number == extra else {}),
        }
        for number, (event, visitor) in enumerate(keys)
    ]
    for row in rows:
        fix_event(row, False)
    table = to_table(EVENTS, rows, "7")
    last = {(row["event_key"], row["visitor_key"]): row["percent_viewed"] for row in rows}
    got = {(row["event_key"], row["visitor_key"]): row["percent_viewed"] for row in table.to_pylist()}
    assert got == last
    assert table.num_rows == len(last)
    if "new" in table.column_names:
        assert {row["percent_viewed"] for row in table.to_pylist() if row["new"]} <= {extra}


def test_one_event_key_of_two_visitors_is_two_rows() -> None:
    rows = [{"event_key": "e", "visitor_key": key} for key in ("v", "w")]
    assert to_table(EVENTS, rows, "7").num_rows == 2


@example(key="1734133_0a1b-2c", before="https://api.wistia.com/v1/stats")
@given(
    key=st.from_regex(r"[A-Za-z0-9_.-]{1,72}", fullmatch=True),
    before=st.sampled_from(["https://x", "http://app.wistia.com/stats"]),
)
def test_an_event_without_a_key_has_it_from_its_heatmap(key: str, before: str) -> None:
    url = f"{before}/events/{key}/iframe.html?public_token=t0k&x=1"
    for missing in ({}, {"event_key": None}, {"event_key": ""}):
        row: Row = {**missing, "iframe_heatmap_url": url, "visitor_key": "v"}
        fix_event(row, keep_public_token=False)
        assert row["event_key"] == key
        assert row["iframe_heatmap_url"] == f"{before}/events/{key}/iframe.html?public_token=&x=1"


def test_the_public_token_is_kept_only_if_asked_for() -> None:
    row: Row = {"event_key": "e", "visitor_key": "v", "iframe_heatmap_url": "https://x/events/e/?public_token=t0k"}
    fix_event(row, keep_public_token=True)
    assert row["iframe_heatmap_url"].endswith("=t0k")


@given(
    percents=st.tuples(reals, reals),
    heatmap=st.sampled_from([None, "", "https://x/none", 5]),
    visitor=st.sampled_from([None, "v"]),
)
def test_an_event_without_any_key_keeps_one_while_the_session_grows(
    percents: tuple[float, float], heatmap: Any, visitor: str | None
) -> None:
    session = {"received_at": "2024-12-10T23:56:14.000Z", "visitor_key": visitor, "media_id": "m"}
    rows: list[Row] = [
        {**session, "iframe_heatmap_url": heatmap, "percent_viewed": percent, "email": email}
        for percent, email in zip(percents, (None, "ann@example.com"), strict=True)
    ]
    others: list[Row] = [{**session, name: "other"} for name in session]
    for row in [*rows, *others]:
        fix_event(row, False)
    assert rows[0]["event_key"] == rows[1]["event_key"]
    assert rows[0]["visitor_key"] == (visitor or "")
    assert len({row["event_key"] for row in [rows[0], *others]}) == 4


@given(data=st.data())
def test_keys_of_events_are_never_null(data: st.DataObject) -> None:
    row, _ = data.draw(_rows(EVENTS, 0))
    for name in data.draw(st.sets(st.sampled_from(["event_key", "visitor_key", "media_id", "received_at"]))):
        row.pop(name, None)
    fix_event(row, False)
    table = to_table(EVENTS, [row], "7")
    assert all(table[name].null_count == 0 for name in primary_key(EVENTS))


def test_calls_to_action_keep_their_values_their_order_and_undeclared_fields() -> None:
    actions = [
        {"type": "b\0", "action_count": "3", "rate": 1, "text": "", "colour": {"r": 1}},
        {"type": "a"},
    ]
    rows = [
        {**action, "media_id": "1", "position": position}
        for position, action in enumerate(carried_rows(MEDIA_STATS, MEDIA_STATS_ACTIONS, {"actions": actions}))
    ]
    first, second = to_table(MEDIA_STATS_ACTIONS, rows, "7").drop(["_row_hash"]).to_pylist()
    blank = dict.fromkeys(["type", "action_count", "impression_count", "rate", "url", "text", "_deleted", "colour"])
    own = {"account_id": "7", "media_id": "1"}
    assert first == blank | own | {
        "position": 0,
        "type": "b\ufffd",
        "action_count": 3,
        "rate": 1.0,
        "text": "",
        "colour": '{"r":1}',
    }
    assert second == blank | own | {"position": 1, "type": "a"}


@pytest.mark.parametrize("nothing", [None, "", [], [None], [{}]])
def test_no_calls_to_action_are_no_rows(nothing: Any) -> None:
    assert carried_rows(MEDIA_STATS, MEDIA_STATS_ACTIONS, {"actions": nothing}) == []
    assert carried_rows(MEDIA_STATS, MEDIA_STATS_ACTIONS, {}) == []


@pytest.mark.parametrize(
    ("actions", "named"),
    [
        (["secret"], "media_stats.actions "),
        (5, "media_stats.actions "),
        ([{"type": "a", "rate": "secret"}], "media_stats__actions.rate "),
    ],
)
def test_calls_to_action_that_cannot_fit_are_refused_by_name(actions: Any, named: str) -> None:
    def load() -> None:
        rows = carried_rows(MEDIA_STATS, MEDIA_STATS_ACTIONS, {"actions": actions})
        to_table(MEDIA_STATS_ACTIONS, [{**row, "media_id": "1", "position": 0} for row in rows], "7")

    with pytest.raises(RowUnusable) as raised:
        load()
    assert str(raised.value).startswith(named)
    assert "secret" not in str(raised.value)


# cost


def test_a_thousand_events_are_no_more_than_a_few_milliseconds() -> None:
    row: Row = {}
    for column in EVENTS.columns:
        value: Any = {"double": 0.5, "bigint": 7, "bool": False, "timestamp": FORMS[1]}.get(
            column.data_type, "some text"
        )
        _place(row, column.sources[0], value)
    rows = [{**row, "event_key": str(number)} for number in range(1_000)]
    best = min(_seconds(lambda: to_table(EVENTS, rows, "7")) for _ in range(10))
    # 6 microseconds a row where this was written; the rest is for slower machines
    assert best / len(rows) < 40e-6


def _seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started
