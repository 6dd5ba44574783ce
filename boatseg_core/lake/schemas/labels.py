"""Labels: the files, their rows as they arrived, and the masks drawn of them."""

from __future__ import annotations

from boatseg_core.lake.schemas.columns import (
    BATCH_ID,
    BIN,
    BOATS,
    BOOL,
    ELEMENT,
    I32,
    I64,
    IMAGE_ID,
    LABEL_VERSION,
    SHA,
    SHAPES,
    SIZE,
    SIZE_PX,
    STR,
    TIME,
)
from boatseg_core.lake.schemas.spec import Column, TableSpec

LABELS = (
    TableSpec(
        "label_files",
        "ledger",
        "One row a label file that was read, exactly once.",
        (
            Column(
                "path",
                STR,
                "Path of the file: landing/... in the home's own folder, else absolute.",
            ),
            SIZE,
            Column("mtime_ns", I64, "Time of last modification, nanoseconds since 1970."),
            SHA,
            LABEL_VERSION,
            Column("rows", I64, "Rows taken."),
            Column("loaded_at", TIME, "When the file was read."),
            Column("source_file", STR, "Name of the file in raw_masks."),
            Column("kind", STR, "csv, coco, geojson or mask."),
        ),
    ),
    TableSpec(
        "raw_masks",
        "bronze",
        "One row a line of a label file, as it arrived.",
        (
            Column("image_id", STR, "Image name as the label file has it."),
            Column(
                "encoded_pixels",
                STR,
                "The annotation as its kind writes it; empty for an image without objects.",
            ),
            Column("source_file", STR, "Name of the label file."),
            Column(
                "line",
                I64,
                "Line in the file, counted from 1 with the header; without lines, the element.",
            ),
            LABEL_VERSION,
            Column(
                "kind",
                STR,
                "rle, coco_rle, coco_polygon, geojson or mask; null is rle (an older home).",
            ),
            Column("width", I32, "Width the annotation was drawn on, where its file says so."),
            Column("height", I32, "Height the annotation was drawn on, where its file says so."),
            ELEMENT,
            Column(
                "by_stem", BOOL, "Whether image_id is the image's name without its ending (.jpg)."
            ),
            Column("category", STR, "Category in the label file, where it has any."),
            Column("crowd", BOOL, "Whether the row marks a crowd of objects (COCO's iscrowd)."),
            Column("sha256", STR, "SHA-256 of the label file, in hexadecimal."),
            Column("digest", I64, "48-bit hash of what the row says, for finding changed rows."),
        ),
    ),
    TableSpec(
        "label_issues",
        "silver",
        "One row a mask row that could not be used, with the reason.",
        (
            Column("source_file", STR, "Name of the label file."),
            Column("line", I64, "Line in the file, counted from 1 with the header."),
            Column("image_id", STR, "Image name as the label file has it."),
            BATCH_ID,
            Column("reason", STR, "Short machine-readable reason, for example odd_length."),
            Column("message", STR, "The reason in a sentence."),
            LABEL_VERSION,
            ELEMENT,
        ),
        ("batch_id",),
    ),
    TableSpec(
        "rasterized_masks",
        "silver",
        "One row a labelled image: its mask as a picture, and its objects.",
        (
            IMAGE_ID,
            BATCH_ID,
            Column("mask", BIN, "Mask image: white object on black."),
            Column("mask_format", STR, "png (1 bit, lossless) or jpeg (threshold at 128)."),
            *SIZE_PX,
            *BOATS,
            Column("overlap_pixels", I64, "Pixels claimed by more than one mask row."),
            Column("rejected_rows", I32, "Mask rows of this image that could not be used."),
            LABEL_VERSION,
            *SHAPES,
        ),
        ("batch_id",),
    ),
)
