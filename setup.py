"""Only what pyproject.toml cannot say yet: the one module that is compiled.

It is optional. Without a C compiler the installation goes through, says so, and
``boatseg_core.imaging.sums`` computes the same numbers with NumPy, more slowly.
"""

from __future__ import annotations

import sys

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "boatseg_core.imaging._pixels",
            ["boatseg_core/imaging/_pixels.c"],
            extra_compile_args=(["/std:c11"] if sys.platform == "win32" else ["-O3", "-std=c11"]),
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
