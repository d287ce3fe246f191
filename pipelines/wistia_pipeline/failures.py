"""From whatever was raised to one sentence that says what is wrong and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dlt.common.configuration.exceptions import ConfigFieldMissingException, ConfigurationException
from dlt.common.exceptions import MissingDependencyException

from wistia_source.errors import WistiaError

_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]+@")


def explain(error: BaseException) -> str:
    """One sentence, without a traceback, a token or a password."""
    return _PASSWORD.sub(r"\1***@", next(sentence for sentence in map(_sentence, _chain(error)) if sentence))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The causes that are known, the root first; the root as the last resort."""
    causes: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in causes:
        causes.append(current)
        current = current.__cause__ or current.__context__
    yield from (cause for cause in reversed(causes) if _sentence(cause, known_only=True))
    yield causes[-1]


def _sentence(error: BaseException, known_only: bool = False) -> str | None:
    text = str(error).strip()
    first_line = text.splitlines()[0].strip() if text else ""
    if isinstance(error, WistiaError):
        return text
    if isinstance(error, ConfigFieldMissingException):
        return _missing(error)
    if isinstance(error, MissingDependencyException):
        return "Postgres needs one more package: run pip install 'dlt-source-wistia[postgres]', then again."
    if isinstance(error, ConfigurationException):
        return f"A setting cannot be used: {first_line}"
    module = type(error).__module__.partition(".")[0]
    if module in ("duckdb", "_duckdb") and "lock on file" in text:
        return f"The DuckDB file is open in another program; close it there and run again ({_lock_holder(text)})."
    if module in ("duckdb", "_duckdb") and type(error).__name__ == "IOException":
        return f"The DuckDB file cannot be used: {first_line}; check DESTINATION__DUCKDB__CREDENTIALS."
    if module == "psycopg2" and type(error).__name__ == "OperationalError":
        return f"Postgres cannot be reached: {first_line}; check DESTINATION__POSTGRES__CREDENTIALS."
    if known_only:
        return None
    return f"{type(error).__name__}: {first_line or 'no details'}; run again with --verbose for the traceback."


def _missing(error: ConfigFieldMissingException) -> str:
    if "access_token" in error.fields:
        return (
            "There is no access token; set SOURCES__WISTIA__ACCESS_TOKEN, or access_token under [sources.wistia] "
            "in .dlt/secrets.toml, to a token made in Wistia's account settings, API access."
        )
    if "PostgresCredentials" in str(error):
        return (
            "There are no Postgres credentials; set DESTINATION__POSTGRES__CREDENTIALS to an address such as "
            "postgresql://user:password@host:5432/database."
        )
    return f"A setting is missing: {', '.join(error.fields)}; see .dlt/config.toml and .dlt/example.secrets.toml."


def _lock_holder(text: str) -> str:
    found = re.search(r"Conflicting lock is held in (.+?)(?: by|\.|$)", text)
    return found.group(1) if found else "lock held by another process"
