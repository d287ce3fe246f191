"""Declares the dlt source: makes a resource of each endpoint. Makes no request while building."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any
from uuid import uuid4

import dlt
from dlt.common.schema.typing import TColumnSchema
from dlt.extract import DltResource

from .budget import RequestBudget
from .client import Client
from .endpoints import DELETED, ENDPOINTS, FORGOTTEN, REFRESHES, RESTATEMENTS, Endpoint
from .errors import SettingInvalid
from .fan_outs import carried, fan_out, listing, record
from .feeds import backfilled_feed, filtered_feed, incremental_feed, one_row
from .pii import Pii
from .request import RunRequest, past_day
from .retry import Patience
from .rows import all_columns, primary_key
from .task import Run, Task, tracked
from .tuning import Tuning
from .windows import RETENTION, midnight


@dlt.source(name="wistia", max_table_nesting=1)
def wistia(
    access_token: str = dlt.secrets.value,
    base_url: str = "https://api.wistia.com",
    api_version: str = "v1",
    start_date: str | None = None,
    requests_per_minute: int = 540,
    visitor_filter: str | None = None,
    visitor_search: str | None = None,
    visitor_key: str | None = None,
    event_key: str | None = None,
    events_lookback_hours: float = 3,
    events_deep_lookback_hours: float = 48,
    visitors_lookback_hours: float = 0.25,
    visitors_deep_lookback_hours: float = 48,
    by_date_lookback_days: int = 14,
    refresh_within_hours: float = 24,
    captions_refresh_within_hours: float = 168,
    history_refresh_within_hours: float = 168,
    backfill_start: str | None = None,
    backfill_end: str | None = None,
    package_seconds: float | None = None,
    dry_run: bool = False,
    keep_public_token: bool = False,
    pii: str = "keep",
    pii_secret: dlt.TSecretStrValue | None = None,
    backoff_seconds: float = 1.0,
    run_id: str | None = None,
    tuning: Tuning | None = None,
    now: datetime | None = None,
    request: RunRequest | None = None,
) -> Iterable[DltResource]:
    """A Wistia account: twelve resources, the memory of what was asked (`refreshes`), what had come late
    (`restatements`) and whom to leave out (`forgotten`).

    Args:
        access_token: a token with the permissions "Read detailed stats" and "Read all folder and media data".
        base_url: scheme and host of the API, without a path.
        api_version: `v1`, or a release of the dated modern API such as `2026-03`. Tables are the same.
        start_date: first day to load, `YYYY-MM-DD`; two years ago by default: Wistia keeps events no longer.
        requests_per_minute: most requests in any 60 seconds; Wistia allows an account 600, other tools included (docs).
        visitor_filter: only visitors that `has_name`, `has_email` or are `identified_by_email_gate`; all such
            are read each run, and the cursor of the full list stays where it is.
        visitor_search: only visitors whose name or email starts with this; else as `visitor_filter`.
        visitor_key: refresh this one visitor instead of the list.
        event_key: refresh this one viewing session instead of the list.
        events_lookback_hours: how far behind the newest session each run reads again: late ones, those that still play.
        events_deep_lookback_hours: the same, once a day.
        visitors_lookback_hours: how far behind the most recent visitor each run reads again.
        visitors_deep_lookback_hours: the same, once a day.
        by_date_lookback_days: how many days before the last day asked for are asked again: Wistia restates them.
        refresh_within_hours: each media and project is asked at least this often; medias of a quiet account as often as
            their history.
        captions_refresh_within_hours: each media's captions are asked at least this often.
        history_refresh_within_hours: each media's and project's days are asked from the first at least this often.
        backfill_start: read the days from this one (`YYYY-MM-DD`) on again, of `events` and the by_date resources,
            which then are all there is. Watermarks and turns stay as they are.
        backfill_end: the day after the last one of them.
        package_seconds: begin nothing new after this long: the rest is `unfinished`, for the next run of this source.
        dry_run: read the lists, count the rest: `expected` requests and `reasons` of fan-outs are in the metrics.
        keep_public_token: keep the account's public token inside `events.iframe_heatmap_url`.
        pii: `keep`, `hash` (equal values still are equal) or `drop` personal data of visitors and events. Rows that
            were loaded before change when they are read again.
        pii_secret: what it is hashed with, at least 16 characters; also who is forgotten by hash. Another one makes
            other hashes of all values.
        backoff_seconds: half the longest first pause after a failure; doubled with each further one, up to a minute.
        run_id: what `restatements` calls this run; a random name by default.
        tuning: how the work is cut and how long an answer is waited for; see `Tuning`.
        now: the time of the run, for tests; the clock by default.
        request: what to read, in place of the keys, the backfill and the dry run above.

    Raises `SettingInvalid` at once; while it runs, the errors of `wistia_source.errors`.
    """

    def clock() -> datetime:
        return now or datetime.now(UTC)

    if visitor_filter not in (None, "has_name", "has_email", "identified_by_email_gate"):
        raise SettingInvalid(
            f"visitor_filter is {visitor_filter!r}, but must be has_name, has_email or identified_by_email_gate."
        )
    if requests_per_minute < 1:
        raise SettingInvalid(f"requests_per_minute is {requests_per_minute}, but must be at least 1.")
    tuning = tuning or Tuning()
    keys = {"visitors": visitor_key, "events": event_key}
    request = request or RunRequest(
        refresh={name: key for name, key in keys.items() if key},
        backfill_start=backfill_start,
        backfill_end=backfill_end,
        dry_run=dry_run,
    )
    patience = Patience(
        read_timeout=tuning.read_timeout_seconds,
        backoff=backoff_seconds,
        max_quota_wait=tuning.max_quota_wait_seconds,
    )
    budget = RequestBudget(requests_per_minute, tuning.quota_window_seconds)
    first_day = (clock() - RETENTION).date() if start_date is None else past_day("start_date", start_date, clock())
    run = Run(
        client=Client(access_token, base_url, api_version, budget, patience),
        run_id=run_id or uuid4().hex,
        clock=clock,
        start_date=first_day,
        backfill=request.days(clock()),
        dry=request.dry_run,
        package_seconds=inf if package_seconds is None else package_seconds,
        keep_public_token=keep_public_token,
        pii=Pii.of(pii, pii_secret),
        tuning=tuning,
    )
    visitor_params = {"filter": visitor_filter, "search": visitor_search}
    filters = {"visitors": {name: value for name, value in visitor_params.items() if value}}
    hours: dict[str, dict[str, float]] = {
        "": {"refresh_within": refresh_within_hours, "history_within": history_refresh_within_hours},
        "events": {"lookback": events_lookback_hours, "deep_lookback": events_deep_lookback_hours},
        "visitors": {"lookback": visitors_lookback_hours, "deep_lookback": visitors_deep_lookback_hours},
        "captions": {"refresh_within": captions_refresh_within_hours},
        "by_date": {"lookback": 24 * by_date_lookback_days},
    }
    return _resources(run, request.refresh, filters, hours)


def _resources(
    run: Run,
    keys: Mapping[str, str],
    filters: Mapping[str, Mapping[str, str]],
    hours: Mapping[str, Mapping[str, float]],
) -> Iterator[DltResource]:
    """A resource for each endpoint and for what the run says of itself. By endpoint: the key of the one row to refresh,
    the filters of its list, and its lookbacks and turns."""
    for declared in ENDPOINTS:
        endpoint = _with_settings(declared, hours)
        if run.backfill and not endpoint.dated:
            continue
        task = Task(run, endpoint)
        if endpoint.kind == "feed":
            yield _feed(task, keys.get(endpoint.name), filters.get(endpoint.name))
        else:
            yield _resource(task, listing if endpoint.listing else fan_out)
        for child in endpoint.children:
            yield _resource(Task(run, child), carried, endpoint)
    for endpoint, rows in (
        (REFRESHES, run.memory.take_refreshes),
        (RESTATEMENTS, run.memory.restatements),
        (FORGOTTEN, run.memory.take_forgotten),
    ):
        yield _resource(Task(run, endpoint), record, rows)


def _feed(task: Task, key: str | None, params: Mapping[str, str] | None) -> DltResource:
    """The resource of a feed: days again, one row, a filtered list, or what is new."""
    if task.run.backfill:
        return _resource(task, backfilled_feed)
    if key:
        return _resource(task, one_row, key)
    if params:
        # a filtered list must not move the cursor of the whole one
        return _resource(task, filtered_feed, params)
    assert task.endpoint.cursor is not None
    cursor = dlt.sources.incremental[datetime](
        task.endpoint.cursor,
        initial_value=midnight(task.run.start_date),
        # the merge key makes overlaps harmless; dlt's own deduplication would keep keys in the state
        primary_key=(),
        on_cursor_value_missing="include",
    )
    return _resource(task, incremental_feed, cursor)


def _with_settings(endpoint: Endpoint, hours: Mapping[str, Mapping[str, float]]) -> Endpoint:
    """The endpoint with the lookbacks and turns that are set for all, for by_date endpoints, or for it alone."""
    group = "by_date" if endpoint.kind == "daily" else endpoint.name
    chosen = {**hours[""], **hours.get(group, {})}
    century = 24 * 36_525
    for name, value in chosen.items():
        if not 0 <= value <= century or (value == 0 and name.endswith("_within")):
            raise SettingInvalid(
                f"A lookback or refresh time of {endpoint.name} is {value}, but lookbacks must be 0 or more, refresh "
                "times more than 0, and all of them at most a century."
            )
    changes: dict[str, Any] = {name: timedelta(hours=value) for name, value in chosen.items()}
    return replace(endpoint, **changes)


def _resource(task: Task, generate: Callable[..., Any], *arguments: Any) -> DltResource:
    """A dlt resource with everything that the table of endpoints declares."""
    endpoint = task.endpoint
    columns: dict[str, TColumnSchema] = {}
    for column in all_columns(endpoint):
        columns[column.name] = {
            "name": column.name,
            "data_type": column.data_type,
            "description": column.description,
            "nullable": column.name not in primary_key(endpoint),
        }
        if column is DELETED:
            columns[column.name]["hard_delete"] = True
    declared = dlt.resource(
        tracked(generate),
        name=endpoint.name,
        primary_key=primary_key(endpoint),
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
        columns=columns,
        schema_contract={"tables": "evolve", "columns": "evolve", "data_type": "freeze"},
    )
    return declared(task, *arguments)
