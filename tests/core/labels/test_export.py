"""The way back, bit for bit."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from support.labelled import images, instances, masks, put, table

from boatseg_core.config import Settings
from boatseg_core.errors import InputError
from boatseg_core.imaging import rle
from boatseg_core.imaging.mask_png import encode_mask
from boatseg_core.labels.build import rasterize_batch
from boatseg_core.labels.export import choose as choosing
from boatseg_core.labels.export.choose import Exported
from boatseg_core.labels.export.coco import export_coco
from boatseg_core.labels.export.csv import export_csv
from boatseg_core.labels.export.png import export_png
from boatseg_core.labels.ingest import load
from boatseg_core.lake import Lake

REAL = os.environ.get("BOATSEG_REAL_SAMPLE", "")


def another(tmp_path: Path) -> tuple[Lake, Settings]:
    home = tmp_path / "another"
    (home / "landing").mkdir(parents=True, exist_ok=True)
    settings = Settings(home=home, landing={"settle_seconds": 0})  # type: ignore[arg-type]
    return Lake.from_settings(settings), settings


def csv_of(lake: Lake, settings: Settings, **options: Any) -> str:
    out = io.StringIO(newline="")
    export_csv(lake, settings, out, **options)
    return out.getvalue()


def coco_of(lake: Lake, settings: Settings, **options: Any) -> str:
    out = io.StringIO()
    export_coco(lake, settings, out, **options)
    return out.getvalue()


# CSV

CSV = (
    "ImageId,EncodedPixels\n"
    "b.jpg,1 2 9 3\n"
    "a.jpg,\n"
    "b.jpg,30 2\n"
    '"with, comma.jpg",5 5\n'
    "b.jpg,30 2\n"
    "c.jpg,not a mask\n"
    "short.jpg\n"
    "ünïcode.jpg,3 1\n"
)


@pytest.mark.parametrize("window", [1, 3, 1000])
def test_a_csv_comes_back_byte_for_byte(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(choosing, "_WINDOW", window)
    put(settings, "m.csv", CSV)
    load(lake, settings)
    assert csv_of(lake, settings) == CSV
    images(lake, "b1", {"x/b.jpg": (30, 20), "a.jpg": (30, 20)})
    assert csv_of(lake, settings) == CSV  # the images' arrival changes nothing


@pytest.mark.skipif(not REAL, reason="BOATSEG_REAL_SAMPLE is not set")
@pytest.mark.parametrize("name", ["masks.csv", "masks_500_images.csv"])
def test_real_csvs_come_back_byte_for_byte(lake: Lake, settings: Settings, name: str) -> None:
    data = (Path(REAL) / name).read_bytes()
    put(settings, name, data)
    load(lake, settings)
    assert csv_of(lake, settings).encode() == data.replace(b"\r\n", b"\n")


def test_what_was_superseded_is_not_exported_but_an_older_version_is(
    lake: Lake, settings: Settings
) -> None:
    first = "ImageId,EncodedPixels\na.jpg,1 2\na.jpg,9 1\nb.jpg,3 4\n"
    put(settings, "m.csv", first, at=1000)
    load(lake, settings)
    put(settings, "late.csv", "ImageId,EncodedPixels\na.jpg,5 5\n", at=2000)
    load(lake, settings)
    assert csv_of(lake, settings) == "ImageId,EncodedPixels\nb.jpg,3 4\na.jpg,5 5\n"
    assert csv_of(lake, settings, version=1) == first


def test_a_split_is_that_of_gold(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"x/a.jpg": (30, 20), "b.jpg": (30, 20), "c.jpg": (30, 20)})
    put(settings, "m.csv", "ImageId,EncodedPixels\na.jpg,1 2\nb.jpg,3 4\ngone.jpg,1 1\n")
    load(lake, settings)
    rows = [
        {"image_id": name, "batch_id": "b1", "split": split, "image": b"", "mask": b""}
        for name, split in (("x/a.jpg", "train"), ("b.jpg", "test"))
    ]
    lake.replace_batch("gold_dataset", "b1", table("gold_dataset", rows))
    assert csv_of(lake, settings, split="train") == "ImageId,EncodedPixels\na.jpg,1 2\n"
    assert csv_of(lake, settings, split="test") == "ImageId,EncodedPixels\nb.jpg,3 4\n"
    with pytest.raises(InputError, match="no labelled image in the split 'vaild'"):
        csv_of(lake, settings, split="vaild")


def test_nothing_to_export_is_said(lake: Lake, settings: Settings) -> None:
    with pytest.raises(InputError, match="no labels in"):
        csv_of(lake, settings)


# COCO


def coco() -> dict[str, Any]:
    size = {"width": 30, "height": 20}
    return {
        "images": [{"id": 10 + i, "file_name": f"{n}.jpg", **size} for i, n in enumerate("cab")],
        "categories": [{"id": 5, "name": "boat"}, {"id": 9, "name": "buoy"}],
        "annotations": [
            {"id": 3, "image_id": 12, "category_id": 9, "iscrowd": 0,
             "segmentation": [[1.25, 2.1, 9.999999999999998, 2, 9, 8e0], [11, 3, 15, 3, 15, 9]]},
            {"id": 1, "image_id": 10, "category_id": 5, "iscrowd": 1,
             "segmentation": {"size": [20, 30], "counts": [41, 3, 556]}},
            {"id": 2, "image_id": 12, "category_id": 5, "iscrowd": 0,
             "segmentation": {"size": [20, 30], "counts": "Y13\\a0"}},
        ],
    }  # fmt: skip


def test_coco_comes_back_number_for_number(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    content = coco()
    put(settings, "m.json", json.dumps(content))
    load(lake, settings)
    text = coco_of(lake, settings)
    back = json.loads(text)
    given = [json.dumps(a["segmentation"]) for a in content["annotations"]]
    assert [json.dumps(a["segmentation"]) for a in back["annotations"]] == given
    names = {image["id"]: image["file_name"] for image in back["images"]}
    assert [names[a["image_id"]] for a in back["annotations"]] == ["b.jpg", "c.jpg", "b.jpg"]
    assert sorted(names.values()) == ["a.jpg", "b.jpg", "c.jpg"]
    kinds = {category["id"]: category["name"] for category in back["categories"]}
    assert [kinds[a["category_id"]] for a in back["annotations"]] == ["buoy", "boat", "boat"]
    assert [a["iscrowd"] for a in back["annotations"]] == [0, 1, 0]
    assert back["annotations"][1]["area"] == 3
    assert back["annotations"][1]["bbox"] == [2, 1, 1, 3]
    # And once more, through another lake: byte for byte.
    there, their_settings = another(tmp_path)
    put(their_settings, "x.json", text)
    load(there, their_settings)
    assert coco_of(there, their_settings) == text


def test_csv_to_coco_to_csv_loses_nothing(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    images(lake, "b1", {"a.jpg": (30, 20), "e.jpg": (30, 20)})
    text = "ImageId,EncodedPixels\na.jpg,1 2 25 3 45 4\na.jpg,600 1\ne.jpg,\n"
    put(settings, "m.csv", text)
    load(lake, settings)
    there, their_settings = another(tmp_path)
    put(their_settings, "x.json", coco_of(lake, settings))
    load(there, their_settings)
    assert sorted(csv_of(there, their_settings).splitlines()) == sorted(text.splitlines())


def test_what_has_no_size_or_cannot_be_drawn_is_counted(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"a.jpg": (30, 20)})
    put(settings, "m.csv", "ImageId,EncodedPixels\na.jpg,1 2\na.jpg,x\ngone.jpg,1 2\na.jpg\n")
    load(lake, settings)
    done = export_coco(lake, settings, io.StringIO())
    assert done == Exported(
        images=0, rows=0, skipped={"size_unknown": 1, "not_integers": 1, "missing_cell": 1}
    )


# PNG


def values_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def png(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()


TOUCHING = np.zeros((20, 30), np.uint8)
TOUCHING[2:9, 3:9] = 7
TOUCHING[2:9, 9:14] = 200
TOUCHING[12:14, 1:3] = 9
TOUCHING[12:14, 20:23] = 9  # one object in two pieces
TWO_PIECES = np.where(TOUCHING == 9, 9, 0).astype(np.uint8)
MAPS = {
    "touching": TOUCHING,
    "empty": np.zeros((20, 30), np.uint8),
    "many": (np.arange(600).reshape(20, 30) % 400 + 65_000).astype(np.uint16),
}


def test_instance_maps_come_back_value_for_value(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    for name, array in MAPS.items():
        put(settings, f"masks/sub/{name}.png", png(array))
    load(lake, settings)
    done = export_png(lake, tmp_path / "out")
    assert (done.images, done.rows, done.skipped, done.overlapping) == (3, 3 + 0 + 400, {}, 0)
    for name, array in MAPS.items():
        np.testing.assert_array_equal(values_of(tmp_path / f"out/sub/{name}.png"), array)


def test_one_bit_masks_come_back_byte_for_byte(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    data = encode_mask(TOUCHING > 0)
    put(settings, "masks/a.png", data)
    load(lake, settings)
    assert export_png(lake, tmp_path / "out").rows == 3
    assert (tmp_path / "out/a.png").read_bytes() == data


def test_objects_survive_pictures(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    """CSV to pictures and back: touching objects stay apart, one in two pieces stays one."""
    sizes = {"x/a.jpg": (30, 20), "x/a.tif": (30, 20), "b.jpg": (30, 20), "e.jpg": (30, 20)}
    images(lake, "b1", sizes)
    objects = {
        "x/a.jpg": [value == TOUCHING for value in (7, 9, 200)],
        "x/a.tif": [TOUCHING == 7],
        "b.jpg": [TWO_PIECES > 0],
        "e.jpg": [],
    }
    lines = [f"{name},{rle.encode(boat)}" for name, boats in objects.items() for boat in boats]
    put(settings, "m.csv", "\n".join(["ImageId,EncodedPixels", *lines, "e.jpg,", ""]))
    load(lake, settings)
    there, their_settings = another(tmp_path)
    export_png(lake, their_settings.paths.landing / "masks")
    images(there, "b1", sizes)
    load(there, their_settings)
    assert rasterize_batch(there, "b1", their_settings).issues == {}
    found = masks(there)
    assert set(found) == set(objects)
    for name, boats in objects.items():
        back = instances(found[name])
        assert len(back) == len(boats)
        for one, other in zip(back, boats, strict=True):
            np.testing.assert_array_equal(one, other)
    again = tmp_path / "again"
    export_png(there, again)
    for path in (their_settings.paths.landing / "masks").rglob("*.png"):
        there_too = again / path.relative_to(their_settings.paths.landing / "masks")
        assert there_too.read_bytes() == path.read_bytes()


def test_overlaps_are_counted_since_a_picture_cannot_hold_them(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    images(lake, "b1", {"a.jpg": (30, 20)})
    put(settings, "m.csv", "ImageId,EncodedPixels\na.jpg,1 5\na.jpg,3 5\n")
    load(lake, settings)
    assert export_png(lake, tmp_path / "out").overlapping == 1
    assert values_of(tmp_path / "out/a.png")[:8, 0].tolist() == [1, 1, 2, 2, 2, 2, 2, 0]


def test_no_name_leads_out_of_the_folder(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    names = [
        "../evil.jpg",
        "/tmp/evil-boatseg.jpg",
        "..",
        "a/../../evil.jpg",
        "good.jpg",
        "n\x00.jpg",
    ]
    content = {
        "images": [
            {"id": i, "file_name": name, "width": 3, "height": 2} for i, name in enumerate(names)
        ],
        "annotations": [],
    }
    put(settings, "m.json", json.dumps(content))
    load(lake, settings)
    folder = tmp_path / "deep/out"
    done = export_png(lake, folder)
    assert (done.images, done.skipped) == (1, {"name_outside_of_the_folder": 5})
    written = [path for path in (tmp_path / "deep").rglob("*") if path.is_file()]
    assert written == [folder / "good.png"]
    assert not Path("/tmp/evil-boatseg.png").exists()


def test_an_image_none_of_whose_rows_can_be_used_gets_no_black_picture(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    images(lake, "b1", {"a.jpg": (30, 20)})
    put(settings, "m.csv", "ImageId,EncodedPixels\na.jpg,x\n")
    load(lake, settings)
    done = export_png(lake, tmp_path / "out")
    assert (done.images, done.skipped) == (0, {"not_integers": 1})
    assert not (tmp_path / "out").exists()
    assert isinstance(lake.table("raw_masks").to_pyarrow_table(), pa.Table)


def test_a_corrected_file_comes_back_in_its_newest_order(lake: Lake, settings: Settings) -> None:
    lines = ["a.jpg,1 2", "b.jpg,3 4", "c.jpg,5 6"]
    put(settings, "m.csv", "\n".join(["ImageId,EncodedPixels", *lines, ""]), at=1000)
    load(lake, settings)
    lines[0] = "a.jpg,7 1"
    text = "\n".join(["ImageId,EncodedPixels", *lines, ""])
    put(settings, "m.csv", text, at=2000)
    load(lake, settings)
    assert csv_of(lake, settings) == text


def test_a_mask_of_another_size_is_exported_by_no_format(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    """Its run lengths would be read as other pixels, and an empty label would be a lie."""
    images(lake, "b1", {"a.jpg": (30, 20), "b.jpg": (30, 20)})
    put(settings, "masks/a.png", png(TOUCHING[:10]))
    put(settings, "masks/b.png", png(TOUCHING))
    load(lake, settings)
    assert {line.split(",")[0] for line in csv_of(lake, settings).splitlines()[1:]} == {"b.jpg"}
    content = json.loads(coco_of(lake, settings))
    assert [image["file_name"] for image in content["images"]] == ["b.jpg"]
    assert export_png(lake, tmp_path / "out").skipped == {"other_size": 2}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]
