from __future__ import annotations

import hashlib
import io

import numpy as np
import polars as pl
import pytest
from PIL import Image
from support.pictures import drop, encoded, texture

from boatseg_core.config import Settings
from boatseg_core.dataset import GoldDataset
from boatseg_core.dataset.audit import incomplete_gold_rows, leaking_groups
from boatseg_core.dataset.gold import build_gold
from boatseg_core.dataset.groups import group_batch
from boatseg_core.dataset.staleness import outdated_batches
from boatseg_core.errors import ImageError, InputError, LakeError
from boatseg_core.imaging import rle
from boatseg_core.ingest.bronze import ingest_batch
from boatseg_core.ingest.quality import judge_batch
from boatseg_core.ingest.seal import seal
from boatseg_core.labels.build import rasterize_batch
from boatseg_core.labels.ingest import load
from boatseg_core.lake import TABLES, Lake


def boat(x: int, y: int, size: int = 20) -> np.ndarray:
    mask = np.zeros((256, 256), dtype=np.bool_)
    mask[y : y + size, x : x + 2 * size] = True
    return mask


def write_labels(settings: Settings, rows: dict[str, list[str]], name: str = "labels.csv") -> None:
    lines = ["ImageId,EncodedPixels"]
    lines += [f"{image},{cell}" for image, cells in rows.items() for cell in cells or [""]]
    drop(settings.paths.landing, name, "\n".join(lines).encode())


def build(lake: Lake, settings: Settings) -> list[str]:
    """Everything that is outstanding, as the sensor would have it done."""
    seal(lake, settings)
    load(lake, settings)
    done = list(outdated_batches(lake, settings))
    for batch in done:
        ingest_batch(lake, batch, settings)
        judge_batch(lake, batch, settings)
        rasterize_batch(lake, batch, settings)
        group_batch(lake, batch, settings)
        build_gold(lake, batch)
    return done


@pytest.fixture
def filled(lake: Lake, settings: Settings) -> Lake:
    for i in range(12):
        drop(settings.images_folder, f"{i:02}.jpg", encoded(texture(i)))
    drop(settings.images_folder, "unlabelled.jpg", encoded(texture(50)))
    drop(settings.images_folder, "half-labelled.jpg", encoded(texture(51)))
    drop(settings.images_folder, "tiny.jpg", encoded(texture(52, 40, 40)))
    drop(settings.images_folder, "broken.jpg", b"no picture")
    rows: dict[str, list[str]] = {f"{i:02}.jpg": [] for i in range(12)}
    rows["03.jpg"] = [rle.encode(boat(10, 10)), rle.encode(boat(100, 150))]
    rows["04.jpg"] = [rle.encode(boat(200, 30))]
    rows["half-labelled.jpg"] = [rle.encode(boat(10, 10)), "1 2 3"]
    rows["tiny.jpg"] = []
    write_labels(settings, rows)
    build(lake, settings)
    return lake


def test_gold_holds_labelled_images_of_good_quality_side_by_side(
    filled: Lake, settings: Settings
) -> None:
    rows = filled.read("gold_dataset", ["image_id", "image", "mask", "boat_count", "boat_area"])

    assert sorted(rows["image_id"]) == [f"{i:02}.jpg" for i in range(12)]
    by_id = {row["image_id"]: row for row in rows.iter_rows(named=True)}
    assert by_id["03.jpg"]["image"] == (settings.images_folder / "03.jpg").read_bytes()
    mask = np.asarray(Image.open(io.BytesIO(by_id["03.jpg"]["mask"])).convert("L")) > 127
    assert (mask == (boat(10, 10) | boat(100, 150))).all()
    assert by_id["03.jpg"]["boat_count"] == 2
    assert by_id["03.jpg"]["boat_area"] == 1600
    assert by_id["00.jpg"]["boat_count"] == 0


def test_what_is_left_out_is_counted_with_its_reason(filled: Lake, settings: Settings) -> None:
    (batch,) = filled.counts("gold_dataset")

    summary = build_gold(filled, batch)

    assert summary.left_out == {"mask_rows_rejected": 1, "quality": 1, "unlabelled": 1}
    assert sum(summary.splits.values()) == summary.rows == 12
    assert summary.boats == 3
    assert incomplete_gold_rows(filled, batch) == []
    assert leaking_groups(filled) == []


def test_a_duplicate_is_left_out_under_its_own_reason(filled: Lake, settings: Settings) -> None:
    drop(settings.images_folder, "copy.jpg", (settings.images_folder / "03.jpg").read_bytes())
    write_labels(settings, {"copy.jpg": [rle.encode(boat(10, 10))]}, "copy.csv")
    (second,) = build(filled, settings)

    summary = build_gold(filled, second)

    assert (summary.rows, summary.left_out) == (0, {"duplicate": 1})


def test_gold_says_what_its_rows_were_admitted_by(filled: Lake, settings: Settings) -> None:
    rows = filled.read("gold_dataset").sort("image_id")
    verdicts = filled.read("image_quality", ["image_id", "criteria"])
    masks = filled.read("rasterized_masks")

    assert rows["passed"].all() and rows["labelled"].all()
    assert (
        rows["criteria"].to_list() == rows.join(verdicts, on="image_id")["criteria_right"].to_list()
    )
    assert (rows["label_version"] == 1).all() and rows["batch_id"].n_unique() == 1
    # Whatever the masks and gold have in common is the same in both, to the last list.
    shared = [name for name in masks.columns if name in rows.columns]
    same = masks.select(shared).filter(pl.col("image_id").is_in(rows["image_id"].to_list()))
    assert {"boat_centroids", "boat_orientations", "boat_boxes", "boat_areas"} <= set(shared)
    assert same.sort("image_id").equals(rows.select(shared))


@pytest.mark.parametrize(
    "broken", [{"mask": b""}, {"image": None}, {"passed": False}, {"labelled": False}]
)
def test_rows_that_do_not_belong_into_gold_are_named(
    filled: Lake, broken: dict[str, object]
) -> None:
    (batch,) = filled.counts("gold_dataset")
    assert incomplete_gold_rows(filled, batch) == []
    rows = filled.read("gold_dataset", TABLES["gold_dataset"].schema.names)
    ((name, value),) = broken.items()
    damaged = (
        pl.when(pl.col("image_id") == "05.jpg")
        .then(pl.lit(value, dtype=rows.schema[name]))
        .otherwise(pl.col(name))
    )
    filled.replace_batch("gold_dataset", batch, rows.with_columns(damaged.alias(name)))

    assert incomplete_gold_rows(filled, batch) == ["05.jpg"]


def test_pictures_stay_with_their_facts_when_rows_are_left_out_and_out_of_order(
    filled: Lake, settings: Settings
) -> None:
    (batch,) = filled.counts("gold_dataset")
    raw = filled.read("raw_images", TABLES["raw_images"].schema.names).sort(
        "sha256", descending=True
    )
    filled.replace_batch("raw_images", batch, raw)

    build_gold(filled, batch)

    gold = filled.read("gold_dataset", ["image_id", "image", "sha256", "boat_count"])
    for image_id, image, sha256, _ in gold.iter_rows():
        assert image == (settings.images_folder / image_id).read_bytes()
        assert hashlib.sha256(image).hexdigest() == sha256
    assert dict(gold.select("image_id", "boat_count").iter_rows())["03.jpg"] == 2


def test_gold_that_is_right_can_be_left_alone(filled: Lake, settings: Settings) -> None:
    (batch,) = filled.counts("gold_dataset")
    version = filled.version("gold_dataset")

    kept = build_gold(filled, batch, keep_same=True)

    assert (kept.version, filled.version("gold_dataset")) == (version, version)
    assert kept.rows == filled.counts("gold_dataset")[batch]
    strict = settings.model_copy(
        update={"quality": settings.quality.model_copy(update={"max_brightness": 1.0})}
    )
    judge_batch(filled, batch, strict)
    assert build_gold(filled, batch, keep_same=True).rows == 0
    assert filled.version("gold_dataset") != version


def test_nothing_is_outstanding_after_a_build(filled: Lake, settings: Settings) -> None:
    assert outdated_batches(filled, settings) == {}
    assert build(filled, settings) == []


def test_late_labels_rebuild_only_the_batch_that_holds_the_image(
    filled: Lake, settings: Settings
) -> None:
    (first,) = filled.counts("gold_dataset")
    drop(settings.images_folder, "later.jpg", encoded(texture(70)))
    (second,) = build(filled, settings)
    assert second != first
    write_labels(settings, {"unlabelled.jpg": [rle.encode(boat(5, 5))]}, "late.csv")

    assert build(filled, settings) == [first]

    gold = filled.read("gold_dataset", ["image_id", "batch_id", "boat_count"])
    assert gold.filter(pl.col("image_id") == "unlabelled.jpg").row(0)[1:] == (first, 1)


def test_a_changed_criterion_makes_batches_outstanding(filled: Lake, settings: Settings) -> None:
    strict = settings.model_copy(
        update={"quality": settings.quality.model_copy(update={"min_contrast": 1.0})}
    )

    assert set(outdated_batches(filled, strict).values()) == {
        "judged by other quality criteria than those in force"
    }


def test_other_split_settings_move_every_batch(filled: Lake, settings: Settings) -> None:
    resplit = settings.model_copy(
        update={"split": settings.split.model_copy(update={"salt": "another"})}
    )

    assert set(outdated_batches(filled, resplit).values()) == {"split by other settings"}
    before = filled.read("gold_dataset").sort("image_id")
    build(filled, resplit)
    after = filled.read("gold_dataset").sort("image_id")

    assert outdated_batches(filled, resplit) == {}
    assert after["group_id"].equals(before["group_id"])
    assert not after["split"].equals(before["split"])


def test_an_overwritten_image_is_in_gold_once_with_its_newest_pixels(
    filled: Lake, settings: Settings
) -> None:
    newer = encoded(texture(90))
    drop(settings.images_folder, "04.jpg", newer)

    build(filled, settings)
    build(filled, settings)

    gold = filled.read("gold_dataset", ["image_id", "image"])
    assert gold.filter(pl.col("image_id") == "04.jpg")["image"].to_list() == [newer]
    assert outdated_batches(filled, settings) == {}


def test_samples_are_whole_images_in_a_fixed_order(filled: Lake) -> None:
    gold = GoldDataset(filled)

    ids = [
        sample.image_id for split in ("train", "valid", "test") for sample in gold.samples(split)
    ]
    samples = {s.image_id: s for split in ("train", "valid", "test") for s in gold.samples(split)}

    assert sorted(ids) == [f"{i:02}.jpg" for i in range(12)]
    assert samples["03.jpg"].image.shape == (256, 256, 3)
    assert (samples["03.jpg"].mask == (boat(10, 10) | boat(100, 150))).all()
    assert samples["03.jpg"].boat_areas == [800, 800]


def test_crops_near_objects_show_them(filled: Lake) -> None:
    gold = GoldDataset(filled)
    split = gold.index().filter(pl.col("boat_count") > 0)["split"][0]

    loader = gold.loader(split, crop=64, batch_size=8, boat_share=1.0, centred=1.0, seed=3)
    batch = next(loader.forever())

    assert batch["image"].shape == (8, 64, 64, 3)
    assert batch["mask"].reshape(8, -1).any(axis=1).all()


def test_crops_larger_than_the_image_are_reflected(filled: Lake) -> None:
    gold = GoldDataset(filled)
    split = gold.index()["split"][0]

    image = next(gold.loader(split, crop=320, batch_size=1, seed=3).forever())["image"][0]

    assert (image[256:, :256] == image[192:256, :256][::-1]).all()
    assert (image[:256, 256:] == image[:256, 192:256][:, ::-1]).all()


def test_an_empty_split_says_what_to_do(filled: Lake) -> None:
    with pytest.raises(InputError, match="gold has no excluded image in version 1: ingest and"):
        GoldDataset(filled).loader("excluded", crop=32)


def test_a_pinned_version_does_not_see_later_rows(filled: Lake, settings: Settings) -> None:
    gold = GoldDataset(filled)
    before = gold.index().height
    drop(settings.images_folder, "new.jpg", encoded(texture(80)))
    write_labels(settings, {"new.jpg": []}, "new.csv")
    build(filled, settings)

    assert gold.index().height == before
    assert GoldDataset(filled).index().height == before + 1


def test_gold_before_anything_was_ingested(lake: Lake) -> None:
    with pytest.raises(LakeError, match="gold_dataset does not exist yet"):
        GoldDataset(lake)


def test_an_image_of_gold_that_no_longer_decodes_is_named(filled: Lake) -> None:
    (batch,) = filled.counts("gold_dataset")
    rows = filled.read(
        "gold_dataset", filled.table("gold_dataset").to_pyarrow_dataset().schema.names
    )
    filled.replace_batch(
        "gold_dataset", batch, rows.with_columns(image=pl.lit(b"junk"), split=pl.lit("train"))
    )

    with pytest.raises(ImageError, match=r"gold image \d\d\.jpg"):
        list(GoldDataset(filled).samples("train"))


def test_masks_newer_than_gold_are_noticed_after_a_crash(filled: Lake, settings: Settings) -> None:
    """The run was killed between the silver tables and gold; the number of rows is the same."""
    (batch,) = filled.counts("gold_dataset")
    write_labels(settings, {"04.jpg": [rle.encode(boat(50, 60))]}, "corrected.csv")
    load(filled, settings)
    rasterize_batch(filled, batch, settings)

    assert outdated_batches(filled, settings) == {batch: "gold is not up to date"}
