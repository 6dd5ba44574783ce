"""The hub that weights of encoders come from, asked in seconds whether it is there at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_PATIENCE: Final = 5.0  # s; to find, reach and hear from the hub


@contextmanager
def hub_within_reach() -> Iterator[str]:
    """Let the model hub be asked inside the block, unless it is out of reach.

    Left to itself, its client tries six times and waits 23 s in all for each file, and longer
    where a firewall says nothing. Asked once before, it is known not to be there: inside the block
    the client then takes what it has from earlier and looks for nothing else.

    Yields:
        Why the hub is out of reach, be it that the environment says so (``HF_HUB_OFFLINE``); empty
        where it answered.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        yield "HF_HUB_OFFLINE is set"
        return
    reason = _ask(constants.ENDPOINT)
    constants.HF_HUB_OFFLINE = bool(reason)
    try:
        yield reason
    finally:
        constants.HF_HUB_OFFLINE = False


def _ask(address: str) -> str:
    """Ask for the hub's front page: whatever it answers, it is there."""
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    outcome = [f"no answer from {address} within {_PATIENCE:g} s"]

    def ask() -> None:
        try:
            get_session().head(address, timeout=_PATIENCE)
        except Exception as error:  # the errors of its client, which is another in each version
            words = " ".join(str(error).split()) or type(error).__name__
            outcome[0] = f"{address}: {words}"
        else:
            outcome[0] = ""

    # Of its own, since looking up a name takes no notice of the time it is given.
    thread = threading.Thread(target=ask, name="boatseg-hub", daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return outcome[0]
