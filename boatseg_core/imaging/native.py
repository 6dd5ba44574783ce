"""The compiled module, where the package was installed with a C compiler at hand."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType
from typing import Final

_INTERFACE: Final = 3
"""What this code expects of it; ``csrc/module.c`` has the same number."""


def _loaded() -> ModuleType | None:
    """Load the module, or warn that there is none: nothing else would tell why reading is slow."""
    try:
        found = importlib.import_module("boatseg_core.imaging._pixels")
    except ModuleNotFoundError:
        trouble = "was not compiled when it was installed"
    except ImportError as error:  # built for another processor, or another C library
        trouble = f"cannot be loaded ({error})"
    else:
        if getattr(found, "INTERFACE", None) == _INTERFACE:
            return found
        # One that an update of the sources left behind would be called with what it does not know.
        trouble = "is of another version"
    from multiprocessing import parent_process

    if parent_process() is None:  # or every worker would say it again
        warnings.warn(
            f"boatseg reads images without its compiled part, which {trouble}: the results are the "
            "same, but it takes longer. With a C compiler at hand, install the package again",
            RuntimeWarning,
            stacklevel=3,
        )
    return None


pixels: ModuleType | None = _loaded()

NATIVE: Final = pixels is not None
"""Whether it is there; the same numbers come from NumPy, more slowly, where it is not."""
