"""What training reads, and what a model finds."""

from __future__ import annotations

import pyarrow as pa

from boatseg_core.lake.schemas.columns import (
    BATCH_ID,
    BIN,
    BOATS,
    BOOL,
    F32,
    I32,
    IMAGE_ID,
    LABEL_VERSION,
    SHA,
    SHAPES,
    SIZE_PX,
    STR,
    TIME,
)
from boatseg_core.lake.schemas.spec import Column, TableSpec

GOLD = (
    TableSpec(
        "image_groups",
        "silver",
        "One row an image: the group of images that show the same place, and its split.",
        (
            IMAGE_ID,
            BATCH_ID,
            Column("group_id", STR, "Name of the group: the image it was first seen with."),
            Column("split", STR, "train, valid, test, or excluded (it bridges two splits)."),
        ),
        ("batch_id",),
    ),
    TableSpec(
        "gold_dataset",
        "gold",
        "One row a labelled image of good quality: what training reads.",
        (
            IMAGE_ID,
            BATCH_ID,
            Column("image", BIN, "The file's bytes, unchanged."),
            Column("mask", BIN, "Mask image: white object on black, same size as the image."),
            *SIZE_PX,
            *BOATS,
            Column("brightness", F32, "Mean luminance, 0 to 255."),
            Column("contrast", F32, "Standard deviation of the luminance, 0 to 255."),
            Column("group_id", STR, "Images of one group show the same place."),
            Column("split", STR, "train, valid, test or excluded; a whole group shares one."),
            SHA,
            LABEL_VERSION,
            # Unlabelled and refused images stay out: to whoever trains on gold they would look like
            # an empty sea, and their bytes are in raw_images already. So the two flags are true in
            # every row; a check holds gold to that, and queries can say what they rely on.
            Column("passed", BOOL, "Verdict of image_quality; true, or the row is not here."),
            Column("criteria", STR, "Hash of the criteria that verdict was reached with."),
            Column(
                "labelled", BOOL, "Whether a label file names the image; true, or it is not here."
            ),
            *SHAPES,
        ),
        ("batch_id",),
    ),
    TableSpec(
        "predictions",
        "gold",
        "One row a scored image: what the model found.",
        (
            IMAGE_ID,
            BATCH_ID,
            Column("model_name", STR, "Registered model."),
            Column("model_version", I32, "Version of the registered model."),
            *BOATS,
            Column(
                "boat_scores", pa.list_(F32), "Probability that each object is a true one, 0 to 1."
            ),
            Column("boat_rles", pa.list_(STR), "Run lengths of each object."),
            Column("brightness", F32, "Mean luminance of the image, 0 to 255."),
            Column("scored_at", TIME, "When the image was scored."),
        ),
        ("batch_id",),
    ),
)
