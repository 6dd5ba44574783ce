from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import golds
from support.pictures import encoded, texture

from boatseg_core.dataset import GoldDataset
from boatseg_core.errors import ImageError
from boatseg_core.imaging.mask_png import encode_mask
from boatseg_core.imaging.scaled import image_at, mask_at
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


def test_a_scaled_jpeg_is_close_to_the_whole_one_made_smaller() -> None:
    large = np.asarray(Image.fromarray(texture(1, 60, 60)).resize((480, 480), Image.BICUBIC))
    data = encoded(large, quality=95)
    for side in (240, 200, 120, 60):
        got = image_at(data, side, side).astype(int)
        whole = Image.open(__import__("io").BytesIO(data))
        expected = np.asarray(whole.resize((side, side), Image.BILINEAR)).astype(int)
        assert np.abs(got - expected).mean() < 4


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("size", [(48, 96), (96, 48), (50, 50)])
def test_pictures_are_upright_before_they_are_scaled(
    orientation: int, size: tuple[int, int]
) -> None:
    image = Image.fromarray(np.asarray(texture(2, 24, 48)).repeat(8, 0).repeat(8, 1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(np.asarray(image), exif=exif, quality=95)
    turned = {1: None, 3: 3, 6: 4, 8: 2}[orientation]  # Image.Transpose of the same meaning
    upright = image if turned is None else image.transpose(Image.Transpose(turned))
    expected = np.asarray(upright.resize(size[::-1], Image.BILINEAR)).astype(int)
    assert np.abs(image_at(data, *size).astype(int) - expected).mean() < 6


def test_a_mask_pixel_is_boat_where_boats_cover_half_of_it() -> None:
    mask = np.zeros((8, 8), dtype=np.bool_)
    mask[0:2, 0:1] = True  # half of the first pixel of two by two
    mask[2, 2] = True  # a quarter
    small = mask_at(encode_mask(mask), 4, 4)
    assert np.argwhere(small).tolist() == [[0, 0]]
    assert not mask_at(encode_mask(np.zeros((8, 8), bool)), 3, 5).any()


@pytest.mark.parametrize("column", ["image", "mask"])
@pytest.mark.parametrize("kind", [{"size": 32}, {"crop": 32, "centred": 0.0}])
@pytest.mark.parametrize("harm", [b"no picture", None])
def test_a_damaged_row_names_its_image(
    tmp_path: Any, column: str, kind: dict[str, Any], harm: bytes | None
) -> None:
    rows = golds.mixed(20)
    rows[7] |= {column: harm}
    gold = golds.write(Lake(str(tmp_path / "l"), durable=False), rows)
    with pytest.raises(ImageError, match=f"gold image 0007.png of version {gold.version}"):
        list(gold.loader(batch_size=4, **kind))


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path: Any) -> None:
    rows = golds.mixed(5)
    rows[2] |= {"mask": encode_mask(np.zeros((8, 8), bool))}
    gold = golds.write(Lake(str(tmp_path / "l"), durable=False), rows)
    with pytest.raises(ImageError, match=r"0002.png .*its mask has \(8, 8\) rows and columns"):
        list(gold.loader(crop=8, batch_size=2))
