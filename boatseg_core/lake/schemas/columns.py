"""Types, and the columns that several tables have."""

from __future__ import annotations

import pyarrow as pa

from boatseg_core.lake.schemas.spec import Column

I32, I64, F32, F64 = pa.int32(), pa.int64(), pa.float32(), pa.float64()
STR, BIN, BOOL = pa.string(), pa.binary(), pa.bool_()
TIME = pa.timestamp("us", tz="UTC")

IMAGE_ID = Column("image_id", STR, "The image's name: its path below the landing folder.")
BATCH_ID = Column("batch_id", STR, "Sealed batch the image belongs to; the Dagster partition.")
SOURCE = Column(
    "source", STR, "Landing folder: 'landing' for the home's own, else its path or URI."
)
PATH = Column(
    "path", STR, "Path of the file below its source; of an archive's member, with its name in it."
)
SIZE = Column("size_bytes", I64, "Size of the file in bytes.")
SHA = Column("sha256", STR, "SHA-256 of the file's bytes, in hexadecimal.")
LABEL_VERSION = Column(
    "label_version", I64, "Number of the label file the rows came from; the highest wins."
)
SIZE_PX = (
    Column("width", I32, "Width in pixels, after the EXIF orientation is applied."),
    Column("height", I32, "Height in pixels, after the EXIF orientation is applied."),
)
FORMAT = (
    Column("mode", STR, "Pillow's name of the pixel layout, for example RGB."),
    Column("format", STR, "Pillow's name of the file format, whatever the file's ending says."),
)
MEASUREMENTS = (
    Column("brightness", F32, "Mean luminance, 0 to 255."),
    Column("contrast", F32, "Standard deviation of the luminance, 0 to 255."),
    Column("sharpness", F32, "Variance of the luminance's Laplacian; null if read as entropy."),
    Column("saturation", F32, "Mean HSV saturation, 0 to 1."),
    Column("black_share", F32, "Share of 32-pixel tiles that are entirely black."),
    Column("white_share", F32, "Share of 32-pixel tiles that are entirely white."),
)
BOATS = (
    Column("boat_count", I32, "Number of objects."),
    Column("boat_area", I64, "Pixels covered by all objects together."),
    Column("boat_areas", pa.list_(I64), "Pixels of each object."),
    Column(
        "boat_boxes", pa.list_(pa.list_(I32)), "Box of each object: x, y, width, height in pixels."
    ),
)

SHAPES = (
    Column(
        "boat_centroids",
        pa.list_(pa.list_(F32)),
        "Centroid of each object: x, y in pixels, (0, 0) being the centre of the top left pixel.",
    ),
    Column(
        "boat_orientations",
        pa.list_(F32),
        "Principal axis of each object: degrees clockwise from the x axis, above -90 up to 90.",
    ),
    Column(
        "boat_rles",
        pa.list_(STR),
        "Run lengths of each object: keeps objects apart that touch or overlap in the mask.",
    ),
)
ELEMENT = Column(
    "element",
    STR,
    "Where in a file without lines: a JSON pointer, or the value of a mask picture.",
)
