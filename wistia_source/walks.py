"""Runs walks (iterators that make requests) side by side, each in sequence within itself."""

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

WORKERS = 64
"""Threads: enough for 540 requests a minute at 7 s each; idle ones cost nothing."""
ACTIVE_WALKS = 16
"""Walks that one resource keeps going at a time, so that none crowds out the others."""

T = TypeVar("T")


class Walks:
    """The threads of a run, shared by all its resources."""

    def __init__(self, active: int = ACTIVE_WALKS) -> None:
        self.active = active
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="wistia")

    def close(self) -> None:
        """Drops the steps that have not begun; the others end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def stream(self, walks: Iterable[Iterator[T]]) -> Generator[list[T] | None, None, None]:
        """Yields what has arrived, in batches, or None when nothing has: dlt then lets other resources go on.

        The walks themselves yield no None. The first exception of one ends the stream.
        """
        waiting = iter(walks)
        active: dict[Future[T | None], Iterator[T]] = {}

        def step(walk: Iterator[T]) -> None:
            active[self._pool.submit(next, walk, None)] = walk

        try:
            while True:
                for walk in islice(waiting, self.active - len(active)):
                    step(walk)
                if not active:
                    return
                arrived: list[T] = []
                for future in [future for future in active if future.done()]:
                    walk = active.pop(future)
                    item = future.result()
                    if item is not None:
                        arrived.append(item)
                        step(walk)
                yield arrived or None
        finally:
            for future in active:
                future.cancel()
