"""Requests side by side: one budget for all of them, one end for all of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from wistia_pipeline.sandbox import Fault, Sandbox

from tests.support.http import (
    EVENTS,
    LONG,
    START,
    TOKEN,
    Connect,
    Connection,
    counts,
    drained,
    pages_asked,
    until,
)
from wistia_source.budget import BudgetClosed, RequestBudget
from wistia_source.endpoints import Row
from wistia_source.errors import (
    RequestFailed,
)
from wistia_source.metrics import Metrics
from wistia_source.walks import ACTIVE_WALKS, WORKERS


def test_walks_go_side_by_side(client: Connection) -> None:
    all_are_there = threading.Barrier(ACTIVE_WALKS, timeout=LONG)

    def walk(number: int) -> Iterator[int]:
        client.get("account", {"walk": number}, Metrics())
        all_are_there.wait()
        yield number

    walks = 2 * ACTIVE_WALKS
    assert sorted(drained(client.stream(walk(number) for number in range(walks)))) == list(range(walks))


def test_each_walk_is_in_sequence_within_itself(client: Connection, sandbox: Sandbox) -> None:
    sandbox.page_cap = 10
    days = [f"2026-06-{day:02}" for day in range(1, 16)]
    all_are_there = threading.Barrier(len(days), timeout=LONG)
    rows = {day: sandbox.account.at(START).events(end_date=day) for day in days}

    def walk(day: str) -> Iterator[tuple[str, list[Row]]]:
        for number, page in enumerate(client.pages(EVENTS, {"end_date": day}, Metrics())):
            if number == 0:
                all_are_there.wait()
            yield day, page

    got = drained(client.stream(walk(day) for day in days))
    for day in days:
        assert [row for walked, page in got if walked == day for row in page] == rows[day]
        asked = [call for call in sandbox.log if call.query["end_date"] == day]
        assert pages_asked(asked) == list(range(1, len(asked) + 1))
    assert {call.query["page"] for call in sandbox.log[: len(days)]} == {"1"}


def test_nothing_arrived_yet_is_none(client: Connection) -> None:
    may_go_on = threading.Event()

    def walk() -> Iterator[Any]:
        may_go_on.wait(LONG)
        yield client.get("account", {}, Metrics())["name"]

    with closing(client.stream([walk()])) as stream:
        assert next(stream) is None
        may_go_on.set()
        assert drained(stream) == ["Example Films & Söhne"]
    assert list(client.stream([])) == []
    assert drained(client.stream([iter(())])) == []


def assert_begun_steps_are_all(client: Connection) -> None:
    """Whatever the client was given before has begun when this returns: its threads take work in the order given."""
    assert drained(client.stream([iter([1])])) == [1]


def test_the_first_failure_ends_all_walks(client: Connection, sandbox: Sandbox) -> None:
    sandbox.page_cap, sandbox.latency = 1, 0.05
    sandbox.faults.add(Fault("medias", status=422, body='{"error": "enough"}', after=3))
    begun: list[int] = []

    def walk(number: int) -> Iterator[list[Row]]:
        begun.append(number)
        yield from client.pages(EVENTS if number else "medias", {"walk": number}, Metrics())

    with pytest.raises(RequestFailed, match="enough"):
        drained(client.stream(walk(number) for number in range(40)))
    at_once = len(sandbox.log)
    assert_begun_steps_are_all(client)
    assert len(sandbox.log) <= at_once + ACTIVE_WALKS
    assert len(begun) <= ACTIVE_WALKS


def test_a_stream_closed_early_gives_up_what_waits(sandbox: Sandbox, connect: Connect) -> None:
    client = connect(sandbox.url, active_walks=200)
    may_go_on = threading.Event()
    begun: list[int] = []

    def walk(number: int) -> Iterator[Any]:
        begun.append(number)
        may_go_on.wait(LONG)
        yield client.get("account", {"walk": number}, Metrics())

    with closing(client.stream(walk(number) for number in range(200))) as stream:
        assert next(stream) is None
    may_go_on.set()
    assert_begun_steps_are_all(client)
    assert len(begun) <= WORKERS


def test_an_interrupted_run_leaves_no_thread_behind(client: Connection, sandbox: Sandbox) -> None:
    of_others = set(threading.enumerate())
    sandbox.faults.add(Fault(".", status=429, retry_after="600", times=None))

    def walk(number: int) -> Iterator[Any]:
        yield client.get("account", {"walk": number}, Metrics())

    def run() -> None:
        try:
            with closing(client.stream(walk(number) for number in range(30))) as stream:
                for _ in stream:
                    if sandbox.log:
                        raise KeyboardInterrupt
        finally:
            client.close()

    with pytest.raises(KeyboardInterrupt):
        run()
    # a thread that waits for the budget would keep the process alive for ten minutes
    for thread in threading.enumerate():
        if thread.name.startswith("wistia_") and thread not in of_others:
            thread.join(LONG)
            assert not thread.is_alive()


def ends_when_closed(client: Connection, metrics: Metrics) -> bool:
    """Whether a request that waits after its first answer is given up when its client is closed."""
    given_up = threading.Event()

    def ask() -> None:
        with pytest.raises(BudgetClosed):
            client.get("account", {}, metrics)
        given_up.set()

    threading.Thread(target=ask, daemon=True).start()
    until(lambda: metrics.requests == 1)
    client.close()
    return given_up.wait(LONG)


def test_closing_ends_the_waiting_and_counts_no_request_that_was_not_sent(client: Connection, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(".", status=429, retry_after="600", times=None))
    metrics = Metrics()
    assert ends_when_closed(client, metrics)
    assert metrics.requests == len(sandbox.log) == 1


def test_closing_ends_a_pause_between_attempts(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.faults.add(Fault("."))
    assert ends_when_closed(connect(sandbox.url, backoff=3600, max_backoff=3600), Metrics())


def test_a_used_up_quota_is_used_up_for_all(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(".", status=429, retry_after="600", times=None))
    budget = RequestBudget(100_000)
    with closing(Connection(TOKEN, sandbox.url, "v1", budget)) as client:

        def walk() -> Iterator[Any]:
            yield client.get("account", {}, Metrics())

        with closing(client.stream([walk()])) as stream:
            assert next(stream) is None
            # not only the request that was told so
            until(lambda: budget.seconds_until_free() > LONG)


def test_a_used_up_quota_holds_back_every_thread(client: Connection, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(".", status=429, retry_after="0.8"))
    metrics = Metrics()

    def walk(number: int) -> Iterator[Any]:
        yield client.get("account", {"walk": number}, metrics)

    refused = client.stream(walk(number) for number in range(1))
    while not metrics.retries:
        assert next(refused) is None
    # the pause is known from here on: nobody else may send anything before it is over
    assert len(drained(client.stream(walk(number) for number in range(1, 40)))) == 39
    assert len(drained(refused)) == 1
    told, *others = sorted(sandbox.log, key=lambda call: call.at)
    assert told.status == 429
    assert all(call.at >= told.at + 0.8 for call in others)
    assert counts(metrics) == {"requests": 41, "retries": 1}


def test_retries_count_against_the_budget(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.latency = 0.02
    for after in range(0, 40, 4):
        sandbox.faults.add(Fault(".", after=after))
    client = connect(sandbox.url, per_minute=10, window_seconds=0.4)
    metrics = Metrics()

    def walk(number: int) -> Iterator[Any]:
        yield client.get("account", {"walk": number}, metrics)

    assert len(drained(client.stream(walk(number) for number in range(30)))) == 30
    at = sorted(call.at for call in sandbox.log)
    assert counts(metrics) == {"requests": len(at), "retries": len(at) - 30}
    assert metrics.retries > 0
    assert all(later - earlier >= 0.4 for earlier, later in zip(at, at[10:], strict=False))
