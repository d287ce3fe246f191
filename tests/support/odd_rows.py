"""Rows with every oddity of Wistia's API, as Wistia gives them."""

from __future__ import annotations

from tests.support.served import DAY, Served, event, media, visitor, without

TEXTS = [
    "",
    " ",
    "NULL",
    "null",
    "\\N",
    "\\.",
    "0012345678",
    "133e572155",
    "2024-01-01T00:00:00Z",
    "{}",
    "a\0b",
    "🎬 Köln 京都市",
    "it's \"quoted\", 'twice'",
    "lines\nand\r\nreturns\tand tabs",
    "back\\slash \\n \\u0000 \\\\",
    "'; drop table events; --",
    "%s %(x)s {x} $1",
    "\u2028\u200b\ufeff\x7f\x1b",
    "long " * 20_000,
]
IDS = ["0012345678", "133e572155", "NULL", "\\N", "it's", 'a"b\\c']


def stored(text: str) -> str:
    """The one thing that is not kept: Postgres has no U+0000."""
    return text.replace("\0", "\ufffd")


EVENTS = [
    event("twice", visitor_key="v1", percent_viewed=0.25),
    event("twice", visitor_key="v2", percent_viewed=0.75),
    without(event("in-the-address"), "event_key", "user_agent_details", "conversion_type", "conversion_data"),
    without(event("nowhere", iframe_heatmap_url="https://x/?public_token=t0k"), "event_key"),
    event("conversion-zero", conversion_type=0, conversion_data=""),
    event("conversion-number", conversion_type=3, conversion_data={"email": "ann@example.com"}),
    event(
        "conversion-text",
        conversion_type="turnstile",
        conversion_data={"email": "b@example.com", "first_name": "B", "last_name": "", "is_new_lead": True},
    ),
    event("conversion-none"),
    event("empty", region="", city="", org="", embed_url=""),
    event("null", region=None, city=None, org=None, embed_url=None),
    event("whole", percent_viewed=1, lat=32, lon="-81.1"),
    event("unwatched", percent_viewed=0),
    event("private", visitor_key=None, ip=None, lat=None, lon=None),
    event("odd", visitor_key="n0t-a-number_1", media_id="0012345678"),
    event("old-form", received_at=f"{DAY}T10:00:50Z"),
    event("offset", received_at=f"{DAY}T10:00:00+00:00"),
    event("space", received_at=f"{DAY} 05:00:00.000Z"),
    event("naive", received_at=f"{DAY} 05:00:00"),
    # the page boundary moved while we read: the row comes again, and has grown
    event("moved", percent_viewed=0.1),
    event("moved", percent_viewed=0.2),
    *(event(f"text{number}", city=text, media_name=text) for number, text in enumerate(TEXTS)),
    *(event(key, visitor_key=key, media_id=key, iframe_heatmap_url=None) for key in IDS),
    event("undeclared", Foo="a", foo={"b": 1}, media_name_2="c", account_id="d", **{"": "e", "name " * 60: "f"}),
    event("undeclared-otherwise", foo=2.5, mediaName=["g"], thumbnail={"url": "u", "colour": "red"}),
]
VISITORS = [
    visitor("fast", created_at=f"{DAY}T11:00:02.000Z", load_count=1, play_count=2),
    visitor(
        "known", visitor_identity={"name": "Zoë", "email": "z@example.com", "org": None}, identifying_event_key="e"
    ),
    without(visitor("old"), "identifying_event_key", "user_agent_details"),
    *(visitor(f"text{number}", visitor_identity={"name": text}) for number, text in enumerate(TEXTS)),
]
MEDIAS = [
    media(
        "abc123defg",
        name="🎬 Über\nuns",
        description='<p>It\'s "here"</p>\n',
        duration=435.456,
        tags=[{"name": "a\0🎬"}],
    ),
    media("0012345678", duration=None, section=None, subfolder=None, tags=None, protected=None),
    media(
        "133e572155", duration=126, section="One", subfolder={"hashed_id": "sub", "name": "", "position": 1}, tags=[]
    ),
    media("specformat", project={"id": 5, "name": "P", "hashedId": "proj123456"}),
    media("files12345", assets=[{"url": "http://embed.example.com/1.bin", "fileSize": 7, "contentType": "video/mp4"}]),
]
DAYS = [
    {"date": "2026-06-13", "load_count": 0, "play_count": 0, "hours_watched": 0},
    {"date": DAY, "load_count": 9, "play_count": 5, "hours_watched": 0.95},
]
ACTIONS = [{"type": text, "text": text, "action_count": number, "rate": 0} for number, text in enumerate(TEXTS)]


def fill(served: Served) -> None:
    """Puts all of the above into the account."""
    served.answers |= {
        "stats/events": EVENTS,
        "stats/visitors": VISITORS,
        "medias": MEDIAS,
        "projects": [{"id": 5, "hashedId": "proj123456", "name": "P", "mediaCount": 5, "publicId": None}],
        "stats/account": DAYS[1],
        "stats/account/by_date": DAYS,
        "stats/projects/proj123456": DAYS[1],
        "stats/projects/proj123456/by_date": DAYS,
        "stats/medias/abc123defg/by_date": DAYS,
        "stats/medias/abc123defg/engagement": {"engagement": 1, "engagement_data": [5, 3], "rewatch_data": []},
        "stats/medias/abc123defg": {"load_count": 9, "hours_watched": 1, "actions": ACTIONS, "soon": "2026-06-14"},
        "stats/medias/0012345678": {"load_count": "9", "hours_watched": 0.5, "soon": ["x"]},
        "stats/medias/133e572155": {"load_count": 9.0, "hours_watched": 0, "actions": None, "soon": "next week"},
        "medias/abc123defg/captions": [
            {"id": f"c{number}", "language": "eng", "text": text} for number, text in enumerate(TEXTS)
        ],
    }
