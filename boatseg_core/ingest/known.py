"""What the ledger knows of a source, in the form a listing is compared with."""

from __future__ import annotations

import polars as pl

from boatseg_core.lake import Lake

FOUND = {
    "path": pl.String,
    "size_bytes": pl.Int64,
    "mtime_ns": pl.Int64,
    "etag": pl.String,
}
"""Columns of a listing."""


class Known:
    """The newest sealed state of every file of one source, archives included.

    A file is known if it is as it was sealed last: by entity tag where the source has them (the
    same tag means the same bytes, whenever they were put there), else by size and time of
    modification. What was overwritten and then put back as it was before is therefore new, too.

    A million files take some 150 MB and half a second.

    Args:
        lake: The lake with the ledger.
        source: Name of the source.
        version: Delta version of the ledger; by default the newest.
    """

    def __init__(self, lake: Lake, source: str, version: int | None = None) -> None:
        keys = [*FOUND, "batch_id"]
        rows = lake.scan("files", version).filter(pl.col("source") == source)
        rows = rows.with_columns(pl.col("archive").fill_null(""))
        everything = rows.select(*keys, "archive").collect()
        plain = everything["archive"] == ""
        self._files = everything.filter(plain).select(keys)
        # Every member carries its archive's state: one row an archive and sealing is enough.
        self._archives = (
            everything.filter(~plain)
            .select("archive", "mtime_ns", "etag", "batch_id")
            .unique(["archive", "mtime_ns", "etag", "batch_id"])
            .rename({"archive": "path"})
        )

    def unknown_files(self, found: pl.DataFrame) -> pl.DataFrame:
        """Keep the files that are not as they were sealed last, in their order.

        Args:
            found: A stretch of a listing: the columns :data:`FOUND`, and the place in it, ``at``.
        """
        tagged = found["etag"] != ""
        if tagged.all():
            return self._unknown(found, self._files, ["path", "size_bytes", "etag"])
        if not tagged.any():
            return self._unknown(found, self._files, ["path", "size_bytes", "mtime_ns"])
        parts = [self.unknown_files(found.filter(part)) for part in (tagged, ~tagged)]
        return pl.concat(parts).sort("at")

    def unknown_archives(self, found: pl.DataFrame) -> pl.DataFrame:
        """Keep the archives of a listing that are not as they were sealed last."""
        tagged = pl.col("etag") != ""
        # A local archive's size stands in the entity tag of its members.
        keyed = found.with_columns(
            pl.when(tagged)
            .then("etag")
            .otherwise(pl.col("size_bytes").cast(pl.String))
            .alias("key"),
            pl.when(tagged).then(0).otherwise("mtime_ns").alias("time"),
        )
        known = self._archives.with_columns(
            pl.col("etag").alias("key"),
            # An entity tag is quoted, a size is not.
            pl.when(pl.col("etag").str.contains(r"^\d+$"))
            .then("mtime_ns")
            .otherwise(0)
            .alias("time"),
        )
        return self._unknown(keyed, known, ["path", "key", "time"]).select(found.columns)

    @staticmethod
    def _unknown(found: pl.DataFrame, known: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
        if found.is_empty() or known.is_empty():
            return found
        # A listing comes in order: of a large ledger only a stretch has to be joined.
        low, high = found["path"].min(), found["path"].max()
        stretch = known.filter(pl.col("path").is_between(pl.lit(low), pl.lit(high)))
        newest = stretch.sort("batch_id").unique("path", keep="last")
        return found.join(newest, on=keys, how="anti", maintain_order="left")


def sealed_since(lake: Lake, source: str, count: int, version: int | None) -> pl.DataFrame:
    """Paths and archives of a source in the batches after the first ``count`` ones."""
    number = pl.col("batch_id").str.split("-").list.last().cast(pl.Int64, strict=False)
    return (
        lake.scan("files", version)
        .filter((pl.col("source") == source) & (number > count))
        .select("path", pl.col("archive").fill_null(""))
        .collect()
    )
