"""The wheel works where only the wheel is installed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from zipfile import ZipFile

import mypy.api
import pytest
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.postgres import database
from tests.support.sandbox import NOW
from tests.support.wheel import Machine, build_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_both_packages_and_nothing_else_at_the_top(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"wistia_source", "wistia_pipeline"}
    assert "wistia_pipeline/defaults.toml" in names
    assert "wistia_pipeline/sql/models/marts/wistia__sessions.sql" in names


@pytest.mark.slow
def test_those_who_import_it_get_its_types(wheel: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.install(str(wheel))
    program = machine.work / "program.py"
    program.write_text(
        "from wistia_pipeline.runs.sync import run_sync\n"
        "from wistia_source import wistia\n"
        "wistia(requests_per_minute='many')\n"
        "reveal_type(run_sync)\n",
        encoding="utf-8",
    )
    found = mypy.api.run(["--python-executable", str(machine.python), "--cache-dir", os.devnull, str(program)])[0]
    assert 'incompatible type "str"; expected "int"' in found
    assert "models: builtins.bool" in found


@pytest.mark.deep
@pytest.mark.timeout(240)
def test_what_a_lake_and_spark_need_comes_with_their_extras(wheel: Path, tmp_path: Path, postgres_url: str) -> None:
    machine = Machine(tmp_path)
    machine.install(f"{wheel}[lake,spark]")
    account = Account(seed=3, start=NOW, medias=3, projects=1, visitors=5, events=20, days=5)
    with Sandbox(account, now=lambda: NOW, rate_limit=None) as sandbox, database(postgres_url) as catalog:
        done = machine.run(
            "wistia-pipeline",
            *("sync", "--destination", "ducklake", "--no-models", "--json"),
            SOURCES__WISTIA__BASE_URL=sandbox.url,
            SOURCES__WISTIA__ACCESS_TOKEN=sandbox.token,
            DESTINATION__DUCKLAKE__CREDENTIALS__CATALOG=catalog,
            DESTINATION__DUCKLAKE__CREDENTIALS__STORAGE__BUCKET_URL=(tmp_path / "files").as_uri(),
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["resources"]["events"]["rows"] == 20
    # Java and all has started before it looks at what is loaded
    done = machine.run(
        "wistia-pipeline",
        *("spark", "--master", "local[1]"),
        DESTINATION__FILESYSTEM__BUCKET_URL=str(machine.work),
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "Error: There is nothing to build models on yet; run wistia-pipeline sync --destination filesystem first."
    )
