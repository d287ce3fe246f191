"""Rows become typed tables: declared values survive, and those that cannot fit are refused."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import (
    FORMS,
    MOMENT,
    Row,
    as_sent,
    drawn_row,
    endpoints,
    least_row,
    loaded_row,
    moments,
    place,
)
from wistia_source.endpoints import (
    ENDPOINTS,
    EVENTS,
    MEDIA_STATS_BY_DATE,
    MEDIAS,
    PROJECTS,
    VISITORS,
    Endpoint,
)
from wistia_source.errors import RowUnusable
from wistia_source.rows import ARROW_TYPES, all_columns, primary_key, to_table
from wistia_source.values import timestamp


@given(data=st.data(), endpoint=endpoints, count=st.integers(0, 3))
def test_every_declared_column_is_there_with_its_type_and_values_survive(
    data: st.DataObject, endpoint: Endpoint, count: int
) -> None:
    drawn = [data.draw(drawn_row(endpoint, number)) for number in range(count)]
    table = to_table(endpoint, [row for row, _ in drawn], "7")
    assert table.column_names == [column.name for column in all_columns(endpoint)]
    assert table.schema.types == [ARROW_TYPES[column.data_type] for column in all_columns(endpoint)]
    assert {field.name for field in table.schema if not field.nullable} == set(primary_key(endpoint))
    for row, (_, expected) in zip(table.to_pylist(), drawn, strict=True):
        assert {c.name: as_sent(c, row[c.name]) for c in endpoint.columns} == expected
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
    assert loaded_row(VISITORS, load_count=sent)["load_count"] == loaded


@pytest.mark.parametrize(
    ("sent", "loaded"),
    [(0, 0.0), (1, 1.0), (0.95, 0.95), ("0.5", 0.5), ("1e-3", 0.001), ("", None), (None, None), (2**60 + 1, 2.0**60)],
)
def test_fractions_in_every_form(sent: Any, loaded: float | None) -> None:
    assert loaded_row(EVENTS, percent_viewed=sent)["percent_viewed"] == loaded


@pytest.mark.parametrize(
    ("sent", "loaded"),
    [(True, True), ("true", True), ("False", False), (1, True), (0, False), ("1", True), ("", None), (None, None)],
)
def test_truth_in_every_form(sent: Any, loaded: bool | None) -> None:
    assert loaded_row(MEDIAS, archived=sent)["archived"] is loaded


@pytest.mark.parametrize(
    ("sent", "loaded"),
    [("x", "x"), ("", ""), (0, "0"), (12, "12"), (0.5, "0.5"), (True, "true"), ({"a": [1]}, '{"a":[1]}'), ([], "[]")],
)
def test_whatever_stands_where_text_is_meant_becomes_text(sent: Any, loaded: str) -> None:
    assert loaded_row(EVENTS, conversion_type=sent)["conversion_type"] == loaded


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_moment(form: str) -> None:
    assert timestamp(form) == MOMENT
    # alone Arrow reads it, beside an empty text the values are read one by one
    rows = [least_row(EVENTS, 1, received_at=form), least_row(EVENTS, 2, received_at="")]
    assert to_table(EVENTS, rows[:1], "7")["received_at"].to_pylist() == [MOMENT]
    assert to_table(EVENTS, rows, "7")["received_at"].to_pylist() == [MOMENT, None]


@given(at=moments, offset=st.integers(-14 * 60, 14 * 60), forms=st.lists(st.sampled_from(FORMS), max_size=3))
def test_a_moment_with_an_offset_is_the_same_moment_in_any_company(at: datetime, offset: int, forms: list[str]) -> None:
    sign, (hours, minutes) = "-" if offset < 0 else "+", divmod(abs(offset), 60)
    local = (at + timedelta(minutes=offset)).replace(tzinfo=None).isoformat()
    sent = [f"{local}{sign}{hours:02}:{minutes:02}", *forms]
    rows = [least_row(EVENTS, number, received_at=form) for number, form in enumerate(sent)]
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
    assert json.loads(loaded_row(MEDIAS, assets=sent)["assets"]) == [
        {"file_size": 1, "content_type": "video/mp4"},
        {"file_size": 2, "content_type": None},
    ]


def test_u0000_is_replaced_in_text_and_documents_and_in_nothing_else() -> None:
    tags = [{"name": "a\0b"}, {"name": "\\u0000"}, {"name": "\\\0"}]
    row = loaded_row(MEDIAS, name="a\0b", tags=tags, undeclared="a\0b", another={"x": "\0"})
    assert row["undeclared"] == "a\ufffdb"
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
    rows = [least_row(endpoint, 1), least_row(endpoint, 2, **{column: value})]
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
        row = least_row(endpoint)
        place(row, endpoint.column(name).sources[0], None)
        with pytest.raises(RowUnusable, match=f"{endpoint.name} without {name},"):
            to_table(endpoint, [least_row(endpoint, 1), row], "7")


def test_a_row_takes_few_steps_to_type() -> None:
    row: Row = {}
    for column in EVENTS.columns:
        value: Any = {"double": 0.5, "bigint": 7, "bool": False, "timestamp": FORMS[1]}.get(
            column.data_type, "some text"
        )
        place(row, column.sources[0], value)
    rows = [{**row, "event_key": str(number)} for number in range(1_000)]
    few, many = calls_of(lambda: to_table(EVENTS, rows[:500], "7")), calls_of(lambda: to_table(EVENTS, rows, "7"))
    # what has to be done for each batch cancels out
    assert (many - few) / 500 < 2 * len(EVENTS.columns)


def calls_of(work: Callable[[], object]) -> int:
    """How many functions it calls, of Python and of C."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls
