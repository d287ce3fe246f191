"""Keeps a build beside the published marts until it may take their place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from .build_lock import BuildLock
from .storage import Storage

_REPLACED = "replaced"


@dataclass(frozen=True)
class Building:
    """The folder of one build of the schema `marts`; it is removed with the build."""

    storage: Storage
    folder: str
    marts: str
    lock: BuildLock

    def schema(self, name: str) -> str:
        """Where Spark makes the tables of a schema."""
        return self.storage.as_spark(f"{self.folder}/{name}")

    def publish(self, names: Iterable[str]) -> str:
        """Replaces the published marts with those that were built; where that fails, the old ones come back.

        Readers may miss one for a moment. Returns their address. Raises `ModelsFailed` where the lock was lost.
        """
        storage, published = self.storage, self.storage.path(self.marts)
        storage.files.makedirs(published, exist_ok=True)
        storage.files.makedirs(f"{self.folder}/{_REPLACED}", exist_ok=True)
        begun: list[tuple[str, str]] = []
        try:
            for name in names:
                self.lock.require()
                mart, replaced = f"{published}/{name}", f"{self.folder}/{_REPLACED}/{name}"
                begun.append((mart, replaced))
                if storage.exists(mart):
                    storage.move(mart, replaced)
                storage.move(f"{self.folder}/{self.marts}/{name}", mart)
        except BaseException:
            for mart, replaced in begun:
                if storage.exists(replaced):
                    storage.delete(mart)
                    storage.move(replaced, mart)
            raise
        return storage.address(published)


@contextmanager
def building(storage: Storage, marts: str) -> Iterator[Building]:
    """A folder for one build of the schema `marts`. Raises `ModelsFailed` while another build is under way."""
    builds = storage.path(f"{marts}.building")
    lock = BuildLock(storage.files, f"{builds}/lock.json")
    with lock.held():
        _clean_up_after_killed(storage, builds, storage.path(marts))
        folder = f"{builds}/{uuid4().hex[:12]}"
        try:
            yield Building(storage, folder, marts, lock)
        finally:
            storage.delete(folder)


def _clean_up_after_killed(storage: Storage, builds: str, published: str) -> None:
    """Removes what killed builds have left, and puts back the marts that they were about to replace."""
    for build in storage.folders(builds):
        for replaced in storage.folders(f"{build}/{_REPLACED}"):
            mart = f"{published}/{replaced.rpartition('/')[2]}"
            if not storage.exists(mart):
                storage.move(replaced, mart)
        storage.delete(build)
