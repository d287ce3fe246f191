"""The client through its front door: real HTTP against the sandbox, or a server that misbehaves in ways of its own."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
from dlt.pipeline.trace import get_exception_traces
from hypothesis import given, settings
from hypothesis import strategies as st
from wistia_pipeline.sandbox import Account, Call, Fault, Sandbox

from wistia_source.budget import BudgetClosed, RequestBudget
from wistia_source.client import ACTIVE_WALKS, WORKERS, Client, Row, Tally
from wistia_source.endpoints import BY_NAME
from wistia_source.errors import (
    CredentialsRejected,
    NotFound,
    PermissionMissing,
    PlanLacksFeature,
    RequestFailed,
    SettingInvalid,
    Unreachable,
    WistiaError,
)
from wistia_source.refusals import Patience, pause_seconds

START = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
EVENTS, VISITORS = "stats/events", "stats/visitors"
TOKEN = "a-token-that-nobody-may-see"
OTHER_TOKEN = "another-token-that-nobody-may-see"
SEARCH = {"search": "anna@example.com"}
WITH_PASSWORD = "https://me:secret@api.wistia.com"

T = TypeVar("T")
Connect = Callable[..., Client]
Answer = tuple[int, dict[str, str], bytes]


def counts(tally: Tally) -> dict[str, int]:
    """What was counted, without the time it took."""
    return {name: number for name, number in tally.items() if name != "wait_seconds"}


def small(**changes: Any) -> Account:
    """An account that is made in no time."""
    arguments = {"medias": 12, "projects": 2, "visitors": 40, "events": 95, "days": 30} | changes
    return Account(seed=3, start=START, **arguments)


@pytest.fixture(scope="module")
def account() -> Account:
    return small()


@pytest.fixture
def sandbox(account: Account) -> Iterator[Sandbox]:
    with Sandbox(account, now=lambda: START, rate_limit=None, token=TOKEN) as server:
        yield server


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes clients in a hurry, closed with the test."""
    clients: list[Client] = []

    def made(
        base_url: str,
        token: str = TOKEN,
        version: str = "v1",
        per_minute: int = 100_000,
        window_seconds: float = 60.0,
        active_walks: int = ACTIVE_WALKS,
        **patience: Any,
    ) -> Client:
        budget = RequestBudget(per_minute, window_seconds)
        clients.append(
            Client(token, base_url, version, budget, Patience(**{"backoff": 0.001} | patience), active_walks)
        )
        return clients[-1]

    yield made
    for client in clients:
        client.close()


@pytest.fixture
def client(sandbox: Sandbox, connect: Connect) -> Client:
    return connect(sandbox.url)


@contextmanager
def server(answer: Callable[[str], Answer]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Answers what the sandbox never would; the address, and the headers of each request so far."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}", seen
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
    return port


def everything_shown(error: BaseException) -> str:
    """All that a person, a log, or dlt's trace, which ignores `from None`, can show of an error."""
    texts = ["".join(traceback.format_exception(error)), repr(get_exception_traces(error))]
    current: BaseException | None = error
    while current is not None:
        texts.append(repr(current))
        current = current.__cause__ or current.__context__
    return " ".join(texts)


def drained(stream: Iterator[list[T] | None]) -> list[T]:
    """What arrives, without turning at full speed while nothing does."""
    items: list[T] = []
    for arrived in stream:
        items += arrived or ()
        if arrived is None:
            time.sleep(0.002)
    return items


def key(row: Row) -> tuple[str, str, str]:
    return row["received_at"], row["media_id"], str(row["visitor_key"])


def pages_asked(calls: list[Call]) -> list[int]:
    return [int(call.query["page"]) for call in calls]


# what is sent


@pytest.mark.parametrize(("version", "path"), [("v1", "/v1/account.json"), ("2026-03", "/modern/account")])
def test_the_path_and_headers_follow_the_version(version: str, path: str, sandbox: Sandbox, connect: Connect) -> None:
    connect(sandbox.url, version=version).get("account", {}, {})
    (call,) = sandbox.log
    assert call.path == path
    assert call.headers.get("x-wistia-api-version") == (None if version == "v1" else version)
    assert call.headers["accept"] == "application/json"


def test_the_token_is_sent_as_bearer(connect: Connect) -> None:
    with server(lambda path: (200, {}, b"[]")) as (url, seen):
        connect(url).get(EVENTS, {}, {})
    assert seen[0]["authorization"] == f"Bearer {TOKEN}"


def test_a_token_with_a_line_break_behind_it_works(sandbox: Sandbox, connect: Connect) -> None:
    assert connect(sandbox.url, token=f" {TOKEN}\n").get("account", {}, {})


@pytest.mark.parametrize("token", ["", "  ", f"{TOKEN} {TOKEN}", f"{TOKEN}\nX: y", f"{TOKEN}\N{SNOWMAN}"])
def test_a_token_that_cannot_be_sent_is_a_wrong_setting_and_not_shown(token: str, connect: Connect) -> None:
    with pytest.raises(SettingInvalid, match="SOURCES__WISTIA__ACCESS_TOKEN") as raised:
        connect("http://127.0.0.1", token=token)
    assert TOKEN not in everything_shown(raised.value)


@pytest.mark.parametrize("version", ["", "v2", "2026", "2026-3", "2026-13", "2026-00", "1999-01", "2026-03 ", "latest"])
def test_a_wrong_version_is_a_wrong_setting(version: str, connect: Connect) -> None:
    with pytest.raises(SettingInvalid, match="api_version"):
        connect("http://127.0.0.1", version=version)


@pytest.mark.parametrize(
    "address",
    [
        "", "api.wistia.com", "ftp://api.wistia.com", "http://", "http:///v1", "http://a b", "http://host:99999",
        "http://host:port", "http://[::1", "https://api.wistia.com/v1", "https://api.wistia.com?x=1",
    ],
)  # fmt: skip
def test_a_wrong_address_is_a_wrong_setting(address: str, connect: Connect) -> None:
    with pytest.raises(SettingInvalid, match="base_url"):
        connect(address)


def test_a_password_in_the_address_neither_replaces_the_token_nor_is_shown(connect: Connect) -> None:
    with pytest.raises(SettingInvalid) as raised:
        connect(WITH_PASSWORD)
    assert "secret" not in everything_shown(raised.value)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_pause_of_nothing_is_a_wrong_setting(seconds: float, connect: Connect) -> None:
    with pytest.raises(SettingInvalid, match="backoff_seconds"):
        connect("http://127.0.0.1", backoff=seconds)


def test_an_id_cannot_leave_its_place_in_the_path(connect: Connect) -> None:
    client = connect("http://127.0.0.1", version="2026-03")
    assert client.path(BY_NAME["media_stats"], "a/../?b=c#d") == "stats/medias/a%2F..%2F%3Fb%3Dc%23d"
    assert client.path(BY_NAME["projects"]) == "folders"


def test_an_entry_in_netrc_does_not_replace_the_token(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert client.get("account", {}, {})


def test_the_proxy_of_the_machine_is_used(sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", sandbox.url)
    assert connect("http://wistia.invalid").get("account", {}, {})
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(Unreachable):
        connect("http://wistia.invalid").get("account", {}, {})
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert connect(sandbox.url).get("account", {}, {})


def test_the_certificates_of_the_machine_are_used(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/there/is/no/such/bundle")
    with server(lambda path: (200, {}, b"[]")) as (url, _), pytest.raises(OSError, match="/there/is/no/such/bundle"):
        connect(url.replace("http", "https")).get(EVENTS, {}, {})


# what goes wrong on the way


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
        undisturbed = client.get(EVENTS, {"per_page": 100}, {})
        sandbox.faults.add(fault)
        tally: dict[str, Any] = {}
        assert client.get(EVENTS, {"per_page": 100}, tally) == undisturbed
        assert counts(tally) == {"requests": 2, "retries": 1}

    def test_for_ever_fails_after_a_few_requests_and_shows_no_secret(
        self, fault: Fault, connect: Connect, sandbox: Sandbox
    ) -> None:
        client = connect(sandbox.url, **patience(fault, 0.2))
        sandbox.faults.add(Fault(fault.path, fault.kind, fault.status, None, body=fault.body))
        tally: dict[str, Any] = {}
        with pytest.raises(RequestFailed, match=f"GET {VISITORS} kept failing: .+") as raised:
            client.get(VISITORS, SEARCH, tally)
        assert counts(tally) == {"requests": Patience().attempts, "retries": Patience().attempts - 1}
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
        client.get("account", {}, {})


def test_a_host_where_nobody_listens_is_unreachable(connect: Connect) -> None:
    tally: dict[str, Any] = {}
    url = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(Unreachable, match=rf"^{url} cannot be reached \(.*Connection refused\); check") as raised:
        connect(url).get(VISITORS, SEARCH, tally)
    assert counts(tally) == {"requests": Patience().first_attempts, "retries": Patience().first_attempts - 1}
    assert "anna" not in everything_shown(raised.value)


def test_a_host_without_the_certificate_we_expect_is_unreachable(sandbox: Sandbox, connect: Connect) -> None:
    with pytest.raises(Unreachable):
        connect(sandbox.url.replace("http", "https")).get("account", {}, {})


def test_pauses_grow_up_to_a_limit(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.faults.add(Fault(".", times=5))
    tally: dict[str, Any] = {}
    connect(sandbox.url, backoff=0.03, max_backoff=0.2).get("account", {}, tally)
    at = [call.at for call in sandbox.log]
    gaps = [later - earlier for earlier, later in pairwise(at)]
    shortest = (0.03, 0.06, 0.1, 0.1, 0.1)
    assert all(least <= gap for gap, least in zip(gaps, shortest, strict=True))
    # what was to be waited, however long the machine then took
    assert tally["wait_seconds"] < 2 * sum(shortest) + 0.01


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
    tally: dict[str, Any] = {}
    assert connect(sandbox.url, quota_pause=0.2).get("account", {}, tally)
    assert counts(tally) == {"requests": 2, "retries": 1}
    first, second = sandbox.log
    assert second.at - first.at >= float(retry_after or 0.2)


@pytest.mark.parametrize("retry_after", ["0", "-1", "nan", "Wed, 21 Oct 2015 07:28:00 GMT", "0.1", "86400", "soon"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_quota_used_up_for_ever_fails_after_a_few_requests(
    status: int, retry_after: str | None, connect: Connect, sandbox: Sandbox
) -> None:
    client = connect(sandbox.url, max_quota_wait=0.1)
    sandbox.faults.add(Fault(".", status=status, retry_after=retry_after, times=None))
    tally: dict[str, Any] = {}
    with pytest.raises(RequestFailed, match="quota is used up") as raised:
        client.get(VISITORS, SEARCH, tally)
    assert tally["requests"] == len(sandbox.log) <= 8
    assert "anna" not in everything_shown(raised.value)


# answers that no retry can mend


def test_a_rejected_token_is_named_as_such(sandbox: Sandbox, connect: Connect) -> None:
    with pytest.raises(CredentialsRejected, match=r"Invalid credentials.*SOURCES__WISTIA__ACCESS_TOKEN") as raised:
        connect(sandbox.url, token=OTHER_TOKEN).get(VISITORS, SEARCH, {})
    assert OTHER_TOKEN not in everything_shown(raised.value)
    assert len(sandbox.log) == 1


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (401, '{"code": "account_inactive", "error": "Invalid credentials."}', CredentialsRejected, "inactive"),
        (401, '{"code": "unauthorized_params", "error": "No."}', CredentialsRejected, "401: No."),
        (401, "Unauthorized", CredentialsRejected, "HTTP 401"),
        (401, "[]", CredentialsRejected, "HTTP 401"),
        (401, "null", CredentialsRejected, "HTTP 401"),
        (401, '{"code": "unauthorized_scope"}', PermissionMissing, "'Read detailed stats'; tick"),
        (403, '{"error": "Not on your plan"}', PlanLacksFeature, "stats/visitors.json .HTTP 403: Not on your plan"),
        (403, "", PlanLacksFeature, "HTTP 403"),
        (404, "", NotFound, "v1/stats/visitors.json is not there"),
        (404, "<html>", NotFound, "v1/stats/visitors.json is not there"),
        (400, '{"error": "page and cursor cannot be combined."}', RequestFailed, "400: page and cursor cannot"),
        (422, '{"error": "start_date must\\nbe a date."}', RequestFailed, "HTTP 422: start_date must be a date."),
        (422, '{"error": {"start_date": ["bad"]}}', RequestFailed, "start_date"),
        (422, '["bad"]', RequestFailed, "HTTP 422"),
        (410, "", RequestFailed, "HTTP 410"),
    ],
)
def test_a_refusal_is_never_asked_again(
    status: int, body: str, error: type[WistiaError], words: str, client: Client, sandbox: Sandbox
) -> None:
    sandbox.faults.add(Fault(".", status=status, body=body, times=None))
    tally: dict[str, Any] = {}
    with pytest.raises(error, match=words) as raised:
        client.get(VISITORS, SEARCH, tally, "Read detailed stats")
    assert type(raised.value) is error
    assert counts(tally) == {"requests": 1}
    assert len(sandbox.log) == 1
    assert "anna" not in everything_shown(raised.value)
    assert TOKEN not in everything_shown(raised.value)


def test_the_sandbox_refuses_as_wistia_does(client: Client, sandbox: Sandbox) -> None:
    with pytest.raises(NotFound, match=r"v1/stats/medias/nothing\.json"):
        client.get("stats/medias/nothing", {}, {})
    with pytest.raises(RequestFailed, match="HTTP 422: start_date must be a date"):
        client.get(EVENTS, {"start_date": "soon"}, {})
    sandbox.plan_has_stats = False
    with pytest.raises(PlanLacksFeature, match="not available on your current plan"):
        client.get(EVENTS, {}, {})
    sandbox.plan_has_stats, sandbox.scopes = True, ()
    with pytest.raises(PermissionMissing, match="'Read all folder and media data'"):
        client.get("medias", {}, {}, "Read all folder and media data")


def test_a_permission_that_nobody_can_name_is_not_quoted(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(".", status=401, body='{"code": "unauthorized_scope"}'))
    with pytest.raises(PermissionMissing, match="lacks a permission; tick"):
        client.get("account", {}, {})


def test_a_message_without_an_end_is_cut(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(".", status=422, body=f'{{"error": "{"x" * 100_000}"}}'))
    with pytest.raises(RequestFailed) as raised:
        client.get("account", {}, {})
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, connect: Connect) -> None:
    with server(lambda path: (200, {}, b"[]")) as (elsewhere, seen):
        # another name for this machine: another host
        place = elsewhere.replace("127.0.0.1", "localhost") + "/?token=secret"
        with server(lambda path: (status, {"Location": place}, b"")) as (url, asked):
            with pytest.raises(RequestFailed, match=f"HTTP {status}.*check base_url") as raised:
                connect(url).get(VISITORS, SEARCH, {})
            assert len(asked) == 1
    assert not seen
    assert "secret" not in everything_shown(raised.value)
    assert "anna" not in everything_shown(raised.value)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_is_a_failure(status: int, connect: Connect) -> None:
    with server(lambda path: (status, {}, b"")) as (url, asked):
        with pytest.raises(RequestFailed):
            connect(url).get("account", {}, {})
        assert len(asked) <= Patience().attempts


def test_a_compressed_answer_is_read(connect: Connect) -> None:
    rows = [{"name": "Zoë"}] * 100
    body = gzip.compress(orjson.dumps(rows))
    with server(lambda path: (200, {"Content-Encoding": "gzip"}, body)) as (url, seen):
        assert connect(url).get(EVENTS, {}, {}) == rows
    assert "gzip" in seen[0]["accept-encoding"]


def test_half_a_compressed_answer_is_a_failure(connect: Connect) -> None:
    body = gzip.compress(orjson.dumps(list(range(10_000))))
    # no length and a connection that closes: nothing but the content says that something is missing
    with server(lambda path: (200, {"Content-Encoding": "gzip"}, body[: len(body) // 2])) as (url, seen):
        with pytest.raises(RequestFailed, match="kept failing"):
            connect(url).get(EVENTS, {}, {})
        assert len(seen) == Patience().attempts


def test_an_answer_that_is_not_compressed_as_it_says_is_a_failure(connect: Connect) -> None:
    with (
        server(lambda path: (200, {"Content-Encoding": "gzip"}, b"[]")) as (url, _),
        pytest.raises(RequestFailed, match="kept failing"),
    ):
        connect(url).get(VISITORS, SEARCH, {})


# paging


def test_a_list_comes_whole_and_in_order(client: Client, sandbox: Sandbox) -> None:
    rows = sandbox.account.at(START).events()
    sandbox.page_cap = 10
    pages = list(client.pages(EVENTS, {}, {}))
    assert [row for page in pages for row in page] == rows
    assert pages_asked(sandbox.log) == list(range(1, len(rows) // 10 + 2))
    assert {call.query["per_page"] for call in sandbox.log} == {"100"}


def test_a_full_last_page_is_followed_by_an_empty_one(client: Client, sandbox: Sandbox) -> None:
    rows = sandbox.account.at(START).events()
    sandbox.page_cap = len(rows) // 5
    assert len(rows) == 95
    tally: dict[str, Any] = {}
    assert [len(page) for page in client.pages(EVENTS, {}, tally)] == [19] * 5
    assert counts(tally) == {"requests": 6}


def test_a_list_of_nothing_is_one_request(client: Client, sandbox: Sandbox) -> None:
    assert list(client.pages(EVENTS, {"end_date": "2001-01-01"}, {})) == []
    assert len(sandbox.log) == 1


def test_the_length_of_full_pages_is_learned_once_per_list(client: Client, sandbox: Sandbox) -> None:
    sandbox.page_cap = 10
    list(client.pages(EVENTS, {}, {}))
    sandbox.log.clear()
    assert len(list(client.pages(EVENTS, {"end_date": "2026-05-17"}, {}))[-1]) < 10
    assert pages_asked(sandbox.log)[-1] == 1
    # but another list may have other pages
    sandbox.page_cap, longer = 5, small(visitors=8, events=8)
    sandbox.account = longer
    assert sum(map(len, client.pages(VISITORS, {}, {}))) == len(longer.at(START).visitors())


@settings(max_examples=30, deadline=None)
@given(days=st.integers(0, 31), cap=st.integers(1, 60), walks=st.integers(1, 2))
def test_all_rows_come_once_for_hardly_any_request_more_than_it_takes(
    listed: Sandbox, days: int, cap: int, walks: int
) -> None:
    listed.page_cap = cap
    last = (START - timedelta(days=days)).date().isoformat()
    rows = list(listed.account.at(START).event_rows(end_date=last))
    with closing(Client(TOKEN, listed.url, "v1", RequestBudget(100_000))) as client:
        for _ in range(walks):
            listed.log.clear()
            got = [row for page in client.pages(EVENTS, {"end_date": last}, {}) for row in page]
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
        for page in connect(sandbox.url).pages(EVENTS, {}, {}):
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
        got = [[row["id"] for row in page] for page in connect(url).pages(EVENTS, {}, {})]
    first, second = list(range(20, 10, -1)), list(range(10, 0, -1))
    assert got == [first] * 4 + [second]


@pytest.mark.parametrize("spoil", [lambda page: None, lambda page: page[0].clear(), lambda page: page.clear()])
def test_a_server_that_answers_every_page_alike_is_found_out(
    spoil: Callable[[list[Row]], None], connect: Connect
) -> None:
    def walk(client: Client) -> None:
        for page in client.pages(EVENTS, {}, {}):
            # rows are mended where they are
            spoil(page)
            assert len(asked) < 10

    with server(lambda path: (200, {}, b'[{"id": 1}]')) as (url, asked):
        with pytest.raises(RequestFailed, match="every page with the same rows"):
            walk(connect(url))
        assert len(asked) == 3


@pytest.mark.parametrize("body", ['{"events": []}', "null", "0", '"no"', "{}"])
def test_an_answer_that_is_no_list_is_not_taken_for_an_empty_one(body: str, client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(".", "malformed", body=body, times=None))
    with pytest.raises(RequestFailed, match=f"GET {EVENTS} answered with something else than a list"):
        list(client.pages(EVENTS, {}, {}))
    assert len(sandbox.log) == 1


def test_null_is_an_answer(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(".", "malformed", body="null"))
    assert client.get("account", {}, {}) is None


def test_a_page_is_asked_for_only_when_it_is_wanted(client: Client, sandbox: Sandbox) -> None:
    sandbox.page_cap = 10
    pages = client.pages(EVENTS, {}, {})
    assert not sandbox.log
    next(pages)
    next(pages)
    assert pages_asked(sandbox.log) == [1, 2]


# side by side


def test_walks_go_side_by_side(client: Client) -> None:
    all_are_there = threading.Barrier(ACTIVE_WALKS, timeout=20)

    def walk(number: int) -> Iterator[int]:
        client.get("account", {"walk": number}, {})
        all_are_there.wait()
        yield number

    walks = 2 * ACTIVE_WALKS
    assert sorted(drained(client.stream(walk(number) for number in range(walks)))) == list(range(walks))


def test_each_walk_is_in_sequence_within_itself(client: Client, sandbox: Sandbox) -> None:
    sandbox.page_cap, sandbox.latency = 10, 0.01
    days = [f"2026-06-{day:02}" for day in range(1, 16)]
    rows = {day: list(sandbox.account.at(START).event_rows(end_date=day)) for day in days}

    def walk(day: str) -> Iterator[tuple[str, list[Row]]]:
        for page in client.pages(EVENTS, {"end_date": day}, {}):
            yield day, page

    got = drained(client.stream(walk(day) for day in days))
    for day in days:
        assert [row for walked, page in got if walked == day for row in page] == rows[day]
        asked = [call for call in sandbox.log if call.query["end_date"] == day]
        assert pages_asked(asked) == list(range(1, len(asked) + 1))
    order = [call.query["end_date"] for call in sandbox.log]
    assert order != sorted(order)


def test_nothing_arrived_yet_is_none(client: Client) -> None:
    may_go_on = threading.Event()

    def walk() -> Iterator[Any]:
        may_go_on.wait(20)
        yield client.get("account", {}, {})["name"]

    with closing(client.stream([walk()])) as stream:
        assert next(stream) is None
        may_go_on.set()
        assert drained(stream) == ["Example Films & Söhne"]
    assert list(client.stream([])) == []
    assert drained(client.stream([iter(())])) == []


def settled(sandbox: Sandbox) -> int:
    """How many requests there were when no more came."""
    seen = -1
    while len(sandbox.log) != seen:
        seen = len(sandbox.log)
        time.sleep(sandbox.latency + 0.15)
    return seen


def test_the_first_failure_ends_all_walks(client: Client, sandbox: Sandbox) -> None:
    sandbox.page_cap, sandbox.latency = 1, 0.05
    sandbox.faults.add(Fault("medias", status=422, body='{"error": "enough"}', after=3))
    begun: list[int] = []

    def walk(number: int) -> Iterator[list[Row]]:
        begun.append(number)
        yield from client.pages(EVENTS if number else "medias", {"walk": number}, {})

    with pytest.raises(RequestFailed, match="enough"):
        drained(client.stream(walk(number) for number in range(40)))
    at_once = len(sandbox.log)
    assert settled(sandbox) <= at_once + ACTIVE_WALKS
    assert len(begun) <= ACTIVE_WALKS
    assert drained(client.stream([iter([1])])) == [1]


def test_a_stream_closed_early_gives_up_what_waits(sandbox: Sandbox, connect: Connect) -> None:
    client = connect(sandbox.url, active_walks=200)
    may_go_on = threading.Event()

    def walk(number: int) -> Iterator[Any]:
        may_go_on.wait(20)
        yield client.get("account", {"walk": number}, {})

    with closing(client.stream(walk(number) for number in range(200))) as stream:
        assert next(stream) is None
    may_go_on.set()
    assert settled(sandbox) <= WORKERS


def test_an_interrupted_run_leaves_no_thread_behind(client: Client, sandbox: Sandbox) -> None:
    of_others = set(threading.enumerate())
    sandbox.faults.add(Fault(".", status=429, retry_after="600", times=None))

    def walk(number: int) -> Iterator[Any]:
        yield client.get("account", {"walk": number}, {})

    def run() -> None:
        try:
            with closing(client.stream(walk(number) for number in range(30))) as stream:
                for turn, _ in enumerate(stream):
                    time.sleep(0.01)
                    if turn == 20:
                        raise KeyboardInterrupt
        finally:
            client.close()

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run()
    # a thread that waits for the budget would keep the process alive for ten minutes
    own = [t for t in threading.enumerate() if t.name.startswith("wistia_") and t not in of_others]
    for thread in own:
        thread.join(5)
        assert not thread.is_alive()
    assert time.monotonic() - started < 5


def test_closing_ends_the_waiting_at_once_and_counts_no_request_that_was_not_sent(
    client: Client, sandbox: Sandbox
) -> None:
    sandbox.faults.add(Fault(".", status=429, retry_after="600", times=None))
    tally: dict[str, Any] = {}
    threading.Timer(0.3, client.close).start()
    started = time.monotonic()
    with pytest.raises(BudgetClosed):
        client.get("account", {}, tally)
    assert time.monotonic() - started < 2
    assert tally["requests"] == len(sandbox.log) == 1


def test_closing_ends_a_pause_between_attempts(sandbox: Sandbox, connect: Connect) -> None:
    client = connect(sandbox.url, backoff=60)
    sandbox.faults.add(Fault("."))
    threading.Timer(0.3, client.close).start()
    started = time.monotonic()
    with pytest.raises(BudgetClosed):
        client.get("account", {}, {})
    assert time.monotonic() - started < 2


# one budget for all


def test_a_used_up_quota_holds_back_every_thread(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(".", status=429, retry_after="0.8"))
    tally: dict[str, Any] = {}

    def walk(number: int) -> Iterator[Any]:
        yield client.get("account", {"walk": number}, tally)

    refused = client.stream(walk(number) for number in range(1))
    while not tally.get("retries"):
        assert next(refused) is None
    # the pause is known from here on: nobody else may send anything before it is over
    assert len(drained(client.stream(walk(number) for number in range(1, 40)))) == 39
    assert len(drained(refused)) == 1
    told, *others = sorted(sandbox.log, key=lambda call: call.at)
    assert told.status == 429
    assert all(call.at >= told.at + 0.8 for call in others)
    assert counts(tally) == {"requests": 41, "retries": 1}


def test_retries_count_against_the_budget(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.latency = 0.02
    for after in range(0, 40, 4):
        sandbox.faults.add(Fault(".", after=after))
    client = connect(sandbox.url, per_minute=10, window_seconds=0.4)
    tally: dict[str, Any] = {}

    def walk(number: int) -> Iterator[Any]:
        yield client.get("account", {"walk": number}, tally)

    assert len(drained(client.stream(walk(number) for number in range(30)))) == 30
    at = sorted(call.at for call in sandbox.log)
    assert counts(tally) == {"requests": len(at), "retries": len(at) - 30}
    assert tally["retries"] > 0
    assert all(later - earlier >= 0.4 for earlier, later in zip(at, at[10:], strict=False))
