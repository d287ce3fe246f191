"""Where a build is made beside the published marts, and how its own take their place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from .storage import Storage
from .turns import Turn, turn

_REPLACED = "replaced"


class Building:
    """The place of one build, gone with it."""

    def __init__(self, storage: Storage, folder: str, marts: str, mine: Turn) -> None:
        self._storage, self._files, self._folder, self._marts, self._turn = storage, storage.files, folder, marts, mine

    def schema(self, name: str) -> str:
        """Where Spark makes the tables of a schema."""
        return self._storage.as_spark(f"{self._folder}/{name}")

    def publish(self, marts: Iterable[str]) -> str:
        """Puts the marts that were built in the place of those that are there; where that fails, these come back.

        Who reads one meanwhile may find none for a moment. Returns their address. Raises `TurnLost`.
        """
        published = self._storage.path(self._marts)
        self._files.makedirs(published, exist_ok=True)
        self._files.makedirs(f"{self._folder}/{_REPLACED}", exist_ok=True)
        done: list[tuple[str, str]] = []
        try:
            for name in marts:
                self._turn.require()
                mart, replaced = f"{published}/{name}", f"{self._folder}/{_REPLACED}/{name}"
                done.append((mart, replaced))
                if _is_there(self._storage, mart):
                    _move(self._storage, mart, replaced)
                _move(self._storage, f"{self._folder}/{self._marts}/{name}", mart)
        except BaseException:
            for mart, replaced in done:
                if _is_there(self._storage, replaced):
                    _delete(self._storage, mart)
                    _move(self._storage, replaced, mart)
            raise
        return self._storage.address(published)


@contextmanager
def building(storage: Storage, marts: str) -> Iterator[Building]:
    """A place for one build of the schema of the marts. Raises `BuildUnderWay`."""
    builds = storage.path(f"{marts}.building")
    with turn(storage.files, f"{builds}/turn.json") as mine:
        _clear(storage, builds, storage.path(marts))
        folder = f"{builds}/{uuid4().hex[:12]}"
        try:
            yield Building(storage, folder, marts, mine)
        finally:
            _delete(storage, folder)


def _clear(storage: Storage, builds: str, published: str) -> None:
    """Takes away what builds have left that were killed, and puts back what they were about to replace."""
    for build in _folders(storage, builds):
        for replaced in _folders(storage, f"{build}/{_REPLACED}"):
            mart = f"{published}/{replaced.rpartition('/')[2]}"
            if not _is_there(storage, mart):
                _move(storage, replaced, mart)
        _delete(storage, build)


def _folders(storage: Storage, path: str) -> list[str]:
    if not _is_there(storage, path):
        return []
    return [found["name"] for found in storage.files.ls(path, detail=True) if found["type"] == "directory"]


def _move(storage: Storage, old: str, new: str) -> None:
    storage.files.invalidate_cache()
    if storage.is_local:
        storage.files.mv(old, new)
        return
    # what is called a folder there is the beginning of names, which cannot be moved itself
    found = storage.files.find(old)
    storage.files.copy(found, [new + path.removeprefix(old) for path in found], on_error="raise")
    storage.files.rm(old, recursive=True)


def _delete(storage: Storage, path: str) -> None:
    if _is_there(storage, path):
        storage.files.rm(path, recursive=True)


def _is_there(storage: Storage, path: str) -> bool:
    # Spark, and other machines, have written there, too
    storage.files.invalidate_cache()
    return bool(storage.files.exists(path))
