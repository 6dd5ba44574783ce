"""Synthetic aerial sea scenes with boats, in the layout of the real data set.

:func:`write_dataset` writes files; :func:`render_windows` gives arrays. Numpy and Pillow only.
"""

from __future__ import annotations

from boatseg_core.synth.files.data_set import CSV_NAME, DatasetSummary, write_dataset
from boatseg_core.synth.files.names import generator_digest, image_name
from boatseg_core.synth.scene import render_scene, render_windows
from boatseg_core.synth.windows import Instance, Scene, Window

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
