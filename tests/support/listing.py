"""A bucket that can be listed and no more, for keys that no server at hand would store.

S3 itself takes any UTF-8 as a key; SeaweedFS keeps files, so that a key has to be a path.
"""

from __future__ import annotations

import html
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_PAGE = 10  # keys


@contextmanager
def bucket_of(keys: Sequence[str]) -> Iterator[dict[str, str]]:
    """Answer ListObjectsV2 for these keys; yields the storage options."""
    ordered = sorted(keys, key=str.encode)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {
                name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()
            }
            body = _answer(ordered, asked).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(keys: list[str], asked: dict[str, str]) -> str:
    prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
    after = asked.get("continuation-token", asked.get("start-after", ""))
    found: list[str] = []
    more = ""
    for key in keys:
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        item = key if end < 0 else key[: end + 1]
        if not key.startswith(prefix) or item.encode() <= after.encode() or item in found[-1:]:
            continue
        if len(found) == _PAGE:
            more = found[-1]
            break
        found.append(item)
    entries = "".join(
        f"<CommonPrefixes><Prefix>{html.escape(item)}</Prefix></CommonPrefixes>"
        if delimiter and item.endswith(delimiter)
        else f"<Contents><Key>{html.escape(item)}</Key><Size>1</Size><ETag>&quot;e&quot;</ETag>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for item in found
    )
    token = f"<NextContinuationToken>{html.escape(more)}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>b</Name>'
        f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
    )
