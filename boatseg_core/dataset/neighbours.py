"""Which batches can depend on which: those that share an image, a file's name or its bytes.

The index holds hashes, 8 bytes each, some 50 bytes an image in all. Two strings of one hash make
two batches neighbours that need not be, which costs a comparison and changes no answer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from boatseg_core.labels.match import ENDING
from boatseg_core.lake.snapshot import Snapshot

_ID = pl.col("image_id").hash()
# Labels may leave the ending out: files that differ in it alone share a name here.
_FILE = pl.col("image_id").str.split("/").list.last()
_NAME = _FILE.str.replace(ENDING, "").hash()


@dataclass(frozen=True)
class Neighbours:
    """Hashes of what every batch holds.

    Attributes:
        files: The ledger: ``batch_id``, ``id`` (of the image), ``name`` (of the file, without its
            ending).
        images: ``raw_images``: the same, and ``sha``.
    """

    files: pl.DataFrame
    images: pl.DataFrame

    @classmethod
    def read(cls, snapshot: Snapshot) -> Neighbours:
        """Index the tables as they are."""
        return cls(_files(snapshot), _images(snapshot, None))

    def with_files(self, snapshot: Snapshot) -> Neighbours:
        """Index the ledger anew; it is one small table."""
        return Neighbours(_files(snapshot), self.images)

    def with_images(self, snapshot: Snapshot, batches: Collection[str]) -> Neighbours:
        """Index some batches of ``raw_images`` anew."""
        kept = self.images.filter(~pl.col("batch_id").is_in(list(batches)))
        return Neighbours(self.files, pl.concat([kept, _images(snapshot, batches)]))

    def changed_files(self, before: Neighbours) -> set[str]:
        """Batches whose rows of the ledger are not those they were."""
        digest = [pl.len().alias("rows"), pl.col("id").bitwise_xor()]
        now, then = (x.files.group_by("batch_id").agg(digest) for x in (self, before))
        by = now.columns
        return _batches(now.join(then, on=by, how="anti")) | _batches(
            then.join(now, on=by, how="anti")
        )

    def touched(self, changed: Collection[str], before: Neighbours) -> set[str]:
        """Batches whose comparison can come out differently since others have changed.

        Args:
            changed: Batches whose ledger rows or pictures are not those they were.
            before: The index as it was.
        """
        mine = pl.col("batch_id").is_in(list(changed))
        rows = pl.concat([x.known.filter(mine) for x in (self, before)])
        near = self._sharing(rows)
        shas = pl.concat(
            [
                *(x.images.filter(mine)["sha"] for x in (self, before)),
                # Whether a picture counts as an original depends on newer versions of its image.
                self.images.filter(pl.col("id").is_in(rows["id"].unique().implode()))["sha"],
            ]
        )
        return near | self._holding(shas) | set(changed)

    def around(self, batches: Collection[str]) -> set[str]:
        """Batches that have to be looked at to compare some."""
        mine = pl.col("batch_id").is_in(list(batches))
        near = self._sharing(self.known.filter(mine))
        copies = pl.col("sha").is_in(self.images.filter(mine)["sha"].unique().implode())
        rows = self.images.filter(copies)
        newer = pl.col("id").is_in(rows["id"].unique().implode())
        return near | _batches(rows) | _batches(self.files.filter(newer)) | set(batches)

    def named(self, labels: pl.Series) -> set[str]:
        """Batches with an image that labels of these names can be meant for."""
        names = pl.DataFrame({"image_id": labels}).select(with_ending=_NAME, without=_FILE.hash())
        wanted = pl.concat([names["with_ending"], names["without"]]).unique()
        return _batches(self.known.filter(pl.col("name").is_in(wanted.implode())))

    @property
    def known(self) -> pl.DataFrame:
        """Rows of both tables."""
        return pl.concat([self.files, self.images.drop("sha")])

    def _sharing(self, rows: pl.DataFrame) -> set[str]:
        same_id = pl.col("id").is_in(rows["id"].unique().implode())
        same_name = pl.col("name").is_in(rows["name"].unique().implode())
        return _batches(self.known.filter(same_id | same_name))

    def _holding(self, shas: pl.Series) -> set[str]:
        return _batches(self.images.filter(pl.col("sha").is_in(shas.unique().implode())))


def _files(snapshot: Snapshot) -> pl.DataFrame:
    rows = snapshot.scan("files").select(pl.col("batch_id"), id=_ID, name=_NAME)
    return _compact(rows)


def _images(snapshot: Snapshot, batches: Collection[str] | None) -> pl.DataFrame:
    rows = snapshot.scan("raw_images", batches)
    return _compact(rows.select("batch_id", id=_ID, name=_NAME, sha=pl.col("sha256").hash()))


def _compact(rows: pl.LazyFrame) -> pl.DataFrame:
    # One number a row instead of one string.
    as_category = pl.col("batch_id").cast(pl.Categorical)
    return rows.with_columns(as_category).collect(engine="streaming")


def _batches(rows: pl.DataFrame) -> set[str]:
    return set(rows["batch_id"].unique().cast(pl.String).to_list())
