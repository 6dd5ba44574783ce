"""From an HTTP request to the bytes of a picture, trusting nothing."""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect

from boatseg_core.serving.errors import Refusal

# A client that sends more slowly gives its place in the queue to others.
BODY_SECONDS = 30.0

ACCEPTED = (
    "send the picture's bytes as image/jpeg, image/png, another image type or "
    'application/octet-stream, or JSON {"image": "<base64>"} as application/json'
)


class PredictRequest(BaseModel):
    """JSON form of a request.

    Attributes:
        image: The encoded picture (JPEG, PNG, ...) as base64.
        mask: Whether to answer with a mask picture, too.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    image: str = Field(description="The encoded picture (JPEG, PNG, ...) as base64.", min_length=1)
    mask: bool = Field(default=False, description="Answer with a mask picture (1-bit PNG), too.")


@dataclass(frozen=True)
class Body:
    """A request's body as it arrived.

    Attributes:
        data: The bytes.
        is_json: Whether they are JSON rather than a picture.
        mask: Whether the query asked for a mask picture.
    """

    data: bytes
    is_json: bool
    mask: bool


async def read_body(request: Request, max_bytes: int) -> Body:
    """Read a body, refusing it as soon as it is known to be no good.

    Raises:
        Refusal: Of another content type, compressed, too large, too slow or empty.
    """
    is_json = _is_json(request.headers.get("content-type", ""))
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise Refusal(
            415, "content_encoding", f"a body compressed with {encoding[:40]} is not accepted"
        )
    mask = _flag(request.query_params.get("mask", "false"))
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            data = await _read(request, max_bytes)
    except TimeoutError:
        raise Refusal(
            408, "body_too_slow", f"the body did not arrive within {BODY_SECONDS:.0f} s"
        ) from None
    except ClientDisconnect:
        raise Refusal(400, "disconnected", "the connection closed before the body ended") from None
    if not data:
        raise Refusal(400, "empty", f"the request has no body: {ACCEPTED}")
    return Body(data, is_json, mask)


def picture_of(body: Body) -> tuple[bytes, bool]:
    """Take the picture out of a body.

    Returns:
        The encoded picture, and whether a mask picture is wanted.

    Raises:
        Refusal: The JSON is not valid, has other fields, or the image is not base64.
    """
    if not body.is_json:
        return body.data, body.mask
    try:
        asked = PredictRequest.model_validate_json(body.data)
    except ValidationError as error:
        # The input is left out of the message: it may be megabytes of somebody's picture.
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise Refusal(400, "invalid_json", f"the body is not JSON: {first['msg']}") from None
        where = ".".join(str(part) for part in first["loc"])[:80] or "body"
        raise Refusal(422, "invalid_request", f"{where}: {first['msg']}") from None
    try:
        return base64.b64decode(asked.image, validate=True), asked.mask or body.mask
    except (binascii.Error, ValueError) as error:
        raise Refusal(422, "invalid_base64", f"image is not base64: {error}") from None


def _is_json(content_type: str) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/json":
        return True
    if media.startswith("image/") or media == "application/octet-stream":
        return False
    what = f"content type {media[:80]}" if media else "a body without a content type"
    raise Refusal(415, "content_type", f"{what} is not accepted: {ACCEPTED}")


def _flag(value: str) -> bool:
    known = {
        "1": True,
        "true": True,
        "yes": True,
        "": True,
        "0": False,
        "false": False,
        "no": False,
    }
    try:
        return known[value.lower()]
    except KeyError:
        raise Refusal(
            422, "invalid_request", "the query's mask is neither true nor false"
        ) from None


async def _read(request: Request, max_bytes: int) -> bytes:
    chunks = bytearray()
    async for chunk in request.stream():
        if len(chunks) + len(chunk) > max_bytes:
            raise _too_large(max_bytes)
        chunks += chunk
    return bytes(chunks)


def _too_large(max_bytes: int) -> Refusal:
    # What the client is still sending is not read, so the connection cannot be used again.
    return Refusal(
        413,
        "body_too_large",
        f"the body has more than the {max_bytes} bytes of serve.max_body_bytes",
        {"connection": "close"},
    )
