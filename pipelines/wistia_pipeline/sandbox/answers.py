"""Declares every path of the API and what it answers: filtered, paged, in the shape of the requested version."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from . import modern
from .clock import day_of
from .stats import Row
from .view import NotFound, View

# the permissions of a token
READ_STATS = "Read detailed stats"
READ_MEDIA = "Read all folder and media data"

MEDIAS_A_PROJECT = 500


@dataclass(eq=False)
class Refusal(Exception):
    """A request that is answered with an error; no text means an empty body."""

    status: int
    error: str | None = None
    code: str | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class Terms:
    """What a token may read, and how much the API tells at once; may be changed at any time."""

    scopes: Collection[str] = (READ_STATS, READ_MEDIA)
    plan_has_stats: bool = True
    page_cap: int = 100
    project_by_date: bool = True


@dataclass(frozen=True)
class Request:
    """A request as far as an answer depends on it; `key` is the id in its path."""

    terms: Terms
    view: View
    v1: bool
    edge: bool
    query: dict[str, list[str]]
    key: str

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

    def days(self, status: int = 400) -> tuple[str | None, str | None]:
        """The first and the last day of a filter; refused with this status where one is no date."""
        for name in ("start_date", "end_date"):
            try:
                day_of(self.one(name) or "1970-01-01")
            except ValueError:
                raise Refusal(status, f"{name} must be a date in the format 'YYYY-MM-DD'.") from None
        return self.one("start_date"), self.one("end_date")

    @property
    def hashed_id(self) -> str:
        """The id in the path: the Data API does not know medias by number."""
        if len(self.key) != 10:
            raise NotFound(self.key)
        return self.key

    def page(self, per_page: int, most: int | None = None) -> slice:
        """The place of a page in the list; a request for more rows than the cap gets the cap, without a word."""
        size = min(self.number("per_page", per_page), most or self.terms.page_cap)
        begin = (self.number("page", 1) - 1) * size
        return slice(begin, begin + size)


def project_by_date(request: Request) -> list[Row]:
    if not request.terms.project_by_date:
        raise NotFound(request.key)
    return request.view.project_stats_by_date(request.key, *request.days())


def visitors(request: Request) -> list[Row]:
    # media_id is taken and ignored: the list is always that of the account
    return request.view.visitors(request.one("filter"), request.one("search"), page=request.page(10))


def events(request: Request) -> list[Row]:
    start, end = request.days(422)
    return request.view.events(
        media_id=request.one("media_id"),
        visitor_key=request.one("visitor_key"),
        start_date=start,
        end_date=end,
        page=request.page(10),
    )


def event_iframe(request: Request) -> str:
    row = request.view.event(request.key)
    return f"<!DOCTYPE html><title>Heatmap</title><p>{row['percent_viewed']:.0%} viewed</p>"


def medias(request: Request) -> list[Row]:
    archived = request.one("archived") == "true"
    rows = [row for row in request.view.medias() if row["archived"] is archived]
    home = request.one("project_id" if request.v1 else "folder_id")
    if home is not None:
        rows = [row for row in rows if _is_in(row, home)]
    for name in ("name", "type"):
        if (wanted := request.one(name)) is not None:
            rows = [row for row in rows if row[name] == wanted]
    hashed_ids = request.many("hashed_ids") + ([request.one("hashed_id") or ""] if request.v1 else [])
    if any(hashed_ids):
        rows = [row for row in rows if row["hashed_id"] in hashed_ids]
    if tags := request.many("tags"):
        rows = [row for row in rows if {tag["name"] for tag in row.get("tags", [])} >= set(tags)]
    return _sorted_page(request, rows, ("name", "created", "updated"))


def projects(request: Request) -> list[Row]:
    rows = request.view.projects()
    if hashed_ids := request.many("hashed_ids"):
        rows = [row for row in rows if row["hashedId"] in hashed_ids]
    return _sorted_page(request, rows, ("name", "created", "updated", "mediaCount"))


def folder(request: Request) -> Row:
    for row in request.view.projects():
        if row["hashedId"] == request.key:
            return row
    raise NotFound(request.key)


def project(request: Request) -> Row:
    row = folder(request)
    inside = [
        {key: value for key, value in media.items() if key not in ("project", "assets", "subfolder", "tags")}
        for media in request.view.medias()
        if _is_in(media, request.key) and not media["archived"]
    ]
    return {**row, "medias": inside[request.page(MEDIAS_A_PROJECT, MEDIAS_A_PROJECT)]}


def captions(request: Request) -> list[Row]:
    wanted = request.one("media_id")
    ids = [row["hashed_id"] for row in request.view.medias() if wanted in (None, row["hashed_id"])]
    return [row for media_id in ids for row in request.view.captions(media_id)][request.page(100)]


def token(request: Request) -> Row:
    scopes = sorted(request.terms.scopes)
    return {"type": "permanent", "name": "sandbox", "scopes": scopes, "application": None, "expires_at": None}


def _is_in(media: Row, project_id: str) -> bool:
    project = media.get("project")
    return project is not None and project_id in (str(project.get(name)) for name in ("id", "hashed_id", "hashedId"))


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
        return [{**row, "cursor": _cursor(row["id"])} for row in rows[request.page(100)]]
    by = request.one("sort_by") or "id"
    by = {"media_count": "mediaCount"}.get(by, by)
    if by in fields:
        rows = sorted(rows, key=lambda row: (row[by], row["id"]))
    return (rows if ascending else rows[::-1])[request.page(100)]


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(f"id:{number}".encode()).decode()


def _cursor_id(cursor: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("id:"))
    except ValueError:
        raise Refusal(400, "Invalid cursor.") from None


@dataclass(frozen=True)
class Route:
    """A path, the permission that it needs, and what it answers: rows or a row of v1, or a page of HTML.

    `shape` makes a modern row of one of v1. A 404 names what is `missing`; its body is empty where nothing is named.
    """

    path: str
    scope: str | None
    rows: Callable[[Request], list[Row] | Row | str]
    shape: Callable[[Row, bool], Row] | None = None
    missing: str | None = None
    versions: tuple[str, ...] = ("v1", "modern")

    def answer(self, request: Request) -> Any:
        try:
            found = self.rows(request)
        except NotFound:
            raise Refusal(404, self.missing and f"{self.missing} with ID '{request.key}' not found.") from None
        if request.v1 or self.shape is None or isinstance(found, str):
            return found
        if isinstance(found, list):
            return [self.shape(row, request.edge) for row in found]
        return self.shape(found, request.edge)


ROUTES = (
    Route("stats/account", READ_STATS, lambda asked: asked.view.account_stats()),
    Route("stats/account/by_date", READ_STATS, lambda asked: asked.view.account_stats_by_date(*asked.days())),
    Route("stats/projects/ID", READ_STATS, lambda asked: asked.view.project_stats(asked.key)),
    Route("stats/projects/ID/by_date", READ_STATS, project_by_date),
    Route("stats/medias/ID", READ_STATS, lambda asked: asked.view.media_stats(asked.key), modern.media_stats),
    Route(
        "stats/medias/ID/by_date", READ_STATS, lambda asked: asked.view.media_stats_by_date(asked.key, *asked.days())
    ),
    Route("stats/medias/ID/engagement", READ_STATS, lambda asked: asked.view.media_engagement(asked.key)),
    Route("stats/visitors", READ_STATS, visitors, modern.visitor),
    Route("stats/visitors/ID", READ_STATS, lambda asked: asked.view.visitor(asked.key), modern.visitor),
    Route("stats/events", READ_STATS, events, modern.event),
    Route("stats/events/ID", READ_STATS, lambda asked: asked.view.event(asked.key), modern.event),
    Route("stats/events/ID/iframe.html", READ_STATS, event_iframe),
    Route("medias", READ_MEDIA, medias, modern.media),
    Route("medias/ID", READ_MEDIA, lambda asked: asked.view.media(asked.hashed_id), modern.media, "Media"),
    Route("medias/ID/stats", READ_MEDIA, lambda asked: asked.view.media_data_stats(asked.hashed_id), missing="Media"),
    Route("medias/ID/captions", READ_MEDIA, lambda asked: asked.view.captions(asked.hashed_id)),
    Route("projects", READ_MEDIA, projects, versions=("v1",)),
    Route("projects/ID", READ_MEDIA, project, missing="Project", versions=("v1",)),
    Route("folders", READ_MEDIA, projects, modern.folder, versions=("modern",)),
    Route("folders/ID", READ_MEDIA, folder, modern.folder, "Folder", ("modern",)),
    Route("captions", READ_MEDIA, captions),
    Route("account", None, lambda asked: asked.view.account(), modern.account),
    Route("token", None, token, versions=("modern",)),
)

PATTERNS = [(re.compile(route.path.replace("ID", "([^/]+)")), route) for route in ROUTES]


def find_route(version: str, path: str) -> tuple[Route, str] | None:
    """The route of a path that follows its version, and the id in the path."""
    if version == "v1":
        path = path.removesuffix(".json")
    for pattern, route in PATTERNS:
        if version in route.versions and (match := pattern.fullmatch(path)):
            return route, match[1] if match.lastindex else ""
    return None
