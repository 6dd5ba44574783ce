"""The compiled module, where the package was installed with a C compiler at hand."""

from __future__ import annotations

from types import ModuleType
from typing import Final

pixels: ModuleType | None
try:
    from boatseg_core.imaging import _pixels as pixels
except ImportError:
    pixels = None

NATIVE: Final = pixels is not None
"""Whether it is there; the same numbers come from NumPy, more slowly, where it is not."""
