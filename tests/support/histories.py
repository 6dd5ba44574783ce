"""Random histories of narrow tables: anything that may happen to a home, without a picture."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from boatseg_core.config import Settings
from boatseg_core.config.sections import Split
from boatseg_core.dataset.groups import split_of
from boatseg_core.ingest.quality import criteria_hash
from boatseg_core.lake import TABLES, Lake


def filled(name: str, rows: Iterable[Mapping[str, Any]] | pl.DataFrame) -> pa.Table:
    """Rows of a table, with empty bytes and nulls in the columns that are not given."""
    schema = TABLES[name].schema
    given = rows.to_arrow() if isinstance(rows, pl.DataFrame) else None
    if given is None:
        listed = [{k: v for k, v in row.items() if k in schema.names} for row in rows]
        columns = sorted({key for row in listed for key in row})
        given = pa.Table.from_pylist(listed, pa.schema([schema.field(c) for c in columns]))
    height = given.num_rows
    return pa.table(
        [
            given[field.name].cast(field.type)
            if field.name in given.column_names
            else pa.array([b""] * height, field.type)
            if pa.types.is_binary(field.type)
            else pa.nulls(height, field.type)
            for field in schema
        ],
        schema=schema,
    )


class History:
    """A home in which random things happen to few images, so that they collide.

    Args:
        lake: An empty lake.
        settings: Settings in force at the beginning.
        seed: Same seed, same history.
    """

    def __init__(self, lake: Lake, settings: Settings, seed: int) -> None:
        self.lake, self.settings = lake, settings
        self.random = random.Random(seed)
        self.batches: list[str] = []
        self.ids: dict[str, list[str]] = {}
        self.label_version = 0

    def begin(self, number: int) -> str:
        """The first things that happen in every home."""
        deeds = (self.seal, self.label, self.seal, self.build, self.seal, self.build, self.build)
        deeds[number]()
        return deeds[number].__name__

    def step(self) -> str:
        """Let one thing happen; return its name."""
        deeds: dict[str, Callable[[], None]] = {
            "seal": self.seal,
            "read": self.read,
            "judge": self.judge,
            "draw": self.draw,
            "group": self.group,
            "join": self.join,
            "build": self.build,
            "label": self.label,
            "change criteria": self.change_criteria,
            "change splits": self.change_splits,
            "lose rows": self.lose_rows,
            "compact": self.compact,
        }
        weights = [4, 4, 3, 3, 3, 3, 8, 2, 1, 1, 1, 1]
        (name,) = self.random.choices(list(deeds), weights)
        deeds[name]()
        return name

    def seal(self, names: Sequence[str] = ()) -> None:
        """New files; some are new versions of known ones, some have names of known ones."""
        batch = f"20260101-{len(self.batches) + 1:06d}"
        self.batches.append(batch)
        self.ids[batch] = sorted(names or {self._name() for _ in range(self._few())})
        rows = [
            {"source": "landing", "path": name, "image_id": name, "batch_id": batch, "etag": ""}
            | {"size_bytes": 1, "mtime_ns": 1}
            for name in self.ids[batch]
        ]
        self.lake.append("files", filled("files", rows))

    def read(self) -> None:
        """A batch is read, perhaps not all of it; the same bytes come under many names."""
        batch = self._batch()
        rows, refused = [], []
        for name in self.ids.get(batch, []):
            row = {"image_id": name, "path": name, "source": "landing", "batch_id": batch}
            if self.random.random() < 0.85:
                size = {"width": 768, "height": 768}
                rows.append(row | size | {"sha256": f"{self.random.randrange(9):064x}"})
            else:
                refused.append(row | {"reason": "truncated"})
        self._replace("raw_images", batch, rows)
        self._replace("quarantine", batch, refused)

    def judge(self) -> None:
        """A batch is judged: rightly or, where others moved meanwhile, not."""
        from boatseg_core.ingest.duplicates import duplicates

        batch = self._batch()
        originals = {row[0]: row[2] for row in duplicates(self.lake, batch).iter_rows()}
        criteria = criteria_hash(self.settings.quality)
        rows = []
        for name in self._images(batch):
            original = originals.get(name)
            if self.random.random() < 0.05:
                original = self.random.choice([None, "a/1.jpg"])
            passed = original is None and self.random.random() < 0.9
            row = {"image_id": name, "batch_id": batch, "passed": passed, "criteria": criteria}
            rows.append(row | {"duplicate_of": original})
        self._replace("image_quality", batch, rows)

    def draw(self) -> None:
        """Masks are drawn by the labels in force, or wrongly."""
        from boatseg_core.labels.match import known_images, match, newest_labels

        batch = self._batch()
        images = self.lake.read("raw_images", ["image_id"], batch_id=batch)
        matched = match(images, newest_labels(self.lake), known_images(self.lake))
        rows = [
            {
                "image_id": row["image_id"],
                "batch_id": batch,
                "width": 768 if self.random.random() < 0.95 else 767,
                "height": 768,
                "rejected_rows": int(self.random.random() < 0.1),
                "label_version": row["label_version"],
            }
            for row in matched.drop_nulls("label_version").iter_rows(named=True)
            if self.random.random() < 0.97
        ]
        self._replace("rasterized_masks", batch, rows)

    def group(self) -> None:
        """Images are grouped, with the splits in force."""
        batch = self._batch()
        rows = []
        for name in self._images(batch):
            split = split_of(name, self.settings.split)
            split = "excluded" if self.random.random() < 0.1 else split
            rows.append({"image_id": name, "batch_id": batch, "group_id": name, "split": split})
        self._replace("image_groups", batch, rows)

    def join(self) -> None:
        """Gold is joined as it is today, or a row is missing."""
        from boatseg_core.dataset.gold import IDENTITY

        batch = self._batch()
        rows = expected_gold(self.lake).filter(pl.col("batch_id") == batch).select(IDENTITY)
        if self.random.random() < 0.1:
            rows = rows.head(self.random.randrange(3))
        self._replace("gold_dataset", batch, rows.to_dicts())

    def build(self) -> None:
        """One batch goes all the way."""
        batch = self._batch()
        self._chosen = batch
        for deed in (self.read, self.judge, self.draw, self.group, self.join):
            deed()
        self._chosen = ""

    def label(self) -> None:
        """A label file arrives, with full names and bare ones."""
        self.label_version += 1
        names = {self._name() for _ in range(2 * self._few())}
        stems = {name.removesuffix(".jpg") for name in names if self.random.random() < 0.2}
        file = f"l{self.label_version}.csv"
        rows = [
            {"image_id": name, "encoded_pixels": "", "source_file": file, "line": 2}
            | {"label_version": self.label_version, "by_stem": name in stems}
            for name in sorted(names | stems)
        ]
        self.lake.append("raw_masks", filled("raw_masks", rows))
        ledger = [{"path": f"landing/{file}", "label_version": self.label_version}]
        self.lake.append("label_files", filled("label_files", ledger))

    def change_criteria(self) -> None:
        """Other quality criteria come into force."""
        quality = {"min_contrast": float(self.random.randrange(3))}
        changed = self.settings.quality.model_copy(update=quality)
        self.settings = self.settings.model_copy(update={"quality": changed})

    def change_splits(self) -> None:
        """Other splits come into force."""
        changed = Split(salt=self.random.choice(["boatseg", "x"]))
        self.settings = self.settings.model_copy(update={"split": changed})

    def lose_rows(self) -> None:
        """A batch of some table is emptied."""
        name = self.random.choice(["raw_images", "image_quality", "rasterized_masks"])
        self._replace(name, self._batch(), [])

    def compact(self) -> None:
        """Small files become larger ones, which changes no row."""
        name = self.random.choice(["files", "raw_masks", "raw_images"])
        if self.lake.exists(name):
            self.lake.table(name).optimize.compact()

    _chosen = ""

    def _few(self) -> int:
        return self.random.randrange(1, 5)

    def _name(self) -> str:
        folder = self.random.choice(["", "", "a/", "b/"])
        return f"{folder}{self.random.randrange(14)}{self.random.choice(['.jpg', '.jpg', '.png'])}"

    def _batch(self) -> str:
        known = self.batches or ["20260101-000001"]
        return self._chosen or self.random.choice(known)

    def _images(self, batch: str) -> list[str]:
        images = self.lake.read("raw_images", ["image_id"], batch_id=batch)
        return images["image_id"].to_list()

    def _replace(self, name: str, batch: str, rows: list[dict[str, Any]]) -> None:
        self.lake.replace_batch(name, batch, filled(name, rows))


def expected_gold(lake: Lake) -> pl.DataFrame:
    """What belongs in gold: all tables joined, in one query that knows of no shortcut."""
    keys = ["image_id", "batch_id"]
    newest = lake.scan("files").group_by("image_id").agg(newest=pl.col("batch_id").max())
    sizes = ["width", "height"]
    return (
        lake.scan("rasterized_masks")
        .filter(pl.col("rejected_rows") == 0)
        .select(*keys, *sizes, "label_version")
        .join(lake.scan("image_quality").filter("passed").select(keys), on=keys, how="semi")
        .join(lake.scan("raw_images").select(*keys, *sizes, "sha256"), on=[*keys, *sizes])
        .join(lake.scan("image_groups").select(*keys, "group_id", "split"), on=keys)
        .join(newest, on="image_id")
        .filter(pl.col("batch_id") == pl.col("newest"))
        .collect()
    )
