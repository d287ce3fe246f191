"""Checks whether a sync would work: settings, token, permissions, each endpoint, and the warehouse. Loads nothing."""

import os
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

import dlt
from dlt.common.destination.reference import TDestinationReferenceArg

from wistia_source import wistia
from wistia_source.budget import RequestBudget
from wistia_source.client import Client
from wistia_source.probes import Probes
from wistia_source.retry import HASTY
from wistia_source.windows import RETENTION

from ..models.settings import model_vars
from ..runs.accounts import WistiaAccount
from ..runs.sync import make_pipeline
from ..warehouses.base import BY_SPARK, Destination, NotTried
from ..warehouses.failures import explain
from ..warehouses.kinds import ALL_MODELLED, destination_of
from ..warehouses.locks import WarehouseBusy
from .account_check import check_account
from .check_results import OF_THE_ACCOUNT, Checks

REQUESTS_ALLOWED = 600
"""A minute, of an account (docs)."""
_FITTING: dict[str, Any] = {"access_token": "any", "start_date": None, "requests_per_minute": 1}
"""In place of the settings that have checks of their own."""


def check(
    destination: TDestinationReferenceArg = "duckdb",
    now: datetime | None = None,
    account: WistiaAccount = WistiaAccount(),  # noqa: B008
) -> Checks:
    """Requests one row of each endpoint, and tries the destination. `now` is for tests."""
    now = now or datetime.now(UTC)
    found = Checks(worded=account.worded)
    settings = _check_settings(found, account, now)
    if settings:
        _check_api(found, account, settings, now)
    _check_destination(found, destination)
    return found


def _check_settings(found: Checks, account: WistiaAccount, now: datetime) -> dict[str, Any] | None:
    """The source's settings; null where they cannot be used."""
    try:
        settings = account.settings(accept_partial=True)
        wistia(**settings | _FITTING)
    except Exception as error:
        found.fail("settings", error)
        own = ("start_date", "requests_per_minute", "reachability", "token", "api_version", "clock")
        found.skip((*own, *OF_THE_ACCOUNT), "the settings cannot be used")
        return None
    if unknown := _unknown(account.section, settings):
        found.warn("settings", f"There is no {', '.join(unknown)}; correct the name, or take it away.")
    else:
        found.add("settings", "ok", "can be used")
    with found.failing("start_date"):
        wistia(**settings | _FITTING | {"start_date": settings["start_date"], "now": now})
        _check_start(found, settings["start_date"], now)
    with found.failing("requests_per_minute"):
        wistia(**settings | _FITTING | {"requests_per_minute": settings["requests_per_minute"]})
        _check_quota(found, settings["requests_per_minute"])
    return settings


def _unknown(section: tuple[str, str], known: Iterable[str]) -> list[str]:
    """Settings that the source does not have, in the environment or a file: dlt ignores these."""
    prefix = "__".join([*section, ""]).upper()
    names = {name.removeprefix(prefix).lower() for name in os.environ if name.startswith(prefix)}
    for provider in dlt.config.config_providers:
        found, _ = provider.get_value(section[-1], dict, "", *section[:-1])
        names |= found.keys() if isinstance(found, dict) else set()
    return [".".join((*section, name)) for name in sorted(names - set(known))]


def _check_start(found: Checks, start: str | None, now: datetime) -> None:
    kept_since = (now - RETENTION).date()
    if start is None:
        found.add("start_date", "ok", f"{kept_since}, two years ago")
    elif date.fromisoformat(str(start)) < kept_since:
        found.warn(
            "start_date",
            f"{start} is more than two years ago: Wistia has numbers by day from then, but no viewing sessions from "
            f"before {kept_since}; set it to {kept_since} if these are what you want.",
        )
    else:
        found.add("start_date", "ok", str(start))


def _check_quota(found: Checks, per_minute: int) -> None:
    if per_minute > REQUESTS_ALLOWED:
        found.warn(
            "requests_per_minute",
            f"{per_minute:,} are more than the {REQUESTS_ALLOWED} that Wistia allows, who will answer 429; set it to "
            f"{REQUESTS_ALLOWED} or less.",
        )
    else:
        found.add("requests_per_minute", "ok", f"{per_minute} of the {REQUESTS_ALLOWED} that Wistia allows")


def _check_api(found: Checks, account: WistiaAccount, settings: dict[str, Any], now: datetime) -> None:
    try:
        # says what it lacks, which can only be the token
        account.settings()
        client = Client(
            settings["access_token"],
            settings["base_url"],
            settings["api_version"],
            RequestBudget(REQUESTS_ALLOWED),
            replace(HASTY, backoff=settings["backoff_seconds"]),
        )
    except Exception as error:
        found.fail("token", error)
        found.skip(("reachability", "api_version", "clock", *OF_THE_ACCOUNT), "there is no token to ask with")
        return
    probes = Probes(client, now)
    with closing(client):
        check_account(found, probes, settings["api_version"])
    found.requests = probes.metrics.requests


def _check_destination(found: Checks, destination: TDestinationReferenceArg) -> None:
    # a folder of its own: what waits in the real one to be loaded is none of ours, and nothing is left behind
    with TemporaryDirectory(prefix="wistia-check-") as folder:
        try:
            chosen = destination_of(make_pipeline(destination, pipelines_dir=folder))
        except Exception as error:
            found.fail("destination", error)
            found.skip(["models"], "the destination cannot be used")
            return
        try:
            found.add("destination", "ok", chosen.try_to_land())
        except (NotTried, WarehouseBusy) as error:
            found.warn("destination", explain(error))
        except Exception as error:
            found.fail("destination", error)
        with found.failing("models"):
            _check_models(found, chosen)


def _check_models(found: Checks, destination: Destination) -> None:
    if not destination.adapter:
        found.skip(
            ["models"],
            f"they are written for {ALL_MODELLED}, so that {destination.kind} is loaded without them; {BY_SPARK}",
        )
        return
    # raises where a setting cannot work
    model_vars()
    if missing := [name for name in ("dbt.cli.main", f"dbt.adapters.{destination.adapter}") if not _is_installed(name)]:
        package = f"'.[{destination.extra}]'" if destination.extra else "."
        found.add(
            "models",
            "failed",
            f"The package with {missing[0]} is missing; run pip install {package} in this project's folder, or sync "
            "with --no-models.",
        )
    else:
        found.add("models", "ok", "can be built")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
