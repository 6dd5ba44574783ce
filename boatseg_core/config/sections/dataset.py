"""What the masks mean, and which images train, validate and test."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from boatseg_core.config.sections.base import Section, setting


class Labels(Section):
    """What the masks mean and how they are stored."""

    class_name: str = setting(
        "boat", "", "What one object is called in pages and reports.", min_length=1
    )
    image_column: str = setting("ImageId", "", "CSV column with the image's name.", min_length=1)
    mask_column: str = setting(
        "EncodedPixels", "", "CSV column with the run lengths.", min_length=1
    )
    mask_format: Literal["png", "jpeg"] = setting(
        "png", "", "Stored mask image: lossless 1-bit PNG, or JPEG thresholded at 128 when read."
    )
    categories: tuple[str, ...] = setting(
        (), "", "Categories of COCO and GeoJSON files that are objects; empty means all."
    )
    image_property: str = setting(
        "image", "", "GeoJSON property with the image's name.", min_length=1
    )
    category_property: str = setting(
        "category", "", "GeoJSON property with the category.", min_length=1
    )
    mask_values: Literal["auto", "values", "components"] = setting(
        "auto",
        "",
        "Objects of a mask picture: one per value, one per connected region, or auto: per value "
        "where there are several.",
    )
    mask_stem_ending: str = setting(
        "", "", "Ending of a mask picture's stem that the image's has not, for example _mask."
    )
    conflict_iou: float = setting(
        0.5,
        "IoU",
        "Two label files whose masks of an image overlap less are in conflict; 0 turns it off.",
        ge=0,
        le=1,
    )
    max_unlabelled_share: float = setting(
        0.05, "share", "A batch with more images without a label raises a warning.", ge=0, le=1
    )
    max_balance_gap: float = setting(
        0.1,
        "share",
        "A split whose part of images with objects differs more from all raises a warning.",
        ge=0,
        le=1,
    )


class Split(Section):
    """How groups of images are shared out between training, validation and test."""

    valid_share: float = setting(
        0.15, "share", "Part of the groups used for validation.", ge=0, lt=1
    )
    test_share: float = setting(
        0.15, "share", "Part of the groups kept for the final test.", ge=0, lt=1
    )
    salt: str = setting(
        "boatseg", "", "Changes the split of every group; leave it alone once trained."
    )

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Split:
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share + test_share must stay below 1")
        return self
