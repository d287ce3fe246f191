"""Fields that nobody declared become text columns beside the declared ones."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pyarrow as pa
import pytest
from dlt.common.normalizers.naming.snake_case import NamingConvention
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import (
    Row,
    documents,
    drawn_row,
    endpoints,
    known_names,
    least_row,
    loaded_row,
    place,
    undeclared_columns,
)
from wistia_source.endpoints import (
    ENDPOINTS,
    EVENTS,
    MEDIA_STATS,
    MEDIAS,
    VISITORS,
    Endpoint,
)
from wistia_source.rows import all_columns, to_table

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
    rows = [least_row(endpoint, number) for number in range(len(values) + 1)]
    for row, value in zip(rows, values, strict=False):
        place(row, path, value)
    table = to_table(endpoint, rows, "7")
    name = "__".join(path)
    assert undeclared_columns(table, endpoint) == [name]
    assert table.schema.field(name).type == pa.string()
    for value, text in zip([*values, None], table[name].to_pylist(), strict=True):
        assert text == value if isinstance(value, str | None) else json.loads(text or "") == value
    # one batch for each value: the type is the same
    assert {to_table(endpoint, [row], "7").schema.field(name).type for row in rows[:-1]} == {pa.string()}


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
    row, _ = data.draw(drawn_row(endpoint, 0))
    fields = {name: value for name, value in fields.items() if name not in known_names(endpoint)}
    before, after = to_table(endpoint, [row], "7"), to_table(endpoint, [row | fields], "7")
    declared = [column.name for column in all_columns(endpoint) if column.name != "_row_hash"]
    assert after.select(declared).equals(before.select(declared))
    kept = after.select(undeclared_columns(after, endpoint)).to_pylist()[0]
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
    row = loaded_row(endpoint, **fields)
    extra = {name: value for name, value in row.items() if name not in {c.name for c in all_columns(endpoint)}}
    assert extra == columns


def test_a_long_name_is_cut_and_stays_apart_from_others_that_begin_alike() -> None:
    names = [f"{'long_name_' * 40}{number}" for number in range(3)]
    table = to_table(EVENTS, [least_row(EVENTS, **dict.fromkeys(names, "x"))], "7")
    assert len(undeclared_columns(table, EVENTS)) == 3
    assert max(map(len, table.column_names)) <= 63
