from __future__ import annotations

import base64
import io
import json
import socket
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from service_kit import Live, Registry, running
from tiny_model import encoded, scene

from boatseg_core.config import Settings
from boatseg_core.imaging.mask_png import decode_mask

BOATS = ((10, 20, 8, 3), (60, 5, 4, 9))
PICTURE = encoded(scene(boats=BOATS))


def as_json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_a_picture_gets_its_boats(shared: Live) -> None:
    answer = shared.predict(PICTURE)
    assert answer.status == 200
    found = answer.json()
    assert sorted(tuple(boat["box"]) for boat in found["boats"]) == sorted(BOATS)
    assert (found["width"], found["height"]) == (100, 80)
    assert (found["boat_count"], found["boat_area"]) == (2, 60)
    assert found["model"] == {"name": "boatseg", "version": 1}
    assert found["class_name"] == "boat"
    assert found["request_id"] == answer.headers["x-request-id"]
    assert found["timing"]["predict_ms"] > 0
    assert "mask_png" not in found


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_any_format_under_any_image_type(shared: Live, kind: str) -> None:
    data = encoded(scene(boats=((10, 20, 16, 16),)), kind)
    for media in ("image/whatever", "application/octet-stream", "IMAGE/JPEG; q=1"):
        answer = shared.predict(data, media)
        assert (answer.status, answer.json()["boat_count"]) == (200, 1)


@pytest.mark.parametrize("query", ["", "?mask=false"])
def test_json_and_masks(shared: Live, query: str) -> None:
    body = as_json(image=base64.b64encode(PICTURE).decode(), mask=True)
    for answer in (
        shared.predict(body, "application/json; charset=utf-8", query),
        shared.predict(PICTURE, query="?mask=true"),
    ):
        mask = decode_mask(base64.b64decode(answer.json()["mask_png"]))
        np.testing.assert_array_equal(mask, scene(boats=BOATS)[..., 0] > 128)


def test_the_small_pages(shared: Live) -> None:
    ready = shared.ask("GET", "/readyz")
    assert ready.status == 200
    assert ready.json()["model"]["version"] == 1
    assert ready.json()["error"] is None
    assert shared.ask("GET", "/livez").json() == {"live": True}
    page = shared.ask("GET", "/").body.decode()
    assert "boatseg version 1" in page
    assert f"http://127.0.0.1:{shared.port}/predict" in page
    document = shared.ask("GET", "/openapi.json").json()
    assert "image/*" in document["paths"]["/predict"]["post"]["requestBody"]["content"]


def test_metrics_count(live: Live) -> None:
    for _ in range(3):
        live.predict(PICTURE)
    live.predict(b"no picture")
    answer = live.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    values = dict(
        line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if line[0] != "#"
    )
    assert values['boatseg_requests_total{status="200"}'] == "3"
    assert values['boatseg_requests_total{status="422"}'] == "1"
    assert values['boatseg_latency_seconds_bucket{le="+Inf"}'] == "3"
    assert values["boatseg_latency_seconds_count"] == "3"
    assert values["boatseg_objects_total"] == "6"
    assert values["boatseg_model_version"] == "1"
    assert values["boatseg_in_flight"] == "0"


def bomb() -> bytes:
    """A small PNG that claims to be 60,000 pixels square."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


B64 = base64.b64encode(PICTURE).decode()
J = "application/json"


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"", "image/png", 400, "empty"),
        (b"", J, 400, "empty"),
        (b"no picture at all", "image/png", 422, "not_an_image"),
        (PICTURE[: len(PICTURE) // 2], "image/png", 422, None),
        (encoded(scene(), "JPEG")[:-200], "image/jpeg", 422, None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", 422, "not_an_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "image/eps", 422, "not_an_image"),
        (bomb(), "image/png", 413, "too_many_pixels"),
        (b"\0" * 300_001, "image/png", 413, "body_too_large"),
        (PICTURE, "text/plain", 415, "content_type"),
        (PICTURE, "application/x-www-form-urlencoded", 415, "content_type"),
        (PICTURE, "multipart/form-data; boundary=x", 415, "content_type"),
        (PICTURE, "", 415, "content_type"),
        (PICTURE, "application/jsonp", 415, "content_type"),
        (PICTURE, J, 400, "invalid_json"),
        (b"{", J, 400, "invalid_json"),
        (b'{"image": "\xff"}', J, 400, "invalid_json"),
        (b"[" * 100_000, J, 400, "invalid_json"),
        (b"[]", J, 422, "invalid_request"),
        (b"null", J, 422, "invalid_request"),
        (b"{}", J, 422, "invalid_request"),
        (as_json(image=None), J, 422, "invalid_request"),
        (as_json(image=17), J, 422, "invalid_request"),
        (as_json(image=""), J, 422, "invalid_request"),
        (as_json(image=B64, mask="yes"), J, 422, "invalid_request"),
        (as_json(image=B64, masks=True), J, 422, "invalid_request"),
        (as_json(image="***"), J, 422, "invalid_base64"),
        (as_json(image=B64[:-1]), J, 422, "invalid_base64"),
        (as_json(image="\u00e9\u00e9\u00e9\u00e9"), J, 422, "invalid_base64"),
        (as_json(image=base64.b64encode(b"nonsense").decode()), J, 422, "not_an_image"),
    ],
)
def test_bad_bodies_get_one_clear_error(
    shared: Live, body: bytes, kind: str, status: int, code: str | None
) -> None:
    answer = shared.predict(body, kind)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.code == (code or answer.code)
    assert len(answer.body) < 1000
    assert shared.predict(PICTURE).status == 200


def test_other_bad_requests(shared: Live) -> None:
    nowhere = shared.ask("GET", "/nowhere")
    assert nowhere.code == "not_found"
    assert "/nowhere" in str(nowhere.body) and "/predict" in str(nowhere.body)
    refused = shared.ask("GET", "/predict")
    assert (refused.status, refused.code) == (405, "method_not_allowed")
    assert refused.headers["allow"] == "POST"
    assert "/predict does not answer GET: use POST" in str(refused.body)
    assert shared.predict(PICTURE, query="?mask=perhaps").code == "invalid_request"
    zipped = shared.ask(
        "POST", "/predict", PICTURE, {"Content-Type": "image/png", "Content-Encoding": "gzip"}
    )
    assert (zipped.status, zipped.code) == (415, "content_encoding")


def test_a_body_without_a_length_is_cut_off_at_the_limit(shared: Live) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=20) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        sent = 0
        try:
            while sent < 50_000_000:
                connection.sendall(b"10000\r\n" + b"\0" * 0x10000 + b"\r\n")
                sent += 0x10000
        except OSError:
            pass  # the service hung up, as it should
        assert sent < 50_000_000
    assert shared.predict(PICTURE).status == 200


def test_a_client_that_leaves_costs_nothing(live: Live) -> None:
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", live.port)) as connection:
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
                b"Content-Length: 1000\r\n\r\nabc"
            )
    assert live.predict(PICTURE).status == 200
    service = live.app.state.service
    live.until(lambda _: service.in_flight == 0)


def test_a_slow_client_is_let_go(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boatseg_core.serving.body.BODY_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Content-Length: 1000\r\n\r\nabc"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")


def test_a_full_queue_says_when_to_come_back(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boatseg_core.serving.service.QUEUE", 0)
    monkeypatch.setattr("boatseg_core.serving.service.WORKERS", 1)
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as holder:
        holder.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Content-Length: %d\r\n\r\n" % len(PICTURE)
        )
        live.until(lambda _: live.app.state.service.in_flight == 1)
        busy = live.predict(PICTURE)
        assert (busy.status, busy.code) == (503, "busy")
        assert busy.headers["retry-after"] == "1"
        assert live.ask("GET", "/livez").status == 200
        holder.sendall(PICTURE)
        assert holder.recv(1000).startswith(b"HTTP/1.1 200")
    assert live.predict(PICTURE).status == 200


def test_a_bug_shows_no_traceback(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise RuntimeError("secret detail")

    predictor = live.app.state.service.watcher.current.predictor
    monkeypatch.setattr(predictor, "predict", bug)
    answer = live.predict(PICTURE)
    assert (answer.status, answer.code) == (500, "internal")
    assert b"secret" not in answer.body
    monkeypatch.undo()
    assert live.predict(PICTURE).status == 200


def test_without_a_model_the_service_waits_for_one(settings: Settings) -> None:
    with running(settings) as live:
        waiting = live.ask("GET", "/readyz")
        assert waiting.status == 503
        assert waiting.json()["ready"] is False
        refused = live.predict(PICTURE)
        assert (refused.status, refused.code) == (503, "no_model")
        assert "Not ready" in live.ask("GET", "/").body.decode()
        assert live.ask("GET", "/livez").status == 200
        live.until(lambda state: "no model registry" in (state["error"] or ""))
        registry = Registry(settings)
        live.until(lambda state: "alias production" in (state["error"] or ""))
        registry.add(4)
        registry.promote(4)
        live.until(lambda state: state["ready"])
        assert live.predict(PICTURE).json()["model"]["version"] == 4


def test_exif_orientation_is_applied(shared: Live) -> None:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # shown rotated by a quarter
    Image.fromarray(scene(100, 80)).save(out, "JPEG", exif=exif)
    found = shared.predict(out.getvalue(), "image/jpeg").json()
    assert (found["width"], found["height"]) == (80, 100)
