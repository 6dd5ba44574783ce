from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import golds
from support.pictures import texture

from boatseg_core.dataset import GoldDataset
from boatseg_core.dataset.loader import crops
from boatseg_core.dataset.loader.order import ORDER_VERSION
from boatseg_core.errors import ImageError
from boatseg_core.imaging.mask_png import encode_mask
from boatseg_core.lake import Lake


def all_of(loader: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        name: (image, mask)
        for batch in loader
        for name, image, mask in zip(
            batch["image_id"].to_pylist(), batch["image"], batch["mask"], strict=True
        )
    }


def test_the_native_size_is_the_stored_pixels(gold: GoldDataset) -> None:
    found = all_of(gold.loader(size=golds.SIDE, batch_size=4))
    for name, (image, mask) in found.items():
        expected, inside = golds.picture(int(name[:4]))
        assert image.dtype == mask.dtype == np.uint8
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(mask, inside)


@pytest.mark.parametrize(("size", "factor"), [(32, 2), (16, 4), ((16, 32), None)])
def test_image_and_mask_are_scaled_alike(
    gold: GoldDataset, size: int | tuple[int, int], factor: int | None
) -> None:
    for name, (image, mask) in all_of(gold.loader(size=size, batch_size=4)).items():
        height, width = (size, size) if isinstance(size, int) else size
        assert image.shape == (height, width, 3)
        _, inside = golds.picture(int(name[:4]))
        if factor:  # boats lie on the grid: their pixels are wholly inside or outside
            np.testing.assert_array_equal(mask, inside[::factor, ::factor])
        if inside.any():  # and inside the boat, away from the filter's reach, all is white
            core = mask.astype(bool)
            core = core & np.roll(core, 1, 0) & np.roll(core, -1, 0)
            core = core & np.roll(core, 1, 1) & np.roll(core, -1, 1)
            assert core.any() or height == 16
            assert (image[core] > 250).all()


@pytest.mark.parametrize("centred", [0.0, 1.0])
@pytest.mark.parametrize("crop", [16, 40, 80])
def test_crops_are_pixels_of_the_image_with_its_mask(
    gold: GoldDataset, crop: int, centred: float
) -> None:
    """The boat is exactly where the image is white: a crop that is not aligned shows it."""
    boats = 0
    for batch in gold.loader(crop=crop, batch_size=6, boat_share=0.5, centred=centred):
        assert batch["image"].shape == (6, crop, crop, 3)
        np.testing.assert_array_equal(
            (batch["image"] == 255).all(axis=3), batch["mask"].astype(bool)
        )
        shown = batch["mask"].any(axis=(1, 2))
        has_boat = [int(name[:4]) % 3 == 0 for name in batch["image_id"].to_pylist()]
        boats += sum(has_boat)
        if centred:
            assert shown.tolist() == has_boat
    assert boats == 30


def test_crops_are_the_same_for_any_number_of_threads_and_differ_by_epoch(
    gold: GoldDataset,
) -> None:
    one, four = (gold.loader(crop=24, batch_size=6, threads=threads) for threads in (1, 4))
    first = all_of(one)
    for name, (image, mask) in all_of(four).items():
        np.testing.assert_array_equal(first[name][0], image)
        np.testing.assert_array_equal(first[name][1], mask)
    assert any((first[name][0] != image).any() for name, (image, _) in all_of(four).items())


def jpegs(turn: int | None = None) -> list[dict[str, Any]]:
    """Rows of photographs, 96 columns and 72 rows each, some turned by their EXIF data."""
    rows = []
    for number in range(24):
        upright = Image.fromarray(texture(number, 72, 96))
        stored, exif = upright, Image.Exif()
        if turn is not None:
            exif[0x0112] = turn
            stored = upright.transpose(UNTURN[turn])
        out = io.BytesIO()
        stored.save(out, "JPEG", quality=85, exif=exif)
        boats = np.zeros((72, 96), np.bool_)
        boats[30:40, 50:70] = number % 2 == 0
        rows.append(
            golds.row(number)
            | {"image": out.getvalue(), "mask": encode_mask(boats), "width": 96, "height": 72}
            | {
                "boat_count": int(boats.any()),
                "boat_boxes": [[50, 30, 20, 10]] if boats.any() else [],
            }
        )
    return rows


UNTURN = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}


@pytest.mark.parametrize("turn", [None, 3, 6])
@pytest.mark.parametrize("crop", [24, 80])
@pytest.mark.parametrize("columns", [("image", "mask", "image_id"), ("image", "image_id")])
def test_crops_are_those_of_images_that_are_decoded_whole(
    tmp_path: Any, turn: int | None, crop: int, columns: tuple[str, ...]
) -> None:
    """Gold that does not tell the size of an image has it decoded whole, and then cut."""
    told = jpegs(turn)
    untold = [row | {"width": None, "height": None} for row in told]
    parts, wholes = (
        golds.write(Lake(str(tmp_path / name), durable=False), rows).loader(
            crop=crop, batch_size=6, boat_share=0.5, centred=0.5, columns=columns
        )
        for name, rows in (("told", told), ("untold", untold))
    )
    for _ in range(3):
        for one, other in zip(parts, wholes, strict=True):
            assert one["image"].shape == (6, crop, crop, 3)
            assert one["image_id"].equals(other["image_id"])
            np.testing.assert_array_equal(one["image"], other["image"])
            if "mask" in columns:
                np.testing.assert_array_equal(one["mask"], other["mask"])


@pytest.mark.parametrize(
    ("sides", "boxes", "seed", "places"),
    [
        ((768, 700), [], 1, [(433, 64), (130, 120), (253, 460), (241, 388)]),
        ((768, 700), [], 2, [(485, 57)]),
        ((768, 700), [[300, 10, 40, 20]], 3, [(291, 0)]),
        ((100, 700), [], 5, [(379, 0)]),  # lower than the crop
    ],
)
def test_the_places_of_crops_follow_from_their_seeds_alone(
    sides: tuple[int, int],
    boxes: list[list[int]],
    seed: int,
    places: list[tuple[int, int]],
) -> None:
    """Other places are another training: ORDER_VERSION counts up with them."""
    assert ORDER_VERSION == 1
    assert crops.offsets(*sides, 192, boxes, seed) == places


def test_of_several_places_the_one_with_the_most_contrast_is_cut() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[20:30, 30:40] = texture(1, 10, 10)
    places = [(105, 210), (128, 218), (140, 200)]
    assert crops.choose(pixels, (100, 200), places, 16) == (128, 218)
    assert crops.around(places, 400, 400, 16) == (105, 200, 51, 34)
    assert crops.choose(pixels[:4], (100, 200), places[:1], 16) == places[0]


def test_an_image_that_is_smaller_than_gold_says_is_refused(tmp_path: Any) -> None:
    rows = golds.mixed(5)
    rows[2] |= {"width": 640, "mask": encode_mask(np.zeros((golds.SIDE, 640), bool))}
    gold = golds.write(Lake(str(tmp_path / "l"), durable=False), rows)
    with pytest.raises(ImageError, match=r"0002.png .*gold says it has 640x64 pixels, and it ends"):
        list(gold.loader(crop=600, batch_size=2))


@pytest.mark.parametrize("column", ["image", "mask"])
@pytest.mark.parametrize("kind", [{"size": 32}, {"crop": 32, "centred": 0.0}])
@pytest.mark.parametrize("harm", [b"no picture", None])
def test_a_damaged_row_names_its_image(
    tmp_path: Any, column: str, kind: dict[str, Any], harm: bytes | None
) -> None:
    rows = golds.mixed(20)
    rows[7] |= {column: harm}
    gold = golds.write(Lake(str(tmp_path / "l"), durable=False), rows)
    with pytest.raises(
        ImageError, match=f"gold image 0007.png of version {gold.version}"
    ) as caught:
        list(gold.loader(batch_size=4, **kind))
    if harm is not None:
        assert str(caught.value).endswith("; `boatseg lake doctor --deep` says what is damaged")


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path: Any) -> None:
    rows = golds.mixed(5)
    rows[2] |= {"mask": encode_mask(np.zeros((8, 8), bool))}
    gold = golds.write(Lake(str(tmp_path / "l"), durable=False), rows)
    with pytest.raises(ImageError, match=r"0002.png .*its mask has \(8, 8\) rows and columns"):
        list(gold.loader(crop=8, batch_size=2))
