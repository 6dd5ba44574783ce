"""Synthetic aerial sea scenes with boats, in the layout of the real data set.

:func:`write_dataset` writes files; :func:`render_windows` gives arrays. Numpy and Pillow only.
"""

from __future__ import annotations

from boatseg_core.synth.scene import render_scene, render_windows
from boatseg_core.synth.windows import Instance, Scene, Window
from boatseg_core.synth.writer import (
    CSV_NAME,
    DatasetSummary,
    generator_digest,
    image_name,
    write_dataset,
)

__all__ = [
    "CSV_NAME",
    "DatasetSummary",
    "Instance",
    "Scene",
    "Window",
    "generator_digest",
    "image_name",
    "render_scene",
    "render_windows",
    "write_dataset",
]
