"""Evaluate a model on a split of gold, as it will be used: through the predictor.

Every image goes through the graph once; thresholds, calibration and objects all come from those
logits. Memory holds one image, some hundred bytes of figures an image, and the few pictures that
the report shows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl

from boatseg_core.errors import InputError, LakeError
from boatseg_core.metrics.scorecard import Scorecard
from boatseg_core.registry.gate import COMPARED
from boatseg_core.training.gather import Example, Gathered
from boatseg_core.training.truth import TrueObjects

if TYPE_CHECKING:
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.inference.predictor import Predictor

OnImage: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        facts: Everything, ready for JSON: ``model``, ``data``, ``method``, ``headlines``,
            ``sizes``, ``conditions``, ``object_curve``, ``pixel_curve``, ``calibration``,
            ``seconds``.
        examples: Pictures by kind: ``worst``, ``false alarms``, ``best``.
        metrics: The main figures, flat: those of
            :meth:`boatseg_core.metrics.iou.IouAccumulator.compute`, ``f2`` with ``floor_f2``, the
            ends of the intervals (``_low``, ``_high``) of the numbers that the gate compares, and
            ``object_ece``, the calibration error of the scores; NaN over nothing.
        images: One row an image: ``image_id`` and the figures of
            :meth:`boatseg_core.metrics.scorecard.Scorecard.images`.
    """

    facts: dict[str, Any]
    examples: dict[str, list[Example]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    images: pl.DataFrame = field(default_factory=pl.DataFrame)


def evaluate(
    predictor: Predictor,
    gold: GoldDataset,
    split: str,
    *,
    limit: int = 0,
    threads: int = 0,
    draws: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    on_image: OnImage | None = None,
) -> Evaluation:
    """Predict every image of a split and say how good that is.

    Args:
        predictor: The model, with its threshold, smallest area and splitting.
        gold: A pinned version of the data set.
        split: ``train``, ``valid``, ``test`` or ``excluded``.
        limit: Most images, a seeded choice that keeps the share of images with objects; 0 for all.
        threads: Decoding threads; 0 for one per core.
        draws: Resamples of the bootstrap over groups.
        confidence: Of the intervals.
        seed: Of the choice and of the bootstrap.
        on_image: Called after each image with the number done and of all.

    Raises:
        InputError: The split is empty.
        ImageError: An image of gold no longer decodes; the message names it.
        RegistryError: The model itself fails.
    """
    started = time.monotonic()
    index = gold.index(split)
    if index.is_empty():
        raise InputError(_empty(gold, split))
    total = min(limit, index.height) if limit else index.height
    gathered = Gathered(predictor, TrueObjects(gold, split))
    samples = gold.samples(split, limit=limit, threads=threads, seed=seed)
    for done, sample in enumerate(samples, start=1):
        gathered.add(sample)
        if on_image is not None:
            on_image(done, total)
    card = gathered.card
    bootstrap: dict[str, Any] = {"draws": draws, "confidence": confidence, "seed": seed}
    found, headlines = card.images(), card.headlines(**bootstrap)
    scores = gathered.scores.compute()
    facts = {
        "model": _model(predictor),
        "data": {
            "gold_version": gold.version,
            "split": split,
            "images": len(card.image_ids),
            "boat_images": int((found["true"] > 0).sum()),
            "objects": int(found["true"].sum()),
            "groups": len(set(card.groups)),
            "limited": bool(limit) and limit < index.height,
            "merged_truth": gathered.truth.merged,
            "seen_in_training": _seen(predictor, gold, card.image_ids),
        },
        "method": {
            **bootstrap,
            "interval": "BCa bootstrap over groups of images that show the same place",
        },
        "headlines": _headlines(headlines),
        "sizes": card.sizes.compute(),
        "conditions": [
            {
                "condition": condition.name,
                "edges": list(condition.edges),
                "levels": [
                    {"level": level, "images": images, "headlines": _headlines(numbers)}
                    for level, images, numbers in levels
                ],
            }
            for condition, levels in card.by_condition(_measured(gold, index, card), **bootstrap)
        ],
        "object_curve": gathered.objects.compute(),
        "pixel_curve": gathered.pixels.thresholds(),
        "calibration": {
            "pixels": gathered.pixels.calibration(),
            "objects": scores,
            "objects_mean_probability": gathered.means.compute(),
        },
        "seconds": time.monotonic() - started,
    }
    metrics = gathered.iou.compute() | {
        "f2": float(found["f2"].mean()),
        "floor_f2": float((found["true"] == 0).mean()),
        "object_ece": float("nan") if scores["ece"] is None else scores["ece"],
    }
    for name in COMPARED:
        interval = headlines[name].interval
        metrics |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    examples = {name: kept.best() for name, kept in gathered.kept.items()}
    images = pl.DataFrame({"image_id": card.image_ids, **found})
    return Evaluation(facts, examples, metrics, images)


def _model(predictor: Predictor) -> dict[str, Any]:
    spec, fitted = predictor.spec, predictor.spec.score_calibration
    return {
        "class_name": spec.class_name,
        "architecture": spec.architecture,
        "encoder": spec.encoder,
        "onnx_sha256": spec.onnx_sha256,
        "gold_version": spec.gold_version,
        "threshold": predictor.threshold,
        "min_area": predictor.min_area,
        "split_neck": predictor.split_neck,
        "score_calibration": None if fitted is None else fitted.model_dump(),
    }


def _headlines(numbers: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {
            **one.interval.as_dict(),
            "floor": one.floor if np.isfinite(one.floor) else None,
            "gain": None if one.gain is None else one.gain.as_dict(),
        }
        for name, one in numbers.items()
    }


def _measured(gold: GoldDataset, index: pl.DataFrame, card: Scorecard) -> dict[str, Any]:
    """Measurements of the images in the card's order, from gold and from image_quality."""
    keys = ["image_id", "batch_id"]
    quality = gold.lake.read("image_quality", [*keys, "sharpness", "saturation"])
    frame = (
        pl.DataFrame({"image_id": card.image_ids}, schema={"image_id": pl.String})
        .join(index, on="image_id", how="left", maintain_order="left")
        .join(quality, on=keys, how="left", maintain_order="left")
    )
    names = ("brightness", "contrast", "sharpness", "saturation")
    return {name: frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in names}


def _seen(predictor: Predictor, gold: GoldDataset, image_ids: list[str]) -> int | None:
    """Count the images that the model was trained on; None where that cannot be told."""
    from boatseg_core.dataset import GoldDataset as Pinned

    version = predictor.spec.gold_version
    if version is None:
        return None
    try:
        trained = Pinned(gold.lake, version).index("train")["image_id"]
    except LakeError:  # vacuumed, or of another lake
        return None
    return len(set(trained.to_list()) & set(image_ids))


def _empty(gold: GoldDataset, split: str) -> str:
    counts = dict(gold.index()["split"].value_counts().sort("split").iter_rows())
    found = ", ".join(f"{name} {count}" for name, count in counts.items()) or "none at all"
    return (
        f"the {split} split of gold version {gold.version} is empty (images: {found}): name "
        "another with --split, or ingest and label more images of other places"
    )
