"""The sandbox's lists, filters, counts and refusals are those of Wistia."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from wistia_pipeline.sandbox import Account

from tests.support.asking import LIFE, START, Client, Row

# lists, order and paging


def test_events_are_newest_first_with_ties(client: Client, events: list[Row]) -> None:
    first = client.get("/v1/stats/events", per_page=100, page=3)
    assert first == events[200:300]
    moments = [datetime.fromisoformat(row["received_at"]) for row in events]
    assert moments == sorted(moments, reverse=True)
    assert len(set(moments)) < len(moments)
    visitors = client.get("/v1/stats/visitors", per_page=100)
    assert [row["last_active_at"] for row in visitors] == sorted(
        (row["last_active_at"] for row in visitors), reverse=True
    )


def test_day_filters_are_inclusive_utc_days(client: Client, events: list[Row]) -> None:
    window = {"start_date": "2025-02-03", "end_date": "2025-02-05"}
    expected = [row for row in events if "2025-02-03" <= row["received_at"][:10] <= "2025-02-05"]
    assert {row["received_at"][:10] for row in expected} == {"2025-02-03", "2025-02-04", "2025-02-05"}
    assert client.pages("/v1/stats/events", **window) == expected
    media = expected[0]["media_id"]
    of_media = [row for row in expected if row["media_id"] == media]
    assert client.pages("/modern/stats/events", media_id=media, release="2026-03", **window) == of_media
    visitor = of_media[0]["visitor_key"]
    of_visitor = [row for row in of_media if row["visitor_key"] == visitor]
    assert client.pages("/v1/stats/events", media_id=media, visitor_key=visitor, **window) == of_visitor
    assert client.get("/v1/stats/events", start_date="2025-02-05", end_date="2025-02-03") == []
    assert client.get("/v1/stats/events", media_id="zzzzzzzzzz") == []
    for garbage in ("yesterday", "2025-02-05T10:00:00Z", "2025-02-31", "20250205"):
        response = client.ask("/v1/stats/events", start_date=garbage)
        assert response.status_code == 422
        assert "start_date" in response.json()["error"]


def test_an_exactly_full_last_page_is_followed_by_an_empty_one(client: Client) -> None:
    total = len(client.pages("/v1/medias"))
    full = next(size for size in range(2, 100) if total % size == 0)
    assert len(client.get("/v1/medias", per_page=full, page=total // full)) == full
    assert client.get("/v1/medias", per_page=full, page=total // full + 1) == []


def test_page_sizes(client: Client, serve: Callable[..., Client]) -> None:
    assert len(client.get("/v1/stats/events")) == 10
    assert len(client.get("/v1/stats/visitors")) == 10
    assert len(client.get("/v1/medias")) == 100
    assert len(client.get("/v1/stats/events", per_page=500)) == 100
    assert client.get("/v1/stats/events", page=0) == client.get("/v1/stats/events", page=1)
    capped = serve(page_cap=7)
    assert len(capped.get("/v1/stats/events", per_page=100)) == 7
    capped.sandbox.page_cap = 9
    assert len(capped.get("/v1/stats/events", per_page=100)) == 9


def test_visitor_filters(client: Client, account: Account) -> None:
    visitors = account.at(START).visitors()
    for name, has in (("has_name", "name"), ("has_email", "email")):
        assert client.pages("/v1/stats/visitors", filter=name) == [
            row for row in visitors if row["visitor_identity"][has]
        ]
    gated = client.pages("/v1/stats/visitors", filter="identified_by_email_gate")
    assert gated
    assert all(row["visitor_identity"]["email"] for row in gated)
    some = gated[0]["visitor_identity"]["email"]
    assert client.get("/v1/stats/visitors", search=some[:-3]) == [gated[0]]
    assert client.get("/v1/stats/visitors", media_id="nothing") == client.get("/v1/stats/visitors")
    key = visitors[77]["visitor_key"]
    assert client.get(f"/v1/stats/visitors/{key}") == visitors[77]


def test_media_filters(client: Client, account: Account) -> None:
    medias = account.at(START).medias()
    active = client.pages("/v1/medias")
    assert active == [row for row in medias if not row["archived"]]
    assert client.pages("/v1/medias", archived="true") == [row for row in medias if row["archived"]]
    project = next(row["project"] for row in active if "hashed_id" in row.get("project", {}))
    of_project = client.pages("/v1/medias", project_id=project["hashed_id"])
    assert 0 < len(of_project) < len(active)
    assert client.pages("/modern/medias", folder_id=project["hashed_id"])[0]["id"] == of_project[0]["id"]
    shown = client.get(f"/v1/projects/{project['hashed_id']}")
    assert [row["id"] for row in shown["medias"]] == [row["id"] for row in of_project]
    assert {row["type"] for row in client.pages("/v1/medias", type="Audio")} == {"Audio"}
    wanted = {"hashed_ids[]": [active[3]["hashed_id"], active[5]["hashed_id"]]}
    assert client.get("/v1/medias", **wanted) == [active[3], active[5]]
    names = [row["name"] for row in client.get("/v1/medias", sort_by="name", sort_direction=0)]
    assert names == sorted(names, reverse=True)
    walked: list[int] = []
    page = client.get("/modern/medias", per_page=60, **{"cursor[enabled]": 1})
    while page:
        walked += [row["id"] for row in page]
        page = client.get("/modern/medias", per_page=60, **{"cursor[after]": page[-1]["cursor"]})
    assert walked == [row["id"] for row in active]
    captions = client.pages("/v1/captions")
    media = next(row for row in medias if account.at(START).captions(row["id"]))
    assert client.get("/v1/captions", media_id=media["hashed_id"]) == account.at(START).captions(media["id"])
    assert len(captions) == sum(len(account.at(START).captions(row["id"])) for row in medias)


# counts


def test_by_date_adds_up_to_the_lifetime(client: Client, account: Account, events: list[Row]) -> None:
    view = account.at(START)
    for media in view.medias():
        life = view.media_stats(media["hashed_id"])
        days = view.media_stats_by_date(media["hashed_id"], **LIFE)
        for count in ("load_count", "play_count"):
            assert sum(day[count] for day in days) == life[count]
        assert sum(day["hours_watched"] for day in days) == pytest.approx(life["hours_watched"])
        assert all(day["load_count"] or not day["play_count"] for day in days)
    for project in view.projects():
        days = view.project_stats_by_date(project["hashedId"], **LIFE)
        medias = [row for row in view.medias() if row.get("project", {}).get("id") == project["id"]]
        stats = [view.media_stats(row["id"]) for row in medias]
        life = view.project_stats(project["id"])
        for count in ("load_count", "play_count"):
            assert sum(day[count] for day in days) == life[count] == sum(row[count] for row in stats)
        assert life["hours_watched"] == pytest.approx(sum(row["hours_watched"] for row in stats))
        assert life["number_of_videos"] == len(medias) == project["mediaCount"]
    life = client.get("/v1/stats/account")
    days = client.get("/v1/stats/account/by_date", **LIFE)
    assert [day["date"] for day in days] == sorted((day["date"] for day in days), reverse=True)
    for count in ("load_count", "play_count"):
        assert sum(day[count] for day in days) == life[count]
        assert life[count] > sum(view.media_stats(media["id"])[count] for media in view.medias()), "deleted ones"
    assert 1.005 < life["play_count"] / len(events) < 1.03


def test_by_date_days_are_five_hours_behind(client: Client, account: Account, events: list[Row]) -> None:
    media = events[0]["media_id"]
    days = client.get(f"/v1/stats/medias/{media}/by_date", start_date="2024-12-01", end_date="2025-02-28")
    assert [day["date"] for day in days] == sorted(day["date"] for day in days)
    assert len(days) == 90
    counted: dict[str, int] = {}
    for row in events:
        if row["media_id"] == media:
            day = (datetime.fromisoformat(row["received_at"]) - timedelta(hours=5)).date().isoformat()
            counted[day] = counted.get(day, 0) + 1
    for row in days:
        sessions = counted.get(row["date"], 0)
        assert sessions <= row["play_count"] <= sessions * 2
    recent = client.get(f"/v1/stats/medias/{media}/by_date")
    assert [row["date"] for row in recent] == ["2025-02-28", "2025-03-01"]
    assert client.get(f"/v1/stats/medias/{media}/by_date", start_date="2025-02-02", end_date="2025-02-01") == []
    before = client.get(f"/v1/stats/medias/{media}/by_date", start_date="1999-01-01", end_date="1999-01-03")
    assert before[2] == {"date": "1999-01-03", "load_count": 0, "play_count": 0, "hours_watched": 0}


def test_engagement_has_a_cell_a_second_up_to_a_thousand(client: Client, account: Account) -> None:
    view = account.at(START)
    lengths = {}
    for media in view.medias():
        found = view.media_engagement(media["hashed_id"])
        cells = found["engagement_data"]
        assert len(cells) == len(found["rewatch_data"])
        assert found["engagement"] == view.media_stats(media["id"])["engagement"]
        lengths[media["id"]] = len(cells)
        if cells:
            assert len(cells) == min(1000, int(media["duration"]))
    assert 1000 in lengths.values()
    idle = [row for row in view.medias() if view.media_stats(row["id"])["play_count"] == 0]
    assert idle
    assert view.media_engagement(idle[0]["id"]) == {
        "engagement": 0,
        "engagement_data": [],
        "rewatch_data": [],
    }


# who may ask


def test_refusals(serve: Callable[..., Client]) -> None:
    client = serve()
    client.session.headers["Authorization"] = "Bearer wrong"
    response = client.ask("/v1/stats/events.json")
    assert response.status_code == 401
    assert response.json() == {"code": "unauthorized_credentials", "error": "Invalid credentials."}
    assert "token" not in json.dumps([call.__dict__ for call in client.sandbox.log])

    client.session.headers["Authorization"] = "Bearer sandbox-token"
    client.sandbox.scopes = ["Read all folder and media data"]
    assert client.ask("/v1/stats/events").json()["code"] == "unauthorized_scope"
    assert client.ask("/v1/medias").status_code == 200
    client.sandbox.scopes = ["Read detailed stats"]
    assert client.ask("/v1/medias").json()["code"] == "unauthorized_scope"
    assert client.ask("/modern/folders").status_code == 401
    assert client.ask("/v1/account").status_code == 200
    assert client.get("/modern/token")["scopes"] == ["Read detailed stats"]

    client.sandbox.plan_has_stats = False
    response = client.ask("/v1/stats/account")
    assert (response.status_code, response.json()) == (
        403,
        {"error": "Stats are not available on your current plan"},
    )
    for method in ("POST", "PUT", "DELETE", "HEAD"):
        response = client.session.request(method, client.sandbox.url + "/v1/account", data=b"x", timeout=10)
        assert response.status_code == 405


def test_too_many_requests(serve: Callable[..., Client]) -> None:
    seconds = [0.0]
    client = serve(rate_limit=5, clock=lambda: seconds[0])
    statuses = [client.ask("/v1/account").status_code for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    response = client.ask("/v1/account")
    assert response.text == "Rate limit exceeded"
    assert response.headers["Content-Type"].startswith("text/plain")
    assert response.headers["Retry-After"] == "60"
    seconds[0] = 59.0
    assert client.ask("/v1/account").headers["Retry-After"] == "1"
    seconds[0] = 60.0
    # refused requests have used up nothing
    assert [client.ask("/v1/account").status_code for _ in range(6)] == [200] * 5 + [429]
    assert [call.status for call in client.sandbox.log].count(429) == 5
    client.sandbox.rate_limit = None
    assert client.ask("/v1/account").status_code == 200


def test_paths_of_the_versions(client: Client, serve: Callable[..., Client]) -> None:
    for path in ("/v1/stats/account", "/v1/medias", "/v1/account", "/v1/projects"):
        assert client.get(path) == client.get(path + ".json")
    for path in (
        "/modern/medias.json",
        "/modern/projects",
        "/v1/folders",
        "/v1/token",
        "/v2/medias",
        "/",
        "/v1",
    ):
        assert client.ask(path).status_code == 404
    project = client.get("/v1/projects")[0]
    assert "mediaCount" in project
    assert "media_count" in client.get("/modern/folders")[0]
    by_date = f"/v1/stats/projects/{project['hashedId']}/by_date"
    assert len(client.get(by_date, start_date="2025-01-01", end_date="2025-01-31")) == 31
    assert client.ask("/v1/stats/account/by_date", start_date="soon").status_code == 400
    without = serve(project_by_date=False)
    assert without.ask(f"/v1/stats/projects/{without.get('/v1/projects')[0]['id']}/by_date").status_code == 404
    old = client.get("/modern/medias", release="2026-03")[0]
    assert old["folder"].keys() == {"id", "name", "hashedId"}
    assert client.get("/modern/medias")[0]["folder"].keys() == {"id", "name", "hashed_id"}
    assert {"file_size", "content_type"} <= old["assets"][0].keys()
    assert "attributes" in client.get("/modern/stats/events")[0]
    assert "attributes" not in client.get("/modern/stats/events", release="2026-01")[0]
    event = client.get("/v1/stats/events")[0]
    page = client.ask(f"/v1/stats/events/{event['event_key']}/iframe.html")
    assert page.headers["Content-Type"].startswith("text/html")
    assert len(page.headers["x-request-id"]) == 32


def test_hashed_and_numeric_ids(client: Client) -> None:
    media = client.get("/v1/medias")[0]
    for path in ("", "/by_date", "/engagement"):
        by_number = client.get(f"/v1/stats/medias/{media['id']}{path}")
        assert by_number == client.get(f"/v1/stats/medias/{media['hashed_id']}{path}")
    assert client.ask(f"/v1/medias/{media['id']}").status_code == 404, "the Data API takes the hashed id"
    assert client.get(f"/v1/medias/{media['hashed_id']}") == media
    stats = client.get(f"/v1/medias/{media['hashed_id']}/stats")["stats"]
    assert all(isinstance(count, int) for count in stats.values())


def test_vanished_medias(client: Client, account: Account, events: list[Row]) -> None:
    listed = {row["hashed_id"] for row in account.at(START).medias()}
    vanished = {row["media_id"] for row in events} - listed
    assert len(vanished) >= 2
    media = vanished.pop()
    assert len(client.get("/v1/stats/events", media_id=media)) == 10
    for path in (
        f"stats/medias/{media}",
        f"stats/medias/{media}/by_date",
        f"stats/medias/{media}/engagement",
    ):
        response = client.ask(f"/v1/{path}")
        assert (response.status_code, response.content) == (404, b"")
    assert client.ask(f"/v1/medias/{media}/captions").content == b""
    assert client.ask(f"/v1/medias/{media}").json() == {"error": f"Media with ID '{media}' not found."}
