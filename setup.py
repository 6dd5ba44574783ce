"""Only what pyproject.toml cannot say yet: the one module that is compiled.

It is optional. Without a C compiler the installation goes through, says so, and
``boatseg_core.imaging`` computes the same numbers with NumPy and Pillow, more slowly.
"""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, setup

C = Path("boatseg_core/imaging/csrc")
# How vectors are passed between functions is of no matter: those that take any are inlined.
UNIX = ["-O3", "-std=c11", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi"]

setup(
    ext_modules=[
        Extension(
            "boatseg_core.imaging._pixels",
            sorted(path.as_posix() for path in C.glob("*.c")),
            depends=sorted(path.as_posix() for path in C.glob("*.h")),
            extra_compile_args=["/std:c11"] if sys.platform == "win32" else UNIX,
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
