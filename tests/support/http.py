"""What tests of the client share: servers that misbehave, and ways to look at what was sent and said."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

from dlt.pipeline.trace import get_exception_traces
from wistia_pipeline.sandbox import Account, Call

from wistia_source.client import Client
from wistia_source.endpoints import Row
from wistia_source.metrics import Metrics
from wistia_source.paging import Lists
from wistia_source.walks import ACTIVE_WALKS, Walks

START = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
EVENTS, VISITORS = "stats/events", "stats/visitors"
TOKEN = "a-token-that-nobody-may-see"
OTHER_TOKEN = "another-token-that-nobody-may-see"
LONG = 60.0
"""Seconds after which something that should have ended has failed its test."""
SEARCH = {"search": "anna@example.com"}
WITH_PASSWORD = "https://me:secret@api.wistia.com"

T = TypeVar("T")
Connect = Callable[..., "Connection"]
Answer = tuple[int, dict[str, str], bytes]


class Connection(Client):
    """A client with its lists and walks, as a run has them."""

    def __init__(self, *arguments: Any, active_walks: int = ACTIVE_WALKS, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.walks = Walks(active_walks)
        self.rows, self.pages = Lists(self).rows, Lists(self).pages
        self.stream = self.walks.stream

    def close(self) -> None:
        super().close()
        self.walks.close()


def counts(metrics: Metrics) -> dict[str, int]:
    """What was counted of requests."""
    return {name: count for name in ("requests", "retries", "left_out") if (count := getattr(metrics, name))}


def small(**changes: Any) -> Account:
    """An account that is made in no time."""
    arguments = {"medias": 12, "projects": 2, "visitors": 40, "events": 95, "days": 30} | changes
    return Account(seed=3, start=START, **arguments)


@contextmanager
def server(answer: Callable[[str], Answer]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Answers what the sandbox never would; the address, and the headers of each request so far."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}", seen
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def everything_shown(error: BaseException) -> str:
    """All that a person, a log, or dlt's trace, which ignores `from None`, can show of an error."""
    texts = ["".join(traceback.format_exception(error)), repr(get_exception_traces(error))]
    current: BaseException | None = error
    while current is not None:
        texts.append(repr(current))
        current = current.__cause__ or current.__context__
    return " ".join(texts)


def drained(stream: Iterator[list[T] | None]) -> list[T]:
    """What arrives, without turning at full speed while nothing does."""
    items: list[T] = []
    for arrived in stream:
        items += arrived or ()
        if arrived is None:
            time.sleep(0.002)
    return items


def key(row: Row) -> tuple[str, str, str]:
    return row["received_at"], row["media_id"], str(row["visitor_key"])


def pages_asked(calls: list[Call]) -> list[int]:
    return [int(call.query["page"]) for call in calls]


def until(condition: Callable[[], bool]) -> None:
    """Waits until it holds."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
