"""The table of endpoints: one frozen `Endpoint` per resource, which is also one table of the warehouse.

Pure data. Everything else walks this table: the resources, the schema, the documentation's table of tables and the
test suite. Sources of a rule are Wistia's own descriptions (spec) or recorded answers (observed).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from .event_repair import repair_event

DataType = Literal["text", "bigint", "double", "bool", "timestamp", "date", "json"]
Personal = Literal["email", "identifier", "coordinate", "url"]
"""What a column of personal data holds: an address; a name, or what else stands for one person; where somebody was,
exactly; a page's address, whose query can hold all of these."""

Row = dict[str, Any]
"""An object as the API sends it."""

READ_STATS = "Read detailed stats"
READ_MEDIA = "Read all folder and media data"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    `paths` are the places in the API's row where the value may be found, the first that has it wins; a dot
    goes into a nested object. Without paths it is the column's name, `__` read as a dot.
    """

    name: str
    data_type: DataType
    description: str
    paths: tuple[str, ...] = ()
    personal: Personal | None = None
    """Of personal data, which the setting `pii` hashes or drops: its kind."""
    filled_with: Literal["position", "time"] | None = None
    """What the source fills in, where the API has no such field: the row's place in the answer, or the time of the
    request."""

    @property
    def sources(self) -> tuple[tuple[str, ...], ...]:
        """The paths, split into steps."""
        return tuple(tuple(p.split(".")) for p in self.paths or (self.name.replace("__", "."),))


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of the API, one resource, one table.

    kind: `snapshot` is current state, `feed` a paged list with a timestamp cursor, newest first, `daily` a
    by_date range.
    """

    name: str
    grain: str
    primary_key: tuple[str, ...]
    columns: tuple[Column, ...]
    kind: Literal["snapshot", "feed", "daily"] = "snapshot"
    path: str = ""
    """Empty where its rows come without a request of their own."""
    permission: str = READ_STATS
    """What the access token must allow for that path."""
    parent: str | None = None
    """The endpoint whose rows it fans out over; `{id}` in the path is the parent's id."""
    modern_path: str | None = None
    """The path in the dated modern API, where it is another one."""
    cursor: str | None = None
    """The column that says how new a row is (feeds, daily, and what the run says of itself)."""
    scopes: tuple[tuple[tuple[str, str], ...], ...] = ()
    """Listings only: the query parameters of each walk that together make the complete list."""
    takes_days: bool = False
    """Feeds only: the API narrows it to UTC days."""
    lookback: timedelta = timedelta(0)
    """How far behind the watermark a run asks again. This and the three below are filled in from the settings."""
    deep_lookback: timedelta = timedelta(0)
    """Feeds only: how far behind the watermark a run asks again once a day."""
    history_within: timedelta = timedelta(0)
    """Fan-outs only: each parent is asked again for all that there is at least this often, busy or not."""
    refresh_within: timedelta = timedelta(0)
    """Fan-outs only: each parent is asked again at least this often."""
    follows_plays: Literal["media", "project"] | None = None
    """Fan-outs only: a new viewing session of the media, or of a media of the project, makes the parent due at once. So
    it waits for the `TELLERS`."""
    spared_when_quiet: bool = False
    """Fan-outs only: a regular refresh is skipped while the account was neither loaded nor played. Not of projects: how
    many medias one has changes without plays."""
    tells: Literal["sessions", "busy days"] | None = None
    """What other resources learn from its rows: which medias were played, or on which days the account was."""
    repair: Callable[[Row, bool], None] | None = None
    """Mends a row of the API in place; the second argument is the setting `keep_public_token`."""
    optional: bool = False
    """Whether a 404 is an answer (the endpoint is not there) and not a fault of the parent."""
    complete: bool = False
    """Whether an answer is all there is of its parent: what it no longer shows is gone."""
    children: tuple[Endpoint, ...] = ()
    """Tables whose rows are lists inside this one's."""
    field: str = ""
    """Of such a table: the field that holds its rows."""
    ignored: frozenset[str] = frozenset({"cursor"})
    """Fields that say nothing about the row: `cursor` belongs to a paging style."""

    @property
    def listing(self) -> bool:
        """Whether it is a complete paged list of the account (medias, projects)."""
        return bool(self.scopes)

    @property
    def dated(self) -> bool:
        """Whether a range of days can be asked for, so that a backfill can."""
        return self.takes_days or self.kind == "daily"

    @property
    def has_unknown_length(self) -> bool:
        """Whether nothing tells how many rows it has before it is read."""
        return self.kind == "feed" and not self.takes_days

    def column(self, name: str) -> Column:
        """One of its columns by name."""
        return next(column for column in self.columns if column.name == name)

    @property
    def parent_key(self) -> str | None:
        """The column that holds the parent's id."""
        return None if self.parent is None else f"{self.parent.removesuffix('s')}_id"


def _counts(of: str) -> tuple[Column, ...]:
    return (
        Column("load_count", "bigint", f"Times {of} was loaded."),
        Column("play_count", "bigint", f"Times {of} was played."),
        Column(
            "hours_watched",
            "double",
            f"Hours {of} was watched. Wistia computes it as plays times the lifetime average, so values of "
            "past days move, and totals can fall.",
        ),
    )


DELETED = Column("_deleted", "bool", "Always null: how a load says that a row is to be removed.")
DELETED_AT = Column(
    "deleted_at", "timestamp", "When a complete listing first lacked it (UTC), null while Wistia has it."
)
ACCOUNT_ID = Column("account_id", "text", "The Wistia account's own id.")
_DATE = Column("date", "date", "The day as Wistia gives it: UTC-5, not UTC (observed).")
_MEDIA_ID = Column("media_id", "text", "The media's hashed id.")
_PROJECT_ID = Column("project_id", "text", "The project's (folder's) hashed id.")

_USER_AGENT = (
    Column("user_agent_details__browser", "text", "Browser name."),
    Column("user_agent_details__browser_version", "text", "Browser version."),
    Column("user_agent_details__platform", "text", "Operating system or device."),
    Column("user_agent_details__mobile", "bool", "Whether it is a mobile device."),
)

ACCOUNT_STATS = Endpoint(
    name="account_stats",
    path="stats/account",
    grain="one row per run",
    primary_key=("captured_at",),
    columns=(
        Column("captured_at", "timestamp", "When the run asked (UTC).", filled_with="time"),
        *_counts("any media of the account"),
    ),
)

ACCOUNT_STATS_BY_DATE = Endpoint(
    name="account_stats_by_date",
    kind="daily",
    path="stats/account/by_date",
    grain="one row per day",
    primary_key=("date",),
    cursor="date",
    tells="busy days",
    columns=(_DATE, *_counts("any media of the account")),
)

PROJECTS = Endpoint(
    name="projects",
    path="projects",
    modern_path="folders",
    grain="one row per project (folder)",
    permission=READ_MEDIA,
    primary_key=("project_id",),
    scopes=((),),
    ignored=frozenset({"cursor", "medias"}),
    columns=(
        Column("project_id", "text", "The project's (folder's) hashed id.", ("hashedId", "hashed_id")),
        Column("numeric_id", "bigint", "The project's numeric id.", ("id",)),
        Column("name", "text", "Display name."),
        Column("description", "text", "Description, may hold HTML."),
        Column("media_count", "bigint", "Medias in the project.", ("mediaCount", "media_count")),
        Column("created", "timestamp", "When it was created (UTC)."),
        Column("updated", "timestamp", "When it was last changed (UTC). Not a change cursor."),
        Column("public", "bool", "Whether anybody may view it."),
        Column("public_id", "text", "The id in its public URL.", ("publicId", "public_id")),
        Column(
            "anonymous_can_upload",
            "bool",
            "Whether visitors may upload.",
            ("anonymousCanUpload", "anonymous_can_upload"),
        ),
        Column(
            "anonymous_can_download",
            "bool",
            "Whether visitors may download.",
            ("anonymousCanDownload", "anonymous_can_download"),
        ),
        Column("kind", "text", "Modern API only: library, shared or account."),
        Column("personal_library", "bool", "Modern API only: whether it is one person's library."),
        DELETED_AT,
    ),
)

PROJECT_STATS = Endpoint(
    name="project_stats",
    path="stats/projects/{id}",
    grain="one row per project",
    parent="projects",
    primary_key=("project_id",),
    follows_plays="project",
    columns=(
        _PROJECT_ID,
        *_counts("a media of the project"),
        Column("number_of_videos", "bigint", "Videos in the project (deprecated by Wistia)."),
    ),
)

PROJECT_STATS_BY_DATE = Endpoint(
    name="project_stats_by_date",
    kind="daily",
    path="stats/projects/{id}/by_date",
    grain="one row per project and day",
    parent="projects",
    primary_key=("project_id", "date"),
    cursor="date",
    # in Wistia's older documentation, in none of today's descriptions
    optional=True,
    follows_plays="project",
    columns=(_PROJECT_ID, _DATE, *_counts("a media of the project")),
)

MEDIAS = Endpoint(
    name="medias",
    path="medias",
    grain="one row per media",
    permission=READ_MEDIA,
    primary_key=("media_id",),
    # whether a list without the filter shows archived medias is unknown, so both are asked for
    scopes=((("archived", "false"),), (("archived", "true"),)),
    columns=(
        Column("media_id", "text", "The media's hashed id.", ("hashed_id", "hashedId")),
        Column("numeric_id", "bigint", "The media's numeric id.", ("id",)),
        Column("name", "text", "Display name."),
        Column("type", "text", "Video, Audio, Image, PdfDocument, MicrosoftOfficeDocument, Swf or UnknownType."),
        Column("archived", "bool", "Whether it is archived."),
        Column("duration", "double", "Seconds for video and audio, pages for documents, else null."),
        Column("created", "timestamp", "When it was uploaded (UTC)."),
        Column("updated", "timestamp", "When it was last changed (UTC). Not a change cursor."),
        Column("description", "text", "Description, may hold HTML."),
        Column("status", "text", "queued, processing, ready or failed."),
        Column("progress", "double", "Processing progress, 0 to 1."),
        Column("section", "text", "Title of the section it is in, null when none."),
        Column("protected", "bool", "Modern API only: whether viewing it needs a password."),
        Column(
            "project_id",
            "text",
            "The project's (folder's) hashed id.",
            ("project.hashed_id", "project.hashedId", "folder.hashed_id", "folder.hashedId"),
        ),
        Column("project_numeric_id", "bigint", "The project's numeric id.", ("project.id", "folder.id")),
        Column("project_name", "text", "The project's name.", ("project.name", "folder.name")),
        Column("subfolder__hashed_id", "text", "Hashed id of the subfolder."),
        Column("subfolder__name", "text", "Name of the subfolder."),
        Column("subfolder__description", "text", "Description of the subfolder."),
        Column("subfolder__position", "bigint", "Position of the subfolder in the project."),
        Column("subfolder__created", "timestamp", "When the subfolder was created (UTC)."),
        Column("subfolder__updated", "timestamp", "When the subfolder was last changed (UTC)."),
        Column("thumbnail__url", "text", "Address of the thumbnail."),
        Column("thumbnail__width", "bigint", "Width in pixels."),
        Column("thumbnail__height", "bigint", "Height in pixels."),
        Column("embed_code", "text", "Deprecated embed code.", ("embedCode", "embed_code")),
        Column("tags", "json", "List of {name}."),
        Column("assets", "json", "List of files: url, width, height, file size, content type, type."),
        DELETED_AT,
    ),
)

MEDIA_STATS_ACTIONS = Endpoint(
    name="media_stats__actions",
    field="actions",
    grain="one row per media and call to action",
    parent="medias",
    primary_key=("media_id", "position"),
    complete=True,
    columns=(
        _MEDIA_ID,
        Column("position", "bigint", "Place in Wistia's list, from 0.", filled_with="position"),
        Column("type", "text", "Kind of action, such as Call to Action."),
        Column("action_count", "bigint", "Times it was taken."),
        Column("impression_count", "bigint", "Times it was shown."),
        Column("rate", "double", "Taken divided by shown, 0 to 1."),
        Column("url", "text", "Where it leads, where Wistia says so."),
        Column("text", "text", "What it says, where Wistia says so."),
        DELETED,
    ),
)

MEDIA_STATS = Endpoint(
    name="media_stats",
    path="stats/medias/{id}",
    grain="one row per media",
    parent="medias",
    primary_key=("media_id",),
    follows_plays="media",
    spared_when_quiet=True,
    columns=(
        _MEDIA_ID,
        *_counts("the media"),
        Column("play_rate", "double", "Share of visitors who clicked play, 0 to 1, as Wistia computes it."),
        Column("engagement", "double", "Average share of the media that was viewed, 0 to 1."),
        Column("visitors", "bigint", "Unique people who loaded it."),
    ),
    children=(MEDIA_STATS_ACTIONS,),
)

MEDIA_STATS_BY_DATE = Endpoint(
    name="media_stats_by_date",
    kind="daily",
    path="stats/medias/{id}/by_date",
    grain="one row per media and day",
    parent="medias",
    primary_key=("media_id", "date"),
    cursor="date",
    follows_plays="media",
    spared_when_quiet=True,
    columns=(_MEDIA_ID, _DATE, *_counts("the media")),
)

MEDIA_ENGAGEMENT = Endpoint(
    name="media_engagement",
    path="stats/medias/{id}/engagement",
    grain="one row per media",
    parent="medias",
    primary_key=("media_id",),
    follows_plays="media",
    spared_when_quiet=True,
    columns=(
        _MEDIA_ID,
        Column("engagement", "double", "Average share of the media that was viewed, 0 to 1."),
        Column(
            "engagement_data",
            "json",
            "Views per second of the media; over 1,000 seconds scaled to 1,000 cells.",
        ),
        Column("rewatch_data", "json", "Rewatches per cell, same scale as engagement_data."),
    ),
)

CAPTIONS = Endpoint(
    name="captions",
    path="medias/{id}/captions",
    grain="one row per media and caption file",
    permission=READ_MEDIA,
    parent="medias",
    # a media may have a draft and a final caption of one language
    primary_key=("media_id", "language", "caption_id"),
    complete=True,
    columns=(
        _MEDIA_ID,
        Column("caption_id", "text", "The caption's hashed id.", ("id",)),
        Column("language", "text", "Three-letter language code (ISO 639-2)."),
        Column("english_name", "text", "The language's English name."),
        Column("native_name", "text", "The language's own name."),
        Column("text", "text", "The captions as SRT text."),
        Column("is_draft", "bool", "Whether they are unpublished."),
        DELETED,
    ),
)

VISITORS = Endpoint(
    name="visitors",
    kind="feed",
    path="stats/visitors",
    grain="one row per visitor",
    primary_key=("visitor_key",),
    cursor="last_active_at",
    columns=(
        Column("visitor_key", "text", "The visitor's key."),
        Column("created_at", "timestamp", "When first seen (UTC); can be seconds after last_active_at."),
        Column("last_active_at", "timestamp", "When a video was last played (UTC)."),
        Column("last_event_key", "text", "Key of the last viewing session; may be past retention."),
        Column("load_count", "bigint", "Videos loaded."),
        Column("play_count", "bigint", "Videos played; can be above load_count."),
        Column("identifying_event_key", "text", "Key of the session that identified the visitor."),
        Column("visitor_identity__name", "text", "Name, empty when unknown.", personal="identifier"),
        Column("visitor_identity__email", "text", "Email address, null when unknown.", personal="email"),
        Column("visitor_identity__org__name", "text", "Organisation.", personal="identifier"),
        Column("visitor_identity__org__title", "text", "Title in the organisation.", personal="identifier"),
        *_USER_AGENT,
    ),
)

EVENTS = Endpoint(
    name="events",
    kind="feed",
    path="stats/events",
    grain="one row per viewing session and visitor",
    # an event_key can occur twice, for two visitors (observed)
    primary_key=("event_key", "visitor_key"),
    cursor="received_at",
    takes_days=True,
    # `attributes` (edge release) repeats the fields beside it
    ignored=frozenset({"cursor", "attributes"}),
    tells="sessions",
    # older rows lack their key, private ones their visitor's (seed documents, observed)
    repair=repair_event,
    columns=(
        Column("event_key", "text", "Key of the viewing session."),
        Column("visitor_key", "text", "Key of the visitor, empty where Privacy Mode hides it."),
        Column("received_at", "timestamp", "About when the session started (UTC)."),
        _MEDIA_ID,
        Column("media_name", "text", "The media's name."),
        Column("media_url", "text", "The media's address in the Wistia account."),
        Column("percent_viewed", "double", "Share of the media viewed, 0 to 1; grows while it plays."),
        Column("ip", "text", "The viewer's IP address.", personal="identifier"),
        Column("org", "text", "Organisation that the address belongs to."),
        Column("country", "text", "Country, by address."),
        Column("region", "text", "Region, by address."),
        Column("city", "text", "City, by address."),
        Column("lat", "double", "Latitude in degrees, by address.", personal="coordinate"),
        Column("lon", "double", "Longitude in degrees, by address.", personal="coordinate"),
        Column("email", "text", "The viewer's email address, where known.", personal="email"),
        Column("embed_url", "text", "Address of the page where it was watched.", personal="url"),
        Column("conversion_type", "text", "Kind of conversion, empty or 0 for none."),
        Column("conversion_data__email", "text", "Email address given in a form.", personal="email"),
        Column("conversion_data__first_name", "text", "First name given in a form.", personal="identifier"),
        Column("conversion_data__last_name", "text", "Last name given in a form.", personal="identifier"),
        Column("conversion_data__is_new_lead", "bool", "Whether Wistia counts it as a new lead."),
        Column("iframe_heatmap_url", "text", "Page that draws the session's heatmap."),
        *_USER_AGENT,
        Column("thumbnail__url", "text", "Address of the media's thumbnail."),
        Column("thumbnail__width", "bigint", "Width in pixels."),
        Column("thumbnail__height", "bigint", "Height in pixels."),
        # camelCase in every version of the API (observed)
        Column("thumbnail__file_size", "bigint", "Size in bytes.", ("thumbnail.fileSize",)),
        Column("thumbnail__content_type", "text", "Media type.", ("thumbnail.contentType",)),
        Column("thumbnail__type", "text", "Kind of asset."),
    ),
)

ENDPOINTS: tuple[Endpoint, ...] = (
    MEDIAS,
    PROJECTS,
    EVENTS,
    VISITORS,
    ACCOUNT_STATS,
    ACCOUNT_STATS_BY_DATE,
    PROJECT_STATS,
    PROJECT_STATS_BY_DATE,
    MEDIA_STATS,
    MEDIA_STATS_BY_DATE,
    MEDIA_ENGAGEMENT,
    CAPTIONS,
)
"""The twelve resources, in the order in which a run starts them."""

TELLERS = tuple(endpoint.name for endpoint in ENDPOINTS if endpoint.tells)
DATA_TABLES = tuple(table.name for endpoint in ENDPOINTS for table in (endpoint, *endpoint.children))

REFRESHES = Endpoint(
    name="refreshes",
    grain="one row per endpoint and parent",
    primary_key=("endpoint", "parent_id"),
    cursor="refreshed_at",
    columns=(
        Column("endpoint", "text", "The resource that was asked."),
        Column(
            "parent_id",
            "text",
            "The media or project it was asked for, empty for the account. Of events: the media that had new or "
            "changed sessions, empty for the last deep lookback.",
        ),
        Column("refreshed_at", "timestamp", "When it was last asked (UTC)."),
        Column("from_date", "date", "First day asked for (by_date resources)."),
        Column("through_date", "date", "Last day asked for (by_date resources)."),
        Column(
            "history_at",
            "timestamp",
            "When it was last asked for all that there is, not for recent days alone (UTC).",
        ),
        Column(
            "result",
            "text",
            "`ok`; `not_found` where Wistia answered 404; `quiet` where it was spared: nobody had loaded or played "
            "anything in the account.",
        ),
    ),
)
"""The memory of the fan-outs: written in the load package of the data it speaks of."""

RESTATEMENTS = Endpoint(
    name="restatements",
    grain="one row per run, resource and age",
    primary_key=("run_id", "resource", "age"),
    cursor="run_at",
    columns=(
        Column("run_id", "text", "The run, as in `sync_runs`."),
        Column("run_at", "timestamp", "When the run began (UTC)."),
        Column("resource", "text", "The resource whose rows came late or changed."),
        Column(
            "age",
            "text",
            "How old the rows were, at most: `hour`, `3 hours`, `day`, `2 days`, `week`, or `older`. Of a viewing "
            "session since it was received, of a visitor since last active, of a day since it ended (UTC-5).",
        ),
        Column("rows_added", "bigint", "Rows behind the watermark that the warehouse did not hold at that age."),
        Column("rows_changed", "bigint", "Rows behind the watermark that it held with other values."),
    ),
)
"""What a run found behind the watermarks: whether the lookbacks are wide enough."""

FORGOTTEN = Endpoint(
    name="forgotten",
    grain="one row per visitor key or email address to forget",
    primary_key=("kind", "digest"),
    cursor="forgotten_at",
    columns=(
        Column("kind", "text", "`visitor_key` or `email`."),
        Column("digest", "text", "HMAC-SHA256 of it with the salt: whom it is about cannot be read from it."),
        Column("mode", "text", "`remove` or `hash`: what becomes of the rows."),
        Column("salt", "text", "The salt of this warehouse, the same in all rows."),
        Column("forgotten_at", "timestamp", "When that was asked for, or found by the address (UTC)."),
        Column("removed_at", "timestamp", "When rows were found and taken out (UTC); null where there were none."),
        Column("settled_at", "timestamp", "When all was done (UTC); until then each run takes it up again."),
    ),
)
"""Whom to leave out of every load; where the account is empty, of all accounts."""

RECORDS: tuple[Endpoint, ...] = (REFRESHES, RESTATEMENTS, FORGOTTEN)
"""What a run writes about itself, when the `DATA_TABLES` of a load package are there."""

TABLES: tuple[Endpoint, ...] = tuple(table for one in (*ENDPOINTS, *RECORDS) for table in (one, *one.children))
"""All tables that are loaded, also those of what is nested in rows."""

COMPANIONS: tuple[Endpoint, ...] = (MEDIA_STATS_ACTIONS, *RECORDS)
"""Tables that are filled by what the twelve bring."""

BY_NAME: dict[str, Endpoint] = {endpoint.name: endpoint for endpoint in ENDPOINTS}
