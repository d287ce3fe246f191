"""One writer at a time: a second run on the same warehouse is told so and touches nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from zlib import crc32

import dlt
from dlt.destinations.exceptions import DatabaseException
from filelock import FileLock, Timeout

from wistia_source.errors import WistiaError
from wistia_source.warehouse import connected


class WarehouseBusy(WistiaError):
    """Another run is loading this warehouse: wait for it."""

    def __init__(self) -> None:
        super().__init__("Another run is loading this warehouse; nothing is touched: run again when it has ended.")


class LockLost(WistiaError):
    """The connection that keeps other runs out is gone."""

    def __init__(self) -> None:
        super().__init__(
            "Postgres has closed the connection that keeps other runs out; what is loaded stays: run again, and see "
            "that the server does not end idle sessions."
        )


@contextmanager
def one_writer(pipeline: dlt.Pipeline) -> Iterator[Callable[[], None]]:
    """Holds the warehouse for the run inside. Raises `WarehouseBusy`. A run that dies leaves no lock behind.

    Gives a function that raises `LockLost` where another run may have come in meanwhile.
    """
    folder = Path(pipeline.pipelines_dir)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (
            FileLock(folder / "one_writer.lock", timeout=0),
            _held_beside_duckdb(pipeline),
            _held_in_postgres(pipeline) as raise_if_lost,
        ):
            yield raise_if_lost
    except Timeout:
        raise WarehouseBusy from None


@contextmanager
def _held_beside_duckdb(pipeline: dlt.Pipeline) -> Iterator[None]:
    """A DuckDB file can be reached from several data folders of dlt; the system frees the lock of a run that dies."""
    if kind_of(pipeline) != "duckdb":
        yield
        return
    file = Path(pipeline.sql_client().credentials.database).resolve()
    if not file.parent.is_dir():
        # said when the file is opened
        yield
        return
    lock = file.with_name(f"{file.name}.lock")
    with FileLock(lock, timeout=0):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def _held_in_postgres(pipeline: dlt.Pipeline) -> Iterator[Callable[[], None]]:
    """Postgres can be reached from several machines; it gives the lock back when the connection ends."""
    if kind_of(pipeline) != "postgres":
        yield lambda: None
        return
    with pipeline.sql_client() as client:
        answer = client.execute_sql("select pg_try_advisory_lock(%s, %s)", *_key(pipeline))
        if not (answer and answer[0][0]):
            raise WarehouseBusy

        def raise_if_lost() -> None:
            try:
                client.execute_sql("select 1")
            except DatabaseException:
                raise LockLost from None

        yield raise_if_lost


def without_readers(pipeline: dlt.Pipeline) -> AbstractContextManager[object]:
    """Keeps a DuckDB file open, so that no other program can come in between; waits a while for one that is in."""
    return connected(pipeline) if kind_of(pipeline) == "duckdb" else nullcontext()


def kind_of(pipeline: dlt.Pipeline) -> str:
    """What the destination is, such as `duckdb` or `postgres`, whatever name it was given."""
    return str(pipeline.destination.destination_type).rpartition(".")[2]


def _key(pipeline: dlt.Pipeline) -> tuple[int, int]:
    """Two numbers for the lock: ours, and the dataset's."""
    return crc32(b"wistia-pipeline") - 2**31, crc32(pipeline.dataset_name.encode()) - 2**31
