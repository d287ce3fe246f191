"""States which requests are tried again, when, and how long; any other failure is an error that says what to do."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any

import orjson
import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError, ProxyError, SSLError

from .errors import (
    CredentialsRejected,
    NotFound,
    PermissionMissing,
    PlanLacksFeature,
    RequestFailed,
    SettingInvalid,
    Unreachable,
)
from .metrics import Metrics

RETRIED = range(500, 600)
"""Statuses that are worth another try: the server failed, not the request."""


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

    def __post_init__(self) -> None:
        if not self.backoff > 0:
            raise SettingInvalid(f"backoff_seconds is {self.backoff}, but must be more than 0.")

    def pause_after(self, failures: int) -> float:
        """The longest pause after so many failures in a row."""
        return float(min(self.backoff * 2**failures, self.max_backoff))


HASTY = Patience(attempts=2, first_attempts=2, read_timeout=30.0, max_quota_wait=2.0)
"""While somebody waits who wants to know what is wrong."""


class Transient(Exception):
    """Worth another try."""

    def __init__(self, reason: str, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.unreachable = unreachable


class QuotaUsedUp(Exception):
    """Worth another try, when all have waited."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass
class Retries:
    """Tries requests of one client until they are answered, or have failed for good."""

    patience: Patience
    host: str
    hold: Callable[[float], None]
    """Makes all requests of the client wait for so many seconds."""
    stopped: threading.Event
    """Ends the pauses."""
    reached: bool = False
    """Whether there was any answer."""
    refused_since: float | None = None
    """Since when every answer was that the quota is used up."""

    def answer(self, send: Callable[[], Any], path: str, metrics: Metrics) -> Any:
        """What `send` returns in the end. Raises `RequestFailed` or `Unreachable`, or what `send` does."""
        patience = self.patience
        failures, refusals, quota_seconds = 0, 0, 0.0
        while True:
            try:
                return send()
            except QuotaUsedUp as error:
                # "come back in 0 seconds" again and again must not become a loop of requests without an end
                seconds = max(error.seconds, patience.pause_after(refusals))
                refusals, quota_seconds = refusals + 1, quota_seconds + seconds
                # of all requests together: otherwise each media would wait that long again
                refused_seconds = monotonic() - (self.refused_since or monotonic())
                if max(quota_seconds, refused_seconds + seconds) > patience.max_quota_wait:
                    minutes = patience.max_quota_wait / 60
                    how_long = f" for {minutes:.0f} minutes" if minutes >= 1 else ""
                    raise RequestFailed(
                        f"GET {path} was told{how_long} that the account's request quota is used up; lower "
                        "requests_per_minute or stop what else uses the account."
                    ) from None
                self.hold(seconds)
            except Transient as error:
                failures += 1
                if failures == (patience.attempts if self.reached else patience.first_attempts) and error.unreachable:
                    raise Unreachable(
                        f"{self.host} cannot be reached ({error}); check base_url and the network, then run again."
                    ) from None
                if failures == patience.attempts:
                    raise RequestFailed(f"GET {path} kept failing: {error}.") from None
                seconds = patience.pause_after(failures) * random.uniform(0.5, 1.0)
                self.stopped.wait(seconds)
                metrics.count(wait_seconds=seconds)
            metrics.count(retries=1)

    def check(self, response: requests.Response, permission: str) -> None:
        """Raises `QuotaUsedUp` or `Transient` where the request may be sent again, an error where it has failed."""
        self.reached = True
        status, retry_after = response.status_code, response.headers.get("Retry-After")
        if status == 429 or (status == 503 and retry_after is not None):
            self.refused_since = self.refused_since or monotonic()
            raise QuotaUsedUp(pause_seconds(retry_after, self.patience, datetime.now(UTC)))
        self.refused_since = None
        if status in RETRIED:
            raise Transient(f"HTTP {status}{_message_of(response)}")
        if status >= 300:
            raise _rejection(response, permission)


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


def _message_of(response: requests.Response) -> str:
    """What the body says of an error, as `: text`, or nothing."""
    text = _body(response).get("error")
    token = str(response.request.headers.get("Authorization", "")).removeprefix("Bearer ")
    said = str(text).replace(token, "***") if token else str(text)
    return f": {' '.join(said.split())[:300]}" if text else ""


def _rejection(response: requests.Response, permission: str) -> Exception:
    """The error for a status of 3xx or 4xx, with what to do about it."""
    status, message = response.status_code, _message_of(response)
    if status < 400:
        return RequestFailed(
            f"Wistia does not answer {_place(response)} but sends us elsewhere (HTTP {status}); check base_url."
        )
    if status == 401:
        code = _body(response).get("code")
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


def _body(response: requests.Response) -> dict[str, Any]:
    """The object in a body; bodies may be empty, text or HTML, too."""
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _place(response: requests.Response) -> str:
    return str(response.url).partition("?")[0].partition("://")[2].partition("/")[2]
