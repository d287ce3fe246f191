"""One writer at a time: a second run on the same warehouse is told so and touches nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import dlt
from filelock import FileLock, Timeout

from wistia_source.errors import WistiaError


class WarehouseBusy(WistiaError):
    """Another run is loading this warehouse: wait for it."""

    def __init__(self) -> None:
        super().__init__("Another run is loading this warehouse; nothing is touched: run again when it has ended.")


@contextmanager
def one_writer(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Holds the warehouse for the run inside. Raises `WarehouseBusy`. A run that dies leaves no lock behind."""
    folder = Path(pipeline.pipelines_dir)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "one_writer.lock", timeout=0), _held_in_postgres(pipeline):
            yield
    except Timeout:
        raise WarehouseBusy from None


@contextmanager
def _held_in_postgres(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Postgres can be reached from several machines; it gives the lock back when the connection ends."""
    if not pipeline.destination.destination_type.endswith("postgres"):
        yield
        return
    with pipeline.sql_client() as client:
        answer = client.execute_sql("select pg_try_advisory_lock(%s, %s)", *_key(pipeline))
        if not (answer and answer[0][0]):
            raise WarehouseBusy
        yield


def _key(pipeline: dlt.Pipeline) -> tuple[int, int]:
    """Two numbers for the lock: ours, and the dataset's."""
    return crc32(b"wistia-pipeline") - 2**31, crc32(pipeline.dataset_name.encode()) - 2**31
