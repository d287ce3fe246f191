"""v1 objects in the shapes of the modern versions: folders for projects, snake_case for camelCase."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

# releases after this one have the shapes of the "edge" description
LAST_OLD_RELEASE = "2026-03"


def is_edge(release: str | None) -> bool:
    """Whether a release (`2026-03`, `edge`; None: the newest) has the shapes of the edge description."""
    return release is None or release > LAST_OLD_RELEASE


def media(row: Row, edge: bool) -> Row:
    """A media: what v1 leaves out is null for some, and still left out for others."""
    modern = {key: value for key, value in row.items() if key not in ("project", "assets")}
    if row["id"] % 2:
        modern.setdefault("duration", None)
        modern.setdefault("section", None)
    if edge:
        modern["protected"] = (None, False, True)[row["id"] % 3]
    project = row.get("project")
    modern["folder"] = None
    if project:
        hashed = project.get("hashed_id") or project.get("hashedId")
        modern["folder"] = {
            "id": project["id"],
            "name": project["name"],
            "hashed_id" if edge else "hashedId": hashed,
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
    """A project as a folder."""
    modern: Row = {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "media_count": row["mediaCount"],
        "created": row["created"],
        "updated": row["updated"],
        "hashed_id": row["hashedId"],
        "public": row["public"],
        "public_id": row["publicId"],
        "anonymous_can_upload": row["anonymousCanUpload"],
        "anonymous_can_download": row["anonymousCanDownload"],
        # the description of 2026-03 has an object here that need not hold anything
        "medias": {},
    }
    if edge:
        modern["medias"] = {"url": f"https://api.wistia.com/modern/medias?folder_id={row['hashedId']}"}
        modern["kind"] = "library"
        modern["personal_library"] = False
    return modern


def account(row: Row) -> Row:
    """The account."""
    return {
        "id": row["id"],
        "name": row["name"],
        "url": row["url"],
        "media_count": row["mediaCount"],
        "video_limit": row["videoLimit"],
        "folder_count": row["projectCount"],
        "channel_count": row["channelCount"],
    }


def event(row: Row, edge: bool) -> Row:
    """A session: only edge differs, by a copy of raw attributes."""
    if edge:
        row["attributes"] = {key: row[key] for key in ("country", "media_id", "percent_viewed", "visitor_key")}
    return row


def visitor(row: Row) -> Row:
    """A visitor: identifying_event_key was only ever seen in v1."""
    row.pop("identifying_event_key", None)
    return row
