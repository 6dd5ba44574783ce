"""Pictures that keep arriving, and what has to be in the tables of them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import polars as pl

from boatseg_core.imaging import rle
from support.homes import lake_of
from support.pictures import drop, encoded, texture


def deliver(landing: Path, number: int, rng: random.Random) -> dict[str, bytes]:
    """Put a few new pictures and their labels into the landing folder; one in nine is broken."""
    files = {}
    lines = ["ImageId,EncodedPixels"]
    for index in range(rng.randint(1, 3)):
        name = f"{number:03}-{index}.jpg"
        data = encoded(texture(number * 10 + index, 128, 128), quality=90)
        files[name] = data[: len(data) // 2] if rng.random() < 1 / 9 else data
        lines.append(f"{name},{rle.encode(_mask(number + index))}")
        drop(landing / "images", name, files[name])
    drop(landing, f"labels-{number:03}.csv", "\n".join(lines).encode())
    return files


def _mask(number: int) -> np.ndarray:
    mask = np.zeros((128, 128), dtype=np.bool_)
    mask[10 : 20 + number % 30, 30:60] = number % 2 == 0
    return mask


def check(home: Path, files: dict[str, bytes]) -> None:
    """Every file once, with its bytes; every derived row once, for what is there."""
    lake = lake_of(home)
    ledger = lake.read("files")
    assert sorted(ledger["path"]) == sorted(files)
    images = lake.read("raw_images", ["batch_id", "path", "image_id", "image"])
    refused = lake.read("quarantine", ["batch_id", "path"])
    rows = pl.concat([images.select("batch_id", "path"), refused])
    assert sorted(rows.iter_rows()) == sorted(ledger.select("batch_id", "path").iter_rows())
    taken = {
        path: hashlib.sha256(data).digest()
        for path, data in images.select("path", "image").iter_rows()
    }
    assert all(hashlib.sha256(files[path]).digest() == digest for path, digest in taken.items())
    names = sorted(images["image_id"])
    for table in ("image_quality", "image_groups", "rasterized_masks", "gold_dataset"):
        assert sorted(lake.read(table, ["image_id"])["image_id"]) == names, table
    labels = lake.read("raw_masks", ["image_id", "source_file"])
    assert labels.n_unique() == labels.height == len(files)
    # what the log counts is what the files hold
    for table in ("files", "raw_images", "quarantine", "gold_dataset"):
        assert lake.count(table) == lake.scan(table).select(pl.len()).collect().item()
