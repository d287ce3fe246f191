"""What an answer that is no answer means: worth another try, a pause, or an error with advice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import orjson
import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError, ProxyError, SSLError

from .errors import CredentialsRejected, NotFound, PermissionMissing, PlanLacksFeature, RequestFailed


@dataclass(frozen=True)
class Patience:
    """How long a request is tried and how long it waits; times in seconds."""

    attempts: int = 6
    first_attempts: int = 3
    """Before anything was ever answered: an address that cannot be reached is more likely wrong than down."""
    connect_timeout: float = 10.0
    read_timeout: float = 90.0
    """A first page took 42 s in recordings, others 16 s and 30 s."""
    backoff: float = 1.0
    """Half of the longest first pause after a failure; doubled with each further one."""
    max_backoff: float = 60.0
    quota_pause: float = 60.0
    """After a 429 that does not say how long: quotas are per minute (docs)."""
    max_quota_pause: float = 600.0
    """The longest that one Retry-After is believed."""
    max_quota_wait: float = 1800.0
    """How long requests let themselves be told to come back later, with no other answer in between."""


HASTY = Patience(attempts=2, first_attempts=2, read_timeout=30.0, max_quota_wait=2.0)
"""While somebody waits who wants to know what is wrong."""


class Transient(Exception):
    """Worth another try."""

    def __init__(self, reason: str, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.unreachable = unreachable


def transient(error: requests.RequestException) -> Transient:
    """What happened on the way, without the address, which may hold personal data."""
    if isinstance(error, requests.Timeout) and not isinstance(error, requests.ConnectionError):
        return Transient("no answer in time")
    cause = error.args[0] if error.args else error
    cause = getattr(cause, "reason", cause)
    unreachable = isinstance(cause, NewConnectionError | ConnectTimeoutError | SSLError | ProxyError)
    if isinstance(cause, ProtocolError | ProxyError):
        cause = cause.args[-1]
    return Transient(str(cause).rpartition(": ")[2], unreachable)


def message_of(response: requests.Response) -> str:
    """What the body says of an error, as `: text`, or nothing; bodies may be empty, text or HTML."""
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return ""
    text = body.get("error") if isinstance(body, dict) else None
    token = str(response.request.headers.get("Authorization", "")).removeprefix("Bearer ")
    said = str(text).replace(token, "***") if token else str(text)
    return f": {' '.join(said.split())[:300]}" if text else ""


def pause_seconds(retry_after: str | None, patience: Patience, now: datetime) -> float:
    """Seconds to wait, from seconds or an HTTP date; `quota_pause` where there is neither."""
    if retry_after is None:
        return patience.quota_pause
    try:
        seconds = float(retry_after)
    except ValueError:
        moment = http_date(retry_after)
        if moment is None:
            return patience.quota_pause
        seconds = (moment - now).total_seconds()
    # a time that is over, a negative number, or none at all ("nan")
    if not seconds > 0:
        return 0.0
    return min(seconds, patience.max_quota_pause)


def http_date(text: str | None) -> datetime | None:
    """A moment as HTTP words it, or null where the text is none."""
    try:
        found = parsedate_to_datetime(text) if text else None
    except (TypeError, ValueError, OverflowError):
        return None
    # without a zone, or with "-0000", it is UTC all the same
    return found and (found if found.tzinfo else found.replace(tzinfo=UTC))


def rejection(response: requests.Response, permission: str) -> Exception:
    """The error for a status of 3xx or 4xx, with what to do about it."""
    status, message = response.status_code, message_of(response)
    if status < 400:
        return RequestFailed(
            f"Wistia does not answer {_place(response)} but sends us elsewhere (HTTP {status}); check base_url."
        )
    if status == 401:
        try:
            code = orjson.loads(response.content).get("code")
        except (orjson.JSONDecodeError, AttributeError):
            code = None
        # a missing permission is a 401, not a 403 (observed)
        if code == "unauthorized_scope":
            return PermissionMissing(
                f"The access token lacks {f'the permission {permission!r}' if permission else 'a permission'}; tick it "
                "in Wistia's account settings, API access, or make a new token with it."
            )
        if code == "account_inactive":
            return CredentialsRejected("The Wistia account of this access token is inactive; use another token.")
        return CredentialsRejected(
            f"Wistia does not accept the access token (HTTP 401{message}); set SOURCES__WISTIA__ACCESS_TOKEN to a "
            "token made in Wistia's account settings, API access."
        )
    if status == 403:
        return PlanLacksFeature(
            f"Wistia refuses {_place(response)} (HTTP 403{message}); ask Wistia for a plan with the Stats API, or "
            "leave these resources out with --select."
        )
    if status == 404:
        return NotFound(f"{_place(response)} is not there (HTTP 404).")
    return RequestFailed(f"Wistia refuses {_place(response)} (HTTP {status}{message}).")


def _place(response: requests.Response) -> str:
    return str(response.url).partition("?")[0].partition("://")[2].partition("/")[2]
