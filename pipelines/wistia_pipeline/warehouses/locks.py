"""Who may load a warehouse: one run of an account at a time, and one load of all accounts."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from filelock import FileLock, Timeout

from wistia_source.errors import WistiaError

EVERYTHING = "everything"
"""What keeps out all other runs, whatever they are called."""


class WarehouseBusy(WistiaError):
    """Another run is loading this warehouse: wait for it."""

    def __init__(self) -> None:
        super().__init__("Another run is loading this warehouse; nothing is touched: run again when it has ended.")


class OthersStillLoad(WistiaError):
    """Other accounts are loaded into this warehouse, and do not come to an end."""


class LockLost(WistiaError):
    """The connection that keeps other runs out is gone."""


class Hold:
    """A warehouse that one run holds; where nothing else is known, nobody is kept out."""

    def alone(self) -> AbstractContextManager[None]:
        """While nobody else loads or builds; may be entered again inside. Raises `OthersStillLoad` or `LockLost`."""
        return nullcontext()


@contextmanager
def file_held(lock: Path) -> Iterator[Hold]:
    """A warehouse that the file `lock` stands for; the system frees it where a run dies. Raises `WarehouseBusy`."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            try:
                yield Hold()
            finally:
                lock.unlink(missing_ok=True)
    except Timeout:
        raise WarehouseBusy from None


@contextmanager
def advisory_held(
    connect: Callable[[], Any], warehouse: str, by: str, others_load_seconds: float = 600
) -> Iterator[Hold]:
    """A warehouse about which several machines ask a Postgres, to which `connect` opens a connection of psycopg2.

    It gives back what a run holds when the run's connection ends. The load of another account is waited for
    `others_load_seconds`. Raises `WarehouseBusy`, and what `connect` raises.
    """
    with closing(connect()) as connection:
        connection.autocommit = True
        hold = _AdvisoryHold(connection, warehouse, others_load_seconds)
        shared = "" if by == EVERYTHING else "_shared"
        if not hold.ask(f"select pg_try_advisory_lock{shared}(%s, %s)", *_key(f"{warehouse} {EVERYTHING}")):
            raise WarehouseBusy
        if not hold.ask("select pg_try_advisory_lock(%s, %s)", *_key(f"{warehouse} by {by}")):
            raise WarehouseBusy
        yield hold


class _AdvisoryHold(Hold):
    def __init__(self, connection: Any, warehouse: str, others_load_seconds: float) -> None:
        self._connection = connection
        self._others_load_seconds = others_load_seconds
        self._load = _key(warehouse)

    @contextmanager
    def alone(self) -> Iterator[None]:
        # not every installation has it
        import psycopg2

        try:
            self.ask("select set_config('lock_timeout', %s, false)", f"{self._others_load_seconds}s")
            self.ask("select pg_advisory_lock(%s, %s)", *self._load)
        except psycopg2.errors.LockNotAvailable:
            minutes = f"{self._others_load_seconds / 60:.0f} minutes"
            raise OthersStillLoad(
                f"Other accounts have been loaded into this warehouse for {minutes}; what is loaded stays: run again, "
                "and let them begin at other times."
            ) from None
        except psycopg2.Error:
            raise LockLost(
                "Postgres has closed the connection that keeps other runs out; what is loaded stays: run again, and "
                "see that the server does not end idle sessions."
            ) from None
        try:
            yield
        finally:
            # a connection that is gone holds nothing
            with suppress(psycopg2.Error):
                self.ask("select pg_advisory_unlock(%s, %s)", *self._load)

    def ask(self, query: str, *values: Any) -> Any:
        """The one value of an answer."""
        with self._connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchone()[0]


def _key(what: str) -> tuple[int, int]:
    """Two numbers for a lock: ours, and of what it is about."""
    return crc32(b"wistia-pipeline") - 2**31, crc32(what.encode()) - 2**31
