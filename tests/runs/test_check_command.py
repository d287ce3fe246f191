"""`check` as people and programs use it. The command has no other clock than the machine's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from wistia_pipeline.health.check_results import ORDER
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.folder import ESCAPE, Folder, empty_folder
from tests.support.sandbox import TOKEN
from wistia_source.endpoints import READ_MEDIA, READ_STATS


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A small account that begins now, by the machine's clock."""
    account = Account(start=datetime.now(UTC), seed=3, medias=3, projects=2, visitors=20, events=60, days=30)
    with Sandbox(account, rate_limit=None, token=TOKEN) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, sandbox: Sandbox) -> Folder:
    """An empty folder."""
    made = empty_folder(tmp_path / "user", sandbox, datetime.now(UTC))
    # more than Wistia allows
    del made.env["SOURCES__WISTIA__REQUESTS_PER_MINUTE"]
    return made


@pytest.mark.slow
def test_as_a_user_sees_it(folder: Folder, sandbox: Sandbox) -> None:
    done = folder.run("check", FORCE_COLOR="1")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ORDER:
        assert f"\n✓ {name} " in f"\n{done.stdout}"
    assert "A sync will work: 0 failed, 0 warnings, 13 requests." in done.stdout
    assert ESCAPE not in done.stdout
    assert "\\u2713 token " in folder.run("check", PYTHONIOENCODING="ascii").stdout
    sandbox.scopes = (READ_MEDIA,)
    done = folder.invoke("check")
    assert (done.returncode, done.stderr) == (1, "")
    assert f"✗ permission_stats       The access token lacks the permission {READ_STATS!r}\n  tick it in" in done.stdout
    # nothing is left: no warehouse, no lock, no folder of dlt's
    assert [name for name in os.listdir(folder.path) if os.listdir(folder.path / name)] == []


def test_json_is_one_object(folder: Folder) -> None:
    done = folder.invoke("check", "--json", SOURCES__WISTIA__ACCESS_TOKEN=TOKEN[::-1])
    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (1, "", 1)
    assert (answer.keys(), answer["ok"], answer["requests"]) == ({"ok", "requests", "checks"}, False, 1)
    assert [one["name"] for one in answer["checks"]] == list(ORDER)
    assert all(one.keys() == {"name", "status", "detail", "advice"} for one in answer["checks"])
    (token,) = [one for one in answer["checks"] if one["name"] == "token"]
    assert token["status"] == "failed"
    assert "does not accept the access token" in token["detail"]
    assert "API access" in token["advice"]
    assert TOKEN[::-1] not in done.stdout


@pytest.mark.slow
def test_a_setting_that_is_unknown_in_a_file(folder: Folder) -> None:
    (folder.work / ".dlt").mkdir()
    (folder.work / ".dlt" / "config.toml").write_text("[sources.wistia]\nlookback_days = 3\n", "utf-8")
    done = folder.run("check")
    assert done.returncode == 0
    assert "! settings               There is no sources.wistia.lookback_days\n" in done.stdout


@pytest.mark.slow
def test_the_sandbox_can_lack_a_permission(folder: Folder) -> None:
    command = folder.start(
        "sandbox", "--port", "0", "--medias", "2", "--events", "10", "--visitors", "5", "--without-permission", "stats"
    )
    try:
        assert command.stdout
        url = command.stdout.readline().split(" answers at ")[1].split()[0]
        done = folder.invoke(
            "check", "--json", SOURCES__WISTIA__BASE_URL=url, SOURCES__WISTIA__ACCESS_TOKEN="sandbox-token"
        )
    finally:
        command.kill()
        command.communicate()
    failed = [one["name"] for one in json.loads(done.stdout)["checks"] if one["status"] == "failed"]
    assert (done.returncode, failed) == (1, ["permission_stats"])
