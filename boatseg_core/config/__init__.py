"""One settings object for everything: see :class:`Settings`."""

from boatseg_core.config.home import Home
from boatseg_core.config.settings import Settings, load_settings

__all__ = ["Home", "Settings", "load_settings"]
