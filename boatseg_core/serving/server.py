"""Runs the application."""

from __future__ import annotations

import contextlib
import copy
import ipaddress
import logging
import socket
from typing import TYPE_CHECKING, Any

import uvicorn

from boatseg_core.errors import ConfigError
from boatseg_core.serving.app import create_app

if TYPE_CHECKING:
    from boatseg_core.config import Settings

log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serve until interrupted; requests being answered are finished first.

    Raises:
        ConfigError: The address cannot be listened on.
    """
    with listen(settings.serve.host, settings.serve.port) as listener:
        config = uvicorn.Config(
            create_app(settings),
            log_config=_logging(),
            log_level="info",
            access_log=False,  # the lake's inference_log is the access log
            server_header=False,
            timeout_graceful_shutdown=30,
        )
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        log.info("listening on http://%s:%d", shown, port)
        if not is_loopback(host):
            log.warning(
                "%s can be reached from other machines, and nobody is asked who they are", shown
            )
        # Uvicorn raises the interrupt again once it has shut down in good order.
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _logging() -> dict[str, Any]:
    """Uvicorn's logging, with the house's own lines beside its."""
    config = copy.deepcopy(uvicorn.config.LOGGING_CONFIG)
    config["loggers"]["boatseg_core"] = {
        "handlers": ["default"],
        "level": "INFO",
        "propagate": False,
    }
    return config


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket.

    Args:
        host: Address or name.
        port: TCP port; 0 takes a free one.

    Raises:
        ConfigError: The name is unknown, the address not this machine's, or the port taken.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=512)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host} port {port} ({error.strerror or error}): set serve.host and "
            "serve.port to a free address of this machine"
        ) from error


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
