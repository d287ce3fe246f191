"""Sends requests to one Wistia account: its address, its token, the version of the API, the request budget."""

import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import orjson
import requests
from requests.adapters import HTTPAdapter

from .budget import RequestBudget
from .endpoints import Endpoint
from .errors import SettingInvalid
from .metrics import Metrics
from .retry import Patience, Retries, Transient, http_date, transient
from .walks import WORKERS

Params = Mapping[str, str | int]


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
    ) -> None:
        self.modern = api_version != "v1"
        if self.modern and not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", api_version):
            raise SettingInvalid(
                f"api_version is {api_version!r}, but must be 'v1' or a release of the modern API such as '2026-03'."
            )
        self.requests_per_minute = budget.per_minute
        self.server_time: datetime | None = None
        """What the server's clock said with the last answer; null where it says nothing."""
        host = _origin(base_url)
        self._root = f"{host}/{'modern' if self.modern else 'v1'}"
        self._budget = budget
        self._closed = threading.Event()
        self._timeout = (patience.connect_timeout, patience.read_timeout)
        self._retries = Retries(patience, host, budget.hold, self._closed)
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
        self._session.close()

    def path(self, endpoint: Endpoint, parent_id: str | None = None, key: str | None = None) -> str:
        """The endpoint's path in this version of the API, for one parent if it has one, or for one row by its key."""
        template = (self.modern and endpoint.modern_path) or endpoint.path
        path = template.format(id=quote(parent_id or "", safe=""))
        return path if key is None else f"{path}/{quote(key, safe='')}"

    def get(self, path: str, params: Params, metrics: Metrics, permission: str = "") -> Any:
        """The JSON answer of one GET, after retries.

        Raises `CredentialsRejected`, `PermissionMissing` (naming `permission`), `PlanLacksFeature`,
        `NotFound`, `RequestFailed` or `Unreachable`.
        """
        url = f"{self._root}/{path}" + ("" if self.modern else ".json")
        return self._retries.answer(partial(self._send, url, params, metrics, permission), path, metrics)

    def _send(self, url: str, params: Params, metrics: Metrics, permission: str) -> Any:
        failure: Transient | None = None
        try:
            with self._budget.permit() as waited:
                metrics.count(wait_seconds=waited)
                # a redirect would cost a second request each time, and lose the token on its way to another host
                response = self._session.get(url, params=dict(params), timeout=self._timeout, allow_redirects=False)
        except requests.RequestException as error:
            failure = transient(error)
        metrics.count(requests=1)
        if failure:
            # raised out here it has no context: dlt keeps contexts in its trace, and this one names the whole address
            raise failure
        self.server_time = http_date(response.headers.get("Date"))
        self._retries.check(response, permission)
        try:
            return orjson.loads(response.content)
        except orjson.JSONDecodeError:
            raise Transient("the answer is not JSON") from None


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
