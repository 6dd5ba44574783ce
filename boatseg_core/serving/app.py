"""The HTTP application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

import boatseg_core
from boatseg_core.errors import BoatsegError
from boatseg_core.serving import page
from boatseg_core.serving.answers import PredictResponse
from boatseg_core.serving.body import PredictRequest, read_body
from boatseg_core.serving.errors import ErrorBody, Refusal, error_response
from boatseg_core.serving.service import Arrival, Service

if TYPE_CHECKING:
    from boatseg_core.config import Settings

log = logging.getLogger(__name__)

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_DOCS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": _BINARY,
            "application/octet-stream": _BINARY,
            "application/json": {"schema": PredictRequest.model_json_schema()},
        },
    },
    "parameters": [
        {
            "name": "mask",
            "in": "query",
            "description": "Answer with a mask picture, too.",
            "schema": {"type": "boolean", "default": False},
        }
    ],
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody} for status in (400, 408, 413, 415, 422, 500, 503)
}


def create_app(settings: Settings) -> FastAPI:
    """Build the application; its threads run from start-up to shutdown.

    Args:
        settings: The settings.
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="boatseg",
        version=boatseg_core.__version__,
        description="Finds objects in pictures with the registered model in production.",
        lifespan=lifespan,
        docs_url=None,  # both pages would load their scripts from a CDN
        redoc_url=None,
    )
    app.state.service = service
    _handle_errors(app, service)

    @app.post("/predict", response_model=PredictResponse, responses=_ERRORS, openapi_extra=_DOCS)
    async def predict(request: Request) -> Response:
        """Find the objects in one picture."""
        arrival = Arrival.now()
        try:
            with service.place():
                body = await read_body(request, settings.serve.max_body_bytes)
                content = await service.predict(body, arrival)
        except Refusal as refusal:
            service.telemetry.count(refusal.status)
            return refusal.response(arrival.request_id)
        except BoatsegError as error:
            log.error("request %s failed: %s", arrival.request_id, error)
            service.telemetry.count(500)
            return error_response(500, "model_failed", str(error), None, arrival.request_id)
        service.telemetry.count(200)
        return Response(
            content, media_type="application/json", headers={"x-request-id": arrival.request_id}
        )

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """Whether a model is loaded, which one, and what is wrong if anything is."""
        watcher = service.watcher
        current, error = watcher.current, watcher.error
        content: dict[str, Any] = {"ready": current is not None, "error": error or None}
        if current is not None:
            content["model"] = {
                "name": current.ref.name,
                "version": current.ref.version,
                "loaded_at": current.at.isoformat(),
                "gold_version": current.predictor.spec.gold_version,
                "providers": current.predictor.session.providers,
            }
        return JSONResponse(content, 200 if current is not None else 503)

    @app.get("/livez")
    async def livez() -> dict[str, bool]:
        """Whether the process answers at all."""
        return {"live": True}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        """Counters for Prometheus."""
        return PlainTextResponse(
            service.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def index(request: Request) -> HTMLResponse:
        watcher = service.watcher
        return HTMLResponse(
            page.render(watcher.current, watcher.error, str(request.base_url)),
            headers={"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"},
        )

    return app


def _handle_errors(app: FastAPI, service: Service) -> None:
    """Answer everything that goes wrong in the one shape, and never with a traceback."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        path = request.url.path[:80]
        allowed = Headers(error.headers or {}).get("allow", "another method")
        known = {
            404: ("not_found", f"there is nothing at {path}: POST a picture to /predict"),
            405: ("method_not_allowed", f"{path} does not answer {request.method}: use {allowed}"),
        }
        code, message = known.get(error.status_code, ("http_error", str(error.detail)))
        headers = dict(error.headers) if error.headers else None
        return error_response(error.status_code, code, message, headers)

    @app.exception_handler(Exception)
    async def bug(request: Request, _: Exception) -> JSONResponse:
        # Starlette raises it again behind this answer, so that it is logged with its traceback.
        if request.url.path == "/predict":
            service.telemetry.count(500)
        return error_response(
            500, "internal", "the service failed; its log says why, this answer does not"
        )
