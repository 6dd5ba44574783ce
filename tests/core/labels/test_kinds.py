"""The same two boats through every kind of label file: from the file to the mask."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from support.labelled import images, instances, masks, put

from boatseg_core.config import Settings
from boatseg_core.imaging import rle
from boatseg_core.imaging.mask_png import decode_mask
from boatseg_core.labels import file_issues
from boatseg_core.labels.build import orphans, rasterize_batch, stale_batches
from boatseg_core.labels.ingest import load, new_files
from boatseg_core.lake import Lake

HEIGHT, WIDTH = 20, 30


def boats() -> list[np.ndarray]:
    """Two boats side by side: they touch, and are two all the same."""
    first, second = np.zeros((2, HEIGHT, WIDTH), dtype=bool)
    first[4:10, 5:12] = True
    second[4:12, 12:20] = True
    return [first, second]


def as_csv(settings: Settings) -> None:
    rows = "".join(f"a.jpg,{rle.encode(boat)}\n" for boat in boats())
    put(settings, "m.csv", "ImageId,EncodedPixels\n" + rows + "e.jpg,\n")


def coco(segmentations: list[Any]) -> str:
    size = {"width": WIDTH, "height": HEIGHT}
    return json.dumps(
        {
            "images": [{"id": i, "file_name": f"{n}.jpg", **size} for i, n in enumerate("ae")],
            "categories": [{"id": 1, "name": "boat"}],
            "annotations": [
                {"id": i, "image_id": 0, "category_id": 1, "segmentation": s, "iscrowd": 0}
                for i, s in enumerate(segmentations)
            ],
        }
    )


def counts(mask: np.ndarray) -> list[int]:
    flat = np.concatenate(([0], mask.T.reshape(-1).astype(int)))
    edges = np.flatnonzero(np.diff(flat))
    return np.diff([0, *edges.tolist(), mask.size]).tolist()


def as_coco_rle(settings: Settings) -> None:
    found = [{"size": [HEIGHT, WIDTH], "counts": counts(boat)} for boat in boats()]
    put(settings, "m.json", coco(found))


def box(boat: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(boat)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def as_coco_polygon(settings: Settings) -> None:
    found = []
    for boat in boats():
        x0, y0, x1, y1 = box(boat)
        found.append([[x0, y0, x1, y0, x1, y1, x0, y1]])
    put(settings, "m.json", coco(found))


def as_geojson(settings: Settings) -> None:
    features: list[dict[str, Any]] = [
        {"type": "Feature", "geometry": None, "properties": {"image": "e.jpg"}}
    ]
    for boat in boats():
        x0, y0, x1, y1 = box(boat)
        ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "geometry": geometry, "properties": {"image": "a.jpg"}})
    put(settings, "sub/m.geojson", json.dumps({"type": "FeatureCollection", "features": features}))


def png(array: np.ndarray, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format)
    return buffer.getvalue()


def as_masks(settings: Settings) -> None:
    values = sum(boat * np.uint8(number) for number, boat in enumerate(boats(), start=1))
    put(settings, "masks/a.png", png(np.asarray(values, np.uint8)))
    put(settings, "masks/e.tif", png(np.zeros((HEIGHT, WIDTH), np.uint8), "TIFF"))


KINDS = [as_csv, as_coco_rle, as_coco_polygon, as_geojson, as_masks]


@pytest.mark.parametrize("write", KINDS)
def test_every_kind_leads_to_the_same_mask_and_the_same_boats(
    lake: Lake, settings: Settings, write: Callable[[Settings], None]
) -> None:
    images(lake, "b1", {"a.jpg": (WIDTH, HEIGHT), "e.jpg": (WIDTH, HEIGHT)})
    write(settings)
    load(lake, settings)
    summary = rasterize_batch(lake, "b1", settings)
    assert summary.issues == {}
    found = masks(lake)
    boat, empty = found["a.jpg"], found["e.jpg"]
    np.testing.assert_array_equal(decode_mask(boat["mask"]), boats()[0] | boats()[1])
    for one, other in zip(instances(boat), boats(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert boat["boat_areas"] == [42, 64]
    assert boat["boat_boxes"] == [[5, 4, 7, 6], [12, 4, 8, 8]]
    assert boat["boat_centroids"] == [[8, 6.5], [15.5, 7.5]]
    assert boat["boat_orientations"] == [0, 0]
    assert (empty["boat_count"], empty["boat_rles"], empty["boat_centroids"]) == (0, [], [])
    assert orphans(lake).is_empty()
    assert stale_batches(lake) == []
    assert new_files(lake, settings) == []
    before = lake.version("raw_masks")
    load(lake, settings)
    assert lake.version("raw_masks") == before
    shas = lake.read("raw_masks")["sha256"]
    assert shas.null_count() == 0
    assert set(shas) == set(lake.read("label_files")["sha256"])


def test_a_file_of_another_kind_supersedes_by_image(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"x/a.jpg": (WIDTH, HEIGHT), "e.jpg": (WIDTH, HEIGHT)})
    as_csv(settings)
    load(lake, settings)
    put(settings, "masks/a.png", png((boats()[0] * 255).astype(np.uint8)))
    load(lake, settings)
    assert stale_batches(lake) == ["b1"]
    summary = rasterize_batch(lake, "b1", settings)
    found = masks(lake)
    assert (found["x/a.jpg"]["boat_areas"], found["x/a.jpg"]["label_version"]) == ([42], 2)
    assert found["e.jpg"]["label_version"] == 1
    # The CSV says otherwise, and that is told: 42 of 106 pixels are in both.
    assert summary.issues == {"conflicting_files": 1}
    assert summary.rejected == {}
    (issue,) = lake.read("label_issues").iter_rows(named=True)
    assert issue["message"] == (
        "m.csv (version 1) says otherwise (IoU 0.40); masks/a.png (version 2) is in force"
    )
    quiet = settings.model_copy(
        update={"labels": settings.labels.model_copy(update={"conflict_iou": 0.0})}
    )
    assert rasterize_batch(lake, "b1", quiet).issues == {}
    assert lake.read("raw_masks").height == 4  # history stays


def test_files_that_agree_are_no_conflict(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"a.jpg": (WIDTH, HEIGHT), "e.jpg": (WIDTH, HEIGHT)})
    for write in (as_csv, as_geojson, as_masks):
        write(settings)
    load(lake, settings)
    assert rasterize_batch(lake, "b1", settings).issues == {}


def test_stems_match_where_they_are_unique(lake: Lake, settings: Settings) -> None:
    size = (WIDTH, HEIGHT)
    images(lake, "b1", {"x/a.jpg": size, "x/b.jpg": size, "y/b.jpg": size, "c.png": size})
    mask = png((boats()[0] * 255).astype(np.uint8))
    for name in ("a.png", "b.png", "y/b.png", "c.tif", "nobody.png"):
        put(settings, f"masks/{name}", mask)
    load(lake, settings)
    rasterize_batch(lake, "b1", settings)
    assert set(masks(lake)) == {"x/a.jpg", "y/b.jpg", "c.png"}
    issues = lake.read("label_issues").filter(lake.read("label_issues")["batch_id"] == "b1")
    assert issues.select("image_id", "reason").rows() == [("x/b.jpg", "ambiguous_name")]
    assert orphans(lake)["image_id"].to_list() == ["nobody"]
    assert stale_batches(lake) == []


def test_an_ending_of_the_stem_can_be_left_out(lake: Lake, settings: Settings) -> None:
    labels = settings.labels.model_copy(update={"mask_stem_ending": "_mask"})
    told = settings.model_copy(update={"labels": labels})
    images(lake, "b1", {"a.jpg": (WIDTH, HEIGHT)})
    put(settings, "masks/a_mask.png", png((boats()[0] * 255).astype(np.uint8)))
    load(lake, told)
    rasterize_batch(lake, "b1", told)
    assert masks(lake)["a.jpg"]["boat_areas"] == [42]


BAD: dict[str, tuple[Any, str]] = {
    "two points": ([[1, 1, 5, 5]], "too_few_points"),
    "twice the same point": ([[1, 1, 5, 5, 1, 1]], "too_few_points"),
    "odd": ([[1, 1, 5, 5, 9, 1, 3]], "odd_length"),
    "not a number": ([[float("nan"), 1, 5, 5, 9, 1]], "not_finite"),
    "infinite": ([[float("inf"), 1, 5, 5, 9, 1]], "not_finite"),
    "larger than a float": ([[10**400, 1, 5, 5, 9, 1]], "not_finite"),
    "text": ([["'; DROP TABLE raw_masks; --", 1, 5, 5, 9, 1]], "not_numbers"),
    "outside": ([[100, 100, 120, 100, 120, 120]], "out_of_bounds"),
    "nothing": ([], "no_segmentation"),
    "null": (None, "no_segmentation"),
    "a string": ("[[1,2]]", "no_segmentation"),
    "RLE of another size": ({"size": [9, 9], "counts": [81]}, "other_size"),
    "RLE that is too long": ({"size": [HEIGHT, WIDTH], "counts": [5, 600]}, "out_of_bounds"),
    "RLE of text": ({"size": [HEIGHT, WIDTH], "counts": "'; DROP"}, "not_counts"),
}


def test_bad_coco_annotations_are_issues_and_the_good_ones_stay(
    lake: Lake, settings: Settings
) -> None:
    images(lake, "b1", {"a.jpg": (WIDTH, HEIGHT), "e.jpg": (WIDTH, HEIGHT)})
    good = [[5, 4, 12, 4, 12, 10, 5, 10]]
    put(settings, "m.json", coco([*(bad for bad, _ in BAD.values()), good]))
    load(lake, settings)
    summary = rasterize_batch(lake, "b1", settings)
    issues = lake.read("label_issues").sort("line")
    found = issues.select("line", "element", "reason").rows()
    reasons = [reason for _, reason in BAD.values()]
    assert found == [
        (number + 1, f"/annotations/{number}", reason) for number, reason in enumerate(reasons)
    ]
    assert sum(summary.rejected.values()) == len(BAD)
    row = masks(lake)["a.jpg"]
    assert (row["boat_areas"], row["rejected_rows"]) == ([42], len(BAD))
    assert masks(lake)["e.jpg"]["rejected_rows"] == 0


@pytest.mark.parametrize(
    ("polygon", "reason"),
    [
        ([[2, 2, 20, 18, 20, 2, 2, 18]], "self_intersecting"),
        ([[-5, 2, 9, 2, 9, 9]], "cut_off"),
        ([[5.1, 5.1, 5.2, 5.1, 5.2, 5.2]], "covers_no_pixel"),
    ],
)
def test_strange_outlines_are_told_and_used(
    lake: Lake, settings: Settings, polygon: Any, reason: str
) -> None:
    images(lake, "b1", {"a.jpg": (WIDTH, HEIGHT), "e.jpg": (WIDTH, HEIGHT)})
    put(settings, "m.json", coco([polygon]))
    load(lake, settings)
    summary = rasterize_batch(lake, "b1", settings)
    assert (summary.issues, summary.rejected) == ({reason: 1}, {})
    assert masks(lake)["a.jpg"]["rejected_rows"] == 0
    assert (summary.boats == 0) is (reason == "covers_no_pixel")


def geometry(kind: str, coordinates: Any) -> dict[str, Any]:
    return {"type": kind, "coordinates": coordinates}


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (geometry("Point", [1, 2]), "unsupported_geometry"),
        (geometry("Polygon", []), "too_few_points"),
        (geometry("MultiPolygon", []), "too_few_points"),
        (geometry("Polygon", [[]]), "too_few_points"),
        (geometry("Polygon", [[[1, 1], [2, 2]]]), "too_few_points"),
        (geometry("Polygon", None), "not_numbers"),
        (geometry("Polygon", 5), "not_numbers"),
        (geometry("Polygon", [5]), "not_numbers"),
        (geometry("Polygon", [[5]]), "not_numbers"),
        (geometry("Polygon", [[[1], [2], [3]]]), "not_numbers"),
        (geometry("Polygon", [[["x", 1], [2, 2], [3, 1]]]), "not_numbers"),
        (geometry("MultiPolygon", {"a": 1}), "not_numbers"),
        (geometry("Polygon", [[[float("nan"), 1], [2, 2], [3, 1]]]), "not_finite"),
        (geometry("Polygon", [[[99, 99], [98, 99], [98, 98]]]), "out_of_bounds"),
    ],
)
def test_bad_geometries_are_issues(
    lake: Lake, settings: Settings, shape: dict[str, Any], reason: str
) -> None:
    images(lake, "b1", {"a.jpg": (WIDTH, HEIGHT)})
    good = geometry("Polygon", [[[5, 4], [12, 4, 0.5], [12, 10], [5, 10]]])
    features = [
        {"type": "Feature", "geometry": g, "properties": {"image": "a.jpg"}} for g in (shape, good)
    ]
    put(settings, "m.json", json.dumps({"type": "FeatureCollection", "features": features}))
    load(lake, settings)
    assert rasterize_batch(lake, "b1", settings).rejected == {reason: 1}
    assert masks(lake)["a.jpg"]["boat_areas"] == [42]


def test_a_mask_of_another_size_than_its_image_is_an_issue(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"a.jpg": (WIDTH, HEIGHT), "b.jpg": (WIDTH, HEIGHT)})
    put(settings, "masks/a.png", png(np.eye(HEIGHT, WIDTH + 1, dtype=np.uint8)))
    put(settings, "masks/b.png", png(np.zeros((HEIGHT + 1, WIDTH), dtype=np.uint8)))
    load(lake, settings)
    assert rasterize_batch(lake, "b1", settings).rejected == {"other_size": 2}
    assert {row["rejected_rows"] for row in masks(lake).values()} == {1}
    messages = lake.read("label_issues").sort("image_id")["message"].to_list()
    assert messages == [
        "it was drawn on 31x20 pixels, the image has 30x20",
        "it was drawn on 30x21 pixels, the image has 30x20",
    ]


def test_polygons_of_an_image_that_was_scaled_are_an_issue(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"a.jpg": (WIDTH * 2, HEIGHT * 2)})
    as_coco_polygon(settings)
    load(lake, settings)
    assert rasterize_batch(lake, "b1", settings).rejected == {"other_size": 2}


def test_a_crowd_is_told_and_counts_as_one(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"a.jpg": (WIDTH, HEIGHT)})
    content = json.loads(coco([{"size": [HEIGHT, WIDTH], "counts": counts(boats()[0])}]))
    content["annotations"][0]["iscrowd"] = 1
    put(settings, "m.json", json.dumps(content))
    load(lake, settings)
    summary = rasterize_batch(lake, "b1", settings)
    assert (summary.boats, summary.issues, summary.rejected) == (1, {"crowd": 1}, {})


def test_issues_of_a_file_are_kept_until_it_is_read_again(lake: Lake, settings: Settings) -> None:
    content = json.loads(coco([[[5, 4, 12, 4, 12, 10, 5, 10]]]))
    content["annotations"][0]["image_id"] = 99
    put(settings, "m.json", json.dumps(content), at=1000)
    assert load(lake, settings).issues == 1
    (issue,) = file_issues.read(lake).iter_rows(named=True)
    assert (issue["source_file"], issue["line"], issue["element"]) == (
        "m.json",
        1,
        "/annotations/0",
    )
    assert (issue["reason"], issue["label_version"]) == ("dangling_image", 1)
    assert issue["batch_id"].startswith(file_issues.PREFIX)
    put(settings, "m.json", coco([[[5, 4, 12, 4, 12, 10, 5, 10]]]), at=2000)
    load(lake, settings)
    assert file_issues.read(lake).is_empty()


def test_issues_of_one_file_are_bounded(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_issues, "MOST", 5)
    put(settings, "m.json", json.dumps({"images": [], "annotations": [None] * 12}))
    assert load(lake, settings).issues == 12
    found = file_issues.read(lake)
    assert found.height == 5
    assert "8 more issues" in found.filter(found["reason"] == "more")["message"].item()


def test_rows_of_an_older_home_are_run_lengths(lake: Lake, settings: Settings) -> None:
    """Columns that came later are null there, and its ledger does not name sources."""
    images(lake, "b1", {"a.jpg": (4, 3)})
    as_csv(settings)
    load(lake, settings)
    frame = lake.read("raw_masks").head(0)
    old = pl.DataFrame(
        {
            "image_id": ["a.jpg"],
            "encoded_pixels": ["1 2"],
            "source_file": ["old.csv"],
            "line": [2],
            "label_version": [7],
        },
    )
    old = pl.concat([frame, old.cast({c: frame.schema[c] for c in old.columns})], how="diagonal")
    lake.append("raw_masks", old)
    entry = lake.read("label_files").with_columns(
        path=pl.lit("landing/old.csv"),
        label_version=pl.lit(7, pl.Int64),
        source_file=pl.lit(None, pl.String),
        kind=pl.lit(None, pl.String),
    )
    lake.append("label_files", entry)
    rasterize_batch(lake, "b1", settings)
    assert masks(lake)["a.jpg"]["boat_areas"] == [2]
