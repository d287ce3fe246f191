"""Keys of rows: one row a key, keys that are derived, and rows inside of rows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.rows import (
    Row,
    drawn_row,
    reals,
)
from wistia_source.endpoints import (
    EVENTS,
    MEDIA_STATS,
    MEDIA_STATS_ACTIONS,
)
from wistia_source.errors import RowUnusable
from wistia_source.event_repair import repair_event
from wistia_source.rows import carried_rows, primary_key, to_table


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
        repair_event(row, False)
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
        repair_event(row, keep_public_token=False)
        assert row["event_key"] == key
        assert row["iframe_heatmap_url"] == f"{before}/events/{key}/iframe.html?public_token=&x=1"


def test_the_public_token_is_kept_only_if_asked_for() -> None:
    row: Row = {"event_key": "e", "visitor_key": "v", "iframe_heatmap_url": "https://x/events/e/?public_token=t0k"}
    repair_event(row, keep_public_token=True)
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
        repair_event(row, False)
    assert rows[0]["event_key"] == rows[1]["event_key"]
    assert rows[0]["visitor_key"] == (visitor or "")
    assert len({row["event_key"] for row in [rows[0], *others]}) == 4


@given(data=st.data())
def test_keys_of_events_are_never_null(data: st.DataObject) -> None:
    row, _ = data.draw(drawn_row(EVENTS, 0))
    for name in data.draw(st.sets(st.sampled_from(["event_key", "visitor_key", "media_id", "received_at"]))):
        row.pop(name, None)
    repair_event(row, False)
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
