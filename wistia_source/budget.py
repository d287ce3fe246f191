"""The request budget: one per run, shared by all threads and resources."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WINDOW_SECONDS = 60.0
"""Wistia counts requests per minute (docs)."""


class BudgetClosed(Exception):
    """The run is over: whoever still waits for a permit gives up."""


class RequestBudget:
    """At most `per_minute` requests in any 60 seconds, as the server counts them.

    A permit is held from before the request is sent until 60 s after its answer. Whenever the server counted
    the request, it was in between; so no 60 s of the server's can hold more than `per_minute` of them, whatever
    the latency, and while fewer are held nobody waits. Wistia allows 600 a minute to everything that uses the
    account, and announces nothing but the 429 (docs).

    `window_seconds` is those 60 seconds, for servers that count otherwise. Waiting goes by `clock`.
    """

    def __init__(
        self,
        per_minute: int,
        window_seconds: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.per_minute = per_minute
        self._window_seconds = window_seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._in_flight = 0
        self._free_at: deque[float] = deque()
        self._not_before = 0.0
        self._closed = False

    @contextmanager
    def permit(self) -> Iterator[float]:
        """Waits until one more request fits, and counts the one made inside; gives the seconds waited.

        Raises `BudgetClosed`.
        """
        with self._changed:
            started = self._clock()
            while (wait := self.seconds_until_free()) > 0:
                self._changed.wait(wait)
            waited = self._clock() - started
            self._in_flight += 1
        try:
            yield waited
        finally:
            with self._changed:
                self._in_flight -= 1
                self._free_at.append(self._clock() + self._window_seconds)

    def hold(self, seconds: float) -> None:
        """Nobody sends anything for `seconds`: the account's quota is used up, perhaps by someone else."""
        with self._changed:
            self._not_before = max(self._not_before, self._clock() + seconds)

    def close(self) -> None:
        """Ends all waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def seconds_until_free(self) -> float:
        """How long the next permit has to be waited for, as far as is known. Raises `BudgetClosed`."""
        with self._changed:
            if self._closed:
                raise BudgetClosed
            now = self._clock()
            while self._free_at and self._free_at[0] <= now:
                self._free_at.popleft()
            if self._not_before > now:
                return self._not_before - now
            if self._in_flight + len(self._free_at) < self.per_minute:
                return 0.0
            # with every permit in flight, none can be free sooner than a whole window from now
            return self._free_at[0] - now if self._free_at else self._window_seconds
