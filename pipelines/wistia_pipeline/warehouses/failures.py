"""From whatever was raised to one sentence that says what is wrong and what to do about it."""

import re
import signal
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, get_origin

from dlt.common.configuration.exceptions import (
    ConfigFieldMissingException,
    ConfigurationException,
    ConfigValueCannotBeCoercedException,
    LookupTraces,
    ValueNotSecretException,
)
from dlt.common.destination.exceptions import InvalidDestinationReference, UnknownDestinationModule
from dlt.common.exceptions import MissingDependencyException, SignalReceivedException
from dlt.destinations.exceptions import DestinationConnectionError

from wistia_source.errors import RequestFailed, WistiaError

from ..runtime.files import OutputStopped
from ..runtime.redaction import causes, first_line
from .kinds import ANY_MODELLED, all_kinds

_TYPES = {int: "a whole number", float: "a number", bool: "true or false", dict: "a JSON object"}
_EXTRAS = {"report": "^report ", "spark": "^spark "}
"""Those of no warehouse, and what packages they are known by."""


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
        return f"There is no such destination; use {ANY_MODELLED} (or another that dlt knows)."
    if isinstance(error, DestinationConnectionError):
        # the cause comes first, so this is what nothing better is known of
        reason = first_line(next(causes(error))).rstrip(".")
        return f"The warehouse cannot be opened: {reason}; correct what is set under DESTINATION__."
    of_a_kind = (sentence for kind in all_kinds() if (sentence := kind.explain(error)))
    return next(of_a_kind, None) or _of_settings(error) or _of_machine(error)


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
    of_kinds = {kind.extra: kind.needs for kind in all_kinds() if kind.extra}
    for extra, needs in (of_kinds | _EXTRAS).items():
        if re.search(needs, f"{error.caller} {error.dependencies}", re.IGNORECASE):
            return (
                f"{extra.capitalize()} needs more packages; run pip install '.[{extra}]' in this project's folder, "
                "then again."
            )
    return f"This destination needs more packages; run {' '.join(first_line(error).split())}, then again."


def _of_machine(error: BaseException) -> str | None:
    # requests' errors are OSErrors too
    if not isinstance(error, OSError) or type(error).__module__ != "builtins" or not error.strerror:
        return None
    where = f" ({error.filename})" if error.filename else ""
    return f"The computer says: {error.strerror}{where}; mend that, then run again."


def _unknown(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error) or 'no details'}; run again with --verbose for the traceback."
