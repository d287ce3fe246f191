"""Failures on the way and used-up quotas: how often and how long the client tries again."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
from wistia_pipeline.sandbox import Fault, Sandbox

from tests.support.http import (
    EVENTS,
    SEARCH,
    START,
    TOKEN,
    VISITORS,
    Connect,
    counts,
    everything_shown,
)
from tests.support.postgres import free_port
from wistia_source.errors import (
    RequestFailed,
    Unreachable,
)
from wistia_source.metrics import Metrics
from wistia_source.retry import Patience, pause_seconds


def patience(fault: Fault, seconds: float) -> dict[str, float]:
    """Gives up soon where nobody answers, and only there: an answer may be late on a busy machine."""
    return {"read_timeout": seconds} if fault.kind == "hang" else {}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(".", status=500),
        Fault(".", status=502, body="<html>Bad gateway</html>"),
        Fault(".", status=503),
        Fault(".", "reset"),
        Fault(".", "truncated"),
        Fault(".", "html"),
        Fault(".", "malformed"),
        Fault(".", "malformed", body=""),
        Fault(".", "hang"),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status if fault.kind == 'status' else ''}{fault.body or ''}",
)
class TestFault:
    def test_once_costs_one_retry(self, fault: Fault, connect: Connect, sandbox: Sandbox) -> None:
        client = connect(sandbox.url, **patience(fault, 2.0))
        undisturbed = client.get(EVENTS, {"per_page": 100}, Metrics())
        sandbox.faults.add(fault)
        metrics = Metrics()
        assert client.get(EVENTS, {"per_page": 100}, metrics) == undisturbed
        assert counts(metrics) == {"requests": 2, "retries": 1}

    def test_for_ever_fails_after_a_few_requests_and_shows_no_secret(
        self, fault: Fault, connect: Connect, sandbox: Sandbox
    ) -> None:
        client = connect(sandbox.url, **patience(fault, 0.2))
        sandbox.faults.add(Fault(fault.path, fault.kind, fault.status, None, body=fault.body))
        metrics = Metrics()
        with pytest.raises(RequestFailed, match=f"GET {VISITORS} kept failing: .+") as raised:
            client.get(VISITORS, SEARCH, metrics)
        assert counts(metrics) == {"requests": Patience().attempts, "retries": Patience().attempts - 1}
        assert len(sandbox.log) == Patience().attempts
        assert "anna" not in everything_shown(raised.value)
        assert TOKEN not in everything_shown(raised.value)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("reset", "Connection reset by peer|Remote end closed connection without response"),
        ("truncated", r"IncompleteRead\(\d+ bytes read, \d+ more expected\)"),
        ("hang", "no answer in time"),
        ("html", "the answer is not JSON"),
    ],
)
def test_the_message_says_in_plain_words_what_happened(
    kind: Any, words: str, connect: Connect, sandbox: Sandbox
) -> None:
    client = connect(sandbox.url, **patience(Fault(".", kind), 0.05))
    sandbox.faults.add(Fault(".", kind, times=None))
    with pytest.raises(RequestFailed, match=rf"^GET account kept failing: (\[Errno \d+\] )?({words})\.$"):
        client.get("account", {}, Metrics())


def test_a_host_where_nobody_listens_is_unreachable(connect: Connect) -> None:
    metrics = Metrics()
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unreachable, match=rf"^{url} cannot be reached \(.*Connection refused\); check") as raised:
        connect(url).get(VISITORS, SEARCH, metrics)
    assert counts(metrics) == {"requests": Patience().first_attempts, "retries": Patience().first_attempts - 1}
    assert "anna" not in everything_shown(raised.value)


def test_a_host_without_the_certificate_we_expect_is_unreachable(sandbox: Sandbox, connect: Connect) -> None:
    with pytest.raises(Unreachable):
        connect(sandbox.url.replace("http", "https")).get("account", {}, Metrics())


def test_pauses_grow_up_to_a_limit(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.faults.add(Fault(".", times=5))
    metrics = Metrics()
    connect(sandbox.url, backoff=0.03, max_backoff=0.2).get("account", {}, metrics)
    at = [call.at for call in sandbox.log]
    gaps = [later - earlier for earlier, later in pairwise(at)]
    shortest = (0.03, 0.06, 0.1, 0.1, 0.1)
    assert all(least <= gap for gap, least in zip(gaps, shortest, strict=True))
    # what was to be waited, however long the machine then took
    assert metrics.wait_seconds < 2 * sum(shortest) + 0.01


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("0.6", 0.6),
        ("Mon, 15 Jun 2026 12:30:02 GMT", 2.0),
        ("Mon, 15 Jun 2026 12:30:02 -0000", 2.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (None, 60.0),
        ("soon", 60.0),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", 60.0),
        ("0", 0.0),
        ("-60", 0.0),
        ("nan", 0.0),
        ("86400", 600.0),
        ("inf", 600.0),
        ("Tue, 31 Dec 2999 00:00:00 GMT", 600.0),
    ],
)
def test_a_pause_is_as_long_as_told_and_no_longer_than_ten_minutes(retry_after: str | None, seconds: float) -> None:
    assert pause_seconds(retry_after, Patience(), START) == seconds


@pytest.mark.parametrize(("status", "retry_after"), [(429, "0.6"), (503, "0.3"), (429, None)])
def test_a_used_up_quota_is_waited_for(
    status: int, retry_after: str | None, connect: Connect, sandbox: Sandbox
) -> None:
    sandbox.faults.add(Fault(".", status=status, retry_after=retry_after))
    metrics = Metrics()
    assert connect(sandbox.url, quota_pause=0.2).get("account", {}, metrics)
    assert counts(metrics) == {"requests": 2, "retries": 1}
    first, second = sandbox.log
    assert second.at - first.at >= float(retry_after or 0.2)


def test_a_quota_that_was_free_in_between_is_waited_for_from_the_start(sandbox: Sandbox, connect: Connect) -> None:
    client = connect(sandbox.url, max_quota_wait=0.8)
    sandbox.faults.add(Fault(".", status=429, retry_after="0.1"))
    assert client.get("account", {}, Metrics())
    # more than may be waited, but nobody was told to wait
    time.sleep(0.8)
    sandbox.faults.add(Fault(".", status=429, retry_after="0.1"))
    assert client.get("account", {}, Metrics())


@pytest.mark.parametrize("retry_after", ["0", "-1", "nan", "Wed, 21 Oct 2015 07:28:00 GMT", "0.1", "86400", "soon"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_quota_used_up_for_ever_fails_after_a_few_requests(
    status: int, retry_after: str | None, connect: Connect, sandbox: Sandbox
) -> None:
    client = connect(sandbox.url, max_quota_wait=0.1)
    sandbox.faults.add(Fault(".", status=status, retry_after=retry_after, times=None))
    metrics = Metrics()
    with pytest.raises(RequestFailed, match="quota is used up") as raised:
        client.get(VISITORS, SEARCH, metrics)
    assert metrics.requests == len(sandbox.log) <= 8
    assert "anna" not in everything_shown(raised.value)
