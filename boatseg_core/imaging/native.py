"""The compiled module, where the package was installed with a C compiler at hand."""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import Final

_INTERFACE: Final = 3
"""What this code expects of it; ``csrc/module.c`` has the same number."""

pixels: ModuleType | None
try:
    from boatseg_core.imaging import _pixels as pixels
except ImportError:
    pixels = None
else:
    # One that an update of the sources left behind would be called with what it does not know.
    if getattr(pixels, "INTERFACE", None) != _INTERFACE:
        warnings.warn(
            "the compiled part of boatseg is of another version and is not used: install the "
            "package again",
            stacklevel=2,
        )
        pixels = None

NATIVE: Final = pixels is not None
"""Whether it is there; the same numbers come from NumPy, more slowly, where it is not."""
