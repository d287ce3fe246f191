"""What becomes of personal data on its way in: kept, hashed or dropped, and never half of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from wistia_pipeline.sandbox import Sandbox

from tests.support.mart_rows import ACCOUNT as ACCOUNT_OF_MARTS
from tests.support.mart_rows import START, load_first
from tests.support.people import HOUR, SECRET, digest, load
from tests.support.sandbox import NOW, settings_for
from tests.support.served import Row, event, serving, visitor, without
from tests.support.warehouse import Warehouse
from wistia_source import wistia
from wistia_source.errors import SettingInvalid
from wistia_source.pii import Pii

ACCOUNT = ACCOUNT_OF_MARTS
ALL_AGAIN: dict[str, Any] = {"events_lookback_hours": 3_000, "visitors_lookback_hours": 3_000}
"""All rows are read again."""
UTM = "utm_source=news&utm_content=b"

PERSONS = ["Ann.Lee@Example.org", "Ann", "Lee-Ståhl", "Ann Lee-Ståhl", "203.0.113.77", "Lee Ltd", "Founder", "0987-ann"]
"""What nothing of may be found where it was hashed or dropped."""
IDENTITY = {"name": PERSONS[3], "email": " ann.LEE@example.org ", "org": {"name": PERSONS[5], "title": PERSONS[6]}}
FORM = {"email": PERSONS[0], "first_name": PERSONS[1], "last_name": PERSONS[2], "is_new_lead": True}
PAGE = f"https://ann:0987-ann@www.example.com/to/Ann.Lee%40Example.org?{UTM}&e=Ann.Lee%2540Example.org#0987-ann"
EVENTS = [
    event(
        "known",
        visitor_key="ann",
        ip=PERSONS[4],
        email=PERSONS[0],
        conversion_data=FORM,
        embed_url=PAGE,
    ),
    event("unknown", visitor_key="bob", ip=None, email="", conversion_data=""),
    event("new fields", visitor_key="ann", phone="0987-ann", conversion_data={"deep": {"phone": ["0987-ann"]}}),
    event("of another form", visitor_key="ann", email={"to": PERSONS[0]}, ip=None, thumbnail=PERSONS[0]),
    without(event("https://x/", ip=PERSONS[4], iframe_heatmap_url=None), "event_key"),
]
VISITORS = [
    visitor("ann", visitor_identity=IDENTITY),
    visitor("bob"),
    visitor("of another form", visitor_identity=PERSONS[0], nickname="0987-ann"),
]


def found(warehouse: Warehouse, table: str, *key: str) -> dict[Any, Row]:
    """Rows by their key, without what is never the same."""
    return {
        tuple(row[name] for name in key): {name: value for name, value in row.items() if name != "_dlt_load_id"}
        for row in warehouse.rows(table)
    }


def assert_absent(warehouse: Warehouse, folder: Path, texts: list[str]) -> None:
    """None of the texts is in a row, or in a file that dlt keeps."""
    shown = repr([warehouse.rows(table) for table in warehouse.tables()]).lower()
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file()).lower()
    for text in texts:
        assert text.lower() not in shown
        assert text.lower().encode() not in kept


def test_personal_data_is_dropped_or_hashed_and_nothing_else(warehouse: Warehouse, tmp_path: Path) -> None:
    with serving() as served:
        served.answers |= {"stats/events": EVENTS, "stats/visitors": VISITORS}
        load(warehouse, served)
        before = found(warehouse, "events", "event_key", "visitor_key")
        # rows change when they are read again: another mode is another hash of the same row
        load(warehouse, served, pii="drop")
        assert_treated(warehouse, before, "drop", tmp_path / "dlt")
        load(warehouse, served, pii="hash", pii_secret=SECRET, now=NOW + HOUR)
        assert_treated(warehouse, before, "hash", tmp_path / "dlt")


def assert_treated(warehouse: Warehouse, before: dict[Any, Row], mode: str, folder: Path) -> None:
    """What was loaded with a mode, beside what was before, when all that is personal was kept."""

    def treated(value: str) -> str | None:
        return digest(value) if mode == "hash" else None

    after = found(warehouse, "events", "event_key", "visitor_key")
    # the same sessions: keys that are made from what is personal, too
    assert after.keys() == before.keys()
    email = "ann.lee@example.org"
    known, was = after["known", "ann"], before["known", "ann"]
    query = f"{UTM}&e={digest(email)}#{digest('0987-ann')}" if mode == "hash" else UTM
    assert {name: value for name, value in known.items() if value != was[name]} == {
        "ip": treated(PERSONS[4]),
        "email": treated(email),
        "conversion_data__email": treated(email),
        "conversion_data__first_name": treated("Ann"),
        "conversion_data__last_name": treated("Lee-Ståhl"),
        "lat": None,
        "lon": None,
        "embed_url": f"https://www.example.com/to/{{email}}?{query}",
        "_row_hash": known["_row_hash"],
    }
    unknown = after["unknown", "bob"]
    assert (unknown["ip"], unknown["email"]) == (None, "" if mode == "hash" else None)
    new, other = after["new fields", "ann"], after["of another form", "ann"]
    assert (new["phone"], new["conversion_data__deep"]) == (treated("0987-ann"), treated('{"phone":["0987-ann"]}'))
    assert (other["email"], other["thumbnail"]) == (treated('{"to":"ann.lee@example.org"}'), treated(PERSONS[0]))
    people = found(warehouse, "visitors", "visitor_key")
    identity = {
        name: people["ann",][f"visitor_identity__{name}"] for name in ("name", "email", "org__name", "org__title")
    }
    assert identity == {
        "name": treated("Ann Lee-Ståhl"),
        "email": treated(email),
        "org__name": treated("Lee Ltd"),
        "org__title": treated("Founder"),
    }
    assert people["bob",]["visitor_identity__name"] == ("" if mode == "hash" else None)
    stray = people["of another form",]
    assert (stray["visitor_identity"], stray["nickname"]) == (treated(PERSONS[0]), treated("0987-ann"))
    assert_absent(warehouse, folder, [*(text for text in PERSONS if text != "Ann"), "0987-ann", SECRET])


ANN = digest("ann@x.org")


@pytest.mark.parametrize(
    ("url", "dropped", "hashed"),
    [
        ("", "", ""),
        ("https://x.org", None, None),
        ("https://x.org/a/b?", "https://x.org/a/b", "https://x.org/a/b"),
        (f"https://x.org/a?{UTM}", None, None),
        ("https://x.org/@channel", None, None),
        ("https://x.org/?email=Ann%40x.org", "https://x.org/", f"https://x.org/?email={ANN}"),
        ("https://x.org/?ANN@X.ORG", "https://x.org/", f"https://x.org/?{ANN}"),
        ("https://x.org/?a=%2520ann%252540x.org", "https://x.org/", f"https://x.org/?a={ANN}"),
        ("https://x.org/?ann@x.org=1", "https://x.org/", f"https://x.org/?{digest('ann@x.org=1')}"),
        ("https://x.org/?utm_term=ann%40x.org", "https://x.org/", f"https://x.org/?utm_term={ANN}"),
        ("https://x.org/?utm_term=b;e=ann@x.org", "https://x.org/?utm_term=b", f"https://x.org/?utm_term=b&e={ANN}"),
        ("https://x.org/?a=&utm_term=", "https://x.org/?utm_term=", "https://x.org/?a=&utm_term="),
        ("https://x.org/a?b#c?d=e", "https://x.org/a", f"https://x.org/a?{digest('b')}#{digest('c?d=e')}"),
        ("//ann:pass@x.org/a", "//x.org/a", "//x.org/a"),
        ("https://ann%40y.org@x.org/a", "https://x.org/a", "https://x.org/a"),
        ("https://ann:pass%40x.org/a", "https://x.org/a", "https://x.org/a"),
        ("https://x.org/ann%40x.org/a", "https://x.org/{email}/a", "https://x.org/{email}/a"),
        ("mailto:ann@x.org", "{email}", "{email}"),
        ("ann@x.org/a", "{email}/a", "{email}/a"),
        ("https://x.org/ü%?q=%ff\n", "https://x.org/ü%", f"https://x.org/ü%?q={digest('�')}"),
    ],
)
def test_a_page_keeps_what_is_no_persons(url: str, dropped: str | None, hashed: str | None) -> None:
    assert Pii("drop").url(url) == (url if dropped is None else dropped)
    once = Pii("hash", SECRET).url(url)
    assert once == (url if hashed is None else hashed)
    assert Pii("hash", SECRET).url(once) == once


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"pii": "mask"}, "pii is 'mask', but must be keep, hash or drop"),
        ({"pii": "hash"}, "SOURCES__WISTIA__PII_SECRET"),
        ({"pii": "hash", "pii_secret": ""}, "SOURCES__WISTIA__PII_SECRET"),
        ({"pii": "hash", "pii_secret": "0123456789abcde"}, "fewer than 16 characters"),
        ({"pii_secret": "short"}, "fewer than 16 characters"),
    ],
)
def test_settings_that_cannot_work_are_told_in_a_sentence(settings: Row, says: str) -> None:
    with pytest.raises(SettingInvalid, match=says) as refused:
        wistia("token", **settings)
    assert "\n" not in str(refused.value)
    assert settings.get("pii_secret") in (None, "") or settings["pii_secret"] not in str(refused.value)


def test_a_secret_of_16_characters_will_do() -> None:
    assert Pii.of("hash", "0123456789abcdef").secret == "0123456789abcdef"


def test_the_secret_is_in_no_text_of_its_owner() -> None:
    assert SECRET not in repr(Pii("hash", SECRET))


@pytest.mark.slow
def test_the_marts_know_leads_by_hash_and_nobody_where_all_is_dropped(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    marts = replace(duckdb_warehouse, dataset=duckdb_warehouse.marts)
    leads: dict[str, list[tuple[Any, ...]]] = {}
    for mode in ("keep", "hash", "drop"):
        if mode == "keep":
            load_first(duckdb_warehouse, living)
        else:
            settings = settings_for(living, start_date=START, pii=mode, pii_secret=SECRET, **ALL_AGAIN)
            result = duckdb_warehouse.sync(settings, ["events", "visitors"], models=True)
            assert result.models
            assert result.models.failures == []
        known = marts.rows("wistia__leads", "visitor_key, media_id, email, visitor_name, first_name, last_name")
        leads[mode] = [tuple(lead.values()) for lead in known]
        located = [row for row in marts.rows("wistia__sessions", "latitude") if row["latitude"] is not None]
        assert bool(located) == (mode == "keep")
    assert len(leads["keep"]) > 3
    assert sorted(leads["hash"]) == sorted(
        (*lead[:2], *(text and digest(text) for text in lead[2:])) for lead in leads["keep"]
    )
    assert leads["drop"] == []
