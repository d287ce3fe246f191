"""Reads lists: rows without pages, and pages in sequence until the list ends."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import orjson

from .client import Client, Params
from .endpoints import Row
from .errors import RequestFailed
from .metrics import Metrics

PAGE_SIZE = 100
"""The API's cap: asking for more silently returns 100 (observed)."""


class Lists:
    """The lists of one account."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._longest_page: dict[str, int] = {}
        """By path: the most rows that a page had so far."""

    def rows(self, path: str, params: Params, metrics: Metrics, permission: str = "") -> list[Row]:
        """The rows of an answer without pages: of a list, or the one object. Raises as `Client.get` does.

        An answer that holds something, but no row at all, is none: taken for an empty list it would delete rows.
        """
        answer = self._client.get(path, params, metrics, permission)
        items = answer if isinstance(answer, list) else [answer]
        if items and not any(items):
            raise no_rows(path)
        return _rows(path, items, metrics)

    def pages(
        self, path: str, params: Params, metrics: Metrics, permission: str = "", first: int = 1
    ) -> Iterator[list[Row]]:
        """The pages of one list, in sequence: rows that shift while we read move to later pages, never past us.

        The list ends with an empty page or one shorter than the longest of this list: some accounts get 10
        rows whatever per_page says (observed), so the number asked for proves nothing.
        """
        previous = b""
        for number in count(first):
            asked = {**params, "page": number, "per_page": PAGE_SIZE}
            page = self._client.get(path, asked, metrics, permission)
            if not isinstance(page, list):
                raise RequestFailed(f"GET {path} answered with something else than a list; nothing of it is loaded.")
            if not page:
                return
            # as text, since whoever gets the rows may change them
            length, content = len(page), orjson.dumps(page)
            # a page may equal the one before, when just as many rows came in between; these are on the first then
            if content == previous and content == orjson.dumps(
                self._client.get(path, {**asked, "page": 1}, metrics, permission)
            ):
                raise RequestFailed(f"GET {path} answers every page with the same rows; nothing of it is loaded.")
            yield _rows(path, page, metrics)
            if length < self._longest_page.get(path, 0):
                return
            self._longest_page[path], previous = length, content


def no_rows(path: str) -> RequestFailed:
    """The error for an answer that cannot be what it should be."""
    return RequestFailed(f"GET {path} answered with something else than rows; nothing of it is loaded.")


def _rows(path: str, answer: list[Any], metrics: Metrics) -> list[Row]:
    """The rows of a list, without the empty objects that lists sometimes hold (third party); those are counted."""
    rows = [row for row in answer if row]
    if not all(isinstance(row, dict) and not row.keys() <= {"error", "errors", "code"} for row in rows):
        raise no_rows(path)
    metrics.count(left_out=len(answer) - len(rows))
    return rows
