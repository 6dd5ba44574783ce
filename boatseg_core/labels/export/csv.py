"""Write labels as a run-length CSV."""

from __future__ import annotations

import csv
from typing import TextIO

from boatseg_core.config import Settings
from boatseg_core.imaging import rle
from boatseg_core.labels.annotation import runs_of
from boatseg_core.labels.export.choose import Exported, choose, rows_of, unusable
from boatseg_core.lake import Lake


def export_csv(
    lake: Lake, settings: Settings, out: TextIO, *, split: str = "", version: int | None = None
) -> Exported:
    """Write the labels in force as CSV.

    Rows that came as run lengths are written as they came, be they right or wrong, in their order;
    outlines and mask pictures become run lengths of their image's size. An image one of whose
    outlines cannot be used is left out.

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
    done, named = Exported(), set[str]()
    lost = unusable(lake, labels, done, run_lengths=False)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([settings.labels.image_column, settings.labels.mask_column])
    for key, image, row in rows_of(lake, labels):
        text, name = row.encoded_pixels, key.label_id
        if row.kind not in (None, "rle"):
            if image.name in lost:
                continue
            name = image.name
            if text and row.kind != "mask":
                assert image.height is not None  # else it were lost
                assert image.width is not None
                runs, _ = runs_of(row.kind, text, image.height, image.width)
                text = rle.to_text(runs)
        writer.writerow([name] if text is None else [name, text])
        done.rows += 1
        named.add(name)
    done.images = len(named)
    return done
