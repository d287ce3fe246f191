"""The wheel of this checkout, and machines where only it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _uv(*arguments: str | Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "run the tests with uv run pytest"
    subprocess.run([uv, *arguments], check=True, capture_output=True, cwd=ROOT)


def build_wheel(folder: Path) -> Path:
    """Builds it in an empty folder."""
    _uv("build", "--wheel", "--quiet", "--out-dir", folder)
    (built,) = folder.glob("*.whl")
    return built


@dataclass(frozen=True)
class Machine:
    """A fresh one: an environment that holds what pip has installed, an empty home, an empty folder to work in."""

    folder: Path

    @property
    def _scripts(self) -> Path:
        return self.folder / "venv" / "bin"

    @property
    def python(self) -> Path:
        """Its Python."""
        return self._scripts / "python"

    def install(self, what: str) -> None:
        """Installs a wheel, perhaps with extras."""
        _uv("venv", "--quiet", self.folder / "venv")
        _uv("pip", "install", "--quiet", "--python", self.python, what)
        for name in ("home", "work"):
            (self.folder / name).mkdir()

    @property
    def work(self) -> Path:
        """Where commands run."""
        return self.folder / "work"

    def environment(self) -> dict[str, str]:
        """The variables of a command."""
        # Spark's scripts want a shell's
        return {"PATH": f"{self._scripts}:/usr/bin:/bin", "HOME": str(self.folder / "home")}

    def run(self, command: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """A command of the environment, in that folder."""
        return subprocess.run(
            [self._scripts / command, *arguments],
            cwd=self.work,
            env=self.environment() | settings,
            capture_output=True,
            text=True,
            check=False,
        )
