"""Every table of the lake: its layer, its partitioning and the meaning of every column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

Layer = Literal["ledger", "bronze", "silver", "gold", "ops"]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: Column name.
        type: Arrow type as the table stores it.
        comment: One sentence for people; shown in Dagster and in SQL clients.
    """

    name: str
    type: pa.DataType
    comment: str


@dataclass(frozen=True)
class TableSpec:
    """One table.

    Attributes:
        name: Folder name below the lake's root.
        layer: Medallion layer.
        description: One sentence on what a row is.
        columns: Columns in order.
        partition_by: Partition columns; empty for none.
    """

    name: str
    layer: Layer
    description: str
    columns: tuple[Column, ...]
    partition_by: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema with the comments as Delta field metadata."""
        return pa.schema(
            [
                pa.field(c.name, c.type, metadata={b"comment": c.comment.encode()})
                for c in self.columns
            ]
        )

    @property
    def blobs(self) -> tuple[str, ...]:
        """Names of the binary columns."""
        return tuple(c.name for c in self.columns if pa.types.is_binary(c.type))

    @property
    def narrow(self) -> tuple[str, ...]:
        """Names of the columns that are cheap to read."""
        return tuple(c.name for c in self.columns if not pa.types.is_binary(c.type))


_I32, _I64, _F32, _F64 = pa.int32(), pa.int64(), pa.float32(), pa.float64()
_STR, _BIN, _BOOL = pa.string(), pa.binary(), pa.bool_()
_TIME = pa.timestamp("us", tz="UTC")

_IMAGE_ID = Column("image_id", _STR, "The image's name: its path below the landing folder.")
_BATCH_ID = Column("batch_id", _STR, "Sealed batch the image belongs to; the Dagster partition.")
_SOURCE = Column(
    "source", _STR, "Landing folder: 'landing' for the home's own, else its path or URI."
)
_PATH = Column(
    "path", _STR, "Path of the file below its source; of an archive's member, with its name in it."
)
_SIZE = Column("size_bytes", _I64, "Size of the file in bytes.")
_SHA = Column("sha256", _STR, "SHA-256 of the file's bytes, in hexadecimal.")
_LABEL_VERSION = Column(
    "label_version", _I64, "Number of the label file the rows came from; the highest wins."
)
_SIZE_PX = (
    Column("width", _I32, "Width in pixels, after the EXIF orientation is applied."),
    Column("height", _I32, "Height in pixels, after the EXIF orientation is applied."),
)
_FORMAT = (
    Column("mode", _STR, "Pillow's name of the pixel layout, for example RGB."),
    Column("format", _STR, "Pillow's name of the file format, whatever the file's ending says."),
)
_MEASUREMENTS = (
    Column("brightness", _F32, "Mean luminance, 0 to 255."),
    Column("contrast", _F32, "Standard deviation of the luminance, 0 to 255."),
    Column("sharpness", _F32, "Variance of the luminance's Laplacian; null if read as entropy."),
    Column("saturation", _F32, "Mean HSV saturation, 0 to 1."),
    Column("black_share", _F32, "Share of 32-pixel tiles that are entirely black."),
    Column("white_share", _F32, "Share of 32-pixel tiles that are entirely white."),
)
_BOATS = (
    Column("boat_count", _I32, "Number of objects."),
    Column("boat_area", _I64, "Pixels covered by all objects together."),
    Column("boat_areas", pa.list_(_I64), "Pixels of each object."),
    Column(
        "boat_boxes", pa.list_(pa.list_(_I32)), "Box of each object: x, y, width, height in pixels."
    ),
)

_SHAPES = (
    Column(
        "boat_centroids",
        pa.list_(pa.list_(_F32)),
        "Centroid of each object: x, y in pixels, (0, 0) being the centre of the top left pixel.",
    ),
    Column(
        "boat_orientations",
        pa.list_(_F32),
        "Principal axis of each object: degrees clockwise from the x axis, above -90 up to 90.",
    ),
    Column(
        "boat_rles",
        pa.list_(_STR),
        "Run lengths of each object: keeps objects apart that touch or overlap in the mask.",
    ),
)
_ELEMENT = Column(
    "element",
    _STR,
    "Where in a file without lines: a JSON pointer, or the value of a mask picture.",
)

_SPECS = (
    TableSpec(
        "files",
        "ledger",
        "One row a discovered image file; what is here was seen, exactly once.",
        (
            _SOURCE,
            _PATH,
            _IMAGE_ID,
            _SIZE,
            Column("mtime_ns", _I64, "Time of last modification, nanoseconds since 1970."),
            Column(
                "etag",
                _STR,
                "Entity tag of an object store; of an archive's member that of the archive, or its "
                "size in bytes; else empty.",
            ),
            Column("archive", _STR, "Path of the archive the file is a member of; else empty."),
            _BATCH_ID,
            Column("sealed_at", _TIME, "When the file was sealed into its batch."),
        ),
    ),
    TableSpec(
        "raw_images",
        "bronze",
        "One row an image that could be read: the bytes as they arrived and what was measured.",
        (
            _IMAGE_ID,
            _SOURCE,
            _PATH,
            _BATCH_ID,
            _SHA,
            _SIZE,
            Column("image", _BIN, "The file's bytes, unchanged."),
            *_SIZE_PX,
            *_FORMAT,
            Column("orientation", _I32, "EXIF orientation, 1 to 8; applied when pixels are read."),
            Column("bits", _I32, "Bits per channel."),
            Column(
                "measured",
                _STR,
                "full, or entropy: on the 8-pixel averages of a JPEG read at 1/8 of its size.",
            ),
            *_MEASUREMENTS,
            Column(
                "histogram",
                _BIN,
                "Red, green and blue histograms: 3 x 256 little-endian uint32; if read as entropy "
                "of the 8-pixel averages.",
            ),
            Column("tiles", _BIN, "256-bit fingerprints of the 256-pixel tiles, row by row."),
            Column("ingested_at", _TIME, "When the bytes were read."),
        ),
        ("batch_id",),
    ),
    TableSpec(
        "quarantine",
        "bronze",
        "One row a sealed file that could not be read, with the reason.",
        (
            _IMAGE_ID,
            _SOURCE,
            _PATH,
            _BATCH_ID,
            Column("reason", _STR, "Short machine-readable reason, for example truncated."),
            Column("message", _STR, "The reason in a sentence."),
            Column("sha256", _STR, "SHA-256 of the file's bytes; null if not all were read."),
            _SIZE,
            Column("head", _BIN, "The first bytes of the file, at most 64, if any were read."),
            Column("quarantined_at", _TIME, "When the file was refused."),
        ),
        ("batch_id",),
    ),
    TableSpec(
        "image_quality",
        "silver",
        "One row an image: what was measured and the verdict, with its reasons.",
        (
            _IMAGE_ID,
            _BATCH_ID,
            Column("passed", _BOOL, "Whether the image meets every criterion."),
            Column("reasons", pa.list_(_STR), "Criteria that are not met; empty when passed."),
            Column(
                "duplicate_of",
                _STR,
                "Image of the same bytes that is kept instead of this one; null for an original.",
            ),
            *_SIZE_PX,
            *_FORMAT,
            *_MEASUREMENTS,
            Column("criteria", _STR, "Hash of the criteria the verdict was reached with."),
        ),
        ("batch_id",),
    ),
    TableSpec(
        "label_files",
        "ledger",
        "One row a label file that was read, exactly once.",
        (
            Column(
                "path",
                _STR,
                "Path of the file: landing/... in the home's own folder, else absolute.",
            ),
            _SIZE,
            Column("mtime_ns", _I64, "Time of last modification, nanoseconds since 1970."),
            _SHA,
            _LABEL_VERSION,
            Column("rows", _I64, "Rows taken."),
            Column("loaded_at", _TIME, "When the file was read."),
            Column("source_file", _STR, "Name of the file in raw_masks."),
            Column("kind", _STR, "csv, coco, geojson or mask."),
        ),
    ),
    TableSpec(
        "raw_masks",
        "bronze",
        "One row a line of a label file, as it arrived.",
        (
            Column("image_id", _STR, "Image name as the label file has it."),
            Column(
                "encoded_pixels",
                _STR,
                "The annotation as its kind writes it; empty for an image without objects.",
            ),
            Column("source_file", _STR, "Name of the label file."),
            Column(
                "line",
                _I64,
                "Line in the file, counted from 1 with the header; without lines, the element.",
            ),
            _LABEL_VERSION,
            Column(
                "kind",
                _STR,
                "rle, coco_rle, coco_polygon, geojson or mask; null is rle (an older home).",
            ),
            Column("width", _I32, "Width the annotation was drawn on, where its file says so."),
            Column("height", _I32, "Height the annotation was drawn on, where its file says so."),
            _ELEMENT,
            Column(
                "by_stem", _BOOL, "Whether image_id is the image's name without its ending (.jpg)."
            ),
            Column("category", _STR, "Category in the label file, where it has any."),
            Column("crowd", _BOOL, "Whether the row marks a crowd of objects (COCO's iscrowd)."),
            Column("sha256", _STR, "SHA-256 of the label file, in hexadecimal."),
            Column("digest", _I64, "48-bit hash of what the row says, for finding changed rows."),
        ),
    ),
    TableSpec(
        "label_issues",
        "silver",
        "One row a mask row that could not be used, with the reason.",
        (
            Column("source_file", _STR, "Name of the label file."),
            Column("line", _I64, "Line in the file, counted from 1 with the header."),
            Column("image_id", _STR, "Image name as the label file has it."),
            _BATCH_ID,
            Column("reason", _STR, "Short machine-readable reason, for example odd_length."),
            Column("message", _STR, "The reason in a sentence."),
            _LABEL_VERSION,
            _ELEMENT,
        ),
        ("batch_id",),
    ),
    TableSpec(
        "rasterized_masks",
        "silver",
        "One row a labelled image: its mask as a picture, and its objects.",
        (
            _IMAGE_ID,
            _BATCH_ID,
            Column("mask", _BIN, "Mask image: white object on black."),
            Column("mask_format", _STR, "png (1 bit, lossless) or jpeg (threshold at 128)."),
            *_SIZE_PX,
            *_BOATS,
            Column("overlap_pixels", _I64, "Pixels claimed by more than one mask row."),
            Column("rejected_rows", _I32, "Mask rows of this image that could not be used."),
            _LABEL_VERSION,
            *_SHAPES,
        ),
        ("batch_id",),
    ),
    TableSpec(
        "image_groups",
        "silver",
        "One row an image: the group of images that show the same place, and its split.",
        (
            _IMAGE_ID,
            _BATCH_ID,
            Column("group_id", _STR, "Name of the group: the image it was first seen with."),
            Column("split", _STR, "train, valid, test, or excluded (it bridges two splits)."),
        ),
        ("batch_id",),
    ),
    TableSpec(
        "gold_dataset",
        "gold",
        "One row a labelled image of good quality: what training reads.",
        (
            _IMAGE_ID,
            _BATCH_ID,
            Column("image", _BIN, "The file's bytes, unchanged."),
            Column("mask", _BIN, "Mask image: white object on black, same size as the image."),
            *_SIZE_PX,
            *_BOATS,
            Column("brightness", _F32, "Mean luminance, 0 to 255."),
            Column("contrast", _F32, "Standard deviation of the luminance, 0 to 255."),
            Column("group_id", _STR, "Images of one group show the same place."),
            Column("split", _STR, "train, valid, test or excluded; a whole group shares one."),
            _SHA,
            _LABEL_VERSION,
            # Unlabelled and refused images stay out: to whoever trains on gold they would look like
            # an empty sea, and their bytes are in raw_images already. So the two flags are true in
            # every row; a check holds gold to that, and queries can say what they rely on.
            Column("passed", _BOOL, "Verdict of image_quality; true, or the row is not here."),
            Column("criteria", _STR, "Hash of the criteria that verdict was reached with."),
            Column(
                "labelled", _BOOL, "Whether a label file names the image; true, or it is not here."
            ),
            *_SHAPES,
        ),
        ("batch_id",),
    ),
    TableSpec(
        "predictions",
        "gold",
        "One row a scored image: what the model found.",
        (
            _IMAGE_ID,
            _BATCH_ID,
            Column("model_name", _STR, "Registered model."),
            Column("model_version", _I32, "Version of the registered model."),
            *_BOATS,
            Column(
                "boat_scores", pa.list_(_F32), "Probability that each object is a true one, 0 to 1."
            ),
            Column("boat_rles", pa.list_(_STR), "Run lengths of each object."),
            Column("brightness", _F32, "Mean luminance of the image, 0 to 255."),
            Column("scored_at", _TIME, "When the image was scored."),
        ),
        ("batch_id",),
    ),
    TableSpec(
        "promotions",
        "ops",
        "One row a decision on a model version: the audit trail.",
        (
            Column("model_name", _STR, "Registered model."),
            Column("model_version", _I32, "Version decided on."),
            Column("alias", _STR, "Alias the version got: production, or challenger when refused."),
            Column("action", _STR, "promoted, refused, forced or rolled_back."),
            Column("previous_version", _I32, "Version that was in production before, if any."),
            Column("boat_iou", _F64, "Mean IoU over test images with objects."),
            Column("floor", _F64, "Score of a model that predicts nothing, on the same images."),
            Column("reason", _STR, "Why, in a sentence."),
            Column("at", _TIME, "When."),
        ),
    ),
    TableSpec(
        "drift",
        "ops",
        "One row a batch and metric: distance from the training reference.",
        (
            _BATCH_ID,
            Column("metric", _STR, "brightness, boat_area or boat_count."),
            Column("statistic", _F64, "Kolmogorov-Smirnov distance, 0 to 1."),
            Column("threshold", _F64, "Distance above which the metric counts as drifted."),
            Column("drifted", _BOOL, "Whether it did; never true for a batch too small to judge."),
            Column("reference_mean", _F64, "Mean over the training reference."),
            Column("batch_mean", _F64, "Mean over the batch."),
            Column("images", _I64, "Images of the batch that were compared."),
            Column("model_version", _I32, "Version that scored the batch."),
            Column("gold_version", _I64, "Delta version of gold the reference was taken from."),
            Column("at", _TIME, "When."),
        ),
        ("batch_id",),
    ),
    TableSpec(
        "inference_log",
        "ops",
        "One row a request the service answered.",
        (
            Column("request_id", _STR, "Identifier returned to the caller."),
            Column("at", _TIME, "When the request arrived."),
            Column("model_version", _I32, "Version that answered."),
            Column("width", _I32, "Width of the image in pixels."),
            Column("height", _I32, "Height of the image in pixels."),
            Column("boat_count", _I32, "Number of objects found."),
            Column("boat_area", _I64, "Pixels covered by them."),
            Column("latency_ms", _F32, "Time from arrival to answer, in milliseconds."),
        ),
    ),
)

TABLES: dict[str, TableSpec] = {spec.name: spec for spec in _SPECS}
