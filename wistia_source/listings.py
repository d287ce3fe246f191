"""Reads what all resources share of the account, once a run: its id, and its complete lists."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import orjson

from .client import Client
from .endpoints import MEDIAS, Endpoint, Row
from .errors import NotFound, RequestFailed, ResourceLost, SettingInvalid
from .load_package import LoadPackage, Pause
from .metrics import Metrics
from .paging import Lists
from .rows import value_of
from .walks import Walks


def request_account_id(client: Client, metrics: Metrics) -> str:
    """The account's own id. Raises `SettingInvalid` where there is no Wistia API."""
    try:
        account = client.get("account", {}, metrics)
    except NotFound:
        raise SettingInvalid("There is no Wistia API at base_url (HTTP 404); correct it.") from None
    if not isinstance(account, dict) or account.get("id") is None:
        raise RequestFailed("GET account answered without an account id; check base_url.")
    return str(account["id"])


class Listings:
    """The account and its lists. Whoever needs one first pays the requests; a failure fails all who need the same."""

    def __init__(self, client: Client, lists: Lists, walks: Walks, package: LoadPackage) -> None:
        self._client, self._lists, self._walks, self._package = client, lists, walks, package
        self.known_account_id: str | None = None
        """The account's own id, null before it has answered."""
        self._ids: dict[str, dict[str, str | None] | None] = {}
        """By list: the ids in it, each with the project that it is in; null while it is being read."""
        self._pages: dict[str, list[bytes]] = {}
        """By list: its pages until they are loaded, as text, which takes a third of the memory."""
        self._failed: dict[str, ResourceLost] = {}

    def forget(self) -> None:
        """Drops the lists: another run of the same source reads them again."""
        self._ids.clear()

    def account_id(self, metrics: Metrics) -> str:
        """The account's own id."""
        if error := self._failed.get("account"):
            raise error
        if self.known_account_id is None:
            with self._remembering("account"):
                self.known_account_id = request_account_id(self._client, metrics)
        metrics.account_id = self.known_account_id
        return self.known_account_id

    def read(self, endpoint: Endpoint, metrics: Metrics) -> Pause:
        """Walks a list once a run; whoever else wants it waits for the first."""
        if endpoint.name in self._ids:
            while self._ids[endpoint.name] is None:
                if error := self._failed.get(endpoint.name):
                    raise error
                yield None
            return
        self._ids[endpoint.name] = None
        ids: dict[str, str | None] = {}
        pages: list[bytes] = []
        path = self._client.path(endpoint)
        id_column, project = endpoint.column(endpoint.primary_key[0]), MEDIAS.column("project_id")
        with self._remembering(endpoint.name):
            for arrived in self._walks.stream(
                self._lists.pages(path, dict(scope), metrics, endpoint.permission) for scope in endpoint.scopes
            ):
                for page in arrived or ():
                    # a media archived while we read is in both lists
                    ids |= {id_: value_of(project, row) for row in page if (id_ := value_of(id_column, row))}
                    if endpoint.name in self._package.members:
                        pages.append(orjson.dumps(page))
                yield None
        self._ids[endpoint.name], self._pages[endpoint.name] = ids, pages

    def take_pages(self, endpoint: Endpoint) -> Iterator[list[Row]]:
        """The pages of a list that was read, for the resource that loads them, once: they are not kept."""
        return map(orjson.loads, self._pages.pop(endpoint.name, ()))

    def ids(self, endpoint: Endpoint) -> Mapping[str, str | None]:
        """The ids of a list that was read, each with its project."""
        return self._ids[endpoint.name] or {}

    @contextmanager
    def _remembering(self, what: str) -> Iterator[None]:
        """Keeps a failure for those who need the same, so that each request fails once."""
        try:
            yield
        except ResourceLost as error:
            self._failed[what] = error
            raise
