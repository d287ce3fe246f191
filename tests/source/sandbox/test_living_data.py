"""The sandbox's data lives: sessions come, grow and are late, and tests can change them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest
from wistia_pipeline.sandbox import Account

from tests.support.asking import LIFE, START, Client, Clock, Row, small


def everything(account: Account, now: datetime) -> str:
    view = account.at(now)
    media = view.medias()[0]["hashed_id"]
    found = [
        view.medias(), view.projects(), view.events(), view.visitors(), view.account(), view.account_stats(),
        view.account_stats_by_date(LIFE["start_date"], date(2025, 3, 9)), view.media_engagement(media),
        [view.media_stats(row["id"]) for row in view.medias()],
        [view.project_stats(row["id"]) for row in view.projects()],
        [view.captions(row["id"]) for row in view.medias()],
    ]  # fmt: skip
    return json.dumps(found)


def test_the_same_arguments_give_the_same_data_however_time_passed() -> None:
    late = START + timedelta(days=3, minutes=7)
    walked = small()
    for hour in range(0, 72, 5):
        walked.at(START + timedelta(hours=hour, seconds=17)).visitors()
    assert everything(walked, late) == everything(small(), late)
    assert everything(walked, START) == everything(small(), START), "looking back"
    assert everything(small(seed=2), START) != everything(small(), START)


def test_about_as_many_sessions_as_asked_for(account: Account, events: list[Row]) -> None:
    assert abs(len(events) - 20_000) < 100
    view = account.at(START)
    assert len(view.medias()) == 150
    assert len(view.projects()) == 8
    assert abs(len(view.visitors()) - 3000) < 100
    recent, old = events[5000]["received_at"], events[15_000]["received_at"]
    assert recent > "2024-07" > old, "growing towards the present"


def test_sessions_and_medias_keep_coming(serve: Callable[..., Client]) -> None:
    clock = Clock(START)
    client = serve(Account(start=START), now=clock, rate_limit=None)
    before = client.pages("/v1/stats/events", start_date="2025-03-01")
    names = {row["id"] for row in client.pages("/v1/medias")}
    clock.moment += timedelta(hours=8)
    after = client.pages("/v1/stats/events", start_date="2025-03-01")
    assert 150 < len(after) - len(before) < 700
    assert {row["id"] for row in client.pages("/v1/medias")} - names
    clock.moment += timedelta(days=4)
    new = [media for media in client.pages("/v1/medias") if media["id"] not in names]
    assert sum(len(client.get("/v1/stats/events", media_id=media["hashed_id"])) for media in new) > 10


def test_percent_viewed_grows_while_a_session_plays() -> None:
    account = small(hourly_events=60)
    begin = START + timedelta(hours=2)
    first = {row["event_key"]: row for row in account.at(begin).events() if "event_key" in row}
    later = {row["event_key"]: row for row in account.at(begin + timedelta(seconds=20)).events() if "event_key" in row}
    final = {row["event_key"]: row for row in account.at(begin + timedelta(hours=3)).events() if "event_key" in row}
    assert first.keys() <= later.keys() <= final.keys()
    grown = [key for key in first if first[key]["percent_viewed"] < later[key]["percent_viewed"]]
    assert grown
    for key in first:
        assert first[key]["percent_viewed"] <= later[key]["percent_viewed"] <= final[key]["percent_viewed"]
    last = {row["event_key"]: row for row in account.at(begin + timedelta(hours=9)).events() if "event_key" in row}
    assert all(last[key]["percent_viewed"] == row["percent_viewed"] for key, row in first.items() if key not in grown)
    assert all(last[key] == final[key] for key in first)


def test_late_rows_show_long_after_they_were_received() -> None:
    account = small(hourly_events=60)
    delays = []
    seen: set[str] = set()
    for step in range(60):
        now = START + timedelta(hours=step)
        rows = account.at(now).events(start_date="2025-03-01")
        newest = {row["event_key"]: row["received_at"] for row in rows if "event_key" in row}
        if seen:
            for key in newest.keys() - seen:
                delays.append(now - datetime.fromisoformat(newest[key]))
        seen |= newest.keys()
    late = [delay for delay in delays if delay > timedelta(minutes=70)]
    assert 0 < len(late) < len(delays) * 0.01
    assert max(late) < timedelta(hours=31)
    assert max(late) > timedelta(hours=5)


def test_what_a_test_can_change(serve: Callable[..., Client]) -> None:
    account = small()
    client = serve(account, rate_limit=None)
    media = account.medias[0].hashed_id
    key = account.add_late_event(media, START - timedelta(days=9), percent_viewed=0.25)
    row = client.get(f"/v1/stats/events/{key}")
    assert row["received_at"] == "2025-02-20T14:30:00.000Z"
    assert row["percent_viewed"] == 0.25
    assert row in client.get("/v1/stats/events", media_id=media, start_date="2025-02-20", per_page=100)
    account.restate_event(key, percent_viewed=0.75, email="ana@example.com")
    row = client.get(f"/v1/stats/events/{key}")
    assert (row["percent_viewed"], row["email"]) == (0.75, "ana@example.com")

    day = {"start_date": "2025-02-10", "end_date": "2025-02-10"}
    before = client.get(f"/v1/stats/medias/{media}/by_date", **day)[0]
    life = client.get(f"/v1/stats/medias/{media}")
    account.restate_day(media, "2025-02-10", loads=3, plays=2)
    after = client.get(f"/v1/stats/medias/{media}/by_date", **day)[0]
    assert (after["load_count"] - before["load_count"], after["play_count"] - before["play_count"]) == (3, 2)
    assert client.get(f"/v1/stats/medias/{media}")["play_count"] == life["play_count"] + 2

    account.rename_media(media, "Другое имя")
    assert client.get(f"/v1/medias/{media}.json")["name"] == "Другое имя"
    assert client.get(f"/v1/stats/events/{key}")["media_name"] == "Другое имя"
    account.delete_media(media)
    assert client.ask(f"/v1/medias/{media}").status_code == 404
    assert client.get(f"/v1/stats/events/{key}")["media_id"] == media
    account.restore_media(media)
    assert client.ask(f"/v1/medias/{media}").status_code == 200
    with pytest.raises(KeyError):
        account.restate_event("nobody")
    other = START + timedelta(days=1)
    assert [row["event_key"] for row in account.at(other).events()[:9]] == [
        row["event_key"] for row in small().at(other).events()[:9]
    ], "an added row moves no other"


def test_an_account_can_be_empty() -> None:
    for account in (small(medias=0), small(events=0, hourly_events=0), small(projects=0, visitors=0)):
        view = account.at(START + timedelta(days=2))
        assert (view.events() == []) == (account.events == 0 or not account.at(START).medias())
        assert view.account_stats()["play_count"] >= len(view.events())
        assert len(view.visitors()) <= len(view.events())


def test_retention_hides_old_events_only() -> None:
    kept = small(retention=timedelta(days=20)).at(START)
    everything_ = small().at(START)
    assert 0 < len(kept.events()) < len(everything_.events())
    assert kept.events() == everything_.events()[: len(kept.events())]
    assert kept.account_stats() == everything_.account_stats()
