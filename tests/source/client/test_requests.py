"""What the client sends, and to whom."""

from __future__ import annotations

from pathlib import Path

import pytest
from wistia_pipeline.sandbox import Sandbox

from tests.support.http import (
    EVENTS,
    TOKEN,
    WITH_PASSWORD,
    Connect,
    Connection,
    everything_shown,
    server,
)
from tests.support.postgres import free_port
from wistia_source.endpoints import BY_NAME
from wistia_source.errors import (
    SettingInvalid,
    Unreachable,
)
from wistia_source.metrics import Metrics


@pytest.mark.parametrize(("version", "path"), [("v1", "/v1/account.json"), ("2026-03", "/modern/account")])
def test_the_path_and_headers_follow_the_version(version: str, path: str, sandbox: Sandbox, connect: Connect) -> None:
    connect(sandbox.url, version=version).get("account", {}, Metrics())
    (call,) = sandbox.log
    assert call.path == path
    assert call.headers.get("x-wistia-api-version") == (None if version == "v1" else version)
    assert call.headers["accept"] == "application/json"


def test_the_token_is_sent_as_bearer(connect: Connect) -> None:
    with server(lambda path: (200, {}, b"[]")) as (url, seen):
        connect(url).get(EVENTS, {}, Metrics())
    assert seen[0]["authorization"] == f"Bearer {TOKEN}"


def test_a_token_with_a_line_break_behind_it_works(sandbox: Sandbox, connect: Connect) -> None:
    assert connect(sandbox.url, token=f" {TOKEN}\n").get("account", {}, Metrics())


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
    client: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert client.get("account", {}, Metrics())


def test_the_proxy_of_the_machine_is_used(sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", sandbox.url)
    assert connect("http://wistia.invalid").get("account", {}, Metrics())
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unreachable):
        connect("http://wistia.invalid").get("account", {}, Metrics())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert connect(sandbox.url).get("account", {}, Metrics())


def test_the_certificates_of_the_machine_are_used(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/there/is/no/such/bundle")
    with server(lambda path: (200, {}, b"[]")) as (url, _), pytest.raises(OSError, match="/there/is/no/such/bundle"):
        connect(url.replace("http", "https")).get(EVENTS, {}, Metrics())
