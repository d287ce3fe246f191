"""HTTP: authentication, versions, paging, retries, concurrency. Only this module and `refusals` know it."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count, islice
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import quote

import orjson
import requests
from requests.adapters import HTTPAdapter

from .budget import RequestBudget
from .endpoints import Endpoint
from .errors import RequestFailed, SettingInvalid, Unreachable
from .refusals import Patience, Transient, http_date, message_of, pause_seconds, rejection, transient

PAGE_SIZE = 100
"""The API's cap: asking for more silently returns 100 (observed)."""
WORKERS = 64
"""Threads: enough for 540 requests a minute at 7 s each; idle ones cost nothing."""
ACTIVE_WALKS = 16
"""Walks that one resource keeps going at a time, so that none crowds out the others."""

T = TypeVar("T")
Row = dict[str, Any]
Tally = dict[str, Any]
"""What one resource counts: `requests`, `retries`, `wait_seconds`, `left_out` rows and so on."""


class _QuotaUsedUp(Exception):
    """Worth another try, when all have waited."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Client:
    """A Wistia account over HTTP. Makes no request until asked for one.

    `api_version` is `v1`, or a release of the dated modern API such as `2026-03`.
    """

    def __init__(
        self,
        access_token: str,
        base_url: str,
        api_version: str,
        budget: RequestBudget,
        patience: Patience = Patience(),  # noqa: B008
        active_walks: int = ACTIVE_WALKS,
    ) -> None:
        self.modern = api_version != "v1"
        if self.modern and not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", api_version):
            raise SettingInvalid(
                f"api_version is {api_version!r}, but must be 'v1' or a release of the modern API such as '2026-03'."
            )
        self.requests_per_minute = budget.per_minute
        self.server_time: datetime | None = None
        """What the server's clock said with the last answer; null where it says nothing."""
        self.patience = patience
        self.active_walks = active_walks
        self._host = _origin(base_url)
        self._root = f"{self._host}/{'modern' if self.modern else 'v1'}"
        if not patience.backoff > 0:
            raise SettingInvalid(f"backoff_seconds is {patience.backoff}, but must be more than 0.")
        self._budget = budget
        self._closed = threading.Event()
        self._reached = False
        self._refused_since: float | None = None
        self._longest_page: dict[str, int] = {}
        self._counting = threading.Lock()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="wistia")
        self._session = requests.Session()
        # not as a header of the session: an entry in .netrc for the host would replace that
        self._session.auth = _bearer(access_token)
        self._session.headers["Accept"] = "application/json"
        if self.modern:
            self._session.headers["X-Wistia-API-Version"] = api_version
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=WORKERS, max_retries=0)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def close(self) -> None:
        """Gives up whatever still waits for the budget; requests under way end by themselves."""
        self._closed.set()
        self._budget.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    def path(self, endpoint: Endpoint, parent_id: str | None = None) -> str:
        """The endpoint's path in this version of the API, for one parent if it has one."""
        template = (self.modern and endpoint.modern_path) or endpoint.path
        return template.format(id=quote(parent_id or "", safe=""))

    def row_path(self, endpoint: Endpoint, key: str) -> str:
        """The path of one row of a list, by its key."""
        return f"{self.path(endpoint)}/{quote(key, safe='')}"

    def get(
        self,
        path: str,
        params: Mapping[str, str | int],
        tally: Tally,
        permission: str = "",
    ) -> Any:
        """The JSON answer of one GET, after retries.

        Raises `CredentialsRejected`, `PermissionMissing` (naming `permission`), `PlanLacksFeature`,
        `NotFound`, `RequestFailed` or `Unreachable`.
        """
        url = f"{self._root}/{path}" + ("" if self.modern else ".json")
        patience = self.patience
        failures, refusals, quota_seconds = 0, 0, 0.0
        while True:
            try:
                return self._once(url, params, tally, permission)
            except _QuotaUsedUp as error:
                # "come back in 0 seconds" again and again must not become a loop of requests without an end
                seconds = max(error.seconds, self._backoff(refusals))
                refusals, quota_seconds = refusals + 1, quota_seconds + seconds
                # of all requests together: otherwise each media would wait that long again
                if max(quota_seconds, self._refused_seconds() + seconds) > patience.max_quota_wait:
                    minutes = patience.max_quota_wait / 60
                    how_long = f" for {minutes:.0f} minutes" if minutes >= 1 else ""
                    raise RequestFailed(
                        f"GET {path} was told{how_long} that the account's request quota is used up; lower "
                        "requests_per_minute or stop what else uses the account."
                    ) from None
                self._budget.hold(seconds)
            except Transient as error:
                failures += 1
                if failures == (patience.attempts if self._reached else patience.first_attempts) and error.unreachable:
                    raise Unreachable(
                        f"{self._host} cannot be reached ({error}); check base_url and the network, then run again."
                    ) from None
                if failures == patience.attempts:
                    raise RequestFailed(f"GET {path} kept failing: {error}.") from None
                seconds = self._backoff(failures) * random.uniform(0.5, 1.0)
                self._closed.wait(seconds)
                self._count(tally, "wait_seconds", seconds)
            self._count(tally, "retries")

    def rows(
        self,
        path: str,
        params: Mapping[str, str | int],
        tally: Tally,
        permission: str = "",
    ) -> list[Row]:
        """The rows of an answer without pages: of a list, or the one object. Raises as `get` does.

        An answer that holds something, but no row at all, is none: taken for an empty list it would delete rows.
        """
        answer = self.get(path, params, tally, permission)
        items = answer if isinstance(answer, list) else [answer]
        if items and not any(items):
            raise RequestFailed(f"GET {path} answered with something else than rows; nothing of it is loaded.")
        return _rows(path, items, tally)

    def pages(
        self,
        path: str,
        params: Mapping[str, str | int],
        tally: Tally,
        permission: str = "",
        first: int = 1,
    ) -> Iterator[list[Row]]:
        """The pages of one list, in sequence: rows that shift while we read move to later pages, never past us.

        The list ends with an empty page or one shorter than the longest of this list: some accounts get 10
        rows whatever per_page says (observed), so the number asked for proves nothing.
        """
        previous = b""
        for number in count(first):
            asked = {**params, "page": number, "per_page": PAGE_SIZE}
            page = self.get(path, asked, tally, permission)
            if not isinstance(page, list):
                raise RequestFailed(f"GET {path} answered with something else than a list; nothing of it is loaded.")
            if not page:
                return
            # as text, for who gets the rows may change them
            length, content = len(page), orjson.dumps(page)
            # a page may equal the one before, when just as many rows came in between; these are on the first then
            if content == previous and content == orjson.dumps(self.get(path, {**asked, "page": 1}, tally, permission)):
                raise RequestFailed(f"GET {path} answers every page with the same rows; nothing of it is loaded.")
            yield _rows(path, page, tally)
            if length < self._longest_page.get(path, 0):
                return
            self._longest_page[path], previous = length, content

    def stream(self, walks: Iterable[Iterator[T]]) -> Generator[list[T] | None, None, None]:
        """Runs walks (iterators that make requests) side by side; yields what has arrived, in batches.

        Each walk goes one step at a time, so in sequence within itself. Yields None when nothing has arrived
        yet: dlt then lets other resources go on. The first exception of a walk ends the stream.
        """
        waiting = iter(walks)
        active: dict[Future[T | _Exhausted], Iterator[T]] = {}

        def step(walk: Iterator[T]) -> None:
            active[self._pool.submit(next, walk, _EXHAUSTED)] = walk

        try:
            while True:
                for walk in islice(waiting, self.active_walks - len(active)):
                    step(walk)
                if not active:
                    return
                arrived: list[T] = []
                for future in [future for future in active if future.done()]:
                    walk = active.pop(future)
                    item = future.result()
                    if not isinstance(item, _Exhausted):
                        arrived.append(item)
                        step(walk)
                yield arrived or None
        finally:
            for future in active:
                future.cancel()

    def _once(self, url: str, params: Mapping[str, str | int], tally: Tally, permission: str) -> Any:
        failure: Transient | None = None
        timeout = (self.patience.connect_timeout, self.patience.read_timeout)
        try:
            with self._budget.permit() as waited:
                self._count(tally, "wait_seconds", waited)
                # a redirect would cost a second request each time, and lose the token on its way to another host
                response = self._session.get(url, params=dict(params), timeout=timeout, allow_redirects=False)
        except requests.RequestException as error:
            failure = transient(error)
        self._count(tally, "requests")
        if failure:
            # raised out here it has no context: dlt keeps contexts in its trace, and this one names the whole address
            raise failure
        self._reached = True
        self.server_time = http_date(response.headers.get("Date"))
        status = response.status_code
        if status == 429 or (status == 503 and "Retry-After" in response.headers):
            self._refused_since = self._refused_since or monotonic()
            retry_after = response.headers.get("Retry-After")
            raise _QuotaUsedUp(pause_seconds(retry_after, self.patience, datetime.now(UTC)))
        self._refused_since = None
        if status >= 500:
            raise Transient(f"HTTP {status}{message_of(response)}")
        if status >= 300:
            raise rejection(response, permission)
        try:
            return orjson.loads(response.content)
        except orjson.JSONDecodeError:
            raise Transient("the answer is not JSON") from None

    def _refused_seconds(self) -> float:
        since = self._refused_since
        return monotonic() - since if since else 0.0

    def _backoff(self, failures: int) -> float:
        return float(min(self.patience.backoff * 2**failures, self.patience.max_backoff))

    def _count(self, tally: Tally, what: str, amount: float = 1) -> None:
        with self._counting:
            tally[what] = tally.get(what, 0) + amount


def _rows(path: str, answer: list[Any], tally: Tally) -> list[Row]:
    """The rows of a list, without the empty objects that lists sometimes hold (third party); those are counted."""
    rows = [row for row in answer if row]
    if not all(isinstance(row, dict) and not row.keys() <= {"error", "errors", "code"} for row in rows):
        raise RequestFailed(f"GET {path} answered with something else than rows; nothing of it is loaded.")
    if len(rows) < len(answer):
        tally["left_out"] = tally.get("left_out", 0) + len(answer) - len(rows)
    return rows


class _Exhausted:
    """A walk has no more."""


_EXHAUSTED = _Exhausted()


def _origin(base_url: str) -> str:
    """The scheme and host of the API. Never shown when wrong: it may hold a password."""
    found = re.fullmatch(r"(https?://[^\s/?#@\\]+)/*", base_url.strip(), re.IGNORECASE)
    try:
        requests.Request("GET", found[1] if found else "").prepare()
    except ValueError:
        found = None
    if not found:
        raise SettingInvalid(
            "base_url must be a scheme and a host and nothing else, such as 'https://api.wistia.com'; correct it."
        )
    return found[1]


def _bearer(access_token: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """Puts the token on each request."""
    token = access_token.strip()
    # an error of the HTTP layer about the header would show the token
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise SettingInvalid(
            "The access token is empty or has spaces or other characters that no token has; set "
            "SOURCES__WISTIA__ACCESS_TOKEN to one made in Wistia's account settings, API access."
        )

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign
