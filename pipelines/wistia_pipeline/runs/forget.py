"""Forgets one person: remembers whom, takes out what the warehouse and this machine hold, and builds the marts anew."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex
from time import monotonic
from typing import Any, Literal
from uuid import uuid4

import dlt
from dlt.destinations.sql_client import SqlClientBase

from wistia_source.endpoints import FORGOTTEN, Column
from wistia_source.errors import SettingInvalid, WistiaError
from wistia_source.forgotten import Kind, Mode, digest, normal
from wistia_source.pii import Pii
from wistia_source.rows import LOAD_ID, all_columns
from wistia_source.warehouse import connected

from ..models.build import ModelsResult, build_models, has_built
from ..warehouses.base import NotCompacted
from ..warehouses.kinds import destination_of
from ..warehouses.locks import EVERYTHING
from ..warehouses.run_log import RunLog, create_table
from .accounts import WistiaAccount
from .erase import Erased, end_erasure, erase_forgotten, note_forgotten
from .progress import Progress
from .recovery import drop_local_state, drop_state_of_others, settle
from .sync import commit

COMMAND = "forget"
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")


class NothingToForgetIn(WistiaError):
    """There is no warehouse, or none that rows can be taken out of."""


@dataclass
class ForgetResult:
    """What forgetting somebody came to."""

    status: Literal["ok", "partial", "failed"] = "ok"
    mode: Mode = "remove"
    rows: dict[str, int] = field(default_factory=dict)
    """By table: rows removed, or hashed."""
    visitors: int = 0
    """Visitor keys that are forgotten now, and had rows."""
    pages: int = 0
    """Rows of others out of whose page the address was taken."""
    remembered: bool = False
    """Whether later loads leave the person out."""
    models: ModelsResult | None = None
    """What building the SQL models came to; null where there were none."""
    seconds: float = 0.0
    run_id: str = field(default_factory=lambda: uuid4().hex)
    error: str | None = None


def check_person(kind: Kind, text: str) -> None:
    """Raises `SettingInvalid` where that is no person."""
    if kind == "email" and not _ADDRESS.fullmatch(text.strip()):
        raise SettingInvalid("That is not an email address; write it as in ann@example.org.")
    if not text.strip():
        raise SettingInvalid("An empty visitor key is everybody whom Privacy Mode hides; name a key.")


def run_forget(
    pipeline: dlt.Pipeline,
    progress: Progress,
    result: ForgetResult,
    kind: Kind,
    text: str,
    explain: Callable[[BaseException], str] = str,
    account: WistiaAccount | None = None,
) -> None:
    """Forgets a person by `result.mode` and fills `result`, also where it raises.

    What was begun is ended by any later run. `explain` words an error for the run log. Of an account, without
    one the only one, is the secret, which all accounts of a warehouse share. Raises `SettingInvalid`,
    `NothingToForgetIn` and `WarehouseBusy`.
    """
    started = monotonic()
    check_person(kind, text)
    pii = Pii.of("keep", (account or WistiaAccount()).settings(accept_partial=True)["pii_secret"])
    if result.mode == "hash" and not pii.secret:
        raise SettingInvalid(
            "To hash somebody needs a secret; set SOURCES__WISTIA__PII_SECRET, or pii_secret under [sources.wistia] in "
            ".dlt/secrets.toml, to a random text and keep it."
        )
    _require_warehouse(pipeline)
    log = RunLog(pipeline, result.run_id, COMMAND)
    try:
        # what other accounts have read, and have yet to load, may be of the person
        with destination_of(pipeline).held(EVERYTHING) as hold, hold.alone():
            killed = log.begin([FORGOTTEN.name], is_alone=True)
            try:
                # first of all: whoever ends this, the person does not come back
                _remember(pipeline, kind, text, result.mode, pii)
                result.remembered = True
                settle(pipeline, result.run_id, killed, partial(commit, pipeline, hold))
                _take_over(result, erase_forgotten(pipeline, pii))
                # what waits here to be loaded, of any account, and dlt's notes of it
                drop_local_state(pipeline)
                drop_state_of_others(pipeline)
                if has_built(pipeline):
                    progress.building_models()
                    result.models = build_models(pipeline)
                try:
                    end_erasure(pipeline)
                except NotCompacted as error:
                    result.error = explain(error)
                if result.error or (result.models and result.models.failures):
                    result.status = "partial"
            except BaseException as error:
                result.status, result.error = "failed", explain(error)
                raise
            finally:
                result.seconds = round(monotonic() - started, 3)
                log.end([_log_row(result)], [])
    except BaseException:
        result.status = "failed"
        raise


def _require_warehouse(pipeline: dlt.Pipeline) -> None:
    destination = destination_of(pipeline)
    if not destination.is_database:
        raise NothingToForgetIn(f"Rows cannot be taken out of {destination.kind}; only out of a database.")
    if not destination.is_loaded:
        raise NothingToForgetIn(
            "Nothing has been loaded there yet; run wistia-pipeline sync first, or correct the destination."
        )


def _remember(pipeline: dlt.Pipeline, kind: Kind, text: str, mode: Mode, pii: Pii) -> None:
    with connected(pipeline) as client:
        create_table(client, FORGOTTEN.name, [*all_columns(FORGOTTEN), Column(LOAD_ID, "text", "")])
        salt = _salt(client)
        # where pii was hash, rows have it as its hash
        forms = {normal(kind, text), pii.hashed(normal(kind, text))} if pii.secret else {normal(kind, text)}
        rows = [
            {
                "kind": kind,
                "digest": digest(salt, kind, form),
                "mode": mode,
                "salt": salt,
                "forgotten_at": datetime.now(UTC),
            }
            for form in forms
        ]
        with client.begin_transaction():
            note_forgotten(client, "", rows)


def _salt(client: SqlClientBase[Any]) -> str:
    """The warehouse's own, made by the first who needs it."""
    rows = client.execute_sql(f"select salt from {client.make_qualified_table_name(FORGOTTEN.name)} limit 1")  # noqa: S608
    return str(rows[0][0]) if rows else token_hex(32)


def _take_over(result: ForgetResult, erased: Erased) -> None:
    result.rows, result.visitors, result.pages = erased.rows, erased.visitors, erased.pages


def _log_row(result: ForgetResult) -> dict[str, Any]:
    return {
        "resource": FORGOTTEN.name,
        "account_id": None,
        "status": result.status,
        "rows": sum(result.rows.values()),
        "seconds": result.seconds,
        "error": result.error,
    }
