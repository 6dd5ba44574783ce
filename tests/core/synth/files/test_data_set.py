from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boatseg_core.errors import InputError, RleError
from boatseg_core.imaging import rle
from boatseg_core.synth import (
    CSV_NAME,
    image_name,
    render_windows,
    write_dataset,
)
from boatseg_core.synth.files.faults import FILE_FAULTS, ROW_FAULTS
from boatseg_core.synth.plan import plan_scene


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def labels(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            found[row["ImageId"]].append(row["EncodedPixels"])
    return found


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("again", 1), ("two", 2)):
        write_dataset(tmp_path / name, count=6, seed=5, faults=True, workers=workers)
    assert contents(tmp_path / "one") == contents(tmp_path / "again")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_larger_count_only_adds_pictures(tmp_path: Path) -> None:
    write_dataset(tmp_path / "few", count=3, seed=6)
    write_dataset(tmp_path / "more", count=6, seed=6)
    few, more = contents(tmp_path / "few" / "images"), contents(tmp_path / "more" / "images")
    assert few.items() < more.items()


def test_the_csv_holds_the_rendered_masks(tmp_path: Path) -> None:
    summary = write_dataset(tmp_path, count=8, seed=1, empty_share=0.2)
    found = labels(tmp_path / CSV_NAME)
    assert summary.csv == tmp_path / CSV_NAME
    assert (tmp_path / CSV_NAME).read_text().startswith("ImageId,EncodedPixels\n")
    expected = {}
    scene = 0
    while len(expected) < 8:
        for number, window in enumerate(render_windows(1, scene, empty_share=0.2)):
            if len(expected) < 8:
                expected[image_name(1, scene * 16 + number)] = window
        scene += 1
    assert set(found) == set(expected) == {p.name for p in (tmp_path / "images").iterdir()}
    for name, window in expected.items():
        if not window.instances:
            assert found[name] == [""]
            continue
        assert len(found[name]) == len(window.instances)
        for text, instance in zip(found[name], window.instances, strict=True):
            assert np.array_equal(rle.decode(text, 768, 768), instance.full())
    assert summary.images == 8
    assert summary.boats == sum(len(w.instances) for w in expected.values())
    assert summary.empty_images == sum(not w.instances for w in expected.values())


def test_pictures_are_768_jpegs_with_halved_chroma_close_to_the_render(tmp_path: Path) -> None:
    write_dataset(tmp_path, count=1, seed=2)
    rendered = render_windows(2, 0)[0].image.astype(np.float64)
    with Image.open(tmp_path / "images" / image_name(2, 0)) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (768, 768)
        # Sampling factors of the luma component are 2 by 2, of the others 1 by 1.
        assert [layer[1:3] for layer in picture.layer] == [(2, 2), (1, 1), (1, 1)]
        assert np.abs(np.asarray(picture, dtype=np.float64) - rendered).mean() < 4


def test_shares_counts_and_sizes_are_those_asked_for(tmp_path: Path) -> None:
    summary = write_dataset(tmp_path, count=120, seed=8, workers=2)
    assert summary.images == 120
    assert 0.6 < summary.empty_images / summary.images < 0.9
    areas = [
        rle.area(text) for rows in labels(tmp_path / CSV_NAME).values() for text in rows if text
    ]
    assert len(areas) == summary.boats
    assert min(areas) >= 10
    assert max(areas) < 24_000
    assert np.median(areas) < 2_500
    assert max(areas) > 3_000
    sizes = [p.stat().st_size for p in (tmp_path / "images").iterdir()]
    assert 40_000 < np.median(sizes) < 200_000


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
def test_the_plan_meets_the_share_of_empty_windows(share: float) -> None:
    plans = [plan_scene(13, index, share) for index in range(3000)]
    windows = sum(plan.windows for plan in plans)
    # A scene with boats shows one in 78 % of its windows by itself, more where told to fill.
    shown = sum(plan.windows * (0.78 + 0.22 * plan.fill) for plan in plans if plan.boats)
    assert shown / windows == pytest.approx(1 - share, abs=0.03)
    assert 2.2 < windows / len(plans) < 3.0


def test_every_kind_of_fault_is_there_and_is_what_it_says(tmp_path: Path) -> None:
    summary = write_dataset(tmp_path, count=10, seed=3, faults=True)
    kinds = {kind: name for name, kind in summary.faults}
    assert set(kinds) == {*FILE_FAULTS, *ROW_FAULTS}
    folder = tmp_path / "images"
    assert (folder / kinds["zero_bytes"]).read_bytes() == b""
    assert b"<html>" in (folder / kinds["not_an_image"]).read_bytes()
    with (
        Image.open(folder / kinds["truncated"]) as half,
        pytest.raises(OSError, match="truncated"),
    ):
        half.load()
    with Image.open(folder / kinds["wrong_size"]) as small:
        assert small.size == (64, 48)
    with Image.open(folder / kinds["all_white"]) as white:
        assert np.asarray(white).min() == 255
    assert not (folder / kinds["missing_image"]).exists()
    found = labels(tmp_path / CSV_NAME)
    for kind in ("odd_length", "not_integers", "out_of_bounds", "overlapping_runs"):
        with pytest.raises(RleError) as error:
            rle.parse(found[kinds[kind]][0], height=768, width=768)
        assert error.value.reason == kind
    good = [name for name in found if name not in dict(summary.faults)]
    assert sum(bool(text) for name in good for text in found[name]) == summary.boats
    assert summary.images == 10
    assert len(list(folder.iterdir())) == 10 + len(FILE_FAULTS)


def test_unlabelled_scenes_have_no_csv_and_may_join_others(tmp_path: Path) -> None:
    write_dataset(tmp_path, count=2, seed=1)
    before = (tmp_path / CSV_NAME).read_bytes()
    summary = write_dataset(tmp_path, count=2, seed=2, unlabelled=True, prefix="new-")
    assert summary.csv is None
    assert summary.boats == 0
    assert (tmp_path / CSV_NAME).read_bytes() == before
    names = sorted(p.name for p in (tmp_path / "images").iterdir())
    assert len(names) == 4
    assert sum(name.startswith("new-") for name in names) == 2


def test_a_second_run_is_refused_where_it_would_orphan_labels(tmp_path: Path) -> None:
    write_dataset(tmp_path, count=2, seed=1)
    before = contents(tmp_path)
    write_dataset(tmp_path, count=2, seed=1)
    assert contents(tmp_path) == before
    with pytest.raises(InputError, match="already holds"):
        write_dataset(tmp_path, count=2, seed=2)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count is 0"),
        ({"count": 1, "seed": -1}, "seed is -1"),
        ({"count": 1, "empty_share": 1.5}, "empty_share is 1.5"),
        ({"count": 1, "prefix": "../x"}, "prefix is"),
    ],
)
def test_bad_arguments_are_refused(tmp_path: Path, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_dataset(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is a file"):
        write_dataset(tmp_path / "out", count=1)


def test_an_unwritable_folder_gets_a_message(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / image_name(1, 0)).mkdir()  # a folder where the picture should go
    with pytest.raises(InputError, match="cannot be written"):
        write_dataset(tmp_path, count=1, seed=1)
    assert not list(tmp_path.glob("images/.*"))


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_dataset(
        tmp_path, count=5, seed=4, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (5, 5)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
