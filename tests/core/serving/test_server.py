from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from service_kit import Registry
from tiny_model import encoded, scene

from boatseg_core.config import Settings, load_settings
from boatseg_core.errors import ConfigError
from boatseg_core.lake import Lake
from boatseg_core.serving.server import is_loopback, listen, serve

_CODE = """
import sys, threading, time
from boatseg_core.config import load_settings
from boatseg_core.serving.server import serve

settings = load_settings()
serve(settings)
bad = sorted({"torch", "mlflow", "optuna", "dagster", "pytorch_lightning", "scipy", "ray",
              "segmentation_models_pytorch", "sqlalchemy", "onnx"} & set(sys.modules))
print("imported:", bad)
"""


def test_a_whole_process(settings: Settings, registry: Registry, tmp_path: Path) -> None:
    """Start it, ask it, interrupt it; see what it imported and what it wrote."""
    registry.add(1)
    registry.promote(1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {
        **os.environ,
        "BOATSEG_HOME": str(settings.home),
        "BOATSEG_SERVE__PORT": str(port),
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _CODE],
        env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    break
            except OSError:
                assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        body = encoded(scene(boats=((10, 20, 8, 3),)))
        connection.request("POST", "/predict?mask=1", body, {"Content-Type": "image/png"})
        assert connection.getresponse().status == 200
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "imported: []" in output, output
    assert f"listening on http://127.0.0.1:{port}" in output
    assert "serving boatseg version 1" in output
    assert "Traceback" not in output
    assert Lake.from_settings(settings).read("inference_log")["boat_count"].to_list() == [1]


def test_addresses_that_cannot_be_listened_on(settings: Settings) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1 port {port}"):
            serve(load_settings(home=settings.home, serve={"port": port}))
    with pytest.raises(ConfigError, match=r"set serve\.host"):
        listen("no-such-host.invalid", 0)


def test_loopback_is_the_default() -> None:
    assert is_loopback(load_settings().serve.host)
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
