"""An MLflow server, asked with nothing but the standard library."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from boatseg_core.errors import RegistryError
from boatseg_core.inference.spec import MODEL_FILE, SPEC_FILE
from boatseg_core.registry.lookup import MODEL_FOLDER, local_path

_WITHIN = f"artifacts/{MODEL_FOLDER}"
_TIMEOUT = 30.0
_ABSENT = "RESOURCE_DOES_NOT_EXIST"


class RestStore:
    """An MLflow server's registry; see :class:`boatseg_core.registry.lookup.Store`.

    Credentials are taken as mlflow takes them: from the URI, ``MLFLOW_TRACKING_USERNAME`` and
    ``MLFLOW_TRACKING_PASSWORD``, or ``MLFLOW_TRACKING_TOKEN``.

    Args:
        uri: ``http(s)://host[:port][/prefix]``.
    """

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        host = parts.netloc.rpartition("@")[2]
        self.base = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self._headers = _credentials(parts.username, parts.password)

    def aliased(self, name: str, alias: str) -> int | None:
        """See :class:`boatseg_core.registry.lookup.Store`."""
        answer = self._get("mlflow/registered-models/alias", name=name, alias=alias)
        return None if answer is None else int(self._dig(answer, "model_version", "version"))

    def location(self, name: str, version: int) -> str | None:
        """See :class:`boatseg_core.registry.lookup.Store`."""
        answer = self._get("mlflow/model-versions/get-download-uri", name=name, version=version)
        if answer is None:
            return None
        location = self._dig(answer, "artifact_uri")
        if location.startswith("models:/m-"):
            model_id = location.removeprefix("models:/")
            answer = self._get(f"mlflow/logged-models/{model_id}")
            return None if answer is None else self._dig(answer, "model", "info", "artifact_uri")
        return location

    def local(self, location: str, target: Path) -> Path:
        """See :class:`boatseg_core.registry.lookup.Store`; files come through the server."""
        here = local_path(location)
        if here is not None and here.is_dir():  # a server on this very machine
            return here / _WITHIN
        if not target.is_dir():
            self._fetch(location, target)
        return target

    def _fetch(self, location: str, target: Path) -> None:
        parts = urlsplit(location)
        if parts.scheme != "mlflow-artifacts":
            raise RegistryError(
                f"the model's files are at {location}, which the service cannot fetch: start the "
                "MLflow server with --serve-artifacts and --artifacts-destination"
            )
        folder = f"{parts.path.strip('/')}/{_WITHIN}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as work:
            for file in (MODEL_FILE, SPEC_FILE):
                url = self._url(f"mlflow-artifacts/artifacts/{quote(f'{folder}/{file}')}")
                with self._open(url) as answer, (Path(work) / file).open("wb") as out:
                    shutil.copyfileobj(answer, out)
            complete = Path(work) / "complete"
            complete.mkdir()
            for file in (MODEL_FILE, SPEC_FILE):
                (Path(work) / file).rename(complete / file)
            try:
                complete.rename(target)
            except OSError:
                if not target.is_dir():  # else another process was faster
                    raise

    def _get(self, path: str, **query: object) -> dict[str, Any] | None:
        """Ask for JSON; None where the server knows no such thing."""
        url = self._url(path) + (f"?{urlencode(query)}" if query else "")
        try:
            with self._open(url) as answer:
                body = json.load(answer)
        except _AbsentError:
            return None
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise self._stranger()
        return body

    def _dig(self, answer: Any, *path: str) -> str:
        for name in path:
            answer = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(answer, str | int):
            raise self._stranger()
        return str(answer)

    def _stranger(self) -> RegistryError:
        return RegistryError(
            f"{self.base} does not answer as an MLflow server: check registry.tracking_uri"
        )

    def _url(self, path: str) -> str:
        return f"{self.base}/api/2.0/{path}"

    def _open(self, url: str) -> IO[bytes]:
        try:
            # The scheme was checked to be http(s) where the store was chosen.
            answer: IO[bytes] = urlopen(Request(url, headers=self._headers), timeout=_TIMEOUT)
            return answer
        except HTTPError as error:
            with error:
                code = _error_code(error.read(4096))
            if error.code == 404 and code == _ABSENT:
                raise _AbsentError(f"{url} is not there") from error
            raise RegistryError(
                f"the MLflow server {self.base} answered {error.code} {code or error.reason} "
                f"to {urlsplit(url).path}"
            ) from error
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise RegistryError(
                f"the MLflow server {self.base} cannot be reached: {reason}"
            ) from error


class _AbsentError(RegistryError):
    """The server knows no such thing."""


def _error_code(body: bytes) -> str:
    try:
        parsed = json.loads(body)
    except ValueError:
        return ""
    return str(parsed.get("error_code", "")) if isinstance(parsed, dict) else ""


def _credentials(user: str | None, password: str | None) -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    user = user or os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = password or os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
        return {"Authorization": f"Basic {pair}"}
    return {"Authorization": f"Bearer {token}"} if token else {}
