"""Which labels are in force, of which images, and their rows in the order they arrived."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl
import pyarrow.dataset as ds

from boatseg_core.errors import InputError, RleError
from boatseg_core.labels.annotation import runs_of
from boatseg_core.labels.match import candidates, files_and_versions, known_images, match, newest
from boatseg_core.labels.rows import LabelKey, MaskRow
from boatseg_core.lake import Lake

_KEY_AND_LAST = (*LabelKey._fields, "last_version")
_WINDOW = 20_000  # rows in memory at once


@dataclass
class Exported:
    """What was written.

    Attributes:
        images: Images.
        rows: Rows, annotations or objects.
        skipped: What could not be written: number by reason.
        overlapping: Pictures in which an object hides a part of another.
    """

    images: int = 0
    rows: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    overlapping: int = 0

    def skip(self, reason: str) -> None:
        """Count something that could not be written."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1


@dataclass(frozen=True)
class Labelled:
    """An image and its label.

    Attributes:
        name: The image's name; where it never came, the one the label has.
        width: Width in pixels: the image's, or where it never came that of the label; or unknown.
        height: Height in pixels, likewise.
    """

    name: str
    width: int | None
    height: int | None


def choose(lake: Lake, *, split: str = "", version: int | None = None) -> dict[LabelKey, Labelled]:
    """List the labels in force.

    Labels whose image has not arrived are among them unless a split is asked for.

    Args:
        lake: The lake.
        split: Only images that gold has in this split; empty for all.
        version: The labels as they were at this label version; by default the newest.

    Raises:
        InputError: There are no labels, or no image of the split.
    """
    by_file = files_and_versions(lake, up_to=version)
    labels = newest(by_file)
    if labels.is_empty():
        at = "" if version is None else f" up to version {version}"
        raise InputError(f"there are no labels{at} in {lake.root}: put a label file into landing")
    sizes = (
        lake.scan("raw_images")
        .select("image_id", "batch_id", "width", "height")
        .sort("batch_id")
        .group_by("image_id", maintain_order=True)
        .last()
        .collect()
    )
    known = known_images(lake)  # those in quarantine have labels, too
    images = known.select("image_id").join(sizes, on="image_id", how="left")
    matched = match(images, labels, known).filter(pl.col("label_id").is_not_null())
    if split:
        rows = lake.scan("gold_dataset").filter(pl.col("split") == split)
        wanted = rows.select("image_id").unique().collect()
        matched = matched.join(wanted, on="image_id", how="semi")
        if matched.is_empty():
            raise InputError(
                f"gold has no labelled image in the split {split!r}: there are train, valid, "
                "test and excluded"
            )
    matched = matched.sort("image_id")
    keys = matched.select(LabelKey._fields).iter_rows()
    shown = matched.select("image_id", "width", "height").iter_rows()
    found = {LabelKey(*key): Labelled(*image) for key, image in zip(keys, shown, strict=True)}
    if not split:
        # A label that could be an image's and is not in force has been superseded.
        by = list(LabelKey._fields)
        could_be = candidates(known, labels, known).select(by)
        waiting = labels.join(could_be, on=by, how="anti")
        found |= _without_image(lake, waiting)
    # What a label says began with one version; its file's last one has it in its newest order.
    last = {LabelKey(*row[:4]): row[4] for row in by_file.select(_KEY_AND_LAST).iter_rows()}
    return {key._replace(label_version=last[key]): image for key, image in found.items()}


def rows_of(
    lake: Lake, labels: dict[LabelKey, Labelled]
) -> Iterator[tuple[LabelKey, Labelled, MaskRow]]:
    """Stream the rows of labels by version, file and line, a bounded number in memory."""
    columns = ["image_id", "by_stem", "label_version", "source_file"]
    keys = pl.DataFrame(
        list(labels), schema=dict(zip(columns, (pl.String, pl.Boolean, pl.Int64, pl.String),
                                      strict=True)), orient="row",
    )  # fmt: skip
    order = (
        lake.scan("raw_masks")
        .select(*columns, "line", "element")
        .with_columns(pl.col("by_stem").fill_null(False))
        .join(keys.lazy(), on=columns, how="semi")
        .select("label_version", "source_file", "line", "element")
        .sort("label_version", "source_file", "line", "element")
        .collect()
    )
    for first in range(0, order.height, _WINDOW):
        window = order.slice(first, _WINDOW)
        yield from _window(lake, labels, window)


def unusable(
    lake: Lake, labels: dict[LabelKey, Labelled], done: Exported, *, run_lengths: bool
) -> set[str]:
    """Name the images with a row that cannot be written, and count these rows by reason.

    Such an image is left out as a whole, as it is from gold: with the rest of its rows it would
    look like an image with fewer objects, or with none.

    Args:
        lake: The lake.
        labels: As :func:`choose` returns them.
        done: Counts the rows.
        run_lengths: Whether rows that came as run lengths are looked at, too.
    """
    lost: set[str] = set()
    for _, image, row in rows_of(lake, labels):
        reason = ""
        if row.kind in (None, "rle") and not run_lengths:
            continue
        if image.width is None or image.height is None:
            reason = "size_unknown" if row.encoded_pixels or run_lengths else ""
        elif row.encoded_pixels is None:
            reason = "missing_cell"
        else:
            try:
                runs_of(
                    row.kind, row.encoded_pixels, image.height, image.width,
                    own_height=row.height, own_width=row.width,
                )  # fmt: skip
            except RleError as error:
                reason = error.reason
        if reason:
            lost.add(image.name)
            done.skip(reason)
    return lost


def _window(
    lake: Lake, labels: dict[LabelKey, Labelled], window: pl.DataFrame
) -> Iterator[tuple[LabelKey, Labelled, MaskRow]]:
    number, line, source = (ds.field(c) for c in ("label_version", "line", "source_file"))
    bounds = window.select(
        low=pl.col("label_version").min(),
        high=pl.col("label_version").max(),
        first=pl.col("line").min(),
        last=pl.col("line").max(),
    ).row(0)
    files = window["source_file"].unique().to_list()
    scanner = lake.dataset("raw_masks").scanner(
        columns=["image_id", "by_stem", "label_version", "source_file", *MaskRow._fields],
        filter=(number >= bounds[0])
        & (number <= bounds[1])
        & (line >= bounds[2])
        & (line <= bounds[3])
        & source.isin(files),
        batch_size=4096,
        batch_readahead=2,
        fragment_readahead=1,
    )
    wanted = set(window.iter_rows())
    found: list[tuple[LabelKey, MaskRow]] = []
    for batch in scanner.to_batches():
        for image_id, by_stem, version, file, *cells in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        ):
            row = MaskRow(*cells)
            key = LabelKey(image_id, bool(by_stem), version, file)
            if (version, file, row.line, row.element) in wanted and key in labels:
                found.append((key, row))
    found.sort(key=lambda item: (*item[0][2:], item[1].line, item[1].element or ""))
    for key, row in found:
        yield key, labels[key], row


def _without_image(lake: Lake, waiting: pl.DataFrame) -> dict[LabelKey, Labelled]:
    """Labels whose image never came, with the size the label names."""
    by = list(LabelKey._fields)
    sizes = (
        lake.scan("raw_masks")
        .select(
            pl.col("image_id").alias("label_id"),
            pl.col("by_stem").fill_null(False),
            "label_version",
            "source_file",
            "width",
            "height",
        )
        .join(waiting.lazy(), on=by, how="semi")
        .group_by(by)
        .agg(pl.col("width").max(), pl.col("height").max())
        .sort(by)
        .collect()
    )
    return {
        LabelKey(*row[:4]): Labelled(row[0], *row[4:])
        for row in sizes.select(*by, "width", "height").iter_rows()
    }
