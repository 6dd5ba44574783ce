"""Image files: the ledger, what was read of them, and the verdicts."""

from __future__ import annotations

import pyarrow as pa

from boatseg_core.lake.schemas.columns import (
    BATCH_ID,
    BIN,
    BOOL,
    FORMAT,
    I32,
    I64,
    IMAGE_ID,
    MEASUREMENTS,
    PATH,
    SHA,
    SIZE,
    SIZE_PX,
    SOURCE,
    STR,
    TIME,
)
from boatseg_core.lake.schemas.spec import Column, TableSpec

IMAGES = (
    TableSpec(
        "files",
        "ledger",
        "One row a discovered image file; what is here was seen, exactly once.",
        (
            SOURCE,
            PATH,
            IMAGE_ID,
            SIZE,
            Column("mtime_ns", I64, "Time of last modification, nanoseconds since 1970."),
            Column(
                "etag",
                STR,
                "Entity tag of an object store; of an archive's member that of the archive, or its "
                "size in bytes; else empty.",
            ),
            Column("archive", STR, "Path of the archive the file is a member of; else empty."),
            BATCH_ID,
            Column("sealed_at", TIME, "When the file was sealed into its batch."),
        ),
    ),
    TableSpec(
        "raw_images",
        "bronze",
        "One row an image that could be read: the bytes as they arrived and what was measured.",
        (
            IMAGE_ID,
            SOURCE,
            PATH,
            BATCH_ID,
            SHA,
            SIZE,
            Column("image", BIN, "The file's bytes, unchanged."),
            *SIZE_PX,
            *FORMAT,
            Column("orientation", I32, "EXIF orientation, 1 to 8; applied when pixels are read."),
            Column("bits", I32, "Bits per channel."),
            Column(
                "measured",
                STR,
                "full, or entropy: on the 8-pixel averages of a JPEG read at 1/8 of its size.",
            ),
            *MEASUREMENTS,
            Column(
                "histogram",
                BIN,
                "Red, green and blue histograms: 3 x 256 little-endian uint32; if read as entropy "
                "of the 8-pixel averages.",
            ),
            Column("tiles", BIN, "256-bit fingerprints of the 256-pixel tiles, row by row."),
            Column("ingested_at", TIME, "When the bytes were read."),
        ),
        ("batch_id",),
    ),
    TableSpec(
        "quarantine",
        "bronze",
        "One row a sealed file that could not be read, with the reason.",
        (
            IMAGE_ID,
            SOURCE,
            PATH,
            BATCH_ID,
            Column("reason", STR, "Short machine-readable reason, for example truncated."),
            Column("message", STR, "The reason in a sentence."),
            Column("sha256", STR, "SHA-256 of the file's bytes; null if not all were read."),
            SIZE,
            Column("head", BIN, "The first bytes of the file, at most 64, if any were read."),
            Column("quarantined_at", TIME, "When the file was refused."),
        ),
        ("batch_id",),
    ),
    TableSpec(
        "image_quality",
        "silver",
        "One row an image: what was measured and the verdict, with its reasons.",
        (
            IMAGE_ID,
            BATCH_ID,
            Column("passed", BOOL, "Whether the image meets every criterion."),
            Column("reasons", pa.list_(STR), "Criteria that are not met; empty when passed."),
            Column(
                "duplicate_of",
                STR,
                "Image of the same bytes that is kept instead of this one; null for an original.",
            ),
            *SIZE_PX,
            *FORMAT,
            *MEASUREMENTS,
            Column("criteria", STR, "Hash of the criteria the verdict was reached with."),
        ),
        ("batch_id",),
    ),
)
