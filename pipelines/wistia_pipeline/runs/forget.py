"""Forgets one person: remembers whom, takes out what the warehouse and this machine hold, and builds the marts anew."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from secrets import token_hex
from time import monotonic
from typing import Literal
from uuid import uuid4

import dlt

from wistia_source.endpoints import FORGOTTEN, Column
from wistia_source.errors import SettingInvalid, WistiaError
from wistia_source.forgotten import Kind, Mode, digest, normal
from wistia_source.pii import Pii
from wistia_source.rows import LOAD_ID, all_columns
from wistia_source.warehouse import connected

from ..models.build import ModelsResult, build_models, has_built
from ..warehouses.base import NotCompacted
from ..warehouses.catalog import rows
from ..warehouses.kinds import destination_of
from ..warehouses.locks import EVERYTHING
from ..warehouses.run_log import RunLog, create_table
from .accounts import WistiaAccount
from .erase import end_erasure, erase_forgotten, note_forgotten
from .progress import Progress
from .recovery import drop_local_state, drop_state_of_others, settle
from .sync import commit

_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")


class NothingToForgetIn(WistiaError):
    """There is no warehouse, or none that rows can be taken out of."""


@dataclass
class ForgetResult:
    """What forgetting somebody came to."""

    status: Literal["ok", "partial", "failed"] = "failed"
    """Failed until it has ended."""
    mode: Mode = "remove"
    rows: dict[str, int] = field(default_factory=dict)
    """This and the next two as `Erased` has them."""
    visitors: int = 0
    pages: int = 0
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
    log = RunLog(pipeline, result.run_id, "forget")
    # what other accounts have read, and have yet to load, may be of the person
    with destination_of(pipeline).held(EVERYTHING) as hold, hold.alone():
        killed = log.begin([FORGOTTEN.name], is_alone=True)
        try:
            # first of all: whoever ends this, the person does not come back
            _remember(pipeline, kind, text, result.mode, pii)
            result.remembered = True
            settle(pipeline, result.run_id, killed, partial(commit, pipeline, hold))
            erased = erase_forgotten(pipeline, pii)
            result.rows, result.visitors, result.pages = erased.rows, erased.visitors, erased.pages
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
            failed = result.error or (result.models and result.models.failures)
            result.status = "partial" if failed else "ok"
        except BaseException as error:
            result.error = explain(error)
            raise
        finally:
            result.seconds = round(monotonic() - started, 3)
            ended = {"resource": FORGOTTEN.name, "status": result.status, "rows": sum(result.rows.values())}
            log.end([{**ended, "seconds": result.seconds, "error": result.error}], [])


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
        known = rows(client, f"select salt from {client.make_qualified_table_name(FORGOTTEN.name)} limit 1")  # noqa: S608
        # the warehouse's own, made by the first who needs it
        salt = str(known[0][0]) if known else token_hex(32)
        # where pii was hash, rows have it as its hash
        forms = {normal(kind, text), pii.hashed(normal(kind, text))} if pii.secret else {normal(kind, text)}
        people = [{"kind": kind, "digest": digest(salt, kind, form), "mode": mode, "salt": salt} for form in forms]
        with client.begin_transaction():
            note_forgotten(client, "", people)
