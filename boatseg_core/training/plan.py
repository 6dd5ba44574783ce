"""What a training is going to be, checked before any time is spent on it. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from boatseg_core.config.sections import Train
from boatseg_core.errors import TrainingError

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.dataset import GoldDataset


def resolve(settings: Settings, overrides: Mapping[str, Any] | None = None) -> Train:
    """Put overrides over ``settings.train``.

    Raises:
        TrainingError: An override is unknown or out of range.
    """
    try:
        chosen = Train.model_validate({**settings.train.model_dump(), **(overrides or {})})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise TrainingError(f"the training cannot be run with train.{name}: {first['msg']}") from (
            error
        )
    if chosen.crop % 32:
        raise TrainingError(
            f"train.crop is {chosen.crop} px but has to be a multiple of 32: "
            f"set it to {max(32, round(chosen.crop / 32) * 32)}"
        )
    return chosen


def check_splits(gold: GoldDataset, splits: tuple[str, ...]) -> None:
    """Refuse splits that nothing can be learnt from or measured on.

    Raises:
        TrainingError: Gold is empty, or a split has no image, or none with an object.
    """
    index = gold.index()
    if index.is_empty():
        raise TrainingError(
            f"gold version {gold.version} is empty: no image is both labelled and of good quality "
            "(`boatseg status` counts them); put a label file into the landing folder and run "
            "`boatseg ingest`"
        )
    counts = {
        name: (len(part), int((part["boat_count"] > 0).sum()))
        for name in splits
        for part in [index.filter(index["split"] == name)]
    }
    found = ", ".join(
        f"{name} {images} ({boats} with objects)" for name, (images, boats) in counts.items()
    )
    for name, (images, boats) in counts.items():
        if not boats:
            what = "has no image with an object" if images else "is empty"
            raise TrainingError(
                f"the {name} split of gold version {gold.version} {what} (images: {found}): "
                "ingest and label more images of other places"
                + (
                    ", lower split.valid_share and split.test_share or change split.salt"
                    if name == "train"
                    else f", raise split.{name}_share or change split.salt"
                )
            )


def epoch_lengths(steps: int, validations: int) -> list[int]:
    """Steps before each validation: as even as can be, and the last one at the very end."""
    count = min(steps, validations)
    ends = [steps * (index + 1) // count for index in range(count)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]
