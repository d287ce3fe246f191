"""Keeps a build beside the published marts until it may take their place.

One build at a time, on whichever machine: object storages have no locks, so a file there names the build that may.
"""

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from socket import gethostname
from uuid import uuid4

from ..settings import ModelsFailed
from .storage import Storage

HEARTBEAT_SECONDS = 30.0
DEAD_AFTER = timedelta(minutes=5)
"""A build without a heartbeat for this long was killed."""
_REPLACED = "replaced"


class Building:
    """One build of the schema `marts`: a folder of its own, and a file in the storage that lets it publish."""

    def __init__(self, storage: Storage, marts: str) -> None:
        self._storage, self._marts = storage, marts
        self._published, self._builds = storage.path(marts), storage.path(f"{marts}.building")
        self._lock = f"{self._builds}/lock.json"
        self._mine = {"id": uuid4().hex[:12], "host": gethostname(), "since": _now()}
        self._folder = f"{self._builds}/{self._mine['id']}"

    def schema(self, name: str) -> str:
        """Where Spark makes the tables of a schema."""
        return self._storage.as_spark(f"{self._folder}/{name}")

    def publish(self, names: Iterable[str]) -> str:
        """Replaces the published marts with those that were built; where that fails, the old ones come back.

        Readers may miss one for a moment. Returns their address. Raises `ModelsFailed` where the lock was lost.
        """
        storage = self._storage
        storage.files.makedirs(self._published, exist_ok=True)
        storage.files.makedirs(f"{self._folder}/{_REPLACED}", exist_ok=True)
        begun: list[tuple[str, str]] = []
        try:
            for name in names:
                self._require_lock()
                mart, replaced = f"{self._published}/{name}", f"{self._folder}/{_REPLACED}/{name}"
                begun.append((mart, replaced))
                if storage.files.exists(mart):
                    storage.move(mart, replaced)
                storage.move(f"{self._folder}/{self._marts}/{name}", mart)
        except BaseException:
            for mart, replaced in begun:
                if storage.files.exists(replaced):
                    storage.delete(mart)
                    storage.move(replaced, mart)
            raise
        return storage.address(self._published)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the lock, and removes the folder at the end. Raises `ModelsFailed` while another build is under way."""
        self._take_lock()
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT_SECONDS):
                # the storage may answer the next time; before a mart is published the lock is looked at again
                with suppress(Exception):
                    if self._is_mine():
                        self._storage.files.pipe_file(self._lock, self._content())

        heartbeat = threading.Thread(target=beat, name="build lock", daemon=True)
        heartbeat.start()
        try:
            self._clean_up_after_killed()
            try:
                yield
            finally:
                self._storage.delete(self._folder)
        finally:
            ended.set()
            heartbeat.join()
            if self._is_mine():
                self._remove_lock()
                # where there are folders without files
                with suppress(OSError, NotImplementedError):
                    self._storage.files.rmdir(self._builds)

    def _clean_up_after_killed(self) -> None:
        """Removes what killed builds have left, and puts back the marts that they were about to replace."""
        storage = self._storage
        for build in storage.folders(self._builds):
            for replaced in storage.folders(f"{build}/{_REPLACED}"):
                mart = f"{self._published}/{replaced.rpartition('/')[2]}"
                if not storage.files.exists(mart):
                    storage.move(replaced, mart)
            storage.delete(build)

    def _require_lock(self) -> None:
        if not self._is_mine():
            raise ModelsFailed(
                "Another build has taken the place of this one, which said nothing for too long; the marts are as that "
                "one leaves them: see that it does well, then run again."
            )

    def _take_lock(self) -> None:
        files = self._storage.files
        while True:
            files.makedirs(self._builds, exist_ok=True)
            try:
                # the storage refuses one of two that do so at once
                files.pipe_file(self._lock, self._content(), mode="create")
                return
            except FileNotFoundError:
                # an earlier build has just removed the folder
                continue
            except FileExistsError:
                other = self._read_lock()
                if datetime.now(UTC) - datetime.fromisoformat(other["at"]) < DEAD_AFTER:
                    raise ModelsFailed(
                        f"Another build of these marts is under way, on {other['host']} since {other['since']}; "
                        "nothing is touched: run again when it has ended, or "
                        f"{DEAD_AFTER.seconds // 60} minutes after it was killed."
                    ) from None
                self._remove_lock()

    def _is_mine(self) -> bool:
        return self._read_lock()["id"] == self._mine["id"]

    def _content(self) -> bytes:
        return json.dumps({**self._mine, "at": _now()}).encode()

    def _read_lock(self) -> dict[str, str]:
        unknown = {"id": "", "host": "another machine"}
        try:
            found: dict[str, str] = json.loads(self._storage.files.cat_file(self._lock))
        except FileNotFoundError:
            return {**unknown, "since": "just now", "at": _now()}
        except ValueError:
            # not whole yet, or never
            at = self._storage.files.modified(self._lock).astimezone(UTC).isoformat()
            return {**unknown, "since": at, "at": at}
        return found

    def _remove_lock(self) -> None:
        with suppress(FileNotFoundError):
            self._storage.files.rm_file(self._lock)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
