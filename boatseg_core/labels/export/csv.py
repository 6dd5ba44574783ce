"""Write labels as a run-length CSV."""

from __future__ import annotations

import csv
from typing import TextIO

from boatseg_core.config import Settings
from boatseg_core.errors import RleError
from boatseg_core.imaging import rle
from boatseg_core.labels.annotation import runs_of
from boatseg_core.labels.export.choose import Exported, choose, rows_of
from boatseg_core.lake import Lake


def export_csv(
    lake: Lake, settings: Settings, out: TextIO, *, split: str = "", version: int | None = None
) -> Exported:
    """Write the labels in force as CSV.

    Rows that came as run lengths are written as they came, be they right or wrong, in their order;
    outlines and mask pictures become run lengths of their image's size.

    Args:
        lake: The lake.
        settings: For the names of the columns.
        out: Where to; opened with ``newline=""``.
        split: Only images that gold has in this split.
        version: The labels as they were at this label version.

    Raises:
        InputError: There is nothing to write.
    """
    labels = choose(lake, split=split, version=version)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([settings.labels.image_column, settings.labels.mask_column])
    done, named = Exported(), set[str]()
    for key, image, row in rows_of(lake, labels):
        text, name = row.encoded_pixels, key.label_id
        if row.kind not in (None, "rle"):
            name = image.name
            if text and row.kind != "mask":
                if image.height is None or image.width is None:
                    done.skip("size_unknown")
                    continue
                try:
                    runs, _ = runs_of(
                        row.kind, text, image.height, image.width,
                        own_height=row.height, own_width=row.width,
                    )  # fmt: skip
                except RleError as error:
                    done.skip(error.reason)
                    continue
                text = rle.to_text(runs)
        writer.writerow([name] if text is None else [name, text])
        done.rows += 1
        named.add(name)
    done.images = len(named)
    return done
