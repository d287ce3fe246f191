"""Turns rows of v1 into the shapes of the modern versions: folders for projects, snake_case for camelCase."""

import re

from .stats import Row

# releases after this one have the shapes of the "edge" description
LAST_OLD_RELEASE = "2026-03"


def is_edge(release: str | None) -> bool:
    """Whether a release (`2026-03`, `edge`; None: the newest) has the shapes of the edge description."""
    return release is None or release > LAST_OLD_RELEASE


def media(row: Row, edge: bool) -> Row:
    """A media: what v1 leaves out is null for some, and still left out for others."""
    modern = {name: value for name, value in row.items() if name not in ("project", "assets")}
    if row["id"] % 2:
        modern.setdefault("duration", None)
        modern.setdefault("section", None)
    if edge:
        modern["protected"] = (None, False, True)[row["id"] % 3]
    project = row.get("project")
    modern["folder"] = project and {
        "id": project["id"],
        "name": project["name"],
        "hashed_id" if edge else "hashedId": project.get("hashed_id") or project.get("hashedId"),
    }
    modern["assets"] = [
        {
            "type": asset["type"],
            "url": asset["url"],
            "width": asset.get("width"),
            "height": asset.get("height"),
            "file_size": asset["fileSize"],
            "content_type": asset["contentType"],
        }
        for asset in row["assets"]
    ]
    return modern


def folder(row: Row, edge: bool) -> Row:
    """A project as a folder, without the cursor that Wistia's folders have."""
    row.pop("cursor", None)
    if not edge:
        # the description of 2026-03 has an object here that need not hold anything
        return _renamed(row) | {"medias": {}}
    url = f"https://api.wistia.com/modern/medias?folder_id={row['hashedId']}"
    return _renamed(row) | {"medias": {"url": url}, "kind": "library", "personal_library": False}


def account(row: Row, edge: bool) -> Row:
    return _renamed(row)


def media_stats(row: Row, edge: bool) -> Row:
    """A media's stats: only edge differs, in its calls to action."""
    for action in row.get("actions", ()) if edge else ():
        action["url"], action["text"] = ("https://www.example.com/demo", None)
    return row


def event(row: Row, edge: bool) -> Row:
    """A session: only edge differs, by a copy of raw attributes."""
    if edge:
        row["attributes"] = {name: row[name] for name in ("country", "media_id", "percent_viewed", "visitor_key")}
    return row


def visitor(row: Row, edge: bool) -> Row:
    """A visitor: identifying_event_key was only ever seen in v1."""
    row.pop("identifying_event_key", None)
    return row


def _renamed(row: Row) -> Row:
    return {
        re.sub("[A-Z]", lambda capital: "_" + capital[0].lower(), name).replace("project", "folder"): value
        for name, value in row.items()
    }
