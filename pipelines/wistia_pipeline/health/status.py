"""Reads from the tables and the run log how fresh the warehouse is."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from wistia_source.endpoints import ACCOUNT_ID, BY_NAME, ENDPOINTS, REFRESHES, RESTATEMENTS
from wistia_source.rows import LOAD_ID
from wistia_source.windows import midnight

from ..models.build import MODELS
from ..models.settings import model_names
from ..runs.accounts import ONLY, WistiaAccount
from ..warehouses.base import NotReadable
from ..warehouses.reading import Reader
from ..warehouses.run_log import SYNC_FAILURES, SYNC_RUNS
from .lookbacks import OBSERVED, Lookback, judged

HOUR = timedelta(hours=1)
GOOD = "command = 'sync' and (status = 'ok' or (status = 'partial' and error is null))"
"""A run that has read the resource: of a partial one, where it has no error of its own. A refresh reads one row, and a
backfill nothing new."""


@dataclass
class ResourceStatus:
    """One resource of one account."""

    account_id: str
    resource: str
    pipeline: str = ONLY
    """What dlt calls the pipeline that loads the account."""
    rows: int = 0
    cursor: datetime | date | None = None
    """How far it is read: its newest row's time or day, or when a media or project was last refreshed; null for lists,
    which are read as a whole each time."""
    landed_at: datetime | None = None
    """When its newest rows were loaded."""
    read_at: datetime | None = None
    """When the last run that has read it ended."""
    age_hours: float | None = None
    """Since then."""
    is_watched: bool = False
    """Whether it counts: a sync has tried it."""
    last_run: dict[str, Any] | None = None
    """`run_id`, `command`, `status`, `started_at`, `finished_at`, `error`."""
    overdue: int = 0
    """Medias or projects that are overdue for refresh."""

    def is_fresh(self, max_age_hours: float) -> bool:
        """Whether it was read in time, or need not be."""
        return not self.is_watched or (self.age_hours is not None and self.age_hours <= max_age_hours)


@dataclass
class WarehouseStatus:
    """All of them, and what the run log says of the runs."""

    checked_at: datetime
    max_age_hours: float
    pipelines_dir: str
    """The folder of dlt's working state."""
    fresh: bool = False
    age_hours: float | None = None
    """Of the resource that was read longest ago; null where one was never read."""
    requests_today: int = 0
    """Of all runs that began on this UTC day and have ended."""
    running: list[dict[str, Any]] = field(default_factory=list)
    """`pipeline`, `run_id`, `command`, `started_at` of each run under way, or of one that was killed since."""
    last_runs: list[dict[str, Any]] = field(default_factory=list)
    """Of each pipeline, which every account has its own of: as in `ResourceStatus`, with `pipeline`, `requests` and
    `last_ok_at`, when its last sync ended in which all went well."""
    failures: list[dict[str, Any]] = field(default_factory=list)
    """What these could not read: `pipeline`, `resource`, `parent_id`, `error`."""
    models: dict[str, Any] | None = None
    """`status`, `built_at`, `marts` built, `missing_marts`, `failed_models`, `failed_tests`; null before a build."""
    lookbacks: list[Lookback] = field(default_factory=list)
    resources: list[ResourceStatus] = field(default_factory=list)


def status(reader: Reader, max_age_hours: float, pipelines_dir: str, now: datetime | None = None) -> WarehouseStatus:
    """What the warehouse says. Raises `NotReadable` where it has no run log. `now` is for tests."""
    now = now or datetime.now(UTC)
    found = WarehouseStatus(now, max_age_hours, pipelines_dir)
    tables = reader.columns(reader.raw)
    if not {SYNC_RUNS.name, SYNC_FAILURES.name} <= tables.keys():
        raise NotReadable("There is no run log, which only wistia-pipeline keeps; run wistia-pipeline sync first.")
    # earlier releases knew of one account
    whose = f"coalesce(pipeline, '{ONLY}')" if "pipeline" in tables[SYNC_RUNS.name] else f"'{ONLY}'"
    _read_runs(reader, found, whose)
    _read_models(reader, found)
    held = {(row.account_id, row.resource): row for row in _resources(reader, tables)}
    _read_log(reader, held, now, whose)
    if {REFRESHES.name, RESTATEMENTS.name} <= tables.keys():
        settings = {
            account_id: WistiaAccount.of_pipeline(pipeline).settings(accept_partial=True)
            for account_id, pipeline in {(row.account_id, row.pipeline) for row in held.values()}
        }
        _read_refreshes(reader, held, tables, now - max_age_hours * HOUR, settings)
        found.lookbacks = _lookbacks(reader, now, settings)
    order = list(BY_NAME)
    found.resources = sorted(held.values(), key=lambda row: (row.account_id, order.index(row.resource)))
    watched = [row for row in found.resources if row.is_watched]
    ages = [row.age_hours for row in watched if row.age_hours is not None]
    found.age_hours = max(ages) if ages and len(ages) == len(watched) else None
    # an account of which nothing was ever read is not fresh because there is nothing to be old
    is_each_watched = {row.account_id for row in found.resources} == {row.account_id for row in watched}
    found.fresh = bool(watched) and is_each_watched and all(row.is_fresh(max_age_hours) for row in watched)
    return found


def _read_runs(reader: Reader, found: WarehouseStatus, whose: str) -> None:
    runs = f"{reader.raw}.{SYNC_RUNS.name}"
    columns = "run_id, command, status, started_at, finished_at"
    per_run = (
        f"select {whose} as pipeline, {columns}, cast(sum(requests) as bigint) as requests, max(error) as error "  # noqa: S608
        f"from {runs} where resource <> '{MODELS}' group by {whose}, {columns}"
    )
    for row in reader.rows(
        f"select * from (select *, max(case when command = 'sync' and status = 'ok' then finished_at end) "  # noqa: S608
        "over (partition by pipeline) as last_ok_at, "
        # who forgets somebody may have no account of its own
        "count(case when command <> 'forget' then 1 end) over (partition by pipeline) as loads, "
        "row_number() over (partition by pipeline, status = 'running' "
        f"order by started_at desc) as newest from ({per_run}) as runs) as numbered where newest = 1 and loads > 0 "
        "order by started_at desc"
    ):
        del row["newest"], row["loads"]
        if row["status"] == "running":
            found.running.append({name: row[name] for name in ("pipeline", "run_id", "command", "started_at")})
        else:
            found.last_runs.append(row)
    (today,) = reader.rows(
        f"select cast(coalesce(sum(requests), 0) as bigint) as requests from {runs} where started_at >= $1",  # noqa: S608
        midnight(found.checked_at.astimezone(UTC).date()),
    )
    found.requests_today = today["requests"]
    ended = {run["run_id"]: run["pipeline"] for run in found.last_runs}
    for row in reader.rows(
        f"select run_id, resource, parent_id, error from {reader.raw}.{SYNC_FAILURES.name} "  # noqa: S608
        f"where run_id in ({', '.join(f'${number}' for number, _ in enumerate(ended, 1)) or 'null'}) "
        "order by run_id, resource, parent_id",
        *ended,
    ):
        found.failures.append({"pipeline": ended[row.pop("run_id")], **row})


def _read_models(reader: Reader, found: WarehouseStatus) -> None:
    rows = reader.rows(
        f"select status, finished_at, error from {reader.raw}.{SYNC_RUNS.name} "  # noqa: S608
        f"where resource = '{MODELS}' and finished_at is not null order by finished_at desc limit 1"
    )
    if not rows:
        return
    names, built = model_names(), reader.columns(reader.marts).keys()
    # what they share is in schemas of its own
    marts = {name for name in names if name.startswith("wistia__")}
    failed = rows[0]["error"].split(", ") if rows[0]["error"] else []
    # the project itself, where dbt could not begin
    tests = [name for name in failed if name not in {*names, "wistia"}]
    found.models = {
        "status": rows[0]["status"],
        "built_at": rows[0]["finished_at"],
        "marts": len(marts & built),
        "missing_marts": sorted(marts - built),
        "failed_models": [name for name in failed if name not in tests],
        "failed_tests": tests,
    }


def _resources(reader: Reader, tables: dict[str, dict[str, str]]) -> Iterable[ResourceStatus]:
    """What the tables hold, by account."""
    landed = {}
    if "_dlt_loads" in tables:
        loads = reader.rows(f"select load_id, inserted_at from {reader.raw}._dlt_loads where status = 0")  # noqa: S608
        landed = {row["load_id"]: row["inserted_at"] for row in loads}
    for endpoint in ENDPOINTS:
        if endpoint.name not in tables:
            continue
        cursor = endpoint.cursor or ("captured_at" if "captured_at" in endpoint.primary_key else "null")
        load_id = LOAD_ID if LOAD_ID in tables[endpoint.name] else "null"
        for row in reader.rows(
            f"select {ACCOUNT_ID.name}, cast(count(*) as bigint) as rows, max({cursor}) as cursor, "  # noqa: S608
            f"max({load_id}) as load_id from {reader.raw}.{endpoint.name} group by 1"
        ):
            yield ResourceStatus(
                row[ACCOUNT_ID.name],
                endpoint.name,
                rows=row["rows"],
                cursor=row["cursor"],
                landed_at=landed.get(row["load_id"]),
            )


def _read_log(reader: Reader, held: dict[tuple[str, str], ResourceStatus], now: datetime, whose: str) -> None:
    """When each resource was read, by which pipeline, and how its last run ended."""
    runs = f"{reader.raw}.{SYNC_RUNS.name}"
    rows = reader.rows(
        f"select account_id, resource, max(case when {GOOD} then finished_at end) as read_at, "  # noqa: S608
        "max(case when command = 'sync' then 1 else 0 end) as is_watched "
        f"from {runs} where account_id is not null and resource <> '{MODELS}' group by 1, 2"
    )
    for row in rows:
        if row["resource"] not in BY_NAME:
            continue
        key = row["account_id"], row["resource"]
        found = held.setdefault(key, ResourceStatus(*key))
        found.read_at, found.is_watched = row["read_at"], bool(row["is_watched"])
        if found.read_at:
            found.age_hours = max((now - found.read_at) / HOUR, 0.0)
    columns = "resource, run_id, command, status, started_at, finished_at, error"
    last = {
        (row.pop("account_id"), row.pop("pipeline"), row.pop("resource")): row
        for row in reader.rows(
            f"select account_id, pipeline, {columns} from (select account_id, {whose} as pipeline, {columns}, "  # noqa: S608
            f"row_number() over (partition by account_id, {whose}, resource order by started_at desc) as newest "
            f"from {runs} where status <> 'running') as numbered where newest = 1 order by started_at"
        )
    }
    # the one that has loaded the account last
    pipelines = {account_id: pipeline for account_id, pipeline, _ in last if account_id}
    for (account_id, resource), found in held.items():
        found.pipeline = pipelines.get(account_id, ONLY)
        # a run that has failed before it knew the account was for that of its pipeline
        keys = [(account, found.pipeline, resource) for account in (account_id, None)]
        known = [last[key] for key in keys if key in last]
        found.last_run = max(known, key=lambda run: run["started_at"], default=None)


def _read_refreshes(
    reader: Reader,
    held: dict[tuple[str, str], ResourceStatus],
    tables: dict[str, dict[str, str]],
    in_time: datetime,
    settings: Mapping[str, Mapping[str, Any]],
) -> None:
    """When medias and projects were last refreshed, and how many are overdue: they were due before `in_time`."""
    refreshes = f"{reader.raw}.{REFRESHES.name}"
    for row in reader.rows(
        f"select account_id, endpoint, max(refreshed_at) as cursor from {refreshes} group by 1, 2"  # noqa: S608
    ):
        found = held.get((row["account_id"], row["endpoint"]))
        if found and found.cursor is None and BY_NAME[row["endpoint"]].parent:
            found.cursor = row["cursor"]
    for endpoint in ENDPOINTS:
        if endpoint.parent not in tables:
            continue
        name = "captions_refresh_within_hours" if endpoint.name == "captions" else "refresh_within_hours"
        within = {account_id: timedelta(hours=own[name]) for account_id, own in settings.items()}
        for interval in set(within.values()):
            for row in reader.rows(
                f"select parents.account_id, cast(count(*) as bigint) as overdue from {reader.raw}.{endpoint.parent} "  # noqa: S608
                f"as parents left join {refreshes} as asked on asked.account_id = parents.account_id "
                f"and asked.endpoint = '{endpoint.name}' and asked.parent_id = parents.{endpoint.parent_key} "
                "where parents.deleted_at is null and (asked.refreshed_at is null or asked.refreshed_at < $1) "
                "group by 1",
                in_time - interval,
            ):
                found = held.get((row["account_id"], endpoint.name))
                if found and found.is_watched and within[found.account_id] == interval:
                    found.overdue = row["overdue"]


def _lookbacks(reader: Reader, now: datetime, settings: Mapping[str, Mapping[str, Any]]) -> list[Lookback]:
    found = defaultdict(list)
    for row in reader.rows(
        f"select account_id, run_id, resource, age, rows_added, rows_changed from {reader.raw}.{RESTATEMENTS.name} "  # noqa: S608
        "where run_at >= $1",
        now - OBSERVED,
    ):
        found[row["account_id"], row["resource"]].append(row)
    began: dict[str, datetime] = {}
    syncs = defaultdict(list)
    feeds = [endpoint.name for endpoint in ENDPOINTS if endpoint.kind == "feed"]
    for row in reader.rows(
        f"select account_id, run_id, resource, started_at, {GOOD} as is_good from {reader.raw}.{SYNC_RUNS.name} "  # noqa: S608
        f"where started_at >= $1 and resource in ({', '.join(map(repr, feeds))}) and account_id is not null "
        "order by started_at",
        now - OBSERVED,
    ):
        began[row["run_id"]] = row["started_at"]
        if row["is_good"]:
            syncs[row["account_id"], row["resource"]].append(row["started_at"])
    return [
        judged(
            account_id,
            feed,
            settings[account_id][f"{feed}_lookback_hours"],
            settings[account_id][f"{feed}_deep_lookback_hours"],
            found[account_id, feed],
            began,
            syncs[account_id, feed],
        )
        for account_id, feed in sorted(syncs)
    ]
