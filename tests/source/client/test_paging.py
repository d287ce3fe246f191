"""Lists come whole, in order, and for hardly any request more than it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from math import ceil

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wistia_pipeline.sandbox import Account, Fault, Sandbox

from tests.support.http import (
    EVENTS,
    START,
    TOKEN,
    VISITORS,
    Answer,
    Connect,
    Connection,
    counts,
    key,
    pages_asked,
    server,
    small,
)
from wistia_source.budget import RequestBudget
from wistia_source.endpoints import Row
from wistia_source.errors import (
    RequestFailed,
)
from wistia_source.metrics import Metrics


def test_a_list_comes_whole_and_in_order(client: Connection, sandbox: Sandbox) -> None:
    rows = sandbox.account.at(START).events()
    sandbox.page_cap = 10
    pages = list(client.pages(EVENTS, {}, Metrics()))
    assert [row for page in pages for row in page] == rows
    assert pages_asked(sandbox.log) == list(range(1, len(rows) // 10 + 2))
    assert {call.query["per_page"] for call in sandbox.log} == {"100"}


def test_a_full_last_page_is_followed_by_an_empty_one(client: Connection, sandbox: Sandbox) -> None:
    rows = sandbox.account.at(START).events()
    sandbox.page_cap = len(rows) // 5
    assert len(rows) == 95
    metrics = Metrics()
    assert [len(page) for page in client.pages(EVENTS, {}, metrics)] == [19] * 5
    assert counts(metrics) == {"requests": 6}


def test_a_list_of_nothing_is_one_request(client: Connection, sandbox: Sandbox) -> None:
    assert list(client.pages(EVENTS, {"end_date": "2001-01-01"}, Metrics())) == []
    assert len(sandbox.log) == 1


def test_the_length_of_full_pages_is_learned_once_per_list(client: Connection, sandbox: Sandbox) -> None:
    sandbox.page_cap = 10
    list(client.pages(EVENTS, {}, Metrics()))
    sandbox.log.clear()
    assert len(list(client.pages(EVENTS, {"end_date": "2026-05-17"}, Metrics()))[-1]) < 10
    assert pages_asked(sandbox.log)[-1] == 1
    # but another list may have other pages
    sandbox.page_cap, longer = 5, small(visitors=8, events=8)
    sandbox.account = longer
    assert sum(map(len, client.pages(VISITORS, {}, Metrics()))) == len(longer.at(START).visitors())


@given(days=st.integers(0, 31), cap=st.integers(1, 60), walks=st.integers(1, 2))
def test_all_rows_come_once_for_hardly_any_request_more_than_it_takes(
    listed: Sandbox, days: int, cap: int, walks: int
) -> None:
    listed.page_cap = cap
    last = (START - timedelta(days=days)).date().isoformat()
    rows = listed.account.at(START).events(end_date=last)
    with closing(Connection(TOKEN, listed.url, "v1", RequestBudget(100_000))) as client:
        for _ in range(walks):
            listed.log.clear()
            got = [row for page in client.pages(EVENTS, {"end_date": last}, Metrics()) for row in page]
            assert got == rows
            assert len(listed.log) <= max(1, ceil(len(rows) / cap)) + 1


@pytest.fixture(scope="module")
def listed(account: Account) -> Iterator[Sandbox]:
    """A sandbox for many examples."""
    with Sandbox(account, now=lambda: START, rate_limit=None, token=TOKEN) as server:
        yield server


def test_rows_that_come_in_between_pages_push_none_past_us(connect: Connect) -> None:
    account = small(events=300, hourly_events=40)
    with Sandbox(account, now=lambda: START, rate_limit=None, token=TOKEN, page_cap=20) as sandbox:
        there = {key(row) for row in account.at(START).events()}
        now, got = START, set()
        for page in connect(sandbox.url).pages(EVENTS, {}, Metrics()):
            got |= {key(row) for row in page}
            now += timedelta(minutes=20)
            sandbox.now = lambda now=now: now  # type: ignore[misc]
        assert there <= got
        assert len(account.at(now).events()) > len(there) + 200


def test_pages_may_equal_the_one_before_when_as_many_rows_came_in_between(connect: Connect) -> None:
    came = 0

    def shifted(path: str) -> Answer:
        nonlocal came
        page = int(path.partition("?page=")[2].partition("&")[0])
        # a page of new rows comes before each of the pages 2 to 4 is asked for
        came = max(came, min(page - 1, 3) * 10)
        newest_first = [{"id": number} for number in range(20 + came, 0, -1)]
        return 200, {}, orjson.dumps(newest_first[(page - 1) * 10 : page * 10])

    with server(shifted) as (url, _):
        got = [[row["id"] for row in page] for page in connect(url).pages(EVENTS, {}, Metrics())]
    first, second = list(range(20, 10, -1)), list(range(10, 0, -1))
    assert got == [first] * 4 + [second]


@pytest.mark.parametrize("spoil", [lambda page: None, lambda page: page[0].clear(), lambda page: page.clear()])
def test_a_server_that_answers_every_page_alike_is_found_out(
    spoil: Callable[[list[Row]], None], connect: Connect
) -> None:
    def walk(client: Connection) -> None:
        for page in client.pages(EVENTS, {}, Metrics()):
            # rows are mended where they are
            spoil(page)
            assert len(asked) < 10

    with server(lambda path: (200, {}, b'[{"id": 1}]')) as (url, asked):
        with pytest.raises(RequestFailed, match="every page with the same rows"):
            walk(connect(url))
        assert len(asked) == 3


@pytest.mark.parametrize("body", ['{"events": []}', "null", "0", '"no"', "{}"])
def test_an_answer_that_is_no_list_is_not_taken_for_none(body: str, client: Connection, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(".", "malformed", body=body, times=None))
    with pytest.raises(RequestFailed, match=f"GET {EVENTS} answered with something else than a list"):
        list(client.pages(EVENTS, {}, Metrics()))
    assert len(sandbox.log) == 1


def test_null_is_an_answer(client: Connection, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(".", "malformed", body="null"))
    assert client.get("account", {}, Metrics()) is None


def test_a_page_is_asked_for_only_when_it_is_wanted(client: Connection, sandbox: Sandbox) -> None:
    sandbox.page_cap = 10
    pages = client.pages(EVENTS, {}, Metrics())
    assert not sandbox.log
    next(pages)
    next(pages)
    assert pages_asked(sandbox.log) == [1, 2]
