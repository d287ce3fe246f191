"""What each path answers: the view of the account, filtered, paged and shaped for the version asked."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import modern
from .clock import day_of

if TYPE_CHECKING:
    from .lists import Row
    from .view import View

DETAILED_STATS = "Read detailed stats"
FOLDERS_AND_MEDIAS = "Read all folder and media data"

MEDIAS_A_PROJECT = 500


class Refusal(Exception):
    """A request that is answered with an error; no text means an empty body."""

    def __init__(self, status: int, error: str | None = None, code: str | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.code = code


@dataclass(frozen=True)
class Request:
    """A request as far as an answer depends on it."""

    view: View
    version: str
    release: str | None
    query: dict[str, list[str]]
    page_cap: int
    scopes: Collection[str]
    project_by_date: bool
    parts: dict[str, str] = field(default_factory=dict)

    def one(self, name: str) -> str | None:
        """The last value of a parameter; None if it was not sent or is empty."""
        values = self.query.get(name)
        return values[-1] if values and values[-1] else None

    def many(self, name: str) -> list[str]:
        """All values of a parameter that may be repeated."""
        return self.query.get(f"{name}[]", [])

    def number(self, name: str, otherwise: int) -> int:
        """A positive whole number, or what to take when there is none."""
        text = self.one(name) or ""
        return int(text) if text.isdecimal() and int(text) > 0 else otherwise

    @property
    def v1(self) -> bool:
        return self.version == "v1"

    @property
    def edge(self) -> bool:
        return modern.is_edge(self.release)

    def page(self, rows: Sequence[Row], per_page: int, most: int | None = None) -> list[Row]:
        """One page; asking for more rows than the cap gives the cap, without a word."""
        size = min(self.number("per_page", per_page), most or self.page_cap)
        begin = (self.number("page", 1) - 1) * size
        return list(rows[begin : begin + size])


Answer = Callable[[Request], Any]


@dataclass(frozen=True)
class Html:
    """An answer that is not JSON."""

    text: str


def _found(ask: Callable[[str], Any], key: str, what: str | None = None) -> Any:
    try:
        return ask(key)
    except KeyError:
        # Stats and captions answer with an empty body, the Data API with a sentence
        raise Refusal(404, what and f"{what} with ID '{key}' not found.") from None


def _day(request: Request, name: str, status: int) -> str | None:
    text = request.one(name)
    if text is not None:
        try:
            day_of(text)
        except ValueError:
            raise Refusal(status, f"{name} must be a date in the format 'YYYY-MM-DD'.") from None
    return text


def account_stats(request: Request) -> Any:
    return request.view.account_stats()


def account_by_date(request: Request) -> Any:
    return request.view.account_stats_by_date(*_range(request))


def project_stats(request: Request) -> Any:
    return _found(request.view.project_stats, request.parts["id"])


def project_by_date(request: Request) -> Any:
    if not request.project_by_date:
        raise Refusal(404)
    start, end = _range(request)
    return _found(lambda key: request.view.project_stats_by_date(key, start, end), request.parts["id"])


def media_stats(request: Request) -> Any:
    row = _found(request.view.media_stats, request.parts["id"])
    if not request.v1 and request.edge:
        for action in row.get("actions", ()):
            action["url"], action["text"] = ("https://www.example.com/demo", None)
    return row


def media_by_date(request: Request) -> Any:
    start, end = _range(request)
    return _found(lambda key: request.view.media_stats_by_date(key, start, end), request.parts["id"])


def media_engagement(request: Request) -> Any:
    return _found(request.view.media_engagement, request.parts["id"])


def visitors(request: Request) -> Any:
    # media_id is taken and ignored: the list is always that of the account
    rows = request.view.visitor_rows(request.one("filter"), request.one("search"))
    return [_visitor(request, row) for row in request.page(rows, 10)]


def visitor(request: Request) -> Any:
    return _visitor(request, _found(request.view.visitor, request.parts["id"]))


def events(request: Request) -> Any:
    rows = request.view.event_rows(
        media_id=request.one("media_id"),
        visitor_key=request.one("visitor_key"),
        start_date=_day(request, "start_date", 422),
        end_date=_day(request, "end_date", 422),
    )
    return [_event(request, row) for row in request.page(rows, 10)]


def event(request: Request) -> Any:
    return _event(request, _found(request.view.event, request.parts["id"]))


def event_iframe(request: Request) -> Any:
    row = _found(request.view.event, request.parts["id"])
    return Html(f"<!DOCTYPE html><title>Heatmap</title><p>{row['percent_viewed']:.0%} viewed</p>")


def medias(request: Request) -> Any:
    rows = request.view.medias()
    archived = request.one("archived") == "true"
    rows = [row for row in rows if row["archived"] is archived]
    home = request.one("project_id" if request.v1 else "folder_id")
    if home is not None:
        rows = [row for row in rows if home in _ids(row.get("project", {}))]
    for name in ("name", "type"):
        if (wanted := request.one(name)) is not None:
            rows = [row for row in rows if row[name] == wanted]
    hashed_ids = request.many("hashed_ids") + ([request.one("hashed_id") or ""] if request.v1 else [])
    if any(hashed_ids):
        rows = [row for row in rows if row["hashed_id"] in hashed_ids]
    if tags := request.many("tags"):
        rows = [row for row in rows if {tag["name"] for tag in row.get("tags", [])} >= set(tags)]
    page = _sorted_page(request, rows, ("name", "created", "updated"))
    return page if request.v1 else [modern.media(row, request.edge) for row in page]


def media(request: Request) -> Any:
    row = _found(_by_hashed_id(request.view.media), request.parts["id"], "Media")
    return row if request.v1 else modern.media(row, request.edge)


def media_data_stats(request: Request) -> Any:
    return _found(_by_hashed_id(request.view.media_data_stats), request.parts["id"], "Media")


def media_captions(request: Request) -> Any:
    return _found(_by_hashed_id(request.view.captions), request.parts["id"])


def projects(request: Request) -> Any:
    rows = request.view.projects()
    if hashed_ids := request.many("hashed_ids"):
        rows = [row for row in rows if row["hashedId"] in hashed_ids]
    page = _sorted_page(request, rows, ("name", "created", "updated", "mediaCount"))
    return page if request.v1 else [modern.folder(row, request.edge) for row in page]


def project(request: Request) -> Any:
    wanted = request.parts["id"]
    row = next((row for row in request.view.projects() if row["hashedId"] == wanted), None)
    if row is None:
        raise Refusal(404, f"{'Project' if request.v1 else 'Folder'} with ID '{wanted}' not found.")
    if not request.v1:
        return modern.folder(row, request.edge)
    inside = [
        {key: value for key, value in media.items() if key not in ("project", "assets", "subfolder", "tags")}
        for media in request.view.medias()
        if wanted in _ids(media.get("project", {})) and not media["archived"]
    ]
    return {**row, "medias": request.page(inside, MEDIAS_A_PROJECT, MEDIAS_A_PROJECT)}


def captions(request: Request) -> Any:
    view, wanted = request.view, request.one("media_id")
    ids = [row["hashed_id"] for row in view.medias()]
    rows = [row for key in ids if wanted in (None, key) for row in view.captions(key)]
    return request.page(rows, 100)


def account(request: Request) -> Any:
    row = request.view.account()
    return row if request.v1 else modern.account(row)


def token(request: Request) -> Any:
    return {
        "type": "permanent",
        "name": "sandbox",
        "scopes": sorted(request.scopes),
        "application": None,
        "expires_at": None,
    }


def _range(request: Request) -> tuple[str | None, str | None]:
    return _day(request, "start_date", 400), _day(request, "end_date", 400)


def _event(request: Request, row: Row) -> Row:
    return row if request.v1 else modern.event(row, request.edge)


def _visitor(request: Request, row: Row) -> Row:
    return row if request.v1 else modern.visitor(row)


def _ids(project: Row) -> set[str]:
    return {str(project.get(name)) for name in ("id", "hashed_id", "hashedId")} if project else set()


def _by_hashed_id(ask: Callable[[str], Row | list[Row]]) -> Callable[[str], Any]:
    """The Data API does not know medias by number."""

    def asked(key: str) -> Any:
        if len(key) != 10:
            raise KeyError(key)
        return ask(key)

    return asked


def _sorted_page(request: Request, rows: list[Row], fields: tuple[str, ...]) -> list[Row]:
    ascending = request.one("sort_direction") != "0"
    after = request.one("cursor[after]")
    if after is not None or request.one("cursor[enabled]") == "1":
        if request.one("page"):
            raise Refusal(400, "page and cursor cannot be combined.")
        rows = sorted(rows, key=lambda row: int(row["id"]), reverse=not ascending)
        if after is not None:
            seen = _cursor_id(after)
            rows = [row for row in rows if (row["id"] > seen) is ascending and row["id"] != seen]
        return [{**row, "cursor": _cursor(row["id"])} for row in request.page(rows, 100)]
    by = request.one("sort_by") or "id"
    by = {"media_count": "mediaCount"}.get(by, by)
    if by in fields:
        rows = sorted(rows, key=lambda row: (row[by], row["id"]))
    return request.page(rows if ascending else rows[::-1], 100)


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(f"id:{number}".encode()).decode()


def _cursor_id(cursor: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("id:"))
    except ValueError:
        raise Refusal(400, "Invalid cursor.") from None


@dataclass(frozen=True)
class Route:
    """A path, who may ask for it, and what answers."""

    path: re.Pattern[str]
    answer: Answer
    scope: str | None
    versions: tuple[str, ...] = ("v1", "modern")


def _route(path: str, answer: Answer, scope: str | None, *versions: str) -> Route:
    pattern = re.compile("/" + path.replace("{id}", r"(?P<id>[^/]+)"))
    return Route(pattern, answer, scope, versions or ("v1", "modern"))


ROUTES: tuple[Route, ...] = (
    _route("stats/account", account_stats, DETAILED_STATS),
    _route("stats/account/by_date", account_by_date, DETAILED_STATS),
    _route("stats/projects/{id}", project_stats, DETAILED_STATS),
    _route("stats/projects/{id}/by_date", project_by_date, DETAILED_STATS),
    _route("stats/medias/{id}", media_stats, DETAILED_STATS),
    _route("stats/medias/{id}/by_date", media_by_date, DETAILED_STATS),
    _route("stats/medias/{id}/engagement", media_engagement, DETAILED_STATS),
    _route("stats/visitors", visitors, DETAILED_STATS),
    _route("stats/visitors/{id}", visitor, DETAILED_STATS),
    _route("stats/events", events, DETAILED_STATS),
    _route("stats/events/{id}", event, DETAILED_STATS),
    _route("stats/events/{id}/iframe.html", event_iframe, DETAILED_STATS),
    _route("medias", medias, FOLDERS_AND_MEDIAS),
    _route("medias/{id}", media, FOLDERS_AND_MEDIAS),
    _route("medias/{id}/stats", media_data_stats, FOLDERS_AND_MEDIAS),
    _route("medias/{id}/captions", media_captions, FOLDERS_AND_MEDIAS),
    _route("projects", projects, FOLDERS_AND_MEDIAS, "v1"),
    _route("projects/{id}", project, FOLDERS_AND_MEDIAS, "v1"),
    _route("folders", projects, FOLDERS_AND_MEDIAS, "modern"),
    _route("folders/{id}", project, FOLDERS_AND_MEDIAS, "modern"),
    _route("captions", captions, FOLDERS_AND_MEDIAS),
    _route("account", account, None),
    _route("token", token, None, "modern"),
)


def find_route(version: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a path without its base, and the ids in it."""
    if version == "v1":
        path = path.removesuffix(".json")
    for route in ROUTES:
        if version in route.versions and (match := route.path.fullmatch(path)):
            return route, match.groupdict()
    return None
