"""Refusals: the one shape every failed request is answered with."""

from __future__ import annotations

from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel

from boatseg_core.errors import ImageError

# Reasons of an ImageError that are not the 422 of an unreadable picture.
_STATUS = {"empty": 400, "too_many_pixels": 413}


class ErrorDetail(BaseModel):
    """What went wrong: ``code`` for programs, ``message`` for people."""

    code: str
    message: str


class ErrorBody(BaseModel):
    """Body of every answer that is not a success."""

    error: ErrorDetail


class Refusal(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        code: Short machine-readable reason.
        message: One sentence for people.
        headers: More headers of the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers

    @classmethod
    def of_image(cls, error: ImageError) -> Refusal:
        """Refuse a picture that cannot be read."""
        return cls(_STATUS.get(error.reason, 422), error.reason, str(error))

    def response(self, request_id: str = "") -> JSONResponse:
        """Answer with it."""
        return error_response(self.status, self.code, self.message, self.headers, request_id)


def error_response(
    status: int,
    code: str,
    message: str,
    headers: dict[str, str] | None = None,
    request_id: str = "",
) -> JSONResponse:
    """Build the answer to a failed request."""
    content: dict[str, Any] = {"error": {"code": code, "message": message}}
    extra = {"x-request-id": request_id} if request_id else {}
    return JSONResponse(content, status, headers={**(headers or {}), **extra})
