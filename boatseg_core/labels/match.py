"""Which label rows are meant for which image, and which of them are in force."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from boatseg_core.lake import Lake

_NAME = pl.col("image_id").str.split("/").list.last()
ENDING = r"\.[^./]*$"
"""What a file's name may lack in labels, as a regular expression."""

_COLUMNS = ("label_id", "by_stem", "label_version", "source_file")
_FULL_NAME, _FILE_NAME, _FULL_STEM, _FILE_STEM = 4, 3, 2, 1


def labels_by_file(
    lake: Lake, versions: Mapping[str, int] | None = None, *, up_to: int | None = None
) -> pl.DataFrame:
    """Find the label version in force of every image name in every label file.

    That is the version in which the file began to say what it says now: a file that is written
    anew with three rows changed is a new version of three images, and of no other.

    Rows count once their file is in the ledger. Only narrow columns are read.

    Args:
        lake: The lake.
        versions: Delta versions to pin, by table.
        up_to: Highest label version that counts; by default all do.

    Returns:
        ``label_id`` (image name as labels have it), ``by_stem`` (whether its ending is missing),
        ``label_version``, ``source_file``.
    """
    return files_and_versions(lake, versions, up_to=up_to).select(_COLUMNS)


def files_and_versions(
    lake: Lake, versions: Mapping[str, int] | None = None, *, up_to: int | None = None
) -> pl.DataFrame:
    """Like :func:`labels_by_file`, with the ``last_version`` of each file that has the image."""
    pins = versions or {}
    file_name = pl.col("path").str.extract(r"([^/\\]+)$")  # in homes older than source_file
    ledger = lake.scan("label_files", pins.get("label_files")).select(
        "label_version", pl.coalesce("source_file", file_name).alias("source_file")
    )
    rows = lake.scan("raw_masks", pins.get("raw_masks"))
    if up_to is not None:
        rows = rows.filter(pl.col("label_version") <= up_to)
    by = ["label_id", "by_stem", "source_file"]
    said = (
        rows.select(
            pl.col("image_id").alias("label_id"),
            pl.col("by_stem").fill_null(False),
            "label_version",
            "source_file",
            "digest",
        )
        .join(ledger.unique(), on=["label_version", "source_file"], how="semi")
        .group_by(*by, "label_version")
        .agg(
            # A sum does not depend on the order of rows; rows of older homes have no digest.
            digest=pl.when(pl.col("digest").null_count() == 0).then(pl.col("digest").sum()),
            rows=pl.len(),
        )
        .sort("label_version")
    )
    same = [
        pl.col(c) == pl.col(c).shift(1).over(by, order_by="label_version")
        for c in ("digest", "rows")
    ]
    begun = pl.when(~pl.all_horizontal(same).fill_null(False)).then("label_version")
    return (
        said.with_columns(begun=begun)
        .group_by(by)
        .agg(pl.col("begun").max(), last_version=pl.col("label_version").max())
        .rename({"begun": "label_version"})
        .collect()
    )


def newest_labels(lake: Lake, versions: Mapping[str, int] | None = None) -> pl.DataFrame:
    """Find the newest label version of every image name.

    A later file supersedes an earlier one image by image; what it does not mention stays.

    Args:
        lake: The lake.
        versions: Delta versions to pin, by table.

    Returns:
        The columns of :func:`labels_by_file`, one row an image name.
    """
    return newest(labels_by_file(lake, versions))


def newest(labels: pl.DataFrame) -> pl.DataFrame:
    """Keep the newest label of each image name."""
    # Two processes that race with two files can give both one number: the name decides then.
    return (
        labels.sort("label_version", "source_file")
        .group_by("label_id", "by_stem", maintain_order=True)
        .last()
    )


def known_images(lake: Lake, versions: Mapping[str, int] | None = None) -> pl.DataFrame:
    """List every image that ever arrived, readable or not.

    Returns:
        ``image_id`` and ``name``, its last path component; one row an image.
    """
    pins = versions or {}
    tables = ("files", "raw_images")
    return (
        pl.concat([lake.scan(t, pins.get(t)).select("image_id") for t in tables])
        .unique()
        .with_columns(_NAME.alias("name"))
        .collect()
    )


def candidates(images: pl.DataFrame, labels: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """List the labels that could be meant for each image.

    A label names an image by its full name (path below the landing folder), by its file name where
    no other image is called so, or, where it leaves the ending out, by either without its ending,
    under the same condition.

    Args:
        images: Images to match, with ``image_id``.
        labels: As :func:`labels_by_file` or :func:`newest_labels` returns it.
        known: As :func:`known_images` returns it.

    Returns:
        ``image_id``, the label's columns, ``rank`` (how exactly it names the image, higher is
        better) and ``shared`` (several images are called so, and it is meant for none of them).
    """
    full_stem, file_stem = (pl.col(c).str.replace(ENDING, "") for c in ("image_id", "name"))
    known = known.with_columns(full_stem=full_stem, file_stem=file_stem)
    wanted = images.select("image_id").with_columns(_NAME.alias("name"))
    wanted = wanted.with_columns(full_stem=full_stem, file_stem=file_stem)
    found = [
        wanted.join(labels, left_on="image_id", right_on="label_id", how="inner", coalesce=False)
        .with_columns(rank=pl.lit(_FULL_NAME), shared=pl.lit(False))
        .select("image_id", *_COLUMNS, "rank", "shared")
    ]
    for key, owner, by_stem, rank in (
        ("name", "image_id", False, _FILE_NAME),
        ("full_stem", "image_id", True, _FULL_STEM),
        ("file_stem", "full_stem", True, _FILE_STEM),
    ):
        shared = known.group_by(key).agg(
            # A label that names one image in full is meant for that image alone.
            (pl.col(owner) == pl.col(key)).any().alias("owned"),
            pl.len().alias("images"),
        )
        found.append(
            wanted.filter(pl.col(key) != pl.col(owner))
            .join(
                labels.filter(pl.col("by_stem") == by_stem),
                left_on=key,
                right_on="label_id",
                how="inner",
                coalesce=False,
            )
            .join(shared, on=key, how="inner")
            .filter(~pl.col("owned"))
            .with_columns(rank=pl.lit(rank), shared=pl.col("images") > 1)
            .select("image_id", *_COLUMNS, "rank", "shared")
        )
    return pl.concat(found)


def match(images: pl.DataFrame, labels: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Give every image its label: the newest, and of one version that which names it best.

    Args:
        images: Images to match, with ``image_id``.
        labels: As :func:`newest_labels` returns it.
        known: As :func:`known_images` returns it.

    Returns:
        ``images`` with ``label_id``, ``by_stem``, ``label_version`` and ``source_file`` (null
        without a label) and ``ambiguous``: labels for the name exist, but several images carry it.
    """
    found = candidates(images, labels, known)
    best = (
        found.filter(~pl.col("shared"))
        .sort("label_version", "rank", "source_file")
        .group_by("image_id", maintain_order=True)
        .last()
        .select("image_id", *_COLUMNS)
    )
    shared = found.filter("shared").select("image_id").unique()
    return (
        images.join(best, on="image_id", how="left")
        .join(shared.with_columns(ambiguous=True), on="image_id", how="left")
        .with_columns(ambiguous=pl.col("ambiguous").fill_null(False) & pl.col("label_id").is_null())
        .select(*images.columns, *_COLUMNS, "ambiguous")
    )
