"""Keeps the model in production loaded, and swaps it when another is promoted."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from boatseg_core.errors import BoatsegError
from boatseg_core.inference.options import predictor_options
from boatseg_core.inference.predictor import Predictor
from boatseg_core.registry.lookup import PRODUCTION, ModelRef, resolve

if TYPE_CHECKING:
    from boatseg_core.config import Settings

log = logging.getLogger(__name__)

# Side of the first picture a new model sees, in pixels, before any request does.
_WARM_UP_SIDE = 768
# A version that cannot be loaded is tried again at growing intervals, up to this many seconds.
_MAX_BACK_OFF = 60.0


@dataclass(frozen=True)
class Loaded:
    """A model ready to answer.

    Attributes:
        ref: Name, version and files.
        predictor: The predictor, warmed up.
        at: When it was loaded.
    """

    ref: ModelRef
    predictor: Predictor
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


class Watcher:
    """Looks for the version in production from a thread of its own.

    A request takes :attr:`current` once and keeps it until it is answered; the swap is a single
    assignment, so no request ever waits for one or sees half of it. A new version is loaded and
    warmed up before it is swapped in, and when that fails the old one stays.

    Attributes:
        current: The model in force; None before the first was loaded.
        error: Why the newest look or load failed; empty while all is well.
        failures: Failed loads since the start.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.current: Loaded | None = None
        self.error = "no model was looked for yet"
        self.failures = 0
        self._failed: ModelRef | None = None
        self._in_row = 0
        self._again_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="boatseg-watcher", daemon=True)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; returns when the thread has ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Look once, and load what is new."""
        try:
            ref = resolve(self.settings, PRODUCTION)
        except BoatsegError as error:
            self._say(str(error))
            return
        if self.current is not None and self.current.ref == ref:
            self._failed, self.error = None, ""
            return
        if ref == self._failed and time.monotonic() < self._again_at:
            return
        try:
            options = predictor_options(self.settings)
            # A caller waits for the answer, and others behind it: smaller than for batches.
            options["max_pixels"] = min(options["max_pixels"], self.settings.serve.max_pixels)
            predictor = Predictor.load(ref.folder, **options)
            predictor.warm_up(_WARM_UP_SIDE)
        except Exception as error:  # whatever it is, the old model goes on and this is reported
            self._note_failure(ref, error)
            return
        self.current = Loaded(ref, predictor)
        self._failed, self.error = None, ""
        log.info("serving %s version %d", ref.name, ref.version)

    def _note_failure(self, ref: ModelRef, error: Exception) -> None:
        self.failures += 1
        self._in_row = self._in_row + 1 if ref == self._failed else 1
        self._failed = ref
        wait = min(_MAX_BACK_OFF, self.settings.serve.refresh_seconds * 2**self._in_row)
        self._again_at = time.monotonic() + wait
        if isinstance(error, BoatsegError):
            self._say(f"version {ref.version} cannot be loaded: {error}")
        else:
            log.exception("version %d cannot be loaded", ref.version)
            self.error = f"version {ref.version} cannot be loaded ({type(error).__name__})"

    def _say(self, message: str) -> None:
        if message != self.error:  # not the same line every few seconds, all night
            log.warning("%s", message)
        self.error = message

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception:  # the thread has to outlive anything
                log.exception("looking for a model failed")
                self.error = "looking for a model failed; the service's log says why"
            self._stop.wait(self.settings.serve.refresh_seconds)
