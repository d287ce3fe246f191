"""Answers that no retry can change, and answers that are none."""

from __future__ import annotations

import gzip

import orjson
import pytest
from wistia_pipeline.sandbox import Fault, Sandbox

from tests.support.http import (
    EVENTS,
    OTHER_TOKEN,
    SEARCH,
    TOKEN,
    VISITORS,
    Connect,
    Connection,
    counts,
    everything_shown,
    server,
)
from wistia_source.errors import (
    CredentialsRejected,
    NotFound,
    PermissionMissing,
    PlanLacksFeature,
    RequestFailed,
    WistiaError,
)
from wistia_source.metrics import Metrics
from wistia_source.retry import Patience


def test_a_rejected_token_is_named_as_such(sandbox: Sandbox, connect: Connect) -> None:
    with pytest.raises(CredentialsRejected, match=r"Invalid credentials.*SOURCES__WISTIA__ACCESS_TOKEN") as raised:
        connect(sandbox.url, token=OTHER_TOKEN).get(VISITORS, SEARCH, Metrics())
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
        (422, f'{{"error": "Bearer {TOKEN} is odd."}}', RequestFailed, r"HTTP 422: Bearer \*\*\* is odd"),
        (410, "", RequestFailed, "HTTP 410"),
    ],
)
def test_a_refusal_is_never_asked_again(
    status: int, body: str, error: type[WistiaError], words: str, client: Connection, sandbox: Sandbox
) -> None:
    sandbox.faults.add(Fault(".", status=status, body=body, times=None))
    metrics = Metrics()
    with pytest.raises(error, match=words) as raised:
        client.get(VISITORS, SEARCH, metrics, "Read detailed stats")
    assert type(raised.value) is error
    assert counts(metrics) == {"requests": 1}
    assert len(sandbox.log) == 1
    assert "anna" not in everything_shown(raised.value)
    assert TOKEN not in everything_shown(raised.value)


def test_the_sandbox_refuses_as_wistia_does(client: Connection, sandbox: Sandbox) -> None:
    with pytest.raises(NotFound, match=r"v1/stats/medias/nothing\.json"):
        client.get("stats/medias/nothing", {}, Metrics())
    with pytest.raises(RequestFailed, match="HTTP 422: start_date must be a date"):
        client.get(EVENTS, {"start_date": "soon"}, Metrics())
    sandbox.plan_has_stats = False
    with pytest.raises(PlanLacksFeature, match="not available on your current plan"):
        client.get(EVENTS, {}, Metrics())
    sandbox.plan_has_stats, sandbox.scopes = True, ()
    with pytest.raises(PermissionMissing, match="'Read all folder and media data'"):
        client.get("medias", {}, Metrics(), "Read all folder and media data")


def test_a_permission_that_nobody_can_name_is_not_quoted(client: Connection, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(".", status=401, body='{"code": "unauthorized_scope"}'))
    with pytest.raises(PermissionMissing, match="lacks a permission; tick"):
        client.get("account", {}, Metrics())


def test_a_message_without_an_end_is_cut(client: Connection, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(".", status=422, body=f'{{"error": "{"x" * 100_000}"}}'))
    with pytest.raises(RequestFailed) as raised:
        client.get("account", {}, Metrics())
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, connect: Connect) -> None:
    with server(lambda path: (200, {}, b"[]")) as (elsewhere, seen):
        # another name for this machine: another host
        place = elsewhere.replace("127.0.0.1", "localhost") + "/?token=secret"
        with server(lambda path: (status, {"Location": place}, b"")) as (url, asked):
            with pytest.raises(RequestFailed, match=f"HTTP {status}.*check base_url") as raised:
                connect(url).get(VISITORS, SEARCH, Metrics())
            assert len(asked) == 1
    assert not seen
    assert "secret" not in everything_shown(raised.value)
    assert "anna" not in everything_shown(raised.value)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_is_a_failure(status: int, connect: Connect) -> None:
    with server(lambda path: (status, {}, b"")) as (url, asked):
        with pytest.raises(RequestFailed):
            connect(url).get("account", {}, Metrics())
        assert len(asked) <= Patience().attempts


def test_a_compressed_answer_is_read(connect: Connect) -> None:
    rows = [{"name": "Zoë"}] * 100
    body = gzip.compress(orjson.dumps(rows))
    with server(lambda path: (200, {"Content-Encoding": "gzip"}, body)) as (url, seen):
        assert connect(url).get(EVENTS, {}, Metrics()) == rows
    assert "gzip" in seen[0]["accept-encoding"]


def test_half_a_compressed_answer_is_a_failure(connect: Connect) -> None:
    body = gzip.compress(orjson.dumps(list(range(10_000))))
    # no length and a connection that closes: nothing but the content says that something is missing
    with server(lambda path: (200, {"Content-Encoding": "gzip"}, body[: len(body) // 2])) as (url, seen):
        with pytest.raises(RequestFailed, match="kept failing"):
            connect(url).get(EVENTS, {}, Metrics())
        assert len(seen) == Patience().attempts


def test_an_answer_that_is_not_compressed_as_it_says_is_a_failure(connect: Connect) -> None:
    with (
        server(lambda path: (200, {"Content-Encoding": "gzip"}, b"[]")) as (url, _),
        pytest.raises(RequestFailed, match="kept failing"),
    ):
        connect(url).get(VISITORS, SEARCH, Metrics())
