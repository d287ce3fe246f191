"""A local Wistia API that answers with rows that a test has put there, and rows as Wistia gives them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.sandbox import NOW, UNLIMITED
from tests.support.warehouse import Warehouse
from wistia_source import wistia

Row = dict[str, Any]

PAGE = 5
START = "2025-05-01"
DAY = "2026-06-14"


class Served:
    """A Wistia account whose every answer is what stands in `answers`, by path; `[]` where nothing does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, Any] = {"account": {"id": 7}}

    def answer(self, path: str, query: dict[str, str]) -> Any:
        """A page of 5 of a list, whatever per_page says; day filters are inclusive; objects as they are."""
        found = self.answers.get(path, [])
        if isinstance(found, dict):
            return found
        first, last = query.get("start_date", ""), query.get("end_date", "9")
        rows = [row for row in found if first <= (row.get("received_at") or row.get("date") or first)[:10] <= last]
        if path.endswith("medias") and query.get("archived") == "true":
            rows = []
        page = int(query.get("page", 0))
        return rows[(page - 1) * PAGE : page * PAGE] if page else rows

    def load(self, warehouse: Warehouse, *resources: str, version: str = "v1", now: datetime = NOW) -> None:
        """Loads all of it, or some resources."""
        source = wistia(
            access_token="token",
            base_url=self.url,
            api_version=version,
            start_date=START,
            requests_per_minute=UNLIMITED,
            backoff_seconds=0.001,
            now=now,
        )
        warehouse.load(source.with_resources(*resources) if resources else source)


@contextmanager
def serving() -> Iterator[Served]:
    """A server in a thread, on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            _, _, path = parts.path.lstrip("/").partition("/")
            body = json.dumps(api.answer(path.removesuffix(".json"), dict(parse_qsl(parts.query)))).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api = Served(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


def event(key: str, **fields: Any) -> Row:
    """A viewing session as recorded."""
    return {
        "received_at": f"{DAY}T10:00:00.000Z",
        "event_key": key,
        "ip": "203.0.113.9",
        "country": "US",
        "region": "Georgia",
        "city": "Savannah",
        "lat": 32.1,
        "lon": -81.1,
        "org": "Example Cable",
        "email": None,
        "percent_viewed": 0.5,
        "embed_url": "",
        "conversion_type": "",
        "conversion_data": {},
        "iframe_heatmap_url": f"https://api.wistia.com/v1/stats/events/{key}/iframe.html?public_token=t0k",
        "visitor_key": "visitor",
        "user_agent_details": {"browser": "Safari", "browser_version": "18", "platform": "Mac OS", "mobile": False},
        "media_id": "abc123defg",
        "media_name": "A film",
        "media_url": "https://example.wistia.com/medias/abc123defg",
        "thumbnail": {
            "url": "http://embed.example.com/1.bin",
            "width": 640,
            "fileSize": 210,
            "contentType": "image/png",
        },
    } | fields


def visitor(key: str, **fields: Any) -> Row:
    """A visitor as recorded."""
    return {
        "visitor_key": key,
        "created_at": f"{DAY}T10:00:00.000Z",
        "last_active_at": f"{DAY}T11:00:00.000Z",
        "last_event_key": "e",
        "load_count": 3,
        "play_count": 2,
        "identifying_event_key": None,
        "visitor_identity": {"name": "", "email": None, "org": {"name": None, "title": None}},
        "user_agent_details": {"browser": "Unknown Browser", "browser_version": "0", "platform": "Unknown"},
    } | fields


def media(key: str, **fields: Any) -> Row:
    """A media as recorded, with no more than every one has."""
    return {
        "id": 1,
        "hashed_id": key,
        "name": "A film",
        "type": "Video",
        "archived": False,
        "created": "2025-06-01T10:00:00+00:00",
        "updated": "2025-06-02T10:00:00+00:00",
        "description": "",
        "progress": 1.0,
        "status": "ready",
        "thumbnail": {"url": "https://embed.example.com/1.jpg", "width": 200, "height": 120},
        "project": {"id": 5, "name": "P", "hashed_id": "proj123456"},
        "assets": [],
    } | fields


def without(row: Row, *names: str) -> Row:
    """A row that lacks fields."""
    return {name: value for name, value in row.items() if name not in names}
