"""Honest numbers about masks; numpy only."""

from boatseg_core.metrics.iou import IouAccumulator, iou, pixel_counts, selection_score

__all__ = ["IouAccumulator", "iou", "pixel_counts", "selection_score"]
