"""The sandbox's data has the known quirks of Wistia's."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

from wistia_pipeline.sandbox import Account

from tests.support.asking import START, Client, Row


def test_quirks_of_events(events: list[Row]) -> None:
    def some(test: Callable[[Row], bool]) -> bool:
        return 0 < sum(map(test, events)) < len(events) / 2

    for field in ("region", "city", "org", "embed_url"):
        assert some(lambda row, field=field: row[field] == ""), field  # type: ignore[misc]
    assert 0.01 < sum(row["email"] is not None for row in events) / len(events) < 0.04
    assert some(lambda row: isinstance(row["conversion_data"], dict) and "is_new_lead" in row["conversion_data"])
    assert some(lambda row: row["conversion_data"] == "")
    assert {type(row["conversion_type"]) for row in events} == {str, int}
    assert some(lambda row: row["conversion_type"] == 0)
    assert some(lambda row: "event_key" not in row)
    assert all("event_key" in row for row in events[: len(events) // 2])
    assert all(re.search(r"/events/[^/]+/iframe\.html\?public_token=\w+$", row["iframe_heatmap_url"]) for row in events)
    assert some(lambda row: re.fullmatch(r"[^.]+:\d\dZ", row["received_at"]) is not None)
    assert all(re.fullmatch(r"[-0-9]{10}T[:0-9]{8}(\.000)?Z", row["received_at"]) for row in events)
    assert some(lambda row: "user_agent_details" not in row)
    assert some(lambda row: "thumbnail" not in row)
    assert some(lambda row: row["visitor_key"] is None and row["lat"] is None and row["ip"] is None)
    assert {(type(row["percent_viewed"]), row["percent_viewed"]) for row in events} >= {
        (int, 0), (int, 1), (float, 0.0), (float, 1.0),
    }  # fmt: skip
    assert all(0 <= row["percent_viewed"] <= 1 for row in events)
    assert some(lambda row: "utm_source" in row["embed_url"])
    assert some(lambda row: "wemail=" in row["embed_url"])
    assert some(lambda row: not row["city"].isascii())
    documentation = r"192\.0\.2\.\d+|198\.51\.100\.\d+|203\.0\.113\.\d+|2001:db8::[0-9a-f]+"
    assert all(row["ip"] is None or re.fullmatch(documentation, row["ip"]) for row in events)


def test_two_visitors_share_an_event_key(client: Client, events: list[Row]) -> None:
    pairs = [
        (newer, older) for newer, older in pairwise(events) if newer.get("event_key", "") == older.get("event_key")
    ]
    assert 5 < len(pairs) < 60
    for newer, older in pairs:
        differ = {name for name in newer if newer[name] != older[name]}
        assert {"received_at", "visitor_key"} <= differ <= {"received_at", "visitor_key", "percent_viewed"}
        apart = datetime.fromisoformat(newer["received_at"]) - datetime.fromisoformat(older["received_at"])
        assert timedelta(0) < apart <= timedelta(seconds=30)
    keys = [(row.get("event_key", row["iframe_heatmap_url"]), row["visitor_key"]) for row in events]
    assert len(set(keys)) == len(keys)
    assert client.get(f"/v1/stats/events/{pairs[0][0]['event_key']}") == pairs[0][1]


def test_quirks_of_visitors(account: Account, events: list[Row]) -> None:
    visitors = account.at(START).visitors()
    keys = {row.get("event_key") for row in events}
    assert sum(row["created_at"] > row["last_active_at"] for row in visitors) > 10
    assert sum(row["play_count"] > row["load_count"] for row in visitors) > 5
    assert any("org" not in row["visitor_identity"] for row in visitors)
    assert {row.get("identifying_event_key", "absent") for row in visitors} == {None, "absent"}
    assert all(row["last_event_key"] in keys or row["last_active_at"] < events[-400]["received_at"] for row in visitors)
    moments = [row["last_active_at"] for row in visitors]
    assert moments == sorted(moments, reverse=True)
    assert len(set(moments)) < len(moments)
    assert len({row["visitor_key"] for row in visitors}) == len(visitors)
    identities = [row["visitor_identity"] for row in visitors]
    assert any(row["name"] == "" and row["email"] is None for row in identities)
    assert all(re.search(r"@example\.(com|org)$", row["email"]) for row in identities if row["email"])


def test_quirks_of_medias(client: Client, account: Account) -> None:
    view = account.at(START)
    medias = view.medias()
    ids = [row["hashed_id"] for row in medias]
    assert [row["id"] for row in medias] == sorted(row["id"] for row in medias)
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[0-9a-z]{10}", key) for key in ids)
    assert any(re.fullmatch(r"\d+e\d+", key) for key in ids)
    assert any(re.fullmatch(r"00\d+", key) for key in ids)
    assert {row["type"] for row in medias} == {"Video", "Audio", "Image", "PdfDocument"}
    assert {type(row.get("duration")) for row in medias} == {int, float, type(None)}
    assert any(row.get("duration", 0) > 1000 for row in medias)
    assert 0.02 < sum(row["archived"] for row in medias) / len(medias) < 0.1
    for field in ("duration", "section", "tags", "subfolder", "project"):
        assert 0 < sum(field not in row for row in medias) < len(medias), field
    assert {tuple(sorted(row["project"])) for row in medias if "project" in row} == {
        ("hashed_id", "id", "name"), ("hashedId", "id", "name"),
    }  # fmt: skip
    descriptions = {row["description"] for row in medias}
    assert {"", "\n"} < descriptions
    for sign in "<'\"\\,":
        assert any(sign in text for text in descriptions), sign
    assert any("🚀" in row["name"] for row in medias)
    assert all(row["created"].endswith("+00:00") and row["updated"].endswith("+00:00") for row in medias)
    modern = client.pages("/modern/medias")
    assert any(row["folder"] is None for row in modern)
    for field in ("duration", "section"):
        assert any(field in row and row[field] is None for row in modern), field
        assert any(field not in row for row in modern), field
    stats = [view.media_stats(key) for key in ids]
    assert {"absent" if "actions" not in row else bool(row["actions"]) for row in stats} == {
        "absent",
        True,
        False,
    }
    hours = {type(row["hours_watched"]) for row in view.media_stats_by_date(ids[0], "2025-01-01", "2025-02-28")}
    assert hours <= {int, float}
    assert int in {type(row["hours_watched"]) for row in view.media_stats_by_date(ids[0], "1999-01-01", "1999-01-01")}


def test_quirks_of_captions(account: Account) -> None:
    view = account.at(START)
    found = [view.captions(row["id"]) for row in view.medias()]
    assert 0.25 < sum(map(bool, found)) / len(found) < 0.5
    rows = [row for captions in found for row in captions]
    assert any(row["text"] is None for row in rows)
    assert any(row["text"] and not row["text"].isascii() and "\n" in row["text"] for row in rows)
    assert any(
        len(captions) == 2 and len({row["language"] for row in captions}) == 1 and captions[1]["is_draft"]
        for captions in found
    )
    assert len({row["id"] for row in rows}) == len(rows)
