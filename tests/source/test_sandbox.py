"""The sandbox through its front door: real HTTP, held against Wistia's descriptions and the known quirks."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from wistia_pipeline.sandbox import Account, Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Row = dict[str, Any]

START = datetime(2025, 3, 1, 14, 30, tzinfo=UTC)
RELEASES = {"v1": None, "2026-03": "2026-03", "edge": None}
WINTER = {"start_date": "2024-12-15", "end_date": "2025-03-01"}
LIFE = {"start_date": "2020-01-01", "end_date": "2025-03-01"}

# where recordings and old documentation differ from the descriptions, so does the sandbox
DEVIATIONS = {
    "/stats/events": {
        "ip: None is not of type 'string'",  # privacy mode
        "lat: None is not of type 'number'",
        "lon: None is not of type 'number'",
        "visitor_key: None is not of type 'string'",
        "conversion_data: '' is not of type 'object'",  # rows of years ago
    }
}


class Client:
    """Asks one sandbox, over one connection."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {sandbox.token}"

    def ask(self, path: str, *, release: str | None = None, **params: Any) -> requests.Response:
        headers = {"X-Wistia-API-Version": release} if release else {}
        return self.session.get(self.sandbox.url + path, params=params, headers=headers, timeout=10)

    def get(self, path: str, **params: Any) -> Any:
        response = self.ask(path, **params)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text[:200]}"
        return response.json()

    def pages(self, path: str, **params: Any) -> list[Row]:
        rows: list[Row] = []
        for page in range(1, 10_000):
            found = self.get(path, page=page, per_page=self.sandbox.page_cap, **params)
            if not found:
                break
            rows += found
        return rows


class Clock:
    """A clock that stands still until told."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


def small(**changes: Any) -> Account:
    """An account that is made in no time."""
    arguments: dict[str, Any] = {"medias": 20, "projects": 3, "visitors": 100, "events": 600, "days": 60}
    return Account(start=START, **{**arguments, **changes})


@pytest.fixture(scope="module")
def account() -> Account:
    """The default account; tests only look at it."""
    return Account(start=START)


@pytest.fixture(scope="module")
def client(account: Account) -> Iterator[Client]:
    with Sandbox(account, now=lambda: START, rate_limit=None) as sandbox:
        yield Client(sandbox)


@pytest.fixture(scope="module")
def events(account: Account) -> list[Row]:
    return account.at(START).events()


@pytest.fixture
def serve() -> Iterator[Callable[..., Client]]:
    """Starts sandboxes that stop with the test."""
    running: list[Sandbox] = []

    def start(account: Account | None = None, **arguments: Any) -> Client:
        arguments.setdefault("now", lambda: START)
        sandbox = Sandbox(account or small(), **arguments).__enter__()
        running.append(sandbox)
        return Client(sandbox)

    yield start
    for sandbox in running:
        sandbox.__exit__(None, None, None)


# Wistia's descriptions


@pytest.fixture(scope="module", params=list(RELEASES))
def described(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    folder = os.environ.get("WISTIA_OPENAPI_DIR")
    if not folder:
        pytest.skip("WISTIA_OPENAPI_DIR names no folder with Wistia's descriptions")
    name = str(request.param)
    return name, json.loads(Path(folder, f"wistia_subset_{name}.json").read_text(encoding="utf-8"))["paths"]


def shape(value: Any, key: str = "") -> Any:
    """Names and types of an object: rows of one shape are valid or invalid together."""
    if isinstance(value, dict):
        return tuple((name, shape(inner, name)) for name, inner in value.items())
    if isinstance(value, list):
        return tuple(sorted({repr(shape(inner)) for inner in value}))
    return value if key in ("type", "status", "kind") else type(value).__name__


def test_every_path_answers_as_described(
    client: Client, account: Account, events: list[Row], described: tuple[str, dict[str, Any]]
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    name, paths = described
    base = "/v1" if name == "v1" else "/modern"
    view = account.at(START)
    ids = {
        "medias": [media["hashed_id"] for media in view.medias()],
        "projects": [project["hashedId"] for project in view.projects()],
        "folders": [project["hashedId"] for project in view.projects()],
        "visitors": [visitor["visitor_key"] for visitor in view.visitors()[:20]],
        "events": [event["event_key"] for event in events[:20]],
    }
    client.sandbox.page_cap = 1_000_000
    problems = set()
    for path, methods in paths.items():
        if path.startswith("/analytics"):
            continue
        schema = methods["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        is_list = schema.get("type") == "array"
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        kind = next((part for part in path.split("/") if part in ids), "")
        seen: set[str] = set()
        for key in ids[kind] if "{" in path else [""]:
            params = {"per_page": 1_000_000, **(WINTER if "by_date" in path else {})}
            found = client.get(base + re.sub(r"\{\w+\}", key, path), release=RELEASES[name], **params)
            if path == "/medias":
                found += client.get(base + path, release=RELEASES[name], archived="true", **params)
            for row in found if is_list else [found]:
                if (form := repr(shape(row))) not in seen:
                    seen.add(form)
                    for error in validator.iter_errors([row] if is_list else row):
                        place = ".".join(str(part) for part in list(error.absolute_path)[is_list:])
                        problem = f"{place}: {error.message}"
                        if problem not in DEVIATIONS.get(path.split("/{")[0], ()):
                            problems.add(f"{path} {problem}")
        assert seen, f"{path} was never seen with a row"
    client.sandbox.page_cap = 100
    assert not problems


# data that lives


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
        rows = account.at(now).event_rows(start_date="2025-03-01")
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
    client = serve(rate_limit=5)
    statuses = [client.ask("/v1/account").status_code for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    response = client.ask("/v1/account")
    assert response.text == "Rate limit exceeded"
    assert response.headers["Content-Type"].startswith("text/plain")
    assert 0 < int(response.headers["Retry-After"]) <= 60
    assert [call.status for call in client.sandbox.log].count(429) == 3
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


# quirks


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


# faults


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_status_for_some_requests(serve: Callable[..., Client], status: int) -> None:
    client = serve()
    client.sandbox.faults.add(Fault(r"/stats/events", status=status, times=2, after=1, retry_after="3"))
    assert client.ask("/v1/account").status_code == 200
    found = [client.ask("/v1/stats/events") for _ in range(5)]
    assert [response.status_code for response in found] == [200, status, status, 200, 200]
    assert found[1].headers["Retry-After"] == "3"
    assert [call.status for call in client.sandbox.log][1:] == [200, status, status, 200, 200]


def test_a_fault_for_ever_until_lifted(serve: Callable[..., Client]) -> None:
    client = serve()
    client.sandbox.faults.add(Fault("medias", status=502, times=None, body="<oops>"))
    assert [client.ask("/v1/medias").text for _ in range(3)] == ["<oops>"] * 3
    assert len(client.sandbox.faults) == 1
    client.sandbox.faults.clear()
    assert client.ask("/v1/medias").status_code == 200


def test_reset_and_truncated_and_hang_break_the_connection(serve: Callable[..., Client]) -> None:
    client = serve()
    client.sandbox.faults.add(Fault("account", "reset"))
    with pytest.raises(requests.ConnectionError):
        client.ask("/v1/account")
    client.sandbox.faults.add(Fault("account", "truncated"))
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        client.ask("/v1/account")
    client.sandbox.faults.add(Fault("account", "hang", seconds=0.3))
    began = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        client.ask("/v1/account")
    assert time.monotonic() - began > 0.25
    assert [call.status for call in client.sandbox.log] == [0, 200, 0]
    assert client.ask("/v1/account").status_code == 200


def test_bodies_that_are_not_what_they_say(serve: Callable[..., Client]) -> None:
    client = serve()
    client.sandbox.faults.add(Fault("medias", "html"))
    client.sandbox.faults.add(Fault("medias", "malformed"))
    page = client.ask("/v1/medias")
    assert (page.status_code, page.text[:9]) == (200, "<!DOCTYPE")
    broken = client.ask("/v1/medias")
    assert broken.status_code == 200
    assert broken.headers["Content-Type"].startswith("application/json")
    with pytest.raises(ValueError, match=r"."):
        broken.json()
    assert isinstance(client.get("/v1/medias"), list)


# the server itself


def test_it_keeps_connections_alive_and_answers_at_once(client: Client) -> None:
    client.get("/v1/account")
    began = time.monotonic()
    for page in range(200):
        client.ask("/v1/stats/events", page=page % 20 + 1, per_page=10)
    assert time.monotonic() - began < 4
    adapter = client.session.get_adapter(client.sandbox.url)
    pools = adapter.poolmanager.pools  # type: ignore[attr-defined]
    assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118


def test_it_logs_and_stops(serve: Callable[..., Client]) -> None:
    with Sandbox(small(), latency=0.05) as sandbox:
        client = Client(sandbox)
        began = time.monotonic()
        assert client.ask("/v1/account", a="1").status_code == 200
        assert time.monotonic() - began >= 0.05
        (call,) = sandbox.log
        assert "authorization" not in call.headers
        assert call.headers["host"] in sandbox.url
        assert (call.method, call.path, call.query, call.status) == ("GET", "/v1/account", {"a": "1"}, 200)
        assert began <= call.at <= time.monotonic()
        sandbox.faults.add(Fault("account", "hang", seconds=60))
        with pytest.raises(requests.ReadTimeout):
            client.session.get(sandbox.url + "/v1/account", timeout=0.1)
        port = int(sandbox.url.rsplit(":", 1)[1])
        began = time.monotonic()
    assert time.monotonic() - began < 2
    with pytest.raises(OSError, match=r"."):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    with pytest.raises(RuntimeError):
        _ = sandbox.url
