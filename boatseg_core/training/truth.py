"""The true objects of an image of gold, told apart.

Gold's mask is one picture, in which boats that touch are one region; scored so, a model that tells
them apart would be punished. Gold therefore keeps the run lengths of each object as well, and they
are the truth wherever the mask's regions are not the objects that were labelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from boatseg_core.errors import LakeError, RleError
from boatseg_core.imaging import rle
from boatseg_core.imaging.components import find, paint

if TYPE_CHECKING:
    from boatseg_core.dataset import GoldDataset, Sample

Labels = npt.NDArray[np.int32]

# IoU of the objects together with the mask. A lossless mask has 1; one kept as JPEG loses edges.
_ALIKE = 0.8


class TrueObjects:
    """Separates the objects of the images of one split.

    Attributes:
        merged: Images seen whose objects could not be told apart, because their batch was built
            before gold kept run lengths; the mask's regions count instead.
    """

    def __init__(self, gold: GoldDataset, split: str) -> None:
        self.merged = 0
        rows = gold.lake.scan("gold_dataset", gold.version).filter(
            pl.col("split") == split, pl.col("boat_count") > 0
        )
        self._rles: dict[str, list[str] | None] = dict(
            rows.select("image_id", "boat_rles").collect().iter_rows()
        )

    def layers(self, sample: Sample) -> list[Labels]:
        """Number the objects of an image.

        Returns:
            int32 ``[H, W]`` each, as :func:`boatseg_core.metrics.objects.overlap` takes them.

        Raises:
            LakeError: The run lengths of the image do not give its mask.
        """
        runs = find(sample.mask)
        areas = np.bincount(runs.region, weights=runs.length, minlength=runs.regions)
        regions = [paint(runs, sample.mask.shape)]
        if sorted(areas.astype(np.int64).tolist()) == sorted(sample.boat_areas):
            return regions
        texts = self._rles.get(sample.image_id)
        if texts is None:
            self.merged += runs.regions < sample.boat_count
            return regions
        layers = _paint(texts, sample.mask)
        if layers is None:
            raise LakeError(
                f"gold image {sample.image_id}: the run lengths of its objects do not give its "
                "mask; materialize rasterized_masks and gold_dataset for its batch again"
            )
        return layers


def _paint(texts: Sequence[str], mask: npt.NDArray[np.bool_]) -> list[Labels] | None:
    """Paint objects into as few layers as they need; None unless they are those of the mask."""
    layers: list[Labels] = []
    together = np.zeros(mask.shape, np.bool_)
    for text in texts:
        try:
            one = rle.decode(text, *mask.shape)
        except RleError:
            return None
        together |= one
        for layer in layers:
            if not layer[one].any():
                layer[one] = layer.max() + 1
                break
        else:
            layers.append(one.astype(np.int32))
    alike = np.count_nonzero(together & mask) >= _ALIKE * np.count_nonzero(together | mask)
    return layers if alike else None
