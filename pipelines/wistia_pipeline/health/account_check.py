"""Checks the token with Wistia: the account, its permissions and plan, and each endpoint by one request."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic

from wistia_source.endpoints import ACCOUNT_STATS, BY_NAME, ENDPOINTS, MEDIAS, READ_STATS, Endpoint, Row
from wistia_source.errors import CredentialsRejected, NotFound, PermissionMissing, PlanLacksFeature
from wistia_source.listings import request_account_id
from wistia_source.probes import Probes
from wistia_source.rows import value_of
from wistia_source.windows import CLOCK_SKEW

from ..warehouses.failures import explain
from .check_results import OF_THE_ACCOUNT, PERMISSIONS, Checks

SUPPORTED = timedelta(days=365)
"""For how long Wistia answers a release of the modern API in its own form, about (docs)."""


def check_account(found: Checks, probes: Probes, version: str) -> None:
    """Requests the account, then one row of each endpoint that the token may read."""
    began, account_id, refusal = monotonic(), "", None
    try:
        account_id = request_account_id(probes.client, probes.metrics)
    except (CredentialsRejected, PermissionMissing, PlanLacksFeature) as error:
        refusal = error
    except Exception as error:
        found.fail("reachability", error)
        found.skip(("token", "api_version", "clock", *OF_THE_ACCOUNT), "Wistia does not answer")
        return
    found.add("reachability", "ok", f"Wistia answers in {monotonic() - began:.1f} s")
    _check_version(found, version, probes.now)
    _check_clock(found, probes)
    if refusal:
        found.fail("token", refusal)
        found.skip(OF_THE_ACCOUNT, "the token is not accepted")
        return
    found.add("token", "ok", f"accepted, account {account_id}")
    _check_endpoints(found, _Answers(probes, account_id))


def _check_version(found: Checks, version: str, now: datetime) -> None:
    if version == "v1":
        found.add("api_version", "ok", "v1, which stays as it is")
        return
    released = datetime.strptime(version, "%Y-%m").replace(tzinfo=UTC)
    if released > now:
        found.warn(
            "api_version",
            f"{version} is not out yet, so that Wistia answers in an older form; set api_version to v1 or to a release "
            "that is out.",
        )
    elif released < now - SUPPORTED:
        found.warn(
            "api_version",
            f"{version} is older than the year for which Wistia keeps a release, so answers may have another form; "
            "set api_version to v1 or to a newer release.",
        )
    else:
        found.add("api_version", "ok", f"{version} of the modern API")


def _check_clock(found: Checks, probes: Probes) -> None:
    theirs = probes.client.server_time
    if theirs is None:
        found.skip(["clock"], "the server does not say what time it is")
        return
    ahead = probes.now - theirs
    minutes = abs(ahead) / timedelta(minutes=1)
    if minutes > CLOCK_SKEW / timedelta(minutes=1):
        which = "ahead of" if ahead > timedelta(0) else "behind"
        found.warn(
            "clock",
            f"This computer's clock is {minutes:,.0f} minutes {which} Wistia's, on which it depends what is asked for; "
            "set it by a time server.",
        )
    else:
        found.add("clock", "ok", "agrees with Wistia's")


@dataclass
class _Answers:
    """What each endpoint answered: rows, an error, or null where it was not asked."""

    probes: Probes
    account_id: str
    rows: dict[str, list[Row]] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)

    def ask(self, endpoints: Iterable[Endpoint]) -> None:
        """Requests several side by side, without those that the token may not read."""
        allowed = [endpoint for endpoint in endpoints if endpoint.permission not in self.refused]
        with ThreadPoolExecutor(max(len(allowed), 1), thread_name_prefix="probe") as pool:
            list(pool.map(self._ask_one, allowed))

    def _ask_one(self, endpoint: Endpoint) -> None:
        parent_id = self.parent_of(endpoint)
        if endpoint.parent and parent_id is None:
            return
        try:
            self.rows[endpoint.name] = self.probes.ask(endpoint, self.account_id, parent_id)
        except Exception as error:
            self.errors[endpoint.name] = error

    def parent_of(self, endpoint: Endpoint) -> str | None:
        """The id of the media or project to ask for; null where there is none."""
        if endpoint.parent is None:
            return None
        parent = BY_NAME[endpoint.parent]
        rows = self.rows.get(parent.name)
        found = value_of(parent.column(parent.primary_key[0]), rows[0]) if rows else None
        return None if found is None else str(found)

    @property
    def refused(self) -> dict[str, PermissionMissing]:
        """By permission that the token was found to lack: what Wistia says of the first endpoint that needs it."""
        found: dict[str, PermissionMissing] = {}
        for endpoint in ENDPOINTS:
            error = self.errors.get(endpoint.name)
            if isinstance(error, PermissionMissing):
                found.setdefault(endpoint.permission, error)
        return found


def _check_endpoints(found: Checks, answers: _Answers) -> None:
    # one of each permission first: without it there is no need to ask the others
    first = (ACCOUNT_STATS, MEDIAS)
    answers.ask(first)
    answers.ask(endpoint for endpoint in ENDPOINTS if not endpoint.parent and endpoint not in first)
    answers.ask(endpoint for endpoint in ENDPOINTS if endpoint.parent)
    for permission, name in PERMISSIONS.items():
        _check_permission(found, answers, permission, name)
    _check_plan(found, answers)
    for endpoint in ENDPOINTS:
        _check_endpoint(found, answers, endpoint)


def _check_permission(found: Checks, answers: _Answers, permission: str, name: str) -> None:
    if error := answers.refused.get(permission):
        found.fail(name, error)
    elif any(BY_NAME[answered].permission == permission for answered in answers.rows):
        found.add(name, "ok", f"{permission!r} is ticked")
    else:
        found.skip([name], "nothing that needs it was answered")


def _check_plan(found: Checks, answers: _Answers) -> None:
    lacking = [name for name, error in answers.errors.items() if isinstance(error, PlanLacksFeature)]
    if lacking:
        error = answers.errors[lacking[0]]
        found.add(
            "plan", "failed", f"It does not include {', '.join(sorted(lacking))}; {explain(error).rpartition('; ')[2]}"
        )
    elif any(BY_NAME[name].permission == READ_STATS for name in answers.rows):
        found.add("plan", "ok", "it includes the Stats API")
    else:
        found.skip(["plan"], "nothing of the Stats API was answered")


def _check_endpoint(found: Checks, answers: _Answers, endpoint: Endpoint) -> None:
    name, error = endpoint.name, answers.errors.get(endpoint.name)
    if name in answers.rows:
        found.add(name, "ok", "answers" if answers.rows[name] else "answers, without a row")
    elif isinstance(error, PermissionMissing) or (error is None and endpoint.permission in answers.refused):
        found.skip([name], f"the permission {endpoint.permission!r} is missing")
    elif error is None:
        none_yet = f"the account has no {endpoint.parent} yet"
        found.skip([name], none_yet if endpoint.parent in answers.rows else f"{endpoint.parent} could not be listed")
    elif isinstance(error, NotFound) and endpoint.optional:
        found.add(name, "ok", "not offered by Wistia: stays empty")
    elif isinstance(error, NotFound) and endpoint.parent:
        singular = endpoint.parent.removesuffix("s")
        found.warn(
            name,
            f"Wistia has none for the {singular} {answers.parent_of(endpoint)} (HTTP 404); a sync reports those for "
            "which there is none, and loads the others.",
        )
    else:
        found.fail(name, error)
