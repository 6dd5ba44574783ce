from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket

import pytest

from boatseg_core.config import Settings, load_settings
from boatseg_core.errors import RegistryError
from boatseg_core.inference.spec import MODEL_FILE, SPEC_FILE
from boatseg_core.lake import Lake
from boatseg_core.registry.load import fetch, find
from boatseg_core.registry.lookup import checked, resolve, version_of
from boatseg_core.registry.promote import promote
from boatseg_core.registry.register import RegisteredModel


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server that keeps and hands out the artifacts."""
    home = tmp_path_factory.mktemp("mlflow-server")
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (home / "log").open("w")
    process = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
            "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}", "--serve-artifacts",
            "--artifacts-destination", str(home / "kept"), "--workers", "1",
        ],
        cwd=home, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, (home / "log").read_text()
                assert time.monotonic() < end, (home / "log").read_text()
                time.sleep(0.2)
        yield url
    finally:
        os.killpg(process.pid, 9)  # a session of its own: the server and its workers
        process.wait(30)
        log.close()


@pytest.mark.slow
def test_agrees_with_mlflow(
    server: str, lake: Lake, tmp_path: Path, add: Callable[..., RegisteredModel]
) -> None:
    settings = load_settings(home=tmp_path / "home", registry={"tracking_uri": server})
    assert version_of(settings) is None
    with pytest.raises(RegistryError, match="has no version 7"):
        resolve(settings, 7)
    for iou in (0.5, 0.6):
        promote(lake, settings, add(settings, boat_iou=iou).version)
    for wanted in ("production", "previous", 1, 2):
        ref = resolve(settings, wanted)
        assert ref.version == find(settings, wanted)
        for file in (MODEL_FILE, SPEC_FILE):
            there = fetch(settings, ref.version) / file
            assert (ref.folder / file).read_bytes() == there.read_bytes()
        assert checked(ref).metrics["boat_iou"] == [0.5, 0.6][ref.version - 1]
        assert ref.folder.is_relative_to(settings.paths.work)
    assert not list(ref.folder.parent.glob(".fetch-*"))
    # What was fetched once is not fetched again.
    (ref.folder / "mark").touch()
    assert (resolve(settings, 2).folder / "mark").exists()


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that says the same to everything, and what it was asked with."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append({"path": self.path, **dict(self.headers)})
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{http.server_port}", asked
        finally:
            http.shutdown()


def at(uri: str, home: Path) -> Settings:
    return load_settings(home=home, registry={"tracking_uri": uri})


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, b"boom", "answered 500"),
        (404, b"<html>", "answered 404"),
        (401, b'{"error_code": "UNAUTHENTICATED"}', "answered 401 UNAUTHENTICATED"),
        (200, b"<html>", "does not answer as an MLflow server"),
        (200, b"[]", "does not answer as an MLflow server"),
        (200, b"{}", "does not answer as an MLflow server"),
    ],
)
def test_odd_answers_are_named(status: int, body: bytes, said: str, tmp_path: Path) -> None:
    with answering(status, body) as (address, _):
        for wanted in ("production", 1):
            with pytest.raises(RegistryError, match=said):
                resolve(at(f"http://{address}", tmp_path), wanted)


def test_absence_is_no_failure(tmp_path: Path) -> None:
    body = json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "?"}).encode()
    with answering(404, body) as (address, _):
        assert version_of(at(f"http://{address}", tmp_path)) is None


def test_nobody_there(tmp_path: Path) -> None:
    with socket() as closed:
        closed.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(RegistryError, match="cannot be reached"):
            version_of(at(uri, tmp_path))


def test_credentials_travel_in_the_header_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(500, b"") as (address, asked):
        with pytest.raises(RegistryError) as error:
            version_of(at(f"http://me:secret@{address}/prefix/", tmp_path))
        assert "secret" not in str(error.value)
        assert asked[0]["path"].startswith("/prefix/api/2.0/mlflow/registered-models/alias?")
        pair = base64.b64encode(b"me:secret").decode()
        assert asked[0]["Authorization"] == f"Basic {pair}"
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok")
        with pytest.raises(RegistryError):
            version_of(at(f"http://{address}", tmp_path))
        assert asked[1]["Authorization"] == "Bearer tok"


def test_artifacts_the_server_does_not_hand_out(tmp_path: Path) -> None:
    body = json.dumps({"artifact_uri": "s3://bucket/m-1/artifacts"}).encode()
    with (
        answering(200, body) as (address, _),
        pytest.raises(RegistryError, match="serve-artifacts"),
    ):
        resolve(at(f"http://{address}", tmp_path), 1)
