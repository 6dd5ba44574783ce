"""Measure a network on whole images of a split. Importing it is cheap; torch comes with a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from boatseg_core.dataset import GoldDataset


def evaluate(
    network: nn.Module,
    gold: GoldDataset,
    split: str,
    *,
    threshold: float,
    limit: int = 0,
    threads: int = 0,
) -> dict[str, float]:
    """Predict every image of a split at native resolution and count.

    Every pixel above the threshold counts, also in regions that the predictor drops for being
    smaller than ``predict.min_area``: the figures are the network's own.

    Args:
        network: RGB in 0..1 to logits, in evaluation mode.
        gold: The data set.
        split: Split to read.
        threshold: Probability above which a pixel belongs to an object.
        limit: Most images; 0 for all.
        threads: Decoding threads; 0 for one per core.

    Returns:
        See :meth:`boatseg_core.metrics.iou.IouAccumulator.compute`.
    """
    import math

    import torch

    from boatseg_core.metrics.iou import IouAccumulator
    from boatseg_core.training.data import WholeImages
    from boatseg_core.training.model import pixel_counts, prepare

    cut = math.log(threshold / (1 - threshold))
    device = next(network.parameters()).device
    counts = []
    with torch.inference_mode():
        for batch in WholeImages(gold, split, limit=limit, threads=threads):
            on_device = batch.to(device)
            logits = network(prepare(on_device.images))
            for index, (height, width) in enumerate(batch.sizes):
                part = (slice(index, index + 1), slice(None), slice(height), slice(width))
                counts.append(pixel_counts(logits[part], on_device.masks[part], cut))
    accumulator = IouAccumulator()
    if counts:
        accumulator.update_counts(*torch.cat(counts).cpu().numpy().T)
    return accumulator.compute()
