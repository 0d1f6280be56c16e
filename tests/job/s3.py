"""A server that speaks S3's protocol, on this machine, for the tests of remote input and output."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

SECRET = "hunter2-is-the-secret-key"
BUCKET = "bucket"


@dataclass
class Server:
    """A running server, and a file system of its own to look into it."""

    system: Any

    def put(self, name: str, content: bytes) -> str:
        self.system.pipe_file(f"{BUCKET}/{name}", content)
        return f"s3://{BUCKET}/{name}"

    def names(self, folder: str) -> set[str]:
        self.system.invalidate_cache()
        return {name.rpartition("/")[2] for name in self.system.find(f"{BUCKET}/{folder}")}

    def get(self, name: str) -> bytes:
        return self.system.cat_file(f"{BUCKET}/{name}")

    def unfinished(self) -> list[Any]:
        """Uploads in parts that were begun, and neither completed nor given up."""
        result: list[Any] = self.system.list_multipart_uploads(BUCKET)
        return result


@contextmanager
def s3_server() -> Iterator[Server]:
    """A server with one bucket, and an environment in which the store's own package finds it."""
    pytest.importorskip("s3fs")
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
            ("AWS_ACCESS_KEY_ID", "a-key"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/nonexistent"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
        ):
            patch.setenv(name, value)
        S3FileSystem.clear_instance_cache()
        system = S3FileSystem(skip_instance_cache=True)
        system.mkdir(BUCKET)
        try:
            yield Server(system)
        finally:
            S3FileSystem.clear_instance_cache()
            server.stop()
