"""boatseg: an open lakehouse for image segmentation (the part that knows no orchestrator)."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("boatseg")
except PackageNotFoundError:  # a source tree on sys.path that was never installed
    __version__ = "0+unknown"
