"""The sandbox as a server: faults on demand, connections, its log and its end."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest
import requests
from wistia_pipeline.sandbox import Fault, Sandbox

from tests.support.asking import Client, small


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_status_for_some_requests(serve: Callable[..., Client], status: int) -> None:
    client = serve()
    client.sandbox.faults.add(Fault(r"/stats/events", status=status, times=2, after=1, retry_after="3"))
    assert client.ask("/v1/account").status_code == 200
    found = [client.ask("/v1/stats/events") for _ in range(5)]
    assert [response.status_code for response in found] == [200, status, status, 200, 200]
    assert found[1].headers["Retry-After"] == "3"
    assert [call.status for call in client.sandbox.log][1:] == [200, status, status, 200, 200]


def test_a_fault_for_ever_until_lifted(serve: Callable[..., Client]) -> None:
    client = serve()
    client.sandbox.faults.add(Fault("medias", status=502, times=None, body="<oops>"))
    assert [client.ask("/v1/medias").text for _ in range(3)] == ["<oops>"] * 3
    assert len(client.sandbox.faults) == 1
    client.sandbox.faults.clear()
    assert client.ask("/v1/medias").status_code == 200


def test_reset_and_truncated_and_hang_break_the_connection(serve: Callable[..., Client]) -> None:
    client = serve()
    client.sandbox.faults.add(Fault("account", "reset"))
    with pytest.raises(requests.ConnectionError):
        client.ask("/v1/account")
    client.sandbox.faults.add(Fault("account", "truncated"))
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        client.ask("/v1/account")
    client.sandbox.faults.add(Fault("account", "hang", seconds=0.3))
    began = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        client.ask("/v1/account")
    assert time.monotonic() - began > 0.25
    assert [call.status for call in client.sandbox.log] == [0, 200, 0]
    assert client.ask("/v1/account").status_code == 200


def test_bodies_that_are_not_what_they_say(serve: Callable[..., Client]) -> None:
    client = serve()
    client.sandbox.faults.add(Fault("medias", "html"))
    client.sandbox.faults.add(Fault("medias", "malformed"))
    page = client.ask("/v1/medias")
    assert (page.status_code, page.text[:9]) == (200, "<!DOCTYPE")
    broken = client.ask("/v1/medias")
    assert broken.status_code == 200
    assert broken.headers["Content-Type"].startswith("application/json")
    with pytest.raises(ValueError, match=r"."):
        broken.json()
    assert isinstance(client.get("/v1/medias"), list)


# the server itself


def test_it_keeps_connections_alive(client: Client) -> None:
    for page in range(20):
        client.ask("/v1/stats/events", page=page + 1, per_page=10)
    adapter = client.session.get_adapter(client.sandbox.url)
    pools = adapter.poolmanager.pools  # type: ignore[attr-defined]
    assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118


def test_it_logs_and_stops(serve: Callable[..., Client]) -> None:
    with Sandbox(small(), latency=0.05) as sandbox:
        client = Client(sandbox)
        began = time.monotonic()
        assert client.ask("/v1/account", a="1").status_code == 200
        assert time.monotonic() - began >= 0.05
        (call,) = sandbox.log
        assert "authorization" not in call.headers
        assert call.headers["host"] in sandbox.url
        assert (call.method, call.path, call.query, call.status) == ("GET", "/v1/account", {"a": "1"}, 200)
        assert began <= call.at <= time.monotonic()
        sandbox.faults.add(Fault("account", "hang", seconds=60))
        with pytest.raises(requests.ReadTimeout):
            client.session.get(sandbox.url + "/v1/account", timeout=0.1)
        port = int(sandbox.url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match=r"."):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    with pytest.raises(RuntimeError):
        _ = sandbox.url
