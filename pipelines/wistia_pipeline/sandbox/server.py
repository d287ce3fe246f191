"""Serves an account over HTTP, from a thread, as api.wistia.com does."""

from __future__ import annotations

import json
import os
import secrets
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from http.client import responses
from http.server import BaseHTTPRequestHandler
from math import ceil
from socketserver import ThreadingTCPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .account import Account
from .answers import READ_STATS, Refusal, Request, Terms, find_route
from .faults import Fault, Faults
from .modern import is_edge

JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"

ERROR_PAGE = "<!DOCTYPE html><html><head><title>Wistia</title></head><body>We'll be right back.</body></html>"
TOO_MANY = b"Rate limit exceeded"


@dataclass(frozen=True)
class Call:
    """A request that arrived (`at`, by time.monotonic) and the status it got; 0 where none was sent.

    `headers` are in lower case and without the authorization.
    """

    at: float
    method: str
    path: str
    query: dict[str, str]
    status: int
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """What goes over the wire."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    retry_after: str | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class Sandbox(Terms):
    """A Wistia API for one account, on a local port, while the context lasts; how it answers may be set at any time."""

    account: Account = field(kw_only=False)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    token: str = "sandbox-token"  # noqa: S105
    rate_limit: int | None = 600
    latency: float = 0.0
    host: str = "127.0.0.1"
    port: int = 0
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.log: list[Call] = []
        self.faults = Faults()
        self._server: _Server | None = None
        self._granted: deque[float] = deque()
        self._rate_lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where it listens; paths begin with /v1 or /modern."""
        if self._server is None:
            raise RuntimeError("the sandbox is not running: enter it as a context manager")
        host, port = self._server.socket.getsockname()
        return f"http://{host}:{port}"

    def __enter__(self) -> Sandbox:
        self._server = _Server((self.host, self.port), self)
        self._server.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def wait_for_permit(self) -> int | None:
        """None within the limit, else the seconds to wait; refused requests do not count."""
        limit = self.rate_limit
        with self._rate_lock:
            now = self.clock()
            while self._granted and self._granted[0] <= now - 60:
                self._granted.popleft()
            if limit is None or len(self._granted) < limit:
                self._granted.append(now)
                return None
            return max(1, ceil(self._granted[-limit] + 60 - now))

    def answer(self, path: str, query: dict[str, list[str]], authorization: str | None, release: str | None) -> Reply:
        """The answer to a GET, whatever the faults in force."""
        try:
            found = self._answer(path, query, authorization, release)
        except Refusal as refusal:
            said = {"code": refusal.code, "error": refusal.error}
            body = {name: text for name, text in said.items() if text}
            return Reply(refusal.status, _json(body) if body else b"")
        if isinstance(found, str):
            return Reply(200, found.encode(), HTML)
        return Reply(200, _json(found))

    def _answer(self, path: str, query: dict[str, list[str]], authorization: str | None, release: str | None) -> Any:
        _, version, *rest = path.split("/", 2)
        found = find_route(version, unquote("".join(rest)))
        if authorization != f"Bearer {self.token}":
            raise Refusal(401, "Invalid credentials.", "unauthorized_credentials")
        if found is None:
            raise Refusal(404, "Not found.")
        route, key = found
        if route.scope == READ_STATS and not self.plan_has_stats:
            raise Refusal(403, "Stats are not available on your current plan")
        if route.scope is not None and route.scope not in self.scopes:
            # a missing permission is a 401 here, not a 403
            raise Refusal(401, "Invalid credentials.", "unauthorized_scope")
        view = self.account.at(self.now())
        return route.answer(Request(self, view, version == "v1", is_edge(release), query, key))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class _Server(ThreadingTCPServer):
    # not an HTTPServer, which would look up the name of this host
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away; that is no news."""

    def stop(self) -> None:
        """End it, and the connections that clients keep open."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 16_384
    server: _Server

    def do_GET(self) -> None:
        sandbox, stopping = self.server.sandbox, self.server.stopping
        call, query = self._arrived()
        if sandbox.latency:
            stopping.wait(sandbox.latency)
        wait = sandbox.wait_for_permit()
        if wait is not None:
            self._send(Reply(429, TOO_MANY, TEXT, str(wait)), call)
            return
        fault = sandbox.faults.claim(call.path)
        if fault and fault.kind in ("reset", "hang"):
            sandbox.log.append(call)
            self.close_connection = True
            if fault.kind == "hang":
                stopping.wait(fault.seconds)
            else:
                self._reset()
            return
        if fault and fault.kind in ("status", "html"):
            self._send(_faulty(fault), call)
            return
        try:
            authorization = self.headers.get("Authorization")
            reply = sandbox.answer(call.path, query, authorization, self.headers.get("X-Wistia-API-Version"))
        except Exception as error:
            reply = Reply(500, _json({"error": f"Internal server error: {error!r}"}))
        if fault and fault.kind == "malformed":
            text = reply.body[:-1] if fault.body is None else fault.body.encode()
            reply = Reply(200, text or b'{"')
        self._send(reply, call, whole=not fault or fault.kind != "truncated")

    def _not_allowed(self) -> None:
        # a body may follow that nobody reads
        self.close_connection = True
        self._send(Reply(405, _json({"error": "Method not allowed."})), self._arrived()[0])

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _not_allowed

    def _arrived(self) -> tuple[Call, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        flat = {name: ",".join(values) for name, values in query.items()}
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() != "authorization"}
        return Call(time.monotonic(), self.command, parts.path, flat, 0, headers), query

    def _send(self, reply: Reply, call: Call, *, whole: bool = True) -> None:
        self.server.sandbox.log.append(replace(call, status=reply.status))
        lines = [
            f"HTTP/1.1 {reply.status} {responses.get(reply.status, 'Unknown')}",
            f"Date: {format_datetime(self.server.sandbox.now().astimezone(UTC), usegmt=True)}",
            f"Content-Type: {reply.content_type}",
            f"Content-Length: {len(reply.body) + (0 if whole else 100)}",
            f"x-request-id: {secrets.token_hex(16)}",
        ]
        if reply.retry_after is not None:
            lines.append(f"Retry-After: {reply.retry_after}")
        self.close_connection |= not whole
        if self.close_connection:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        body = b"" if self.command == "HEAD" else reply.body if whole else reply.body[: len(reply.body) // 2]
        # in one piece: two sends wait for each other's acknowledgement, 40 ms a request
        self.wfile.write(head + body)

    def _reset(self) -> None:
        # closing without lingering sends a reset instead of a goodbye
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing; `Sandbox.log` has it."""


def _faulty(fault: Fault) -> Reply:
    if fault.kind == "html":
        return Reply(200, (fault.body or ERROR_PAGE).encode(), HTML)
    if fault.body is not None:
        is_json = fault.body[:1] in ("{", "[")
        return Reply(fault.status, fault.body.encode(), JSON if is_json else TEXT, fault.retry_after)
    if fault.status == 429:
        return Reply(429, TOO_MANY, TEXT, fault.retry_after)
    text = "Internal server error" if fault.status == 500 else responses.get(fault.status, "Error")
    return Reply(fault.status, _json({"error": text}), JSON, fault.retry_after)
