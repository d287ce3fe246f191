"""One build at a time of the marts in a storage, whichever machine builds them: object storages have no locks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from socket import gethostname
from typing import Any
from uuid import uuid4

from wistia_source.errors import WistiaError

BEAT_SECONDS = 30.0
DEAD_AFTER = timedelta(minutes=5)
"""A build that was killed says nothing any more."""


class BuildUnderWay(WistiaError):
    """Another build of the same marts has not ended."""

    def __init__(self, host: str, since: str) -> None:
        super().__init__(
            f"Another build of these marts is under way, on {host} since {since}; nothing is touched: run again when "
            f"it has ended, or {DEAD_AFTER.seconds // 60} minutes after it was killed."
        )


class TurnLost(WistiaError):
    """This build was taken for one that was killed."""

    def __init__(self) -> None:
        super().__init__(
            "Another build has taken the place of this one, which said nothing for too long; the marts are as that one "
            "leaves them: see that it does well, then run again."
        )


class Turn:
    """The turn of one build, of which a file says so."""

    def __init__(self, files: Any, path: str) -> None:
        self._files, self._path, self._folder = files, path, path.rpartition("/")[0]
        self._mine = {"id": uuid4().hex, "host": gethostname(), "since": _now()}

    def require(self) -> None:
        """Raises `TurnLost`."""
        if self._noted()["id"] != self._mine["id"]:
            raise TurnLost

    def begin(self) -> None:
        """Raises `BuildUnderWay`."""
        while True:
            self._files.makedirs(self._folder, exist_ok=True)
            try:
                # of two that do so at once, one is refused by the storage
                self._files.pipe_file(self._path, self._note(), mode="create")
                return
            except FileNotFoundError:
                # an earlier build has just taken its folder away
                continue
            except FileExistsError:
                other = self._noted()
                if datetime.now(UTC) - datetime.fromisoformat(other["at"]) < DEAD_AFTER:
                    raise BuildUnderWay(other["host"], other["since"]) from None
                self._remove()

    def beat(self) -> None:
        """Says that the build goes on."""
        if self._noted()["id"] == self._mine["id"]:
            self._files.pipe_file(self._path, self._note())

    def end(self) -> None:
        """Gives the turn back."""
        if self._noted()["id"] == self._mine["id"]:
            self._remove()
            # where there are folders without files
            with suppress(OSError, NotImplementedError):
                self._files.rmdir(self._folder)

    def _note(self) -> bytes:
        return json.dumps({**self._mine, "at": _now()}).encode()

    def _noted(self) -> dict[str, str]:
        try:
            noted: dict[str, str] = json.loads(self._files.cat_file(self._path))
        except FileNotFoundError:
            return {"id": "", "host": "another machine", "since": "just now", "at": _now()}
        except ValueError:
            # not whole yet, or never
            at = self._files.modified(self._path).astimezone(UTC).isoformat()
            return {"id": "", "host": "another machine", "since": at, "at": at}
        return noted

    def _remove(self) -> None:
        with suppress(FileNotFoundError):
            self._files.rm_file(self._path)


@contextmanager
def turn(files: Any, path: str) -> Iterator[Turn]:
    """The turn of this build, while the context lasts; `path` is of the storage `files`.

    Raises `BuildUnderWay`.
    """
    mine, ended = Turn(files, path), threading.Event()
    mine.begin()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            # the storage may answer again the next time; whether it was too late is asked before anything is published
            with suppress(Exception):
                mine.beat()

    beats = threading.Thread(target=beat, name="turn", daemon=True)
    beats.start()
    try:
        yield mine
    finally:
        ended.set()
        beats.join()
        mine.end()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
