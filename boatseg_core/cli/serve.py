"""``boatseg serve``: predictions over HTTP."""

from __future__ import annotations

import logging

import click

from boatseg_core.cli.options import current_settings, home_option


@click.command()
@click.option("--host", help="Address to listen on; by default serve.host, which is loopback.")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port; by default serve.port.")
@home_option
def serve(host: str | None, port: int | None) -> None:
    """Answer predictions over HTTP with the model in production, until interrupted.

    A version that is promoted meanwhile is picked up without a restart.
    """
    from boatseg_core.serving.server import serve as run

    given = {"host": host, "port": port}
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = current_settings(**({"serve": chosen} if chosen else {}))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s:     %(message)s")
    run(settings)
