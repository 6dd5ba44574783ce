"""A stand-in for Kaggle: its API and its file store, small enough to misbehave on request."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER, KEY, TOKEN = "somebody", "key-0123456789-secret", "token-9876543210-secret"
SIGNATURE = "signature-5555-secret"


def packed(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


class Site:
    """What the site does; change it between requests.

    Attributes:
        url: Address.
        archive: The competition's archive.
        rules_accepted: Whether this account may have it.
        break_after: Close the connection after so many bytes, for each download to come.
        broken: Answer with this status, for each question to come.
        ranges: The parts of the archive that were asked for.
    """

    def __init__(self, archive: bytes) -> None:
        self.url = ""
        self.archive = archive
        self.rules_accepted = True
        self.break_after: list[int] = []
        self.broken: list[int] = []
        self.ranges: list[str] = []

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.archive).hexdigest()[:16]}"'


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            basic = base64.b64encode(f"{USER}:{KEY}".encode()).decode()
            allowed = self.headers.get("Authorization") in (f"Basic {basic}", f"Bearer {TOKEN}")
            if site.broken:
                self._say(site.broken.pop(0), "not now")
            elif not self.path.endswith("/v1/competitions.CompetitionApiService/DownloadDataFiles"):
                self._say(500, f"who asks for {self.path}?")
            elif not allowed:
                self._say(401, "Unauthenticated")
            elif body.get("competitionName") != "airbus-ship-detection":
                self._say(404, "Not found")
            elif not site.rules_accepted:
                self._say(403, "You must accept this competition's rules before you continue")
            else:
                self.send_response(302)
                self.send_header("Location", f"{site.url}/store/bundle.zip?signed={SIGNATURE}")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def do_GET(self) -> None:
            data, start = site.archive, 0
            wanted = self.headers.get("Range", "")
            site.ranges.append(wanted)
            if wanted and self.headers.get("If-Range") == site.etag:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            else:
                self.send_response(200)
            self.send_header("Content-Type", "application/zip")
            self.send_header("Content-Length", str(len(data) - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", site.etag)
            self.end_headers()
            if site.break_after:
                self.wfile.write(data[start : start + site.break_after.pop(0)])
                self.wfile.flush()
                self.close_connection = True
                return
            self.wfile.write(data[start:])

        def _say(self, status: int, message: str) -> None:
            text = json.dumps({"code": status, "message": message}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
