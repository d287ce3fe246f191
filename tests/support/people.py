"""An account in which Ann has watched among others, what tells of her, and how she is forgotten."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from wistia_pipeline.runs.forget import ForgetResult, run_forget
from wistia_pipeline.runs.progress import Progress

from tests.support.loaded import begin_once
from tests.support.sandbox import NOW, TOKEN, UNLIMITED
from tests.support.served import Served, event, serving, visitor
from tests.support.warehouse import Warehouse

HOUR = timedelta(hours=1)
SECRET = "a secret of these tests, long enough"

KEY, ADDRESS = "1781423999_ann-and-nobody-else", "Ann.Lee@Example.org"
TRACES: list[str] = [KEY, "ann.lee@", "ann.lee%", "lee-ståhl", "203.0.113.77", "annphone"]
"""What tells of Ann, in lower case."""
IDENTITY = {"name": "Ann Lee-Ståhl", "email": ADDRESS.lower(), "org": None}


def at(hour: int, day: int = 14) -> str:
    """A moment as Wistia says it."""
    return f"2026-06-{day}T{hour:02}:00:00.000Z"


ANN = [
    event("ann-1", visitor_key=KEY, received_at=at(1), email=f" {ADDRESS}", ip="203.0.113.77"),
    event("ann-2", visitor_key=KEY, received_at=at(2), ip="203.0.113.77", phone="annphone"),
    event(
        "ann-3", visitor_key=KEY, received_at=at(2, 13), conversion_data={"email": ADDRESS, "last_name": "Lee-Ståhl"}
    ),
    # Privacy Mode hides the key, but not what a form was told
    event("ann-4", visitor_key=None, received_at=at(3), conversion_data={"email": ADDRESS}),
]
PAGES: dict[str, tuple[str, str]] = {
    "plain": ("https://x.org/?to=ann.lee@example.org&b=1", "https://x.org/?to={forgotten}&b=1"),
    "encoded": ("https://x.org/?u=hi+ANN.LEE%40example.org#a", "https://x.org/?u={forgotten}#a"),
    "twice": ("https://x.org/to/ann.lee%2540Example.org/b", "https://x.org/to/{forgotten}/b"),
    "inside": ("https://x.org/?r=%2Fb%3Fe%3Dann.lee%40example.org%26c", "https://x.org/?r={forgotten}"),
    "sentence": ("https://x.org/?q=to+ann.lee@example.org.&b", "https://x.org/?q={forgotten}&b"),
    "other": ("https://x.org/?to=joann.lee@example.org", "https://x.org/?to=joann.lee@example.org"),
    "longer": ("https://x.org/?to=ann.lee@example.org.uk", "https://x.org/?to=ann.lee@example.org.uk"),
}
"""Pages of others, before and after Ann's address is forgotten."""
CLEARED = sum(before != after for before, after in PAGES.values())
OTHERS = [
    *(
        event(f"bob-{name}", visitor_key="bob", received_at=at(number), embed_url=before)
        for number, (name, (before, _)) in enumerate(PAGES.items())
    ),
    event("bob", visitor_key="bob", received_at=at(4), email="bob@example.org"),
    event("nobody", visitor_key=None, received_at=at(5)),
]
PEOPLE = [visitor("bob", visitor_identity={"name": "Bob", "email": "bob@example.org"}), visitor("carol")]


@pytest.fixture
def served() -> Iterator[Served]:
    """An account with views by Ann, Bob and others."""
    newest_first = sorted([*ANN, *OTHERS], key=itemgetter("received_at"), reverse=True)
    with serving() as server:
        server.answers |= {
            "stats/events": newest_first,
            "stats/visitors": [visitor(KEY, visitor_identity=IDENTITY), *PEOPLE],
            **{f"stats/events/{row['event_key']}": dict(row) for row in ANN},
            f"stats/visitors/{KEY}": visitor(KEY, visitor_identity=IDENTITY),
        }
        yield server


def digest(text: str) -> str:
    """HMAC-SHA256, as the documentation says."""
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


def load(warehouse: Warehouse, served: Served, **more: Any) -> None:
    """One sync of events and visitors, or of what is selected, from the first day on."""
    settings: dict[str, Any] = {
        "access_token": TOKEN,
        "base_url": served.url,
        "start_date": "2026-06-01",
        "requests_per_minute": UNLIMITED,
        "now": NOW,
        "events_lookback_hours": 100,
        "visitors_lookback_hours": 100,
    }
    select, result = more.pop("select", ("events", "visitors")), more.pop("result", None)
    warehouse.sync(settings | more, select, result)


def load_people(warehouse: Warehouse, served: Served) -> None:
    """The first load of the account as it was made, into an empty warehouse: what other tests have loaded is copied."""
    begin_once(warehouse, "people", lambda: load(warehouse, served))


def forget(warehouse: Warehouse, mode: Any = "remove", *, email: str = "", visitor_key: str = "") -> ForgetResult:
    """What `wistia-pipeline forget` does."""
    result = ForgetResult(mode=mode)
    with Progress(Console(file=StringIO())) as progress:
        kind: Any = "email" if email else "visitor_key"
        run_forget(warehouse.pipeline(), progress, result, kind, email or visitor_key)
    assert result.status == "ok"
    assert result.remembered
    return result


def where_found(warehouse: Warehouse, folder: Path, texts: list[str] = TRACES) -> list[str]:
    """Tables and files that hold any of the texts, in any case; the addresses of others are none of them."""

    def tells(content: bytes) -> bool:
        plain = content.lower().replace(b"joann.lee@", b"").replace(b"ann.lee@example.org.uk", b"")
        return any(text.lower().encode() in plain for text in texts)

    files = [path for path in folder.rglob("*") if path.is_file()]
    statistics = []
    if warehouse.name == "postgres":
        with warehouse.cursor() as cursor:
            cursor.execute(f"select * from pg_stats where schemaname like '{warehouse.dataset}%'")
            statistics = [f"statistics of {row[1]}" for row in cursor.fetchall() if tells(repr(row).encode())]
    return [
        *statistics,
        *(table for table in warehouse.tables() if tells(repr(warehouse.rows(table)).encode())),
        *(str(path.relative_to(folder)) for path in files if tells(path.read_bytes())),
    ]


def events(warehouse: Warehouse, *names: str) -> dict[str, Any]:
    """Sessions by their key: one value, or several."""
    return {
        row["event_key"]: row[names[0]] if len(names) == 1 else tuple(row[name] for name in names)
        for row in warehouse.rows("events")
    }


def assert_gone(warehouse: Warehouse, folder: Path) -> None:
    """Ann is nowhere, and all others are as they were, but for her address in their pages."""
    assert where_found(warehouse, folder) == []
    assert events(warehouse, "embed_url") == {
        **{f"bob-{name}": after for name, (_, after) in PAGES.items()},
        "bob": "",
        "nobody": "",
    }
    assert {row["visitor_key"] for row in warehouse.rows("visitors")} == {"bob", "carol"}
