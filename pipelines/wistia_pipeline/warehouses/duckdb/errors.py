"""What can be wrong with a DuckDB file, told from the words of DuckDB and of dlt."""

import re

import duckdb
from dlt.common.configuration.specs.exceptions import InvalidConnectionString
from dlt.destinations.impl.duckdb.exceptions import InvalidInMemoryDuckdbCredentials

from ...runtime.redaction import first_line, module_of

FORM = "set DESTINATION__DUCKDB__CREDENTIALS to the path of a file, such as warehouse.duckdb"


def explain(error: BaseException) -> str | None:
    """What an error says of a DuckDB file; null where it is of something else."""
    if isinstance(error, InvalidInMemoryDuckdbCredentials):
        return f"A DuckDB in memory would be gone with the run; {FORM}."
    if isinstance(error, InvalidConnectionString) and "DuckDb" in str(error):
        return f"The path of the DuckDB file is empty or cannot be read; {FORM}."
    if not is_of_duckdb(error):
        return None
    text = str(error)
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
        return f"The path of the DuckDB file is that of something else; {FORM}."
    if "configuration parameter" in text:
        return (
            f"DuckDB refuses a setting: {first_line(error)}; correct DESTINATION__DUCKDB__CREDENTIALS__GLOBAL_CONFIG."
        )
    return None


def is_of_duckdb(error: BaseException) -> bool:
    """Whether DuckDB raised it."""
    return module_of(error) in ("duckdb", "_duckdb")


def _lock_holder(text: str) -> str:
    found = re.search(r"Conflicting lock is held in (.+?) \(PID (\d+)\)", text)
    return f" ({found.group(1)}, process {found.group(2)})" if found else ""
