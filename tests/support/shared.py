"""What all workers of pytest share while the tests run: a folder of things made once, and a Postgres server.

Several runs share them where `WISTIA_TESTS_FOLDER` names an empty folder; then `python -m tests.support.shared` stops
the server and deletes the folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

from filelock import FileLock

from tests.support.postgres import Server, installations

FOLDER = "WISTIA_TESTS_FOLDER"
"""The variable that names it: workers have their environment from the process that starts them."""


def begin() -> None:
    """Makes the folder. Called once, before any worker starts."""
    os.environ[FOLDER] = mkdtemp(prefix="wistia-tests-")


def end() -> None:
    """Ends what was begun, when no worker runs any more."""
    try:
        if (folder() / "postgres" / "done").exists():
            Server.noted_in(folder() / "postgres").stop()
    finally:
        shutil.rmtree(folder(), ignore_errors=True)


def folder() -> Path:
    """What is in it is there for all workers, and as long as they are."""
    return Path(os.environ[FOLDER])


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` has filled, for whichever worker needs it first; the others wait for it."""
    made = folder() / name
    with FileLock(made.with_name(f"{name}.lock")):
        if not (made / "done").exists():
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            make(made)
            (made / "done").touch()
    return made


def postgres() -> str:
    """The address of the server, which the first who asks starts."""
    made = made_once("postgres", lambda empty: Server.start(installations()[0]).note_in(empty))
    return Server.noted_in(made).url


if __name__ == "__main__":
    end()
