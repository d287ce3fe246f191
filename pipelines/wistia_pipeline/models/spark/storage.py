"""The storage that the pipeline loads, as dlt reaches it and as Spark does."""

import re

import dlt
from dlt.common.configuration.specs import AwsCredentials
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.exceptions import MissingDependencyException
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient

from ..settings import ModelsFailed

LOADS = "_dlt_loads"
SCHEMES = {"file": "file", "s3": "s3a", "gs": "gs", "gcs": "gs", "abfss": "abfss"}
"""Spark's names of the storages that both know."""
_LOAD_ID = re.compile(r"\d{10}\.\d+")


class Storage:
    """The files of a pipeline. Raises `ModelsFailed` where Spark cannot read them, or there are none."""

    def __init__(self, pipeline: dlt.Pipeline) -> None:
        if not issubclass(pipeline.destination.client_class, FilesystemClient):
            raise ModelsFailed("Spark reads files: load with --destination filesystem, and name the same one here.")
        client = pipeline.destination_client()
        assert isinstance(client, FilesystemClient)
        protocol = client.config.protocol
        if protocol not in SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise ModelsFailed(f"Spark does not read {protocol}:// but {known}; load into one of these.")
        # dlt makes it without a cache of what is there: Spark and other machines write there, too
        self._client, self.files, self._is_local = client, client.fs_client, client.is_local_filesystem
        credentials = client.config.credentials
        self.settings = s3a_settings(credentials) if isinstance(credentials, AwsCredentials) else {}
        """Of Spark, to reach it."""
        try:
            loads = self._file_names(LOADS)
        except MissingDependencyException:
            raise
        except Exception as error:
            # each kind of storage has errors of its own
            said = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise ModelsFailed(
                f"The files at {self.address(self.path())} cannot be read: {said}; correct what is set under "
                "DESTINATION__FILESYSTEM__."
            ) from error
        if not loads:
            raise ModelsFailed(
                "There is nothing to build models on yet; run wistia-pipeline sync --destination filesystem first."
            )
        self._completed = {found[0] for name in loads if (found := _LOAD_ID.search(name))}

    def path(self, *parts: str) -> str:
        """A place in the storage, as `files` know it."""
        return str(self._client.pathlib.join(self._client.bucket_path, *parts))

    def address(self, path: str) -> str:
        """A place as people know it."""
        return path if self._is_local else self._client.make_remote_url(path)

    def as_spark(self, path: str) -> str:
        """A place as Spark knows it."""
        if self._is_local:
            # what is encoded in an address Spark takes for letters of the name
            return f"file://{path}"
        scheme, _, rest = self._client.make_remote_url(path).partition("://")
        return f"{SCHEMES[scheme]}://{rest}"

    def table(self, name: str) -> str:
        """Where Spark finds the files of a table."""
        return self.as_spark(self._client.get_table_dir(name))

    def unfinished(self, table: str) -> list[str]:
        """The names of a table's files that belong to loads that were never completed; they may not be whole."""
        found = ((name, _LOAD_ID.search(name)) for name in self._file_names(table))
        return [name for name, load_id in found if load_id and load_id[0] not in self._completed]

    def _file_names(self, table: str) -> list[str]:
        try:
            return [self._client.pathlib.basename(path) for path in self._client.list_table_files(table)]
        except (DestinationUndefinedEntity, FileNotFoundError):
            return []

    def folders(self, path: str) -> list[str]:
        """The folders in a folder, which need not exist."""
        found = self.files.ls(path, detail=True) if self.files.exists(path) else ()
        return [entry["name"] for entry in found if entry["type"] == "directory"]

    def move(self, old: str, new: str) -> None:
        """Moves a folder."""
        if self._is_local:
            self.files.mv(old, new)
            return
        # a folder there is only how names begin, and cannot be moved itself
        found = self.files.find(old)
        self.files.copy(found, [new + path.removeprefix(old) for path in found], on_error="raise")
        self.files.rm(old, recursive=True)

    def delete(self, path: str) -> None:
        """Deletes a folder, which need not exist."""
        if self.files.exists(path):
            self.files.rm(path, recursive=True)


def s3a_settings(credentials: AwsCredentials) -> dict[str, str]:
    """Spark's settings of an S3, from dlt's."""
    keys = credentials.to_session_credentials()
    wanted = {
        "access.key": keys["aws_access_key_id"],
        "secret.key": keys["aws_secret_access_key"],
        "session.token": keys["aws_session_token"],
        "endpoint": credentials.endpoint_url,
        "endpoint.region": credentials.region_name,
        "path.style.access": "true" if credentials.s3_url_style == "path" else None,
        "aws.credentials.provider": (
            f"org.apache.hadoop.fs.s3a.{'Temporary' if keys['aws_session_token'] else 'Simple'}AWSCredentialsProvider"
        ),
    }
    return {f"spark.hadoop.fs.s3a.{name}": value for name, value in wanted.items() if value}
