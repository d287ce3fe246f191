"""Forgotten people among the rows of the API: known by digests, and left out or made nobody's."""

from __future__ import annotations

import pytest

from tests.support.people import ADDRESS, ANN, KEY, PAGES, SECRET
from tests.support.served import event
from wistia_source.endpoints import EVENTS
from wistia_source.errors import SettingInvalid
from wistia_source.forgotten import Forgotten, Mode, digest
from wistia_source.pii import Pii

SALT = "a salt"


def forgotten(*modes: Mode) -> Forgotten:
    """Ann's address is forgotten, once by each mode."""
    return Forgotten.of(("email", digest(SALT, "email", ADDRESS), mode, SALT) for mode in modes)


@pytest.mark.parametrize("modes", [("remove", "hash"), ("hash", "remove")])
def test_who_is_to_be_removed_is_in_whatever_order_it_was_asked_for(modes: tuple[Mode, Mode]) -> None:
    assert forgotten(*modes).leave_out(EVENTS, [dict(ANN[0])], Pii(secret=SECRET)) == []


@pytest.mark.parametrize(("before", "after"), PAGES.values(), ids=PAGES)
def test_the_address_is_taken_out_of_the_pages_of_others(before: str, after: str) -> None:
    (row,) = forgotten("remove").leave_out(EVENTS, [event("bob", visitor_key="bob", embed_url=before)], Pii())
    assert (row["visitor_key"], row["embed_url"]) == ("bob", after)


def test_nobody_is_hashed_without_the_secret() -> None:
    with pytest.raises(SettingInvalid, match="SOURCES__WISTIA__PII_SECRET"):
        forgotten("hash").leave_out(EVENTS, [event("bob", visitor_key="bob")], Pii())
    (row,) = forgotten("hash").leave_out(EVENTS, [dict(ANN[0])], Pii(secret=SECRET))
    assert row["visitor_key"] not in ("", KEY)
