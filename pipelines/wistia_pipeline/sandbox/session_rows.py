"""Makes the rows of sessions and visitors, as the API shows them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from . import seeded
from .clock import stats_text
from .counts import loads_of, plays_of
from .history import History
from .media_rows import thumbnail
from .stats import Row
from .visitors import Person, person
from .vocabulary import EMBED_URLS

# of visitors; any other filter is ignored
FILTERS: dict[str | None, Callable[[Person], bool]] = {
    "has_name": lambda person: person.name != "",
    "has_email": lambda person: person.email is not None,
    "identified_by_email_gate": lambda person: person.gated,
}


def event_row(history: History, row: int, now: int) -> Row:
    number = history.twin_of.get(row, row)
    identity = history.identity[number]
    salt = seeded.draw(history.seed, "event", identity)
    at = history.received[row]
    media = history.medias[history.media_of[row]]
    visitor = history.visitor_of[row]
    # the oldest rows have the form of years ago
    old = identity < history.events // 100
    key = seeded.key(salt, identity, history.received[number])
    known = person(history.seed, history.visitor_of[number])
    country, region, city, lat, lon = known.place
    event: Row = {"received_at": stats_text(at, "" if old and salt[50] < 128 else ".000")}
    if not (old and salt[51] < 96):
        event["event_key"] = key
    private = visitor == -1
    kind, data = _conversion(None if private else known, salt)
    event |= {
        "ip": None if private else known.ip,
        "country": country,
        "region": region,
        "city": city,
        "lat": None if private else lat,
        "lon": None if private else lon,
        "org": known.network,
        "email": history.restated_emails.get(row, None if private else known.email),
        "percent_viewed": _percent(history, row, now, salt),
        "embed_url": EMBED_URLS[salt[52] % len(EMBED_URLS)],
        "conversion_type": kind,
        "conversion_data": data,
        "iframe_heatmap_url": (
            f"https://api.wistia.com/v1/stats/events/{key}/iframe.html?public_token=sandbox{history.seed}public"
        ),
        "visitor_key": None if private else history.visitor_key(visitor),
        "user_agent_details": dict(known.agent),
        "media_id": media.hashed_id,
        "media_name": media.name,
        "media_url": f"https://example.wistia.com/medias/{media.hashed_id}",
        "thumbnail": {
            **thumbnail(history, media, 1920, 1080),
            "fileSize": 210_000 + media.number * 917,
            "contentType": "image/png",
            "type": "StillImageFile",
        },
    }
    if salt[55] < 2:
        del event["user_agent_details"]
    elif salt[55] < 4:
        del event["thumbnail"]
    return event


def _conversion(known: Person | None, salt: bytes) -> tuple[str | int, Row | str]:
    """Type and data of a session's conversion: a form that somebody filled in, or the odd values of none."""
    if known is None or known.email is None:
        return 0 if salt[54] < 4 else "", "" if 4 <= salt[54] < 8 else {}
    return ("turnstile", 3, "", "annotation")[salt[54] % 4], {
        "email": known.email,
        "first_name": known.first_name,
        "last_name": known.last_name,
        "is_new_lead": salt[53] % 2 == 0,
    }


def _percent(history: History, row: int, now: int, salt: bytes) -> float:
    """How far the session has come: it plays in real time."""
    final = history.percent[row]
    media = history.medias[history.media_of[row]]
    if media.duration and media.has_time:
        final = min(final, (now - history.received[row]) / media.duration)
    # a server may print 0 or 1 where a fraction is meant
    return int(final) if final in (0, 1) and salt[56] < 32 else float(final)


def visitor_row(history: History, number: int, sessions: Sequence[int]) -> Row:
    """One visitor, who has had these sessions."""
    known = person(history.seed, number)
    salt = seeded.draw(history.seed, "visitor row", number)
    identities = [history.identity[row] for row in sessions]
    first, last = sessions[0], sessions[-1]
    created = history.received[first]
    if salt[0] < 19:
        created += 1 + salt[1] % 2
    row: Row = {
        "visitor_key": history.visitor_key(number),
        "created_at": stats_text(created),
        "last_active_at": stats_text(history.received[last]),
        "last_event_key": history.event_key(last),
        "load_count": sum(map(loads_of, identities)),
        "play_count": sum(map(plays_of, identities)),
    }
    if salt[2] < 200:
        row["identifying_event_key"] = None
    row["visitor_identity"] = {"name": known.name, "email": known.email}
    if salt[3] > 8:
        row["visitor_identity"]["org"] = {"name": known.company, "title": known.title}
    row["user_agent_details"] = dict(known.agent)
    return row


def matching(history: History, visitors: array[int], filter: str | None, search: str | None) -> array[int]:
    """The visitors that pass the filter and whose name or email starts with the search term."""
    if filter not in FILTERS and not search:
        return visitors
    people = [(visitor, person(history.seed, visitor)) for visitor in visitors if visitor in history.known]
    if filter in FILTERS:
        people = [(visitor, known) for visitor, known in people if FILTERS[filter](known)]
    start = (search or "").casefold()
    found = [
        visitor
        for visitor, known in people
        if known.name.casefold().startswith(start) or (known.email or "").casefold().startswith(start)
    ]
    return array("q", found)
