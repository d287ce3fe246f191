"""What can be wrong with a lake, told from the words of DuckDB and of Postgres."""

import re

from dlt.common.configuration.specs.exceptions import InvalidConnectionString

from wistia_source.errors import SettingInvalid, WistiaError

from ..duckdb.errors import is_of_duckdb

SETTINGS = "DESTINATION__DUCKLAKE__CREDENTIALS"
FORM = (
    f"set {SETTINGS}__CATALOG to postgresql://user:password@host:5432/database, and {SETTINGS}__STORAGE__BUCKET_URL to "
    "a folder that all machines share, such as s3://bucket/folder"
)
_BUSY = re.compile("Failed to commit DuckLake transaction|Failed to delete flushed inlined data in DuckLake")
_IN_STORAGE = re.compile(r"HTTP Error:|IO Error:.*(for HTTP|\.parquet|create directory)")
_NO_CATALOG = re.compile(r'Unable to connect to Postgres at "[^"]*": (?P<reason>.+)')
_OTHER_PLACE = re.compile(r'DATA_PATH parameter "(?P<set>[^"]*)" does not match [^"]*"(?P<held>[^"]*)"')


class LakeUnusable(WistiaError):
    """The lake's catalog, its files or DuckDB's extensions do not let us work."""


class CatalogBusy(WistiaError):
    """Another program changes the same tables of the lake all the time."""

    def __init__(self) -> None:
        super().__init__(
            "The lake is busy: another program keeps changing the same tables; what is loaded stays: run again when it "
            "has ended."
        )


def catalog_unreachable(reason: str) -> LakeUnusable:
    """The Postgres of the catalog does not answer, or not to us."""
    return LakeUnusable(
        f"The lake's catalog cannot be reached: {reason.rstrip('.')}; check the server and {SETTINGS}__CATALOG."
    )


def storage_unreachable(reason: str) -> LakeUnusable:
    """The lake's files cannot be read or written."""
    return LakeUnusable(
        f"The lake's files cannot be reached: {reason.rstrip('.')}; check the storage and what is set under "
        f"{SETTINGS}__STORAGE."
    )


def is_busy(text: str) -> bool:
    """Whether another program was in the way, so that the same may go well the next time."""
    return bool(_BUSY.search(text))


def explain(error: BaseException) -> str | None:
    """What an error says of a lake; null where it is of something else."""
    if isinstance(error, InvalidConnectionString) and "`ConnectionStringCredentials`" in str(error):
        return f"The address of the lake's catalog cannot be read; {FORM}."
    known = lake_error(str(error)) if is_of_duckdb(error) else None
    return str(known) if known else None


def lake_error(text: str) -> WistiaError | None:
    """What an error of DuckDB says of a lake; null where it is of something else."""
    if is_busy(text):
        return CatalogBusy()
    if found := _NO_CATALOG.search(text):
        return catalog_unreachable(found["reason"].strip())
    if found := _OTHER_PLACE.search(text):
        return SettingInvalid(
            f"The files of this lake are in {found['held']}, not in {found['set']}; correct "
            f"{SETTINGS}__STORAGE__BUCKET_URL, or make another lake with another {SETTINGS}__DUCKLAKE_NAME."
        )
    if _IN_STORAGE.search(text):
        # what failed, what the storage says of it, and DuckDB's advice about settings of its own
        said = text.strip().split("\n\n")
        return storage_unreachable(said[min(1, len(said) - 1)].splitlines()[-1].removeprefix("IO Error: "))
    return None
