"""boatseg: an open lakehouse for image segmentation (the part that knows no orchestrator)."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boatseg_core.notebook import open_home

try:
    __version__ = version("boatseg")
except PackageNotFoundError:  # a source tree on sys.path that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__", "open_home"]


def __getattr__(name: str) -> Any:
    # Importing the package costs nothing; what it hands out is imported when it is asked for.
    if name == "open_home":
        from boatseg_core.notebook import open_home

        return open_home
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
