"""Signals that ask this process to end, told as exceptions: what is half done is put away on the way out."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from dlt.common.exceptions import SignalReceivedException


@contextmanager
def stopped_by_signals(
    error: type[SignalReceivedException] = SignalReceivedException, first: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Raises an error where the process is asked to end, after something that has to come first.

    By itself SIGTERM would end it with no chance to put anything away. Only the main thread hears of signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        first()
        raise error(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
