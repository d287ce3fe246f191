"""States which requests are tried again, when, and how long; everything else that fails is `rejections.rejection`."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError, ProxyError, SSLError

from .errors import RequestFailed, SettingInvalid, Unreachable
from .metrics import Metrics
from .rejections import message_of

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

    def check(self, response: requests.Response) -> None:
        """Raises `QuotaUsedUp` or `Transient` where the status says that the request may be sent again."""
        self.reached = True
        status, retry_after = response.status_code, response.headers.get("Retry-After")
        if status == 429 or (status == 503 and retry_after is not None):
            self.refused_since = self.refused_since or monotonic()
            raise QuotaUsedUp(pause_seconds(retry_after, self.patience, datetime.now(UTC)))
        self.refused_since = None
        if status in RETRIED:
            raise Transient(f"HTTP {status}{message_of(response)}")


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
