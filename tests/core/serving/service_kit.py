"""A service on a free port and a registry of plain SQL rows, so that its tests need no mlflow.

That the rows look as mlflow writes them is what tests/core/registry/test_lookup.py makes sure of.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from tiny_model import write_model

from boatseg_core.config import Settings, load_settings
from boatseg_core.serving.app import create_app
from boatseg_core.serving.server import listen

_TABLES = """
create table model_versions (name text, version integer, current_stage text, source text,
  storage_location text);
create table registered_model_aliases (name text, alias text, version integer);
create table logged_models (model_id text, artifact_location text);
"""


class Registry:
    """Versions and aliases of the model ``boatseg``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.paths.create()
        self._run(_TABLES.strip().split(";\n"))

    def add(self, version: int, **fields: Any) -> Path:
        location = self.settings.paths.mlflow_artifacts / f"m-{version}"
        write_model(location / "artifacts" / "boatseg", **fields)
        self._run(
            [
                "insert into model_versions values "
                f"('boatseg', {version}, 'None', 'models:/m-{version}', '{location.as_uri()}')"
            ]
        )
        return location / "artifacts" / "boatseg"

    def promote(self, version: int) -> None:
        self._run(
            [
                "delete from registered_model_aliases where alias = 'production'",
                f"insert into registered_model_aliases values ('boatseg', 'production', {version})",
            ]
        )

    def _run(self, statements: list[str]) -> None:
        with closing(sqlite3.connect(self.settings.paths.mlflow_db)) as db, db:
            for statement in statements:
                db.execute(statement)


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Code of an error, whose shape is checked."""
        content = self.json()
        assert set(content) == {"error"}
        assert set(content["error"]) == {"code", "message"}
        assert content["error"]["message"]
        assert "Traceback" not in content["error"]["message"]
        return str(content["error"]["code"])


@dataclass
class Live:
    """A running service."""

    port: int
    app: Any
    stop: Callable[[], None] = field(repr=False)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, fields, answer.read())

    def predict(self, body: bytes, kind: str = "image/png", query: str = "") -> Answer:
        return self.ask("POST", f"/predict{query}", body, {"Content-Type": kind})

    def until(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 20) -> Any:
        """Wait until /readyz says something."""
        end = time.monotonic() + seconds
        while True:
            state = self.ask("GET", "/readyz").json()
            if condition(state):
                return state
            assert time.monotonic() < end, state
            time.sleep(0.02)


@contextmanager
def running(settings: Settings) -> Iterator[Live]:
    """Run the service in a thread on a free loopback port."""
    with listen("127.0.0.1", 0) as listener:
        app = create_app(settings)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()

        try:
            yield Live(listener.getsockname()[1], app, stop)
        finally:
            stop()


def settings_at(home: Path) -> Settings:
    return load_settings(
        home=home,
        serve={"refresh_seconds": 0.05, "max_body_bytes": 300_000},
        predict={"threads": 1},
    )
