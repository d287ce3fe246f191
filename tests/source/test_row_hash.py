"""The hash of a row changes when the row does, and only then."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.rows import (
    Row,
    documents,
    drawn_row,
    endpoints,
    hashes_of,
    least_row,
    place,
    strange_names,
    texts,
    turned,
)
from wistia_source.endpoints import (
    ENDPOINTS,
    EVENTS,
    MEDIA_STATS,
    Endpoint,
)
from wistia_source.rows import to_table


@given(data=st.data(), endpoint=endpoints, extra=st.dictionaries(strange_names, documents, max_size=2))
def test_the_hash_does_not_depend_on_the_batch_the_order_of_keys_or_the_run(
    data: st.DataObject, endpoint: Endpoint, extra: Row
) -> None:
    row, _ = data.draw(drawn_row(endpoint, 0))
    other, _ = data.draw(drawn_row(endpoint, 1))
    (alone,) = hashes_of(endpoint, row)
    assert hashes_of(endpoint, copy.deepcopy(row)) == [alone]
    assert hashes_of(endpoint, other, row)[1] == alone
    assert hashes_of(endpoint, {"brand_new": 1, "zzz": {"a": 1}, **extra, **other}, row)[1] == alone
    assert hashes_of(endpoint, turned(row)) == [alone]


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
        place(full, column.sources[0], one[column.data_type])
    full["brand_new"] = 1
    seen = hashes_of(endpoint, full)
    for column in endpoint.columns:
        for value in (two[column.data_type], None):
            if value is None and column.name in endpoint.primary_key:
                continue
            changed = copy.deepcopy(full)
            place(changed, column.sources[0], value)
            seen += hashes_of(endpoint, changed)
    for changes in ({"brand_new": 2}, {"brand_new": None}, {"another": 1}, {"Brand_new": 1, "brand_new": None}):
        seen += hashes_of(endpoint, full | changes)
    # the last one says the same of the same column
    assert len(set(seen)) == len(seen) - 1


@given(fields=st.lists(strange_names, min_size=2, max_size=2, unique=True), value=texts)
def test_a_value_that_moves_to_another_column_changes_the_hash(fields: list[str], value: str) -> None:
    assert hashes_of(EVENTS, least_row(EVENTS, city="a", region="b")) != hashes_of(
        EVENTS, least_row(EVENTS, city="b", region="a")
    )
    names = [set(to_table(EVENTS, [least_row(EVENTS, **{name: value})], "7").column_names) for name in fields]
    assume(names[0] != names[1])
    one, two = ([least_row(EVENTS, **{name: value})] for name in fields)
    assert hashes_of(EVENTS, *one) != hashes_of(EVENTS, *two)


def test_a_change_within_a_call_to_action_changes_the_hash_of_its_media() -> None:
    def row(**change: Any) -> Row:
        action = {"type": "call_to_action", "action_count": 1, "impression_count": 9, "rate": 0.1, "url": None}
        return {"media_id": "m", "load_count": 9, "actions": [action, action | change]}

    changes: list[Row] = [{}, {"action_count": 2}, {"type": "turnstile"}, {"url": "https://x"}, {"brand_new": 1}]
    assert len({hashes_of(MEDIA_STATS, row(**change))[0] for change in changes}) == len(changes)
    assert hashes_of(MEDIA_STATS, row()) == hashes_of(MEDIA_STATS, turned(row()))
