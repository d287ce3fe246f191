"""Lets one build at a time publish the marts of a storage, on whichever machine: object storages have no locks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from socket import gethostname
from typing import Any
from uuid import uuid4

from ..settings import ModelsFailed

HEARTBEAT_SECONDS = 30.0
DEAD_AFTER = timedelta(minutes=5)
"""A build without a heartbeat for this long was killed."""


class BuildLock:
    """A file in the storage `files` that names the build that may publish."""

    def __init__(self, files: Any, path: str) -> None:
        self._files, self._path, self._folder = files, path, path.rpartition("/")[0]
        self._mine = {"id": uuid4().hex, "host": gethostname(), "since": _now()}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the lock while the context lasts. Raises `ModelsFailed` where another build has it."""
        self._take()
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT_SECONDS):
                # the storage may answer the next time; `require` tells whether it was too late
                with suppress(Exception):
                    if self._is_mine():
                        self._files.pipe_file(self._path, self._content())

        heartbeat = threading.Thread(target=beat, name="build lock", daemon=True)
        heartbeat.start()
        try:
            yield
        finally:
            ended.set()
            heartbeat.join()
            if self._is_mine():
                self._remove()
                # where there are folders without files
                with suppress(OSError, NotImplementedError):
                    self._files.rmdir(self._folder)

    def require(self) -> None:
        """Raises `ModelsFailed` where the lock was lost."""
        if not self._is_mine():
            raise ModelsFailed(
                "Another build has taken the place of this one, which said nothing for too long; the marts are as that "
                "one leaves them: see that it does well, then run again."
            )

    def _take(self) -> None:
        while True:
            self._files.makedirs(self._folder, exist_ok=True)
            try:
                # the storage refuses one of two that do so at once
                self._files.pipe_file(self._path, self._content(), mode="create")
                return
            except FileNotFoundError:
                # an earlier build has just removed the folder
                continue
            except FileExistsError:
                other = self._read()
                if datetime.now(UTC) - datetime.fromisoformat(other["at"]) < DEAD_AFTER:
                    raise ModelsFailed(
                        f"Another build of these marts is under way, on {other['host']} since {other['since']}; "
                        "nothing is touched: run again when it has ended, or "
                        f"{DEAD_AFTER.seconds // 60} minutes after it was killed."
                    ) from None
                self._remove()

    def _is_mine(self) -> bool:
        return self._read()["id"] == self._mine["id"]

    def _content(self) -> bytes:
        return json.dumps({**self._mine, "at": _now()}).encode()

    def _read(self) -> dict[str, str]:
        unknown = {"id": "", "host": "another machine"}
        try:
            found: dict[str, str] = json.loads(self._files.cat_file(self._path))
        except FileNotFoundError:
            return {**unknown, "since": "just now", "at": _now()}
        except ValueError:
            # not whole yet, or never
            at = self._files.modified(self._path).astimezone(UTC).isoformat()
            return {**unknown, "since": at, "at": at}
        return found

    def _remove(self) -> None:
        with suppress(FileNotFoundError):
            self._files.rm_file(self._path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
