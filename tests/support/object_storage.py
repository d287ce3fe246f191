"""An S3 of our own, for what is kept where several machines can reach it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3  # type: ignore[import-untyped]

from tests.support.postgres import free_port


@dataclass(frozen=True)
class ObjectStorage:
    """The server's address."""

    url: str

    def client(self) -> Any:
        """A client of it."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="somebody",
            aws_secret_access_key="unchecked",
        )

    def bucket(self, name: str) -> str:
        """The address of a new bucket."""
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def new_bucket(self) -> str:
        """The name of a bucket that nobody else has."""
        name = f"lake-{uuid4().hex[:12]}"
        self.bucket(name)
        return name

    def objects(self, bucket: str) -> dict[str, bytes]:
        """All that is in a bucket."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def settings(self) -> dict[str, str]:
        """dlt's settings of whoever keeps something there, without their section."""
        return {
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "unchecked",
            "ENDPOINT_URL": self.url,
            "REGION_NAME": "us-east-1",
            "S3_URL_STYLE": "path",
        }


@contextmanager
def object_storage() -> Iterator[ObjectStorage]:
    """A server on a free port, in a process of its own, while the context lasts."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    assert server.poll() is None, "moto's server did not start"
                    time.sleep(0.1)
            yield ObjectStorage(f"http://127.0.0.1:{port}")
        finally:
            server.kill()
