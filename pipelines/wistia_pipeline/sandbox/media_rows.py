"""Makes the rows of medias, projects and captions, as the API shows them."""

from typing import Any

from . import seeded
from .clock import DAY, data_text
from .history import History
from .media import Media, Project
from .stats import Row
from .vocabulary import CAPTION_LINES, LANGUAGES, SECTIONS, TAGS

MASS_UPDATE_EVERY = 30 * DAY

# of each type of media: type, content, and where there is one the size
ASSETS: dict[str, list[tuple[Any, ...]]] = {
    "Audio": [("OriginalFile", "audio/mpeg"), ("Mp3AudioFile", "audio/mpeg")],
    "Image": [("OriginalFile", "image/jpeg", 1600, 900)],
    "PdfDocument": [("OriginalFile", "application/pdf", 1600, 900)],
    "Video": [
        ("OriginalFile", "video/mp4", 1920, 1080),
        ("IphoneVideoFile", "video/mp4", 640, 360),
        ("HdMp4VideoFile", "video/mp4", 1280, 720),
        ("StoryboardFile", "image/jpg", 2000, 2260),
        ("StillImageFile", "image/png", 1920, 1080),
    ],
}


def media_row(history: History, media: Media, now: int) -> Row:
    number = media.number
    row: Row = {
        "id": media.id,
        "hashed_id": media.hashed_id,
        "name": media.name,
        "type": media.type,
        "archived": media.archived,
        "created": data_text(media.created),
        "updated": data_text(max(media.updated, _mass_update(history, media, now))),
        "description": media.description,
        "progress": 1.0,
        "status": "ready",
        "thumbnail": thumbnail(history, media, 200, 120),
    }
    if media.duration is not None:
        row["duration"] = media.duration
    if now - media.created < 600:
        row["progress"], row["status"] = 0.5, "processing"
    elif number % 60 == 41:
        row["progress"], row["status"] = 0, "failed"
    if media.project is not None:
        # the description says hashedId, recordings have hashed_id
        hashed = "hashedId" if number % 17 == 4 else "hashed_id"
        home = media.project
        row["project"] = {"id": home.id, "name": home.name, hashed: home.hashed_id}
    if number % 3 == 0:
        row["section"] = SECTIONS[number % len(SECTIONS)]
    if number % 6 == 0:
        row["subfolder"] = {
            "hashed_id": seeded.hashed_id(history.seed, "subfolder", number % 4),
            "name": SECTIONS[number % len(SECTIONS)],
            "description": None if number % 12 else "",
            "position": number % 4 + 1,
            "created": data_text(history.history_begins),
            "updated": data_text(max(history.history_begins, _mass_update(history, media, now))),
        }
    if number % 4 != 1:
        row["tags"] = [{"name": tag} for tag in TAGS[: number % 4]]
    if number % 11 == 0:
        row["embedCode"] = f'<iframe src="https://fast.example.com/embed/iframe/{media.hashed_id}"></iframe>'
    row["assets"] = _assets(history, media)
    return row


def _mass_update(history: History, media: Media, now: int) -> int:
    """Wistia touches all medias at once now and then, with nothing changed."""
    ago = (now - history.history_begins) % MASS_UPDATE_EVERY
    return now - ago if now - ago > media.created else 0


def thumbnail(history: History, media: Media, width: int, height: int) -> Row:
    name = seeded.draw(history.seed, "thumbnail", media.number)[:16].hex()
    url = f"https://embed-ssl.example.com/deliveries/{name}.jpg?image_crop_resized={width}x{height}"
    return {"url": url, "width": width, "height": height}


def _assets(history: History, media: Media) -> list[Row]:
    rows = []
    for number, (kind, content, *size) in enumerate(ASSETS[media.type]):
        salt = seeded.draw(history.seed, "asset", media.number * 8 + number)
        row = {
            "type": kind,
            "url": f"http://embed.example.com/deliveries/{salt[:16].hex()}.bin",
            "fileSize": int.from_bytes(salt[16:19]) * 7 + 1000,
            "contentType": content,
        }
        rows.append(row | dict(zip(("width", "height"), size, strict=False)))
    return rows


def project_row(project: Project, count: int) -> Row:
    """One project, which shows so many medias."""
    number = project.number
    return {
        "id": project.id,
        "name": project.name,
        "description": (None, "", 'It\'s for "everyone",\nreally.')[number % 3],
        "mediaCount": count,
        "created": data_text(project.created),
        "updated": data_text(project.updated),
        "hashedId": project.hashed_id,
        "public": number % 4 == 1,
        "publicId": None if number % 4 == 3 else project.hashed_id,
        "anonymousCanUpload": number % 5 == 2,
        "anonymousCanDownload": number % 5 == 3,
    }


def captions_of(media: Media) -> list[Row]:
    """The captions of one media, drafts too."""
    number = media.number
    if number % 5 not in (0, 2) or not media.has_time:
        return []
    first, second = number % len(LANGUAGES), (number + 1) % len(LANGUAGES)
    rows = [_caption(media, 0, first, draft=False)]
    if number % 25 == 0:
        # beside the published text of the same language
        rows.append(_caption(media, 1, first, draft=True))
    elif number % 5 == 0:
        rows.append(_caption(media, 1, second, draft=False))
    return rows


def _caption(media: Media, place: int, language: int, *, draft: bool) -> Row:
    line = CAPTION_LINES[language]
    text = f"1\n00:00:00,000 --> 00:00:02,400\n{line}\n\n2\n00:00:02,500 --> 00:00:05,000\n{media.name}\n"
    english, native, code = LANGUAGES[language]
    return {
        "english_name": english,
        "native_name": native,
        "language": code,
        "text": None if media.number % 20 == 2 else text,
        "is_draft": draft,
        "id": str(940_000 + media.number * 2 + place),
    }
