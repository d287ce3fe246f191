"""Whoever asks to be forgotten is gone: from tables, marts, files and whatever waits, and does not come back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from wistia_pipeline.cli import main
from wistia_pipeline.forget import ForgetResult, run_forget
from wistia_pipeline.progress import Progress

from tests.conftest import NOW, Warehouse
from tests.test_privacy import SECRET, digest, load
from tests.test_quirks import Row, Served, event, serving, visitor

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

KEY, ADDRESS = "1781423999_ann-and-nobody-else", "Ann.Lee@Example.org"
TRACES = [KEY, "ann.lee@", "ann.lee%", "lee-ståhl", "203.0.113.77", "annphone"]
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
PAGES = {
    "plain": ("https://x.org/?to=ann.lee@example.org&b=1", "https://x.org/?to={forgotten}&b=1"),
    "encoded": ("https://x.org/?u=hi+ANN.LEE%40example.org#a", "https://x.org/?u={forgotten}#a"),
    "twice": ("https://x.org/to/ann.lee%2540Example.org/b", "https://x.org/to/{forgotten}/b"),
    "inside": ("https://x.org/?r=%2Fb%3Fe%3Dann.lee%40example.org%26c", "https://x.org/?r={forgotten}"),
    "other": ("https://x.org/?to=joann.lee@example.org", "https://x.org/?to=joann.lee@example.org"),
    "longer": ("https://x.org/?to=ann.lee@example.org.uk", "https://x.org/?to=ann.lee@example.org.uk"),
}
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
    """An account in which Ann, Bob and others have watched."""
    with serving() as server:
        server.answers |= {
            "stats/events": sorted([*ANN, *OTHERS], key=lambda row: str(row["received_at"]), reverse=True),
            "stats/visitors": [visitor(KEY, visitor_identity=IDENTITY), *PEOPLE],
            **{f"stats/events/{row['event_key']}": dict(row) for row in ANN},
            f"stats/visitors/{KEY}": visitor(KEY, visitor_identity=IDENTITY),
        }
        yield server


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.slow)])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    """An empty one."""
    chosen: Warehouse = request.getfixturevalue(f"{request.param}_warehouse")
    return chosen


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
    """Tables and files that hold any of the texts, in any case."""
    wanted = [text.lower() for text in texts]
    found = [
        table for table in warehouse.tables() if any(text in repr(warehouse.rows(table)).lower() for text in wanted)
    ]
    for path in folder.rglob("*"):
        if path.is_file() and any(text.encode() in path.read_bytes().lower() for text in wanted):
            found.append(str(path.relative_to(folder)))
    return found


def events(warehouse: Warehouse, *names: str) -> dict[str, Any]:
    """Sessions by their key: one value, or several."""
    return {
        row["event_key"]: row[names[0]] if len(names) == 1 else tuple(row[name] for name in names)
        for row in warehouse.rows("events")
    }


def assert_gone(warehouse: Warehouse, tmp_path: Path) -> None:
    """Ann is nowhere, and all others are as they were, but for her address in their pages."""
    assert where_found(warehouse, tmp_path) == []
    assert events(warehouse, "embed_url") == {
        **{f"bob-{name}": after for name, (_, after) in PAGES.items()},
        "bob": "",
        "nobody": "",
    }
    assert {row["visitor_key"] for row in warehouse.rows("visitors")} == {"bob", "carol"}


def test_an_address_is_gone_with_all_that_was_known_under_it_and_stays_away(
    warehouse: Warehouse, served: Served, tmp_path: Path
) -> None:
    load(warehouse, served)
    assert len(where_found(warehouse, tmp_path)) >= 2
    result = forget(warehouse, email=f" {ADDRESS.upper()} ")
    assert (result.rows, result.visitors, result.pages) == ({"visitors": 1, "events": 4}, 1, 4)
    assert_gone(warehouse, tmp_path)
    # hour after hour, and whatever else may bring them back
    load(warehouse, served, now=NOW + HOUR)
    assert_gone(warehouse, tmp_path)
    before = warehouse.contents(("sync_runs", "refreshes", "restatements"))
    load(
        warehouse,
        served,
        now=NOW + 2 * HOUR,
        backfill_start="2026-06-01",
        backfill_end="2026-06-15",
        select=("events",),
    )
    load(warehouse, served, now=NOW + 2 * HOUR, event_key="ann-2", select=("events",))
    load(warehouse, served, now=NOW + 2 * HOUR, visitor_key=KEY, select=("visitors",))
    assert warehouse.contents(("sync_runs", "refreshes", "restatements")) == before
    assert_gone(warehouse, tmp_path)
    again = forget(warehouse, email=ADDRESS)
    assert (again.rows.get("events", 0), again.visitors, again.pages) == (0, 0, 0)


def test_a_key_is_gone_and_who_shares_its_address_stays(warehouse: Warehouse, served: Served, tmp_path: Path) -> None:
    load(warehouse, served)
    result = forget(warehouse, visitor_key=KEY)
    assert (result.rows, result.visitors, result.pages) == ({"visitors": 1, "events": 3}, 1, 0)
    load(warehouse, served, now=NOW + HOUR)
    assert events(warehouse, "visitor_key") == {
        **dict.fromkeys((f"bob-{name}" for name in PAGES), "bob"),
        "bob": "bob",
        "nobody": "",
        "ann-4": "",
    }
    assert where_found(warehouse, tmp_path, [KEY]) == []


def test_a_new_key_of_a_forgotten_address_is_forgotten_with_what_it_had_watched(
    warehouse: Warehouse, served: Served, tmp_path: Path
) -> None:
    nobody = forget_first(warehouse, served)
    assert nobody.rows.get("events", 0) == 0
    later = "1781424000_a-new-key"
    early = event("new-1", visitor_key=later, received_at=at(8, 15))
    served.answers["stats/events"].insert(0, early)
    load(warehouse, served, now=NOW + HOUR)
    assert "new-1" in events(warehouse, "visitor_key")
    # the visitor tells the address now; the session above is known already, the next one has no address either
    served.answers["stats/visitors"].insert(0, visitor(later, visitor_identity=IDENTITY, last_active_at=at(9, 15)))
    served.answers["stats/events"].insert(0, event("new-2", visitor_key=later, received_at=at(9, 15)))
    load(warehouse, served, now=NOW + 2 * HOUR, events_lookback_hours=0.1)
    assert where_found(warehouse, tmp_path, [later]) == []
    served.answers["stats/events"].insert(0, event("new-3", visitor_key=later, received_at=at(13, 15)))
    load(warehouse, served, now=NOW + 3 * HOUR)
    assert where_found(warehouse, tmp_path, [later]) == []
    assert [row["settled_at"] for row in warehouse.rows("forgotten") if row["settled_at"] is None] == []


def forget_first(warehouse: Warehouse, served: Served) -> ForgetResult:
    """Ann is forgotten before she has watched anything."""
    ann, served.answers["stats/events"] = served.answers["stats/events"], list(OTHERS)
    people, served.answers["stats/visitors"] = served.answers["stats/visitors"], list(PEOPLE)
    load(warehouse, served)
    assert ann
    assert people
    return forget(warehouse, email=ADDRESS)


def test_by_hash_the_rows_are_nobodys_and_removal_wins(
    warehouse: Warehouse, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__WISTIA__PII_SECRET", SECRET)
    load(warehouse, served)
    result = forget(warehouse, "hash", email=ADDRESS)
    assert (result.rows, result.visitors, result.pages) == ({"visitors": 1, "events": 4}, 1, 4)
    assert where_found(warehouse, tmp_path) == []
    hashed, rows = events(warehouse, "visitor_key", "email", "lat"), len(OTHERS) + len(ANN)
    assert len(hashed) == rows
    assert hashed["ann-1"] == (digest(KEY), digest(ADDRESS.lower()), None)
    assert hashed["ann-4"] == ("", None, None)
    assert hashed["bob"] == ("bob", "bob@example.org", 32.1)
    # what is read again is the same row, written once more for its hash
    load(warehouse, served, now=NOW + HOUR)
    assert events(warehouse, "visitor_key", "email", "lat") == hashed
    assert where_found(warehouse, tmp_path) == []
    removed = forget(warehouse, email=ADDRESS)
    assert removed.rows == {"visitors": 1, "events": 4}
    forget(warehouse, "hash", visitor_key=KEY)
    load(warehouse, served, now=NOW + 2 * HOUR)
    assert_gone(warehouse, tmp_path)
    assert where_found(warehouse, tmp_path, [digest(KEY), digest(ADDRESS.lower())]) == []


def test_where_all_is_hashed_an_address_is_found_by_its_hash(
    warehouse: Warehouse, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__WISTIA__PII_SECRET", SECRET)
    load(warehouse, served, pii="hash")
    assert forget(warehouse, email=ADDRESS).rows == {"visitors": 1, "events": 4}
    load(warehouse, served, pii="hash", now=NOW + HOUR)
    assert where_found(warehouse, tmp_path, [KEY, digest(KEY)]) == []
    assert {row["email"] for row in warehouse.rows("events")} == {None, digest("bob@example.org")}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`wistia-pipeline` in this process."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    return run


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "either --visitor KEY or --email ADDRESS"),
        (("--visitor", "a", "--email", "b@c"), 2, "either --visitor KEY or --email ADDRESS"),
        (("--visitor", ""), 2, "it is empty"),
        (("--visitor", " "), 2, "it is empty"),
        (("--email", "ann"), 1, "not an email address"),
        (("--email", "ann @b.org"), 1, "not an email address"),
        (("--email", "a@b.org", "--mode", "hash"), 1, "SOURCES__WISTIA__PII_SECRET"),
        (("--email", "a@b.org", "--mode", "mask"), 2, "'mask' is not one of"),
        (("--email", "a@b.org"), 1, "warehouse.duckdb; run wistia-pipeline sync first, or correct the path"),
        (("--email", "a@b.org", "--destination", "filesystem"), 1, ""),
    ],
)
def test_wrong_uses_get_a_sentence(command: Any, tmp_path: Path, arguments: Any, code: int, says: str) -> None:
    done = command("forget", *arguments)
    assert done.exit_code == code, done.output
    assert says in done.output
    assert done.output.strip().count("Error: ") == 1
    assert "Traceback" not in done.output
    assert not (tmp_path / "warehouse.duckdb").exists()


def test_it_never_says_who_it_was(command: Any, served: Served, duckdb_warehouse: Warehouse) -> None:
    load(duckdb_warehouse, served)
    done = command("forget", "--email", ADDRESS)
    assert done.exit_code == 0, done.output
    assert "Removed: 1 row of visitors, 4 rows of events." in done.output
    assert "Taken out of the page of 4 sessions of others." in done.output
    again = command("forget", "--visitor", KEY, "--json")
    told: Row = json.loads(again.stdout)
    assert (told["status"], told["rows"].get("events", 0), told["remembered"]) == ("ok", 0, True)
    unknown = command("forget", "--email", "nobody@example.org")
    assert "Nothing of this person was loaded." in unknown.output
    assert "remembered" in unknown.output
    for text in (KEY, ADDRESS, "nobody@"):
        assert text.lower() not in (done.output + again.output + unknown.output).lower()
    runs = [row for row in duckdb_warehouse.rows("sync_runs") if row["command"] == "forget"]
    assert sorted((row["resource"], row["status"], row["rows"]) for row in runs) == [
        ("forgotten", "ok", count) for count in (0, 0, 5)
    ]
