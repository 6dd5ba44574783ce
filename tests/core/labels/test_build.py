from __future__ import annotations

import csv
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from boatseg_core.config import Settings
from boatseg_core.errors import LakeError
from boatseg_core.imaging.mask_png import decode_mask
from boatseg_core.labels.build import orphans, rasterize_batch, stale_batches
from boatseg_core.labels.ingest import load
from boatseg_core.lake import TABLES, Lake

HEADER = "ImageId,EncodedPixels\n"
REAL = os.environ.get("BOATSEG_REAL_SAMPLE", "")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    (home / "landing").mkdir(parents=True)
    return Settings(home=home, landing={"settle_seconds": 0})  # type: ignore[arg-type]


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake.from_settings(settings)


def table(name: str, rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=TABLES[name].schema)


def images(lake: Lake, batch_id: str, sizes: dict[str, tuple[int, int]]) -> None:
    """Pretend that images of these widths and heights were ingested."""
    rows: list[dict[str, object]] = [
        {"image_id": name, "batch_id": batch_id, "width": w, "height": h, "image": b"x"}
        for name, (w, h) in sizes.items()
    ]
    lake.append("files", table("files", [{**r, "path": r["image_id"]} for r in rows]))
    lake.replace_batch("raw_images", batch_id, table("raw_images", rows))


def labels(lake: Lake, settings: Settings, text: str, name: str = "m.csv", at: int = 1000) -> None:
    path = settings.paths.landing / name
    path.write_text(HEADER + text)
    os.utime(path, (at, at))
    load(lake, settings)


def masks(lake: Lake, batch_id: str = "b1") -> dict[str, dict[str, object]]:
    columns = TABLES["rasterized_masks"].schema.names
    frame = lake.read("rasterized_masks", columns, batch_id=batch_id)
    return {row["image_id"]: row for row in frame.iter_rows(named=True)}


def issues(lake: Lake) -> list[tuple[object, ...]]:
    frame = lake.read("label_issues", ["image_id", "line", "reason", "label_version"])
    return sorted(frame.iter_rows(), key=str)


def test_masks_of_any_size_with_their_objects(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"a.jpg": (4, 3), "e.jpg": (9, 2), "none.jpg": (5, 5)})
    labels(lake, settings, "a.jpg,1 2\ne.jpg,\na.jpg,2 3\n")
    summary = rasterize_batch(lake, "b1", settings)
    assert (summary.masks, summary.boats, summary.boat_images, summary.unlabelled) == (2, 2, 1, 1)
    assert (summary.rejected, summary.issues) == ({}, {})
    assert summary.version == lake.version("rasterized_masks")
    found = masks(lake)
    assert set(found) == {"a.jpg", "e.jpg"}
    boat, empty = found["a.jpg"], found["e.jpg"]
    np.testing.assert_array_equal(
        decode_mask(boat["mask"]),  # type: ignore[arg-type]
        [[True, True, False, False], [True, False, False, False], [True, False, False, False]],
    )
    assert (boat["boat_count"], boat["boat_area"], boat["overlap_pixels"]) == (2, 4, 1)
    assert (boat["boat_areas"], boat["boat_boxes"]) == ([2, 3], [[0, 0, 1, 2], [0, 0, 2, 3]])
    assert (boat["width"], boat["height"], boat["mask_format"]) == (4, 3, "png")
    assert (boat["rejected_rows"], boat["label_version"]) == (0, 1)
    assert decode_mask(empty["mask"]).shape == (2, 9)  # type: ignore[arg-type]
    assert (empty["boat_count"], empty["boat_area"], empty["boat_areas"]) == (0, 0, [])


def test_unusable_rows_are_issues_and_the_good_rows_stay(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"a.jpg": (4, 3), "b.jpg": (4, 3)})
    rows = ["1 2", "5 5 5", "12 2", "1 2 2 1", "'; DROP TABLE x", "0 1", "5 0"]
    labels(lake, settings, "".join(f"a.jpg,{row}\n" for row in rows) + "a.jpg\nb.jpg,x\n")
    summary = rasterize_batch(lake, "b1", settings)
    assert [(name, line, reason) for name, line, reason, _ in issues(lake)] == [
        ("a.jpg", 3, "odd_length"),
        ("a.jpg", 4, "out_of_bounds"),
        ("a.jpg", 5, "overlapping_runs"),
        ("a.jpg", 6, "not_integers"),
        ("a.jpg", 7, "start_below_one"),
        ("a.jpg", 8, "empty_run"),
        ("a.jpg", 9, "missing_cell"),
        ("b.jpg", 10, "not_integers"),
    ]
    assert summary.rejected["not_integers"] == 2
    assert sum(summary.rejected.values()) == 8
    found = masks(lake)
    assert (found["a.jpg"]["boat_count"], found["a.jpg"]["rejected_rows"]) == (1, 7)
    assert (found["b.jpg"]["boat_count"], found["b.jpg"]["rejected_rows"]) == (0, 1)


def test_duplicates_count_once_and_rows_win_over_an_empty_cell(
    lake: Lake, settings: Settings
) -> None:
    images(lake, "b1", {"a.jpg": (4, 3), "b.jpg": (4, 3)})
    labels(lake, settings, "a.jpg,1 2\nb.jpg,\na.jpg,1 2\nb.jpg,5 2\n")
    summary = rasterize_batch(lake, "b1", settings)
    assert issues(lake) == [
        ("a.jpg", 4, "duplicate_row", 1),
        ("b.jpg", 3, "contradicting_empty_row", 1),
    ]
    assert summary.rejected == {}
    found = masks(lake)
    for name in ("a.jpg", "b.jpg"):
        assert (found[name]["boat_count"], found[name]["rejected_rows"]) == (1, 0)
    assert found["a.jpg"]["overlap_pixels"] == 0


def test_the_newest_file_supersedes_image_by_image(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"a.jpg": (4, 3), "b.jpg": (4, 3), "c.jpg": (4, 3)})
    labels(lake, settings, "a.jpg,1 2\na.jpg,4 2\nb.jpg,1 2\nc.jpg,7 1\n")
    labels(lake, settings, "a.jpg,5 2\nb.jpg,\n", name="corrected.csv", at=2000)
    rasterize_batch(lake, "b1", settings)
    found = masks(lake)
    assert {name: (m["boat_areas"], m["label_version"]) for name, m in found.items()} == {
        "a.jpg": ([2], 2),
        "b.jpg": ([], 2),
        "c.jpg": ([1], 1),
    }


def test_rows_without_their_ledger_row_do_not_count(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"a.jpg": (4, 3)})
    labels(lake, settings, "a.jpg,1 2\n")
    row = {"image_id": "a.jpg", "encoded_pixels": "", "source_file": "x.csv", "line": 2}
    lake.append("raw_masks", table("raw_masks", [{**row, "label_version": 9}]))
    rasterize_batch(lake, "b1", settings)
    assert masks(lake)["a.jpg"]["label_version"] == 1
    assert stale_batches(lake) == []


def test_file_names_match_where_they_are_unique(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"x/a.jpg": (4, 3), "x/b.jpg": (4, 3), "c.jpg": (4, 3), "x/d.jpg": (4, 3)})
    images(lake, "b2", {"y/b.jpg": (4, 3), "y/c.jpg": (4, 3), "y/d.jpg": (4, 3)})
    labels(lake, settings, "a.jpg,1 2\nb.jpg,1 2\nc.jpg,1 2\ny/d.jpg,1 2\n")
    first, second = (rasterize_batch(lake, batch, settings) for batch in ("b1", "b2"))
    # b.jpg could be either; c.jpg is the full name of one; only y/d.jpg has a label.
    assert set(masks(lake, "b1")) == {"x/a.jpg", "c.jpg"}
    assert set(masks(lake, "b2")) == {"y/d.jpg"}
    assert (first.unlabelled, second.unlabelled) == (2, 2)
    assert [(name, reason) for name, _, reason, _ in issues(lake)] == [
        ("x/b.jpg", "ambiguous_name"),
        ("y/b.jpg", "ambiguous_name"),
    ]
    assert stale_batches(lake) == []
    assert orphans(lake).is_empty()


def test_a_full_name_wins_over_a_file_name(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"x/a.jpg": (4, 3)})
    labels(lake, settings, "a.jpg,1 5\nx/a.jpg,1 2\n")
    rasterize_batch(lake, "b1", settings)
    assert masks(lake)["x/a.jpg"]["boat_areas"] == [2]


def test_labels_whose_image_never_came(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"x/a.jpg": (4, 3)})
    labels(lake, settings, "gone.jpg,1 2\na.jpg,1 2\ngone.jpg,5 2\nother.jpg,\n,1 2\n")
    frame = orphans(lake)
    assert frame.columns == ["image_id", "rows", "source_file", "line", "label_version"]
    assert frame.rows() == [
        ("", 1, "m.csv", 6, 1),
        ("gone.jpg", 2, "m.csv", 2, 1),
        ("other.jpg", 1, "m.csv", 5, 1),
    ]


def test_stale_batches_are_exactly_the_touched_ones(lake: Lake, settings: Settings) -> None:
    for number in range(6):
        images(lake, f"b{number}", {f"{number}-{i}.jpg": (4, 3) for i in range(4)})
    text = "".join(f"{n}-{i}.jpg,1 2\n" for n in range(6) for i in range(3))
    assert stale_batches(lake) == []  # no labels: nothing to do
    labels(lake, settings, text)
    assert stale_batches(lake) == [f"b{n}" for n in range(6)]
    for number in range(6):
        rasterize_batch(lake, f"b{number}", settings)
    assert stale_batches(lake) == []
    # A correction, and a late label for an image that had none.
    labels(lake, settings, "2-1.jpg,3 1\n4-3.jpg,\nnobody.jpg,1 2\n", name="late.csv", at=2000)
    assert stale_batches(lake) == ["b2", "b4"]
    rasterize_batch(lake, "b2", settings)
    assert stale_batches(lake) == ["b4"]
    rasterize_batch(lake, "b4", settings)
    assert stale_batches(lake) == []
    # A second image of one name takes the label away.
    images(lake, "b6", {"new/3-0.jpg": (4, 3), "3-0.jpg": (4, 3)})
    assert stale_batches(lake) == ["b6"]


def test_an_image_that_left_its_batch_makes_it_stale(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"a.jpg": (4, 3), "b.jpg": (4, 3)})
    labels(lake, settings, "a.jpg,1 2\nb.jpg,1 2\n")
    rasterize_batch(lake, "b1", settings)
    images(lake, "b1", {"a.jpg": (4, 3)})
    assert stale_batches(lake) == ["b1"]
    rasterize_batch(lake, "b1", settings)
    assert set(masks(lake)) == {"a.jpg"}


def test_again_is_the_same_and_pins_are_kept(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"a.jpg": (4, 3)})
    labels(lake, settings, "a.jpg,1 2\na.jpg,x\n")
    pins = {name: lake.table(name).version() for name in ("raw_images", "raw_masks", "label_files")}
    rasterize_batch(lake, "b1", settings)
    first, first_issues = masks(lake), issues(lake)
    labels(lake, settings, "a.jpg,9 1\n", name="n.csv", at=2000)
    rasterize_batch(lake, "b1", settings, versions=pins)
    assert (masks(lake), issues(lake)) == (first, first_issues)
    rasterize_batch(lake, "b1", settings)
    assert masks(lake)["a.jpg"]["label_version"] == 2
    assert issues(lake) == [("a.jpg", 2, "conflicting_files", 2)]


def test_jpeg_masks(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"a.jpg": (40, 30)})
    labels(lake, settings, "a.jpg,100 17 131 15\n")
    jpeg = settings.model_copy(
        update={"labels": settings.labels.model_copy(update={"mask_format": "jpeg"})}
    )
    rasterize_batch(lake, "b1", jpeg)
    row = masks(lake)["a.jpg"]
    assert row["mask_format"] == "jpeg"
    assert decode_mask(row["mask"]).sum() == row["boat_area"] == 32  # type: ignore[arg-type]


def test_without_labels_every_image_is_unlabelled(lake: Lake, settings: Settings) -> None:
    images(lake, "b1", {"a.jpg": (4, 3)})
    summary = rasterize_batch(lake, "b1", settings)
    assert (summary.masks, summary.unlabelled) == (0, 1)
    assert masks(lake) == {}


def test_without_images_the_error_says_so(lake: Lake, settings: Settings) -> None:
    with pytest.raises(LakeError, match="raw_images does not exist yet"):
        rasterize_batch(lake, "b1", settings)


def decode_by_hand(text: str, height: int, width: int) -> set[int]:
    numbers = [int(token) for token in text.split()]
    pixels: set[int] = set()
    for start, length in zip(numbers[0::2], numbers[1::2], strict=True):
        pixels.update(range(start - 1, start - 1 + length))
    assert all(0 <= pixel < height * width for pixel in pixels)
    return pixels


@pytest.mark.skipif(not REAL, reason="BOATSEG_REAL_SAMPLE is not set")
@pytest.mark.parametrize("name", ["masks.csv", "masks_500_images.csv"])
def test_real_labels_equal_an_independent_decoder(
    lake: Lake, settings: Settings, name: str
) -> None:
    path = Path(REAL) / name
    by_image: dict[str, list[str]] = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            by_image[row["ImageId"]].append(row["EncodedPixels"])
    single = settings.model_copy(
        update={"landing": settings.landing.model_copy(update={"labels": str(path)})}
    )
    assert load(lake, single).images == len(by_image)
    images(lake, "b1", dict.fromkeys(by_image, (768, 768)))
    summary = rasterize_batch(lake, "b1", single)
    assert (summary.masks, summary.issues) == (len(by_image), {})
    for image_id, row in masks(lake).items():
        boats = [decode_by_hand(text, 768, 768) for text in by_image[image_id] if text]
        covered = set().union(*boats)
        assert row["boat_count"] == len(boats)
        assert row["boat_areas"] == [len(boat) for boat in boats]
        assert row["boat_area"] == len(covered)
        columns, rows = np.nonzero(decode_mask(row["mask"]).T)  # type: ignore[arg-type]
        assert set((columns * 768 + rows).tolist()) == covered
    assert orphans(lake).is_empty()


def test_a_file_written_anew_is_newer_only_where_it_says_something_else(
    lake: Lake, settings: Settings
) -> None:
    for number in range(4):
        images(lake, f"b{number}", {f"{number}-{i}.jpg": (4, 3) for i in range(3)})
    rows = {f"{n}-{i}.jpg": ["1 2", "9 1"] for n in range(4) for i in range(3)}

    def write(at: int) -> None:
        labels(lake, settings, "".join(f"{k},{c}\n" for k, v in rows.items() for c in v), at=at)

    def build() -> list[str]:
        stale = stale_batches(lake)
        for batch in stale:
            rasterize_batch(lake, batch, settings)
        return stale

    write(1000)
    assert build() == ["b0", "b1", "b2", "b3"]
    rows["2-1.jpg"][1] = "8 1"
    write(2000)
    assert build() == ["b2"]
    rows["1-0.jpg"] = ["9 1", "1 2"]  # in another order
    rows["1-1.jpg"].append("9 1")  # twice the same: a row more
    write(3000)
    assert build() == ["b1"]
    found = {n: m["label_version"] for b in range(4) for n, m in masks(lake, f"b{b}").items()}
    assert found == dict.fromkeys(rows, 1) | {"2-1.jpg": 2, "1-1.jpg": 3}
    rows["2-1.jpg"][1] = "9 1"  # and back to what it was
    write(4000)
    assert build() == ["b2"]
    assert masks(lake, "b2")["2-1.jpg"]["label_version"] == 4


def test_a_correction_outlives_changes_elsewhere_in_the_first_file(
    lake: Lake, settings: Settings
) -> None:
    images(lake, "b1", {"a.jpg": (4, 3), "b.jpg": (4, 3)})
    labels(lake, settings, "a.jpg,1 2\nb.jpg,1 2\n", at=1000)
    labels(lake, settings, "a.jpg,1 5\n", name="correction.csv", at=2000)
    labels(lake, settings, "a.jpg,1 2\nb.jpg,1 3\n", at=3000)
    rasterize_batch(lake, "b1", settings)
    areas = {
        name: (mask["boat_areas"], mask["label_version"]) for name, mask in masks(lake).items()
    }
    assert areas == {"a.jpg": ([5], 2), "b.jpg": ([3], 3)}
