"""The wheel works where only the wheel is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]


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


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demo_runs_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    _uv("venv", "--quiet", tmp_path / "venv")
    scripts = tmp_path / "venv" / "bin"
    _uv("pip", "install", "--quiet", "--python", scripts / "python", wheel)
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {"PATH": str(scripts), "HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [scripts / "wistia-pipeline", "demo"], cwd=empty, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "One hour later" in done.stdout
    assert [path.name for path in empty.iterdir()] == ["wistia_demo.duckdb"]
