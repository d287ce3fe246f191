"""Whether the marts in a warehouse hold what they must, and whether two warehouses hold the same."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from operator import itemgetter
from typing import Any

from wistia_pipeline.models.build import ModelsResult
from wistia_pipeline.models.marts import mart_named, mart_names
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.loaded import load_once
from tests.support.mart_values import Mart, grouped
from tests.support.marts import Marts
from tests.support.parsed import keep_parsed
from tests.support.sandbox import NOW, settings_for
from tests.support.warehouse import Warehouse

ACCOUNT: dict[str, Any] = {
    "seed": 37,
    "medias": 14,
    "projects": 3,
    "visitors": 90,
    "events": 900,
    "days": 90,
    "hourly_events": 6,
}
START = "2026-03-15"
ZONE = "America/New_York"
"""Of models whose days are not those of UTC."""
GRAINS = {name: mart_named(name).grain[1:] for name in mart_names()}
"""Every mart, and its key after account_id."""
OVERDUE = "update {raw}._models_built_from set tested_at = now() - interval '1 day'"
"""All data tests are due again."""
TURNS = {"refresh_within_hours": 0.01, "captions_refresh_within_hours": 0.01, "history_refresh_within_hours": 0.01}
"""All numbers of the medias are those of now."""


def load(warehouse: Warehouse, sandbox: Sandbox, now: datetime = NOW, **settings: Any) -> ModelsResult:
    """One run with its models."""
    keep_parsed()
    arguments = settings_for(sandbox, now, **({"start_date": START} | TURNS | settings))
    return _models_of(warehouse.sync(arguments, models=True))


def load_first(warehouse: Warehouse, sandbox: Sandbox, now: datetime = NOW, **settings: Any) -> ModelsResult:
    """The first run with its models, into an empty warehouse: what other tests have loaded is copied."""
    return _models_of(load_once(warehouse, sandbox, now, models=True, **({"start_date": START} | TURNS | settings)))


def _models_of(result: SyncResult) -> ModelsResult:
    assert result.models
    assert not result.models.failures, result.models.failures
    assert not result.models.skipped
    return result.models


def marts_of(sandbox: Sandbox, now: datetime = NOW, zone: str = "UTC") -> Marts:
    """What the marts must hold."""
    account = sandbox.account
    return Marts(account.at(now), str(account.account_id), now, date.fromisoformat(START), zone)


def plain(value: Any) -> Any:
    """A value as both databases, and Python, can have it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def held(warehouse: Warehouse, mart: str, account_id: str | None = None) -> Mart:
    """A mart's rows by their key: of one account where there are several."""
    found: Mart = {}
    with warehouse.cursor() as cursor:
        of_account = f" where account_id = '{account_id}'" if account_id else ""
        cursor.execute(f"select * from {warehouse.marts}.{mart}{of_account}")
        names = [column[0] for column in cursor.description]
        for values in cursor.fetchall():
            row = {name: plain(value) for name, value in zip(names, values, strict=True)}
            key = tuple(row[name] for name in GRAINS[mart])
            assert key not in found, (mart, key)
            found[key] = row
    return found


def are_alike(one: Any, other: Any) -> bool:
    """Whether two values are the same, up to the order in which sums were made."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(are_alike(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(are_alike, one, other))
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return bool(one == other)


def differences(mart: str, found: Mart, wanted: Mart) -> list[str]:
    """What is wrong with a mart: the first few rows and columns."""
    wrong = [f"{mart} lacks {key}" for key in wanted.keys() - found.keys()]
    wrong += [f"{mart} should not have {key}" for key in found.keys() - wanted.keys()]
    for key in found.keys() & wanted.keys():
        row = found[key]
        assert row.keys() == wanted[key].keys(), (mart, row.keys() ^ wanted[key].keys())
        wrong += [
            f"{mart} {key}: {name} is {row[name]!r}, not {value!r}"
            for name, value in wanted[key].items()
            if not are_alike(row[name], value)
        ]
    return sorted(wrong)[:20]


def with_a_lead(account: Account, now: datetime) -> Account:
    """Few visitors leave an address, and which of them sees a media to its end hangs on the hour at which a small
    account begins. At any hour, whoever comes back after the longest time has done both the first time, and only
    looked in the last time."""
    known = [row | {"at": datetime.fromisoformat(row["received_at"])} for row in account.at(now).events()]
    known = sorted((row for row in known if row.get("event_key") and row["visitor_key"]), key=itemgetter("at"))
    visits = grouped(known, itemgetter("visitor_key")).values()
    first, *_, last = max(visits, key=lambda rows: rows[-1]["at"] - rows[0]["at"])
    account.restate_event(first["event_key"], percent_viewed=1.0, email="lead@example.com")
    account.restate_event(last["event_key"], percent_viewed=0.1)
    return account


def assert_right(warehouse: Warehouse, marts: Marts, *, is_only: bool = True) -> None:
    """Every mart holds what it must, of an account that may not be the only one."""
    wrong: list[str] = []
    for mart, names in GRAINS.items():
        account = {"account_id": marts.account_id}
        wanted: Mart = {
            key: row | dict(zip(names, key, strict=True)) | account for key, row in getattr(marts, mart)().items()
        }
        assert wanted, mart
        wrong += differences(mart, held(warehouse, mart, None if is_only else marts.account_id), wanted)
    assert not wrong, "\n".join(wrong)
