"""From whatever was raised to one sentence that says what is wrong and what to do about it."""

from __future__ import annotations

import re
import signal
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, get_origin

import duckdb
from dlt.common.configuration.exceptions import (
    ConfigFieldMissingException,
    ConfigurationException,
    ConfigValueCannotBeCoercedException,
    LookupTraces,
    ValueNotSecretException,
)
from dlt.common.configuration.specs.exceptions import InvalidConnectionString
from dlt.common.destination.exceptions import InvalidDestinationReference, UnknownDestinationModule
from dlt.common.exceptions import MissingDependencyException, SignalReceivedException
from dlt.destinations.exceptions import DestinationConnectionError
from dlt.destinations.impl.duckdb.exceptions import InvalidInMemoryDuckdbCredentials

from wistia_source.errors import RequestFailed, WistiaError

from ..runtime.files import OutputStopped
from .ducklake import errors as lake_errors

_SECRET = re.compile(r"(Bearer )\S+|(://[^:/@\s]*:)[^@\s]+(?=@)")
_TYPES = {int: "a whole number", float: "a number", bool: "true or false", dict: "a JSON object"}
_DUCKDB_FORM = "set DESTINATION__DUCKDB__CREDENTIALS to the path of a file, such as warehouse.duckdb"
_EXTRAS = {"lake": "^lake ", "postgres": "postgres|psycopg2|adbc", "report": "^report ", "spark": "^spark "}
_POSTGRES_FORM = (
    "set DESTINATION__POSTGRES__CREDENTIALS to an address such as postgresql://user:password@host:5432/database"
)


def explain(error: BaseException) -> str:
    """One sentence, without a traceback, a token or a password."""
    # our own words before those of whatever lies below
    found = sorted(causes(error), key=lambda cause: not isinstance(cause, WistiaError | KeyboardInterrupt))
    known = (sentence for cause in found if (sentence := _known(cause)))
    return next(known, None) or _unknown(found[0])


def stop_signal(error: BaseException) -> signal.Signals | None:
    """The signal that ended the run, if one did."""
    for cause in causes(error):
        if isinstance(cause, SignalReceivedException):
            return signal.Signals(cause.signal_code)
        if _is_ctrl_c(cause):
            return signal.SIGINT
    return None


def _is_ctrl_c(error: BaseException) -> bool:
    # DuckDB hears of Ctrl-C itself while it works on a query
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, RuntimeError) and "Query interrupted" in str(error)
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """The root first."""
    causes: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in causes:
        causes.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return reversed(causes)


def _known(error: BaseException) -> str | None:
    if isinstance(error, RequestFailed) and ";" not in str(error):
        return f"{str(error).rstrip('.')}; run again later."
    if isinstance(error, WistiaError):
        return str(error)
    if isinstance(error, OutputStopped):
        return "Stopped before the file was whole; nothing was written."
    if _is_ctrl_c(error):
        return "Stopped before the end; what was loaded is kept, and the same command carries on or begins anew."
    if isinstance(error, MissingDependencyException):
        return _missing_package(error)
    if isinstance(error, UnknownDestinationModule | InvalidDestinationReference):
        return "There is no such destination; use duckdb, postgres or ducklake (or another that dlt knows)."
    if isinstance(error, DestinationConnectionError):
        # the cause comes first, so this is what nothing better is known of
        reason = first_line(next(causes(error))).rstrip(".")
        return f"The warehouse cannot be opened: {reason}; correct what is set under DESTINATION__."
    return _of_settings(error) or _of_duckdb(error) or _of_postgres(error) or _of_machine(error)


def _of_settings(error: BaseException) -> str | None:
    if isinstance(error, ConfigFieldMissingException):
        return _missing_setting(error)
    if isinstance(error, ConfigValueCannotBeCoercedException):
        kind = _TYPES.get(get_origin(error.hint) or error.hint, "of another kind")
        return f"The setting {error.field_name} must be {kind}; correct it in the environment or in .dlt/config.toml."
    if isinstance(error, ValueNotSecretException):
        return (
            f"The setting {error.key} counts as a secret; move it from .dlt/config.toml to .dlt/secrets.toml, "
            "or into the environment."
        )
    if isinstance(error, InvalidConnectionString) and "Postgres" in str(error):
        return f"The Postgres credentials cannot be read; {_POSTGRES_FORM}."
    if isinstance(error, InvalidConnectionString) and "`ConnectionStringCredentials`" in str(error):
        return f"The address of the lake's catalog cannot be read; {lake_errors.FORM}."
    if isinstance(error, InvalidInMemoryDuckdbCredentials):
        return f"A DuckDB in memory would be gone with the run; {_DUCKDB_FORM}."
    if isinstance(error, InvalidConnectionString) and "DuckDb" in str(error):
        return f"The path of the DuckDB file is empty or cannot be read; {_DUCKDB_FORM}."
    if isinstance(error, tomllib.TOMLDecodeError) or type(error).__name__ == "TomlProviderReadException":
        return f"A file in .dlt is not valid TOML: {first_line(error)}; correct config.toml or secrets.toml."
    if isinstance(error, ConfigurationException):
        return f"A setting cannot be used: {first_line(error)}."
    return None


def _missing_setting(error: ConfigFieldMissingException) -> str:
    if "access_token" in error.fields:
        return (
            "There is no access token; set SOURCES__WISTIA__ACCESS_TOKEN, or access_token under [sources.wistia] "
            "in .dlt/secrets.toml, to a token made in Wistia's account settings, API access."
        )
    if "PostgresCredentials" in str(error):
        # dlt insists on a password even where the server does not
        return f"The Postgres credentials are missing, or lack a part such as the password; {_POSTGRES_FORM}."
    return f"A setting is missing; set {' and '.join(_where_to_set(error.traces))}, or the same in .dlt/secrets.toml."


def _where_to_set(traces: Mapping[str, Any]) -> Iterator[str]:
    """The environment variables of settings that were looked for."""
    for looked in traces.values():
        inner = next((found for found in looked if isinstance(found, LookupTraces)), None)
        if inner:
            yield from _where_to_set(inner.traces)
        else:
            # each is looked for first as that of one pipeline, and with ever fewer words then
            names = [str(found.key) for found in looked]
            yield next((name for name in names if name.startswith(("DESTINATION__", "SOURCES__"))), names[0])


def _missing_package(error: MissingDependencyException) -> str:
    for extra, needs in _EXTRAS.items():
        if re.search(needs, f"{error.caller} {error.dependencies}", re.IGNORECASE):
            return (
                f"{extra.capitalize()} needs more packages; run pip install '.[{extra}]' in this project's folder, "
                "then again."
            )
    return f"This destination needs more packages; run {' '.join(first_line(error).split())}, then again."


def _of_duckdb(error: BaseException) -> str | None:
    if _module(error) not in ("duckdb", "_duckdb"):
        return None
    text = str(error)
    if of_lake := lake_errors.lake_error(text):
        return str(of_lake)
    if "lock on file" in text:
        return f"The DuckDB file is open in another program{_lock_holder(text)}; close it there, then run again."
    if "version number" in text:
        return (
            f"The DuckDB file was written by a newer DuckDB than this one ({duckdb.__version__}); install that one, "
            "or choose another file (DESTINATION__DUCKDB__CREDENTIALS)."
        )
    if type(error).__name__ == "IOException":
        reason = first_line(error).removeprefix("IO Error: ").rstrip("!.")
        return (
            f"The DuckDB file cannot be used: {reason}; choose another, in a folder that exists "
            "(DESTINATION__DUCKDB__CREDENTIALS)."
        )
    if "in-memory database in read-only mode" in text:
        # as DuckDB opens files of data, such as CSV
        return f"The path of the DuckDB file is that of something else; {_DUCKDB_FORM}."
    if "configuration parameter" in text:
        return (
            f"DuckDB refuses a setting: {first_line(error)}; correct DESTINATION__DUCKDB__CREDENTIALS__GLOBAL_CONFIG."
        )
    return None


def _lock_holder(text: str) -> str:
    found = re.search(r"Conflicting lock is held in (.+?) \(PID (\d+)\)", text)
    return f" ({found.group(1)}, process {found.group(2)})" if found else ""


def _of_postgres(error: BaseException) -> str | None:
    if isinstance(error, OSError) and "[libpq]" in str(error):
        # so says the Arrow driver while rows come in; after Ctrl-C, too, which it turns into a request to the server
        return f"Postgres has ended the query: {first_line(error).rpartition('ERROR:')[2].strip()}; run again."
    if _module(error) not in ("psycopg2", "adbc_driver_manager"):
        return None
    reason = first_line(error).rstrip(".")
    if type(error).__name__ == "OperationalError":
        return f"Postgres cannot be reached: {reason}; check the server and DESTINATION__POSTGRES__CREDENTIALS."
    if "invalid dsn" in reason:
        return f"The Postgres credentials cannot be read; {_POSTGRES_FORM}."
    if type(error).__name__ == "InsufficientPrivilege":
        return f"Postgres refuses: {reason}; grant it to the user of DESTINATION__POSTGRES__CREDENTIALS."
    return None


def _of_machine(error: BaseException) -> str | None:
    # requests' errors are OSErrors too
    if not isinstance(error, OSError) or type(error).__module__ != "builtins" or not error.strerror:
        return None
    where = f" ({error.filename})" if error.filename else ""
    return f"The computer says: {error.strerror}{where}; mend that, then run again."


def _unknown(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error) or 'no details'}; run again with --verbose for the traceback."


def _module(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def first_line(error: BaseException) -> str:
    """What an error says, as one line without secrets."""
    lines = str(error).strip().splitlines()
    return on_one_line(lines[0]).rstrip(";:") if lines else ""


def on_one_line(text: str) -> str:
    """All of a text, without secrets."""
    return _SECRET.sub(r"\1\2***", " ".join(text.split()))
