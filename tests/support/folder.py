"""`wistia-pipeline` as a user runs it: a process of its own in an empty folder, with an empty home."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import duckdb
from click.testing import CliRunner
from wistia_pipeline.cli import main
from wistia_pipeline.sandbox import Sandbox

COMMAND = str(Path(sys.executable).with_name("wistia-pipeline"))
PROGRESS_LINE = re.compile(
    r"\w+: [\d,]+ rows?, [\d,]+ requests?|so far .*|loading into the warehouse|building the models"
    r"|about [\d,]+ requests, [\d.]+ minutes .*"
)
ESCAPE = "\x1b"
WAIT_SECONDS = 550
"""A command that hangs for so long has failed."""


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    """Returns once the condition holds; fails if the process ends before, or takes too long."""
    give_up = monotonic() + WAIT_SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert monotonic() < give_up
        sleep(0.02)


def without_models(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Loads alone, where a command would build the models too: they have tests of their own."""
    return (*arguments, "--no-models") if arguments and arguments[0] in ("sync", "backfill") else arguments


@dataclass
class Folder:
    """An empty folder with a home of its own, and the settings to reach a sandbox from it."""

    path: Path
    env: dict[str, str] = field(default_factory=dict)
    models: bool = False
    """Whether loads build the models, too."""

    @property
    def work(self) -> Path:
        """Where commands run."""
        return self.path / "work"

    @property
    def warehouse(self) -> Path:
        """The default warehouse file."""
        return self.work / "warehouse.duckdb"

    def copied_to(self, path: Path) -> Folder:
        """The same folder once more, for a test to change."""
        shutil.copytree(self.path, path)
        moved = {name: value.replace(str(self.path), str(path)) for name, value in self.env.items()}
        return replace(self, path=path, env=moved)

    def environment(self, **settings: str | None) -> dict[str, str]:
        """The variables of a command; None takes one away."""
        merged = self.env | settings
        return {name: value for name, value in merged.items() if value is not None}

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [COMMAND, *(arguments if self.models else without_models(arguments))]

    def run(self, *arguments: str, **settings: str | None) -> subprocess.CompletedProcess[str]:
        """`wistia-pipeline` with these arguments, to its end."""
        return subprocess.run(
            self._command(arguments),
            cwd=self.work,
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            timeout=200,
        )

    def invoke(self, *arguments: str, **settings: str | None) -> subprocess.CompletedProcess[str]:
        """The same in this process, which is quicker by two seconds."""
        command = arguments if self.models else without_models(arguments)
        with chdir(self.work):
            done = CliRunner().invoke(main, command, env=self.env | settings)
        return subprocess.CompletedProcess(command, done.exit_code, done.stdout, done.stderr)

    def start(self, *arguments: str, **settings: str | None) -> subprocess.Popen[str]:
        """The same, under way."""
        return subprocess.Popen(
            self._command(arguments),
            cwd=self.work,
            env=self.environment(**settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # whoever runs the tests in the background has Ctrl-C switched off for them, and so for this
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def sync(self, *arguments: str, **settings: str | None) -> dict[str, Any]:
        """What `sync --json` says in this process, and nothing but that on standard output."""
        done = self.invoke("sync", "--json", *arguments, **settings)
        assert done.stdout.count("\n") == 1, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == {"ok": 0, "failed": 1, "partial": 3}[answer["status"]]
        return answer


def empty_folder(path: Path, sandbox: Sandbox, start: datetime) -> Folder:
    """A folder from which the sandbox is reached in a hurry."""
    folder = Folder(
        path,
        {
            "PATH": os.environ["PATH"],
            "HOME": str(path / "home"),
            "DLT_DATA_DIR": str(path / "dlt"),
            "SOURCES__WISTIA__BASE_URL": sandbox.url,
            "SOURCES__WISTIA__ACCESS_TOKEN": sandbox.token,
            "SOURCES__WISTIA__REQUESTS_PER_MINUTE": "100000",
            "SOURCES__WISTIA__BACKOFF_SECONDS": "0.001",
            "SOURCES__WISTIA__START_DATE": (start - timedelta(days=40)).date().isoformat(),
        },
    )
    for name in ("work", "home"):
        (path / name).mkdir(parents=True)
    return folder


def rows(file: Path, sql: str) -> list[tuple[Any, ...]]:
    """The answer to a query of a DuckDB file."""
    with closing(duckdb.connect(str(file), read_only=True)) as connection:
        return connection.execute(sql).fetchall()


@contextmanager
def open_elsewhere(file: Path) -> Iterator[subprocess.Popen[str]]:
    """Another program, which has a DuckDB file open until it reads a line."""
    script = f"import duckdb; c = duckdb.connect({str(file)!r}); print('open', flush=True); input()"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "open\n"
        try:
            yield other
        finally:
            other.kill()
